//! `mlp host status`.

use serde::Serialize;

use super::super::{Answer, Context};
use super::chosen;
use crate::application::elsewhere::connect;
use crate::application::ui::{Report, Table, bytes, clean, plural};
use crate::base::{Exit, JobState, Time};
use crate::infrastructure::compute::{Cards, Claim, HostedJob};
use crate::platform::run::short;

/// Tells which of your jobs are on hosts, who has their GPUs, and who waits for them.
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
    #[serde(flatten)]
    cards: Cards,
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
        if self.hosts.is_empty() { "no hosts\n".to_owned() } else { table.render() + &self.cards() }
    }
}

impl Status {
    /// The GPUs of all hosts and their queues; nothing where there are none.
    fn cards(&self) -> String {
        let now = Time::now();
        let who = |claim: &Claim| {
            let share = claim
                .share
                .map_or_else(String::new, |most| format!(", shares it with {} at most", most.get() - 1));
            format!(
                "{} for {} {}, {}{share}",
                clean(&claim.user),
                claim.name,
                short(claim.job),
                claim.since.ago(now)
            )
        };
        let mut table = Table::new(["HOST", "GPU", "MEMORY", "IN USE", "BY"]);
        let mut waiting = String::new();
        let mut some = false;
        for line in &self.hosts {
            for card in &line.cards.cards {
                some = true;
                let mut by: Vec<String> = card.holders.iter().map(who).collect();
                if by.is_empty() {
                    by.push(if card.foreign { "somebody without mlp" } else { "free" }.to_owned());
                }
                let mut left = [
                    line.name.clone(),
                    clean(&card.gpu.name).into_owned(),
                    bytes(card.gpu.memory << 20),
                    bytes(card.gpu.used << 20),
                ];
                // A line for each of those who share it.
                for by in by {
                    let [host, gpu, memory, used] = std::mem::take(&mut left);
                    table.row([host, gpu, memory, used, by]);
                }
            }
            for (at, claim) in line.cards.queue.iter().enumerate() {
                let place = at + 1;
                waiting += &format!(
                    "{}: {place}. in the queue, for {}: {}\n",
                    line.name,
                    plural(claim.wants.into(), "GPU"),
                    who(claim)
                );
            }
        }
        if some { format!("\n{}{waiting}", table.render()) } else { waiting }
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let mut lines = Vec::new();
    for host in chosen(context, &args.hosts)? {
        let asked = connect(&host, &context.ui).and_then(|mut link| Ok((link.jobs()?, link.cards()?)));
        let ((mut jobs, cards), problem) = match asked {
            Ok(known) => (known, None),
            Err(failure) => ((Vec::new(), Cards::default()), Some(failure.0.to_string())),
        };
        jobs.retain(|job| args.all || !JobState::ended(job.state));
        lines.push(Line { name: host.name, jobs, cards, problem });
    }
    let exit = if lines.iter().all(|line| line.problem.is_none()) { Exit::Ok } else { Exit::World };
    context.ui.report(&Status { hosts: lines });
    Ok(exit)
}
