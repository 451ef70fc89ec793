//! `mlp runs attach`.

use serde::Serialize;

use clap_complete::ArgValueCandidates;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::following::{OnInterrupt, RunReport, exit_of, follow, workspace};
use crate::application::ui::Report;
use crate::base::{Exit, Failure};
use crate::infrastructure::compute::{Host, Interrupts, Link};
use crate::platform::run::{self, RunError, Workspace};

/// Follows a run from its beginning to its end. Ctrl-C ends the watching, not the run.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The run.
    #[arg(default_value = "latest", add = ArgValueCandidates::new(completion::runs))]
    run: String,
    /// A run that another machine started on this host.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
}

/// One run.
#[derive(Serialize)]
pub(super) struct OneRun {
    pub(super) run: RunReport,
}

impl Report for OneRun {
    fn schema(&self) -> &'static str {
        "mlp/run/1"
    }

    fn human(&self) -> String {
        self.run.human()
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    if let Some(host) = &args.on {
        take_over(&args.run, &project.manifest.host(host)?, &workspace, context)?;
    }
    let found = run::find(&run::list(&workspace)?, &args.run)?;
    let Some(folder) = &found.folder else {
        let reason = "its job folder is not here".to_owned();
        return Err(RunError::NotResumable { run: found.short(), reason }.into());
    };
    context.ui.stream();
    let interrupts = Interrupts::watch();
    let ended = follow(&context.ui, &workspace, found.id, None, &interrupts, OnInterrupt::Detach)?;
    let report = match &ended {
        Some((id, record)) => RunReport::of(*id, record, false).with_curve(folder),
        None => RunReport::active(found.id, found.name.as_str(), &found.task, found.plan),
    };
    let exit = if ended.is_some() { exit_of(report.state) } else { Exit::Ok };
    context.ui.report(&OneRun { run: report });
    Ok(exit)
}

/// Mirrors a run of the host here, if it is not yet.
pub(super) fn take_over(
    run: &str,
    host: &Host,
    workspace: &Workspace<'_>,
    context: &Context,
) -> Result<(), Failure> {
    let mut link = Link::open(host, workspace.binary()?, &context.ui)?;
    let jobs = link.jobs()?;
    let mut fitting = jobs.iter().rev().filter(|job| run == "latest" || job.id.to_string().starts_with(run));
    let Some(job) = fitting.next() else {
        return Err(RunError::Unknown(run.escape_debug().to_string()).into());
    };
    link.mirror(&workspace.executor().folder(job.id), job.id)?;
    link.rest();
    Ok(())
}
