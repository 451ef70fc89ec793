//! `mlp data pull`.

use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::relative;
use super::transfer::{Moved, Selection};
use crate::application::ui::{Report, clean, plural};
use crate::base::{Exit, Id, Sink};

/// Gets data and evidence from a remote store and checks the data out.
///
/// As `mlp data fetch`, then `mlp data checkout`: files that were changed here are listed and left alone unless `--force` is
/// given.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Replace edited files; they go to the trash first.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let datasets = args.selection.subjects(&project, !args.selection.dry_run, context)?;
    let remote = args.selection.source(&project, &datasets)?;
    let dry_run = args.selection.dry_run;
    let mut pulled = Pulled { dry_run, ..Pulled::default() };
    pulled.store = remote.as_ref().map(|remote| remote.name.to_string());
    pulled.datasets = datasets.iter().map(|(subject, _)| subject.name.clone()).collect();
    if !dry_run {
        let moved = args.selection.fetch(&project, remote.as_ref(), &datasets, &context.ui as &dyn Sink)?;
        pulled.moved = moved.into();
        for (subject, pointer) in &datasets {
            let root = subject.wanted(&pointer.root(&project.store)?, &project)?;
            let done = subject.check_out(&root, None, args.force, &project, context)?;
            pulled.written += done.written;
            pulled.removed += done.removed;
            pulled.trashed.extend(done.trashed);
            let folder = relative(&project.root, &subject.path);
            pulled.dirty.extend(done.dirty.iter().map(|path| format!("{folder}/{path}")));
        }
    }
    super::super::hook::hint(&project, context)?;
    let exit = if pulled.dirty.is_empty() { Exit::Ok } else { Exit::No };
    context.ui.report(&pulled);
    Ok(exit)
}

#[derive(Default, Serialize)]
struct Pulled {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// None where the project has no stores and everything was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    datasets: Vec<String>,
    #[serde(flatten)]
    moved: Moved,
    written: u64,
    removed: u64,
    /// Edited files that were left alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dirty: Vec<String>,
    /// Where edited files went with `--force`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trashed: Vec<Id>,
}

impl Report for Pulled {
    fn schema(&self) -> &'static str {
        "mlp/data-pull/1"
    }

    fn human(&self) -> String {
        let from = self.store.as_ref().map(|store| format!(" from `{store}`")).unwrap_or_default();
        if self.dry_run {
            return format!("would pull{from}: {}\n", self.datasets.join(", "));
        }
        let mut text = format!(
            "pulled {}{from}: {}; {} written, {} removed\n",
            plural(self.datasets.len() as u64, "dataset"),
            self.moved.human(),
            plural(self.written, "file"),
            self.removed,
        );
        for id in &self.trashed {
            text.push_str(&format!("edited files are in the trash: `mlp data trash restore {id}`\n"));
        }
        for path in &self.dirty {
            text.push_str(&format!("left alone, changed here: {}\n", clean(path)));
        }
        text
    }

    fn quiet(&self) -> String {
        self.dirty.iter().map(|path| format!("{}\n", clean(path))).collect()
    }
}
