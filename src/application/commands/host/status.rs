//! `mlp host status`.

use serde::Serialize;

use super::super::{Answer, Context};
use super::chosen;
use crate::application::elsewhere::connect;
use crate::application::ui::{Report, Table, clean};
use crate::base::{Exit, JobState};
use crate::infrastructure::compute::HostedJob;
use crate::platform::run::short;

/// Tells which of your jobs are on hosts.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The hosts; all of them if none is named.
    hosts: Vec<String>,
    /// Those that have ended, too.
    #[arg(short, long)]
    all: bool,
}

#[derive(Serialize)]
struct Status {
    hosts: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    jobs: Vec<HostedJob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Report for Status {
    fn schema(&self) -> &'static str {
        "mlp/host-status/1"
    }

    fn human(&self) -> String {
        let mut table = Table::new(["HOST", "RUN", "NAME", "STATE"]);
        for line in &self.hosts {
            if let Some(problem) = &line.problem {
                table.row([line.name.as_str(), "-", "-", &clean(problem)]);
            } else if line.jobs.is_empty() {
                table.row([line.name.as_str(), "-", "-", "nothing runs"]);
            }
            for job in &line.jobs {
                table.row([
                    line.name.clone(),
                    short(job.id),
                    clean(&job.name).into_owned(),
                    job.state.to_string(),
                ]);
            }
        }
        if self.hosts.is_empty() { "no hosts\n".to_owned() } else { table.render() }
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let mut lines = Vec::new();
    for host in chosen(context, &args.hosts)? {
        let asked = connect(&host, &context.ui).and_then(|mut link| Ok(link.jobs()?));
        let (mut jobs, problem) = match asked {
            Ok(jobs) => (jobs, None),
            Err(failure) => (Vec::new(), Some(failure.0.to_string())),
        };
        jobs.retain(|job| args.all || !JobState::ended(job.state));
        lines.push(Line { name: host.name, jobs, problem });
    }
    let exit = if lines.iter().all(|line| line.problem.is_none()) { Exit::Ok } else { Exit::World };
    context.ui.report(&Status { hosts: lines });
    Ok(exit)
}
