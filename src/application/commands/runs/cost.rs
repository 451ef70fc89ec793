//! `mlp runs cost`.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::elsewhere::list;
use crate::application::following::workspace;
use crate::application::ui::{Align, Report, Table, amount, plural};
use crate::base::{Exit, Record, Run};

/// Adds up what runs used and cost: all that ended and whose records are here.
///
/// What a host with a price costs is counted from when a run has its machine and its GPUs. Energy is known where the host measures it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// What a line of the table stands for.
    #[arg(long, value_enum, default_value_t = By::Model)]
    by: By,
}

/// What runs are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    /// Who started them.
    User,
    /// Their model or step.
    Model,
    /// The machine they ran on.
    Host,
    /// The month they ended in (UTC).
    Month,
}

impl By {
    fn of(self, record: &Record<Run>) -> String {
        match self {
            Self::User => record.author.clone().unwrap_or_else(|| "unknown".to_owned()),
            Self::Model => record.body.name.to_string(),
            Self::Host => record.body.host.clone(),
            Self::Month => record.body.end.ended.to_string()[..7].to_owned(),
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Model => "MODEL",
            Self::Host => "HOST",
            Self::Month => "MONTH",
        }
    }
}

#[derive(Serialize)]
struct Costs {
    by: By,
    lines: Vec<Line>,
    total: Sum,
}

#[derive(Serialize)]
struct Line {
    name: String,
    #[serde(flatten)]
    sum: Sum,
}

/// What some runs used, as far as it is known.
#[derive(Clone, Default, Serialize)]
struct Sum {
    runs: u64,
    hours: f64,
    gpu_hours: f64,
    kwh: f64,
    /// By currency.
    cost: BTreeMap<String, f64>,
    /// Runs of which it is not known, or not of all attempts, how long they had what.
    unknown_usage: u64,
    /// Runs of which no energy is known.
    unknown_kwh: u64,
    /// Runs that no price applied to.
    unknown_cost: u64,
}

impl Sum {
    fn add(&mut self, run: &Run) {
        self.runs += 1;
        let usage = run.end.usage.clone().unwrap_or_default();
        self.hours += usage.hours;
        self.gpu_hours += usage.gpu_hours;
        self.unknown_usage += u64::from(usage.attempts < run.end.attempts);
        match usage.kwh() {
            Some(kwh) => self.kwh += kwh,
            None => self.unknown_kwh += 1,
        }
        match &run.cost {
            Some(cost) => *self.cost.entry(cost.currency.clone()).or_default() += cost.amount,
            None => self.unknown_cost += 1,
        }
    }

    fn cells(&self, name: &str) -> [String; 6] {
        let known =
            |unknown: u64, text: String| if unknown == self.runs { "unknown".to_owned() } else { text };
        let cost: Vec<String> =
            self.cost.iter().map(|(currency, value)| format!("{} {currency}", amount(*value))).collect();
        let cost = if cost.is_empty() { "unknown".to_owned() } else { cost.join(" + ") };
        [
            name.to_owned(),
            self.runs.to_string(),
            known(self.unknown_usage, measured(self.hours)),
            known(self.unknown_usage, measured(self.gpu_hours)),
            known(self.unknown_kwh, measured(self.kwh)),
            cost,
        ]
    }

    /// What is not in the sums.
    fn missing(&self) -> String {
        let unknown = [
            (self.unknown_usage, "of which mlp does not know, or not of all attempts, what they used"),
            (self.unknown_kwh, "whose energy nobody measured"),
            (self.unknown_cost, "whose host has no price"),
        ];
        let line = |(runs, why): &(u64, &str)| format!("not counted: {} {why}\n", plural(*runs, "run"));
        unknown.iter().filter(|(runs, _)| *runs > 0).map(line).collect()
    }
}

/// Hours, or kWh, as people read them.
fn measured(value: f64) -> String {
    match value {
        value if value > 0.0 && value < 0.001 => "< 0.001".to_owned(),
        value => format!("{value:.3}"),
    }
}

impl Report for Costs {
    fn schema(&self) -> &'static str {
        "mlp/runs-cost/1"
    }

    fn human(&self) -> String {
        if self.lines.is_empty() {
            return "no run has ended yet\n".to_owned();
        }
        let heading = [self.by.heading(), "RUNS", "HOURS", "GPU HOURS", "KWH", "COST"];
        let mut table = (1..6).fold(Table::new(heading), |table, column| table.align(column, Align::Right));
        for line in &self.lines {
            table.row(line.sum.cells(&line.name));
        }
        table.row(self.total.cells("all"));
        table.render() + &self.total.missing()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let mut total = Sum::default();
    for listed in list(&workspace(&project), &context.ui)? {
        let Some((_, record)) = &listed.record else { continue };
        sums.entry(args.by.of(record)).or_default().add(&record.body);
        total.add(&record.body);
    }
    let lines = sums.into_iter().map(|(name, sum)| Line { name, sum }).collect();
    context.ui.report(&Costs { by: args.by, lines, total });
    Ok(Exit::Ok)
}
