//! `mlp host check`.

use std::time::Instant;

use serde::Serialize;

use super::super::{Answer, Context};
use super::chosen;
use crate::application::elsewhere::connect;
use crate::application::ui::{Report, Table, bytes, clean, duration};
use crate::base::{Exit, Time};
use crate::infrastructure::compute::Host;

/// Connects to hosts and tells what they are and what is wrong with them.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The hosts; all of them if none is named.
    hosts: Vec<String>,
}

/// Clocks that differ by more than this make the times of runs misleading.
const SKEW: f64 = 5.0;
/// Less room is soon too little.
const ROOM: u64 = 2 << 30;

#[derive(Serialize)]
struct Checked {
    hosts: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Seen {
    machine: String,
    device: String,
    threads: usize,
    version: String,
    folder: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u64>,
    /// To connect and hear the first answer.
    seconds: f64,
}

impl Report for Checked {
    fn schema(&self) -> &'static str {
        "mlp/host-check/1"
    }

    fn human(&self) -> String {
        let mut table = Table::new(["HOST", "MACHINE", "DEVICE", "THREADS", "FREE", "CONNECTED IN"]);
        for line in &self.hosts {
            match &line.seen {
                Some(seen) => table.row([
                    line.name.clone(),
                    clean(&seen.machine).into_owned(),
                    clean(&seen.device).into_owned(),
                    seen.threads.to_string(),
                    seen.free.map_or_else(|| "-".to_owned(), bytes),
                    duration(seen.seconds),
                ]),
                None => table.row([line.name.as_str(), "-", "-", "-", "-", "-"]),
            };
        }
        let mut text = if self.hosts.is_empty() { "no hosts\n".to_owned() } else { table.render() };
        for line in &self.hosts {
            for problem in &line.problems {
                text += &format!("  {}: {}\n", line.name, clean(problem));
            }
        }
        text
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let mut lines = Vec::new();
    for host in chosen(context, &args.hosts)? {
        lines.push(check(&host, context));
    }
    let exit = if lines.iter().all(|line| line.seen.is_some()) { Exit::Ok } else { Exit::World };
    context.ui.report(&Checked { hosts: lines });
    Ok(exit)
}

fn check(host: &Host, context: &Context) -> Line {
    let begun = Instant::now();
    let mut problems = Vec::new();
    let seen = match connect(host, &context.ui) {
        Err(failure) => {
            let hint = failure.0.hint().map_or_else(String::new, |hint| format!("; {hint}"));
            problems.push(format!("{}{hint}", failure.0));
            None
        }
        Ok(link) => {
            let seconds = begun.elapsed().as_secs_f64();
            let hello = &link.hello;
            let skew = Time::now().seconds_since(hello.time);
            if skew.abs() > SKEW {
                problems.push(format!("its clock differs by {skew:.0} s: set it by NTP"));
            }
            if let Some(free) = hello.free.filter(|free| *free < ROOM) {
                problems.push(format!("only {} are free in {}", bytes(free), hello.root.display()));
            }
            Some(Seen {
                machine: hello.facts.host.clone(),
                device: hello.device.clone(),
                threads: hello.facts.threads,
                version: hello.version.clone(),
                folder: hello.root.display().to_string(),
                free: hello.free,
                seconds,
            })
        }
    };
    Line { name: host.name.clone(), seen, problems }
}
