//! `mlp runs rm`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::elsewhere::list;
use crate::application::following::workspace;
use crate::application::ui::{Report, bytes};
use crate::base::{Exit, Failure, Id, Level, Sink};
use crate::infrastructure::compute::{JobError, Link};
use crate::platform::run::{self, Listed, RunError, Workspace};

/// Removes runs: job folder, checkpoints and record. Outputs that a model version or another run names stay.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The runs.
    #[arg(required = true, add = ArgValueCandidates::new(completion::runs))]
    runs: Vec<String>,
    /// Says what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Forgets runs on hosts although they may still be under way there, or the host cannot be asked.
    #[arg(long)]
    force: bool,
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
    let listed = list(&workspace, &context.ui)?;
    let mut chosen: Vec<Listed> = Vec::new();
    for text in &args.runs {
        let found = run::find(&listed, text)?;
        let mirrored = found.folder.as_ref().is_some_and(|folder| matches!(folder.host(), Ok(Some(_))));
        let may_go = found.state.ended() || args.force && mirrored;
        if !may_go {
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
            if let Err(failure) = remove_there(run, &workspace, context) {
                if !args.force {
                    return Err(failure);
                }
                context.ui.log(Level::Warn, &format!("{}; it stays on its host", failure.0));
            }
            run::remove(&workspace, run)?;
        }
        runs.push(Line { run: run.id, name: run.name.to_string(), bytes: size });
    }
    context.ui.report(&Removed { dry_run: args.dry_run, runs });
    Ok(Exit::Ok)
}

/// Removes a run on its host, too.
fn remove_there(run: &Listed, workspace: &Workspace<'_>, context: &Context) -> Result<(), Failure> {
    let Some(folder) = &run.folder else { return Ok(()) };
    let Some((host, _)) = folder.host()? else { return Ok(()) };
    let mut link = Link::open(&host, workspace.binary()?, &context.ui)?;
    match link.remove(run.id) {
        Err(JobError::OnHost { code, .. }) if code == "compute::no-job" => {}
        other => other?,
    }
    link.rest();
    Ok(())
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
