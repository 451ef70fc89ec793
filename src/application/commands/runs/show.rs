//! `mlp runs show`.

use serde::Serialize;

use clap_complete::ArgValueCandidates;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::elsewhere::list;
use crate::application::following::{RunReport, learning_curve, shown, workspace};
use crate::application::ui::{Report, Table, amount, bytes, clean, duration};
use crate::base::{Digest, Exit, Record, Run, Time};
use crate::platform::run::{self, Kept, RunError};

/// Shows what a run depended on and what came of it, or prints a file that it kept.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The run.
    #[arg(default_value = "latest", add = ArgValueCandidates::new(completion::runs))]
    run: String,
    /// Prints this file of the run, byte for byte, instead: curves.svg.
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
}

/// How many of a run's files are shown to people.
const SHOWN_FILES: usize = 20;

#[derive(Serialize)]
struct Shown {
    run: RunReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Record<Run>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<Kept>,
    #[serde(skip)]
    curve: String,
}

impl Report for Shown {
    fn schema(&self) -> &'static str {
        "mlp/run/1"
    }

    fn human(&self) -> String {
        let Some(record) = &self.record else { return self.run.human() };
        let body = &record.body;
        let mut table = Table::plain();
        let short = |digest: &Digest| format!("b3:{}", digest.short());
        table.row(["run", &body.run.to_string()]);
        table.row([body.task.as_str(), body.name.as_str()]);
        let reason = body.end.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        table.row(["state", &format!("{}{reason}", body.end.words())]);
        table.row(["started", &format!("{} ({})", body.end.started, body.end.started.ago(Time::now()))]);
        table.row(["time", &duration(body.end.took())]);
        if let Some(seconds) = body.end.cpu_seconds {
            table.row(["processor time", &duration(seconds)]);
        }
        for (name, text) in used(body) {
            table.row([name, &text]);
        }
        table.row(["attempts", &body.end.attempts.to_string()]);
        if let Some(code) = body.end.code {
            table.row(["exit code", &code.to_string()]);
        }
        if let Some(signal) = body.end.signal {
            table.row(["signal", &signal.to_string()]);
        }
        table.row(["author", record.author.as_deref().unwrap_or_default()]);
        table.row(["host", &format!("{}, {}", body.host, body.device)]);
        table.row(["plan", &short(&body.plan)]);
        let dirty = if body.git.dirty.is_some() { ", with uncommitted changes" } else { "" };
        let commit = body.git.commit.as_deref().map_or("none", |commit| &commit[..commit.len().min(12)]);
        table.row(["commit", &format!("{commit}{dirty}")]);
        for (name, id) in &body.data {
            table.row(["input".to_owned(), format!("{name} {}", short(id))]);
        }
        if let Some(seed) = body.seed {
            table.row(["seed", &seed.to_string()]);
        }
        for (name, value) in &body.metrics {
            let name = &clean(name);
            table.row(["metric".to_owned(), format!("{name} {}", shown(name, *value))]);
        }
        for (name, id) in &body.outputs {
            table.row(["output".to_owned(), format!("{name} {}", short(id))]);
        }
        for file in self.files.iter().take(SHOWN_FILES) {
            let kind = file.kind.as_ref().map_or_else(String::new, |kind| format!(", {}", clean(kind)));
            table.row(["file".to_owned(), format!("{} ({}{kind})", clean(&file.path), bytes(file.size))]);
        }
        if let Some(more @ 1..) = self.files.len().checked_sub(SHOWN_FILES) {
            table.row(["", &format!("and {more} more files")]);
        }
        if let Some(output) = &body.output {
            table.row(["everything", &short(output)]);
        }
        table.render() + &self.curve
    }
}

/// What the run used and cost, as far as it is known.
fn used(run: &Run) -> Vec<(&'static str, String)> {
    let Some(usage) = &run.end.usage else { return Vec::new() };
    let mut lines = Vec::new();
    if usage.gpu_hours > 0.0 {
        lines.push(("GPU hours", amount(usage.gpu_hours)));
    }
    let of = |kwh: Option<f64>, what: &str| kwh.map(|kwh| format!("{} kWh of {what}", amount(kwh)));
    let energy = [of(usage.gpu_kwh, "its GPUs"), of(usage.cpu_kwh, "the machine's processors")];
    let energy: Vec<String> = energy.into_iter().flatten().collect();
    if !energy.is_empty() {
        lines.push(("energy", energy.join(", ")));
    }
    if let Some(cost) = &run.cost {
        let price = [(cost.gpu_hour, "GPU hour"), (cost.hour, "hour")];
        let price = price.iter().filter_map(|(price, what)| Some(format!("{} an {what}", (*price)?)));
        let price: Vec<String> = price.map(|text| text.replace("an GPU", "a GPU")).collect();
        let currency = &cost.currency;
        lines.push(("cost", format!("{} {currency} ({})", amount(cost.amount), price.join(", "))));
    }
    if usage.attempts < run.end.attempts {
        lines.push(("counted", format!("{} of {} attempts", usage.attempts, run.end.attempts)));
    }
    lines
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    let found = run::find(&list(&workspace, &context.ui)?, &args.run)?;
    if let Some(path) = &args.file {
        let Some((_, record)) = &found.record else {
            return Err(RunError::Active { run: found.short(), state: found.state.to_string() }.into());
        };
        let mut bytes = Vec::new();
        run::copy_file(&project.store, &record.body, path, &mut bytes)?;
        context.ui.program(false).write(&bytes);
        return Ok(Exit::Ok);
    }
    let shown = match &found.record {
        Some((id, record)) => {
            let events = found.written(workspace.store, "events.jsonl")?;
            Shown {
                run: RunReport::of(*id, record, false),
                record: Some(record.clone()),
                files: run::files(&project.store, &record.body, &events)?,
                curve: learning_curve(&events),
            }
        }
        None => {
            let active = RunReport::active(found.id, found.name.as_str(), &found.task, found.plan);
            Shown {
                run: RunReport { state: found.state, ..active },
                record: None,
                files: Vec::new(),
                curve: String::new(),
            }
        }
    };
    context.ui.report(&shown);
    Ok(Exit::Ok)
}
