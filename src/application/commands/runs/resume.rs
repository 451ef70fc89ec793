//! `mlp runs resume`.

use clap_complete::ArgValueCandidates;

use super::super::{Answer, Context};
use super::attach::OneRun;
use crate::application::completion;
use crate::application::elsewhere::{list, secrets, told};
use crate::application::following::{OnInterrupt, RunReport, exit_of, follow, workspace};
use crate::application::ui::Ui;
use crate::base::{Exit, Failure, JobState, Level, Sink};
use crate::infrastructure::compute::{Host, Interrupts, JobError, JobFolder, Link};
use crate::platform::run::{self, Listed, RunError, Workspace};

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
    /// Goes on on this host, from the last checkpoint that was brought from the one before. For runs that are on a host.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    let found = run::find(&list(&workspace, &context.ui)?, &args.run)?;
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
    let mut variables = run::variables(folder)?;
    variables.extend(secrets(&folder.spec()?, &project.secrets, &context.ui)?);
    let variables = told(&variables);
    let active = |error| match error {
        JobError::Active(_) => RunError::Active { run: found.short(), state: found.state.to_string() },
        other => RunError::from(other),
    };
    match &args.on {
        None => workspace.executor().resume(found.id, &variables).map(drop).map_err(active)?,
        Some(host) => {
            let host = project.manifest.host(host)?;
            let Some((before, _)) = folder.host()? else {
                return Err(refuse("it is not on a host: only what began on one can go on on another").into());
            };
            leave(&workspace, folder, &before, &found, &context.ui)?;
            let mut link = Link::open(&host, workspace.binary()?, &context.ui)?;
            link.adopt(folder, workspace.store, &variables, &context.ui)?;
            link.rest();
        }
    }
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

/// Makes sure, as far as it can be known, that the run does not go on where it was.
fn leave(
    workspace: &Workspace<'_>,
    folder: &JobFolder,
    before: &Host,
    found: &Listed,
    ui: &Ui,
) -> Result<(), Failure> {
    if found.state.ended() {
        return Ok(());
    }
    let state = Link::open(before, workspace.binary()?, ui).and_then(|mut link| {
        let id = folder.spec()?.id;
        let jobs = link.jobs()?;
        Ok(jobs.into_iter().find(|job| job.id == id).map(|job| job.state))
    });
    match state {
        Ok(Some(state)) if !state.ended() => {
            Err(RunError::Active { run: found.short(), state: format!("{state} on `{}`", before.name) }
                .into())
        }
        Ok(_) => Ok(()),
        Err(error) => {
            let text = format!("{error}; if the run still goes on there, nobody will look at its end");
            ui.log(Level::Warn, &text);
            Ok(())
        }
    }
}
