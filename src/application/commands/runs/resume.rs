//! `mlp runs resume`.

use clap_complete::ArgValueCandidates;

use super::super::{Answer, Context};
use super::attach::OneRun;
use crate::application::completion;
use crate::application::following::{OnInterrupt, RunReport, exit_of, follow, workspace};
use crate::base::{Exit, JobState, Level, Sink};
use crate::infrastructure::compute::{Interrupts, JobError};
use crate::platform::run::{self, RunError};

/// Goes on with a run that was stopped, failed or was lost. A training goes on from its last checkpoint and ends with the
/// very weights of an unbroken one; a step starts again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The run.
    #[arg(default_value = "latest", add = ArgValueCandidates::new(completion::runs))]
    run: String,
    /// Leaves it running in the background.
    #[arg(short, long)]
    detach: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    let found = run::find(&run::list(&workspace)?, &args.run)?;
    let refuse = |reason: &str| RunError::NotResumable { run: found.short(), reason: reason.to_owned() };
    let Some(folder) = &found.folder else { return Err(refuse("its job folder is not here").into()) };
    if found.state == JobState::Succeeded {
        return Err(refuse("it succeeded").into());
    }
    if let Some((_, record)) = &found.record
        && record.body.task != "step"
        && record.body.binary != workspace.binary()?
    {
        let text =
            "this is another mlp than the run began with: its weights may differ from an unbroken run's";
        context.ui.log(Level::Warn, text);
    }
    context.ui.stream();
    let interrupts = (!args.detach).then(Interrupts::watch);
    workspace.executor().resume(found.id).map_err(|error| match error {
        JobError::Active(_) => RunError::Active { run: found.short(), state: found.state.to_string() },
        other => other.into(),
    })?;
    let active = RunReport::active(found.id, found.name.as_str(), &found.task, found.plan);
    let Some(interrupts) = interrupts else {
        context.ui.report(&OneRun { run: active });
        return Ok(Exit::Ok);
    };
    let ended = follow(&context.ui, &workspace, found.id, None, &interrupts, OnInterrupt::Cancel)?;
    let report = match &ended {
        Some((id, record)) => RunReport::of(*id, record, false).with_curve(folder),
        None => active,
    };
    let exit = exit_of(report.state);
    context.ui.report(&OneRun { run: report });
    Ok(exit)
}
