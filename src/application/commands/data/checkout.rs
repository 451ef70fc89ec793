//! `mlp data checkout`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{shown, subjects};
use crate::application::completion;
use crate::application::ui::{Report, bytes, plural};
use crate::base::{Digest, Exit, Id};

/// Makes the data on disk those that the pointers name.
///
/// Files that were edited since they were checked out, and those of a version that no commit and no pointer names, are listed and
/// left alone, unless `--force` is given. Where `mlp data sparse` chose a
/// part of a dataset, only that is written.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Datasets or paths; all that have a pointer if none is named.
    #[arg(value_name = "NAME|PATH", add = ArgValueCandidates::new(completion::datasets))]
    names: Vec<String>,
    /// Replace edited files; they go to the trash first.
    #[arg(long)]
    force: bool,
    /// The version of this git revision instead of the work tree's. The pointer stays as it is.
    #[arg(long, value_name = "REV")]
    rev: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let rev = args.rev.as_deref();
    let mut done = Done { datasets: Vec::new() };
    for subject in subjects(&args.names, &project, context)? {
        if args.names.is_empty() && rev.is_none() && !subject.pointer().exists() {
            continue;
        }
        subject.settle(&project, rev, &context.ui)?;
        let root = subject.wanted(&subject.read(&project, rev)?.root(&project.store)?, &project)?;
        let made = subject.check_out(&root, None, args.force, &project, context)?;
        done.datasets.push(Line {
            name: subject.name,
            id: root.id,
            written: made.written,
            removed: made.removed,
            kept: made.kept,
            bytes: made.bytes,
            dirty: made.dirty,
            trashed: made.trashed,
        });
    }
    let clean = done.datasets.iter().all(|line| line.dirty.is_empty());
    context.ui.report(&done);
    Ok(if clean { Exit::Ok } else { Exit::No })
}

#[derive(Serialize)]
struct Done {
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    id: Digest,
    written: u64,
    removed: u64,
    kept: u64,
    bytes: u64,
    /// Edited files that were left alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dirty: Vec<String>,
    /// Where edited files went with `--force`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trashed: Option<Id>,
}

impl Report for Done {
    fn schema(&self) -> &'static str {
        "mlp/data-checkout/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for line in &self.datasets {
            text.push_str(&format!(
                "{} {}: {} written ({}), {} removed, {} kept\n",
                shown(&line.name),
                line.id.short(),
                plural(line.written, "file"),
                bytes(line.bytes),
                line.removed,
                line.kept
            ));
            if let Some(id) = line.trashed {
                text.push_str(&format!("  edited files are in the trash: `mlp data trash restore {id}`\n"));
            }
            for path in &line.dirty {
                text.push_str(&format!("  left alone, changed here: {}\n", shown(path)));
            }
            if !line.dirty.is_empty() {
                text.push_str("  `--force` replaces them; they go to the trash first\n");
            }
        }
        if text.is_empty() { "no pointers\n".to_owned() } else { text }
    }

    fn quiet(&self) -> String {
        let dirty = self.datasets.iter().flat_map(|line| &line.dirty);
        dirty.map(|path| format!("{}\n", shown(path))).collect()
    }
}
