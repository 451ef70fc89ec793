//! `mlp runs watch`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::elsewhere::list;
use crate::application::following::{OnInterrupt, RunReport, exit_of, follow, workspace, worse};
use crate::application::ui::Report;
use crate::base::{Exit, Failure};
use crate::infrastructure::compute::Interrupts;
use crate::platform::run::{self, Listed};

/// Follows all runs that are under way until they have ended. Ctrl-C ends the watching, not the runs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only these.
    #[arg(add = ArgValueCandidates::new(completion::runs))]
    runs: Vec<String>,
}

#[derive(Serialize)]
struct Watched {
    runs: Vec<RunReport>,
}

impl Report for Watched {
    fn schema(&self) -> &'static str {
        "mlp/runs-watch/1"
    }

    fn human(&self) -> String {
        match self.runs.is_empty() {
            true => "no run is under way\n".to_owned(),
            false => self.runs.iter().map(RunReport::human).collect(),
        }
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    let listed = list(&workspace, &context.ui)?;
    let chosen: Vec<Listed> = match args.runs.is_empty() {
        true => listed.into_iter().filter(|run| !run.state.ended()).collect(),
        false => args.runs.iter().map(|text| run::find(&listed, text)).collect::<Result<_, _>>()?,
    };
    context.ui.stream();
    let interrupts = Interrupts::watch();
    let follow_one = |one: &Listed| -> Result<RunReport, Failure> {
        // Every thread has a project of its own: a repository is not shared between threads.
        let project = context.project()?;
        let workspace = crate::application::following::workspace(&project);
        let name = one.name.as_str();
        let ended = follow(&context.ui, &workspace, one.id, Some(name), &interrupts, OnInterrupt::Detach)?;
        Ok(match ended {
            Some((id, record)) => RunReport::of(id, &record, false),
            None => RunReport::active(one.id, name, &one.task, one.plan),
        })
    };
    let reports: Vec<Result<RunReport, Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> = chosen
            .iter()
            .filter(|run| run.folder.is_some())
            .map(|run| scope.spawn(|| follow_one(run)))
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let runs = reports.into_iter().collect::<Result<Vec<_>, _>>()?;
    let ended = runs.iter().filter(|run| run.state.ended());
    let exit = ended.fold(Exit::Ok, |exit, run| worse(exit, exit_of(run.state)));
    context.ui.report(&Watched { runs });
    Ok(exit)
}
