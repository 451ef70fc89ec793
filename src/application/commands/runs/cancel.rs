//! `mlp runs cancel`.

use clap_complete::ArgValueCandidates;

use super::super::{Answer, Context};
use super::attach::OneRun;
use crate::application::completion;
use crate::application::following::{OnInterrupt, RunReport, follow, workspace};
use crate::application::ui::{Mode, Ui};
use crate::base::Exit;
use crate::infrastructure::compute::{Executor, Interrupts, Ticket};
use crate::platform::run;

/// Stops a run and waits until no process of it is left. A training writes a checkpoint first.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The run.
    #[arg(default_value = "latest", add = ArgValueCandidates::new(completion::runs))]
    run: String,
    /// Ends it at once, without a checkpoint.
    #[arg(long)]
    now: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    let found = run::find(&run::list(&workspace)?, &args.run)?;
    if let Some((id, record)) = &found.record {
        context.ui.report(&OneRun { run: RunReport::of(*id, record, false) });
        return Ok(Exit::Ok);
    }
    let executor = workspace.executor();
    let ticket = Ticket { id: found.id, host: "local".into() };
    match args.now {
        true => executor.kill(&ticket)?,
        false => executor.cancel(&ticket)?,
    }
    // Of a run on a host it is worth knowing that the host cannot be reached.
    let elsewhere = found.folder.as_ref().is_some_and(|folder| matches!(folder.host(), Ok(Some(_))));
    let mode = if elsewhere { context.ui.mode } else { Mode::Quiet };
    let interrupts = Interrupts::watch();
    let ended = follow(&Ui::new(mode), &workspace, found.id, None, &interrupts, OnInterrupt::Detach)?;
    let report = match &ended {
        Some((id, record)) => RunReport::of(*id, record, false),
        None => RunReport::active(found.id, found.name.as_str(), &found.task, found.plan),
    };
    context.ui.report(&OneRun { run: report });
    Ok(Exit::Ok)
}
