//! `mlp data status --remote`: whether others can get what the pointers name.

use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{shown, subjects};
use crate::application::stores;
use crate::application::ui::{Report, Table};
use crate::base::{Digest, Exit};
use crate::infrastructure::store::{Presence, StoreError};

/// Asks the store; needs none of the data here.
pub(super) fn run(names: &[String], named: Option<&str>, context: &Context) -> Answer {
    let project = context.project()?;
    let remote = stores::remote(&project, named)?;
    let mut chosen = subjects(names, &project, context)?;
    if names.is_empty() {
        chosen.retain(|subject| subject.pointer().exists());
    }
    let presence = Presence::read(&project.store, &remote, project.id(), &context.ui)?;
    let mut told = Told { store: remote.name.to_string(), requests: 0, datasets: Vec::new() };
    for subject in chosen {
        let pointer = subject.read(&project, None)?;
        let (id, ids) = (pointer.node().id, pointer.ids());
        let mut there = true;
        for id in &ids {
            there = there && presence.has(id)?;
        }
        let here = match project.store.holds(&ids) {
            Err(StoreError::Damaged { .. }) => false,
            holds => holds?,
        };
        told.datasets.push(Line { name: subject.name, id, here, remote: there, kept: presence.keeps(&id) });
    }
    told.requests = remote.requests().total();
    let fine = told.datasets.iter().all(|line| line.remote && line.kept);
    context.ui.report(&told);
    Ok(if fine { Exit::Ok } else { Exit::No })
}

#[derive(Serialize)]
struct Told {
    store: String,
    /// Requests to the store.
    requests: u64,
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    /// The version that the pointer names.
    id: Digest,
    /// Whether all of it is in the local store.
    here: bool,
    /// Whether all of it is on the remote.
    remote: bool,
    /// Whether a pin on the remote keeps it there.
    kept: bool,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/data-remote-status/1"
    }

    fn human(&self) -> String {
        if self.datasets.is_empty() {
            return "no datasets\n".to_owned();
        }
        let mut table = Table::new(["DATASET", "VERSION", "HERE", &self.store, ""]);
        let word = |yes: bool| if yes { "yes" } else { "no" };
        for line in &self.datasets {
            let name = shown(&line.name);
            let note = match (line.here, line.remote, line.kept) {
                (_, true, true) if line.here => String::new(),
                (_, true, true) => format!("`mlp data pull {name}`"),
                (true, _, _) => format!("`mlp data push {name}`"),
                (false, true, false) => {
                    format!(
                        "nothing keeps this version there: `mlp data pull {name}`, then `mlp data push {name}`"
                    )
                }
                (false, false, _) => "neither here nor there: a clone that has it must push it".to_owned(),
            };
            table.row([name, line.id.short(), word(line.here).into(), word(line.remote).into(), note]);
        }
        table.render()
    }

    fn quiet(&self) -> String {
        let lacking = self.datasets.iter().filter(|line| !(line.remote && line.kept));
        lacking.map(|line| format!("{}\n", shown(&line.name))).collect()
    }
}
