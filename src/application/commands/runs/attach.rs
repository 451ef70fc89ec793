//! `mlp runs attach`.

use serde::Serialize;

use clap_complete::ArgValueCandidates;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::following::{OnInterrupt, RunReport, exit_of, follow, workspace};
use crate::application::ui::Report;
use crate::base::Exit;
use crate::infrastructure::compute::Interrupts;
use crate::platform::run::{self, RunError};

/// Follows a run from its beginning to its end. Ctrl-C ends the watching, not the run.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The run.
    #[arg(default_value = "latest", add = ArgValueCandidates::new(completion::runs))]
    run: String,
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
