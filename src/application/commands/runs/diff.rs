//! `mlp runs diff`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;
use serde_json::Value;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::following::{shown, workspace};
use crate::application::ui::{Report, Table};
use crate::base::{Exit, Failure, Id, Record, Run};
use crate::platform::run::{self, Difference, Listed, RunError};

/// Compares two runs: what they depended on and what came of it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// One run.
    #[arg(add = ArgValueCandidates::new(completion::runs))]
    first: String,
    /// The other.
    #[arg(default_value = "latest", add = ArgValueCandidates::new(completion::runs))]
    second: String,
}

#[derive(Serialize)]
struct Diff {
    first: Id,
    second: Id,
    differences: Vec<Difference>,
}

impl Report for Diff {
    fn schema(&self) -> &'static str {
        "mlp/runs-diff/1"
    }

    fn human(&self) -> String {
        if self.differences.is_empty() {
            return "no differences\n".to_owned();
        }
        let mut table =
            Table::new(["WHAT".to_owned(), String::new(), run::short(self.first), run::short(self.second)]);
        for line in &self.differences {
            let cell = |value: &Option<Value>| match value {
                None => "-".to_owned(),
                Some(Value::String(text)) if text.starts_with("b3:") => text.chars().take(15).collect(),
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) if line.what == "metric" => {
                    shown(&line.name, number.as_f64().unwrap_or(f64::NAN))
                }
                Some(other) => other.to_string(),
            };
            table.row([line.what.clone(), line.name.clone(), cell(&line.first), cell(&line.second)]);
        }
        table.render()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let listed = run::list(&workspace(&project))?;
    let first = record(run::find(&listed, &args.first)?)?;
    let second = record(run::find(&listed, &args.second)?)?;
    let differences = run::compare(&first.body, &second.body);
    context.ui.report(&Diff { first: first.body.run, second: second.body.run, differences });
    Ok(Exit::Ok)
}

fn record(run: Listed) -> Result<Record<Run>, Failure> {
    let active = || RunError::Active { run: run.short(), state: run.state.to_string() };
    Ok(run.record.as_ref().ok_or_else(active)?.1.clone())
}
