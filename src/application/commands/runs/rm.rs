//! `mlp runs rm`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::following::workspace;
use crate::application::ui::{Report, bytes};
use crate::base::{Exit, Id};
use crate::platform::run::{self, Listed, RunError};

/// Removes runs: job folder, checkpoints and record. Outputs that a model version or another run names stay.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The runs.
    #[arg(required = true, add = ArgValueCandidates::new(completion::runs))]
    runs: Vec<String>,
    /// Says what would be removed.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Removed {
    dry_run: bool,
    runs: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    run: Id,
    name: String,
    /// Bytes of the job folder.
    bytes: u64,
}

impl Report for Removed {
    fn schema(&self) -> &'static str {
        "mlp/runs-rm/1"
    }

    fn human(&self) -> String {
        let verb = if self.dry_run { "would remove" } else { "removed" };
        let line = |line: &Line| {
            format!("{verb} run {} of {}, {}\n", run::short(line.run), line.name, bytes(line.bytes))
        };
        self.runs.iter().map(line).collect()
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    let listed = run::list(&workspace)?;
    let mut chosen: Vec<Listed> = Vec::new();
    for text in &args.runs {
        let found = run::find(&listed, text)?;
        if !found.state.ended() {
            return Err(RunError::Active { run: found.short(), state: found.state.to_string() }.into());
        }
        if chosen.iter().all(|other| other.id != found.id) {
            chosen.push(found);
        }
    }
    let mut runs = Vec::new();
    for run in &chosen {
        let size = run.folder.as_ref().map_or(0, |folder| size(&folder.0));
        if !args.dry_run {
            run::remove(&workspace, run)?;
        }
        runs.push(Line { run: run.id, name: run.name.to_string(), bytes: size });
    }
    context.ui.report(&Removed { dry_run: args.dry_run, runs });
    Ok(Exit::Ok)
}

fn size(path: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
