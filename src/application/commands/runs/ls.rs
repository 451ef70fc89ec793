//! `mlp runs ls`.

use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::elsewhere::list;
use crate::application::following::{shown, workspace};
use crate::application::ui::{Align, Report, Table, duration};
use crate::base::{Cause, Digest, Exit, Id, JobState, Time};
use crate::platform::data::Fold;
use crate::platform::run::{self, Listed};

/// Lists runs, newest first.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only runs of this model or step.
    name: Option<String>,
    /// At most so many.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Runs {
    runs: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    run: Id,
    name: String,
    task: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fold: Option<Fold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<Digest>,
    state: JobState,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    started: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    plan: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<(String, f64)>,
}

impl Line {
    fn of(run: &Listed) -> Self {
        let body = run.record.as_ref().map(|(_, record)| &record.body);
        let metric = body.and_then(|body| {
            ["val.accuracy", "accuracy", "val.loss", "train.loss"]
                .iter()
                .find_map(|name| Some(((*name).to_owned(), *body.metrics.get(*name)?)))
                .or_else(|| body.metrics.iter().next().map(|(name, value)| (name.clone(), *value)))
        });
        Self {
            run: run.id,
            name: run.name.to_string(),
            task: run.task.clone(),
            fold: run.fold,
            sweep: run.sweep,
            state: run.state,
            cause: body.and_then(|body| body.end.cause),
            started: run.started(),
            seconds: body.map(|body| body.end.took()),
            plan: run.plan,
            record: run.record.as_ref().map(|(id, _)| *id),
            metric,
        }
    }
}

impl Report for Runs {
    fn schema(&self) -> &'static str {
        "mlp/runs/1"
    }

    fn human(&self) -> String {
        if self.runs.is_empty() {
            return "no runs yet: `mlp train` makes one\n".to_owned();
        }
        let now = Time::now();
        let mut table =
            Table::new(["RUN", "NAME", "STATE", "STARTED", "TIME", "METRIC"]).align(4, Align::Right);
        for line in &self.runs {
            table.row([
                run::short(line.run),
                match (line.fold, line.sweep) {
                    (Some(Fold { number, of }), _) => format!("{} {number}/{of}", line.name),
                    (None, Some(_)) => format!("{} (trial)", line.name),
                    _ if line.task == run::EVALUATION => format!("{} (evaluation)", line.name),
                    _ if line.task == run::REPRODUCTION => format!("{} (again)", line.name),
                    (None, None) => line.name.clone(),
                },
                line.cause.map_or_else(|| line.state.to_string(), |cause| cause.to_string()),
                line.started.ago(now),
                line.seconds.map(duration).unwrap_or_default(),
                line.metric
                    .as_ref()
                    .map(|(name, value)| format!("{name} {}", shown(name, *value)))
                    .unwrap_or_default(),
            ]);
        }
        table.render()
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let listed = list(&workspace(&project), &context.ui)?;
    let runs = listed
        .iter()
        .filter(|run| args.name.as_deref().is_none_or(|name| run.name.as_str() == name))
        .take(args.limit.unwrap_or(usize::MAX))
        .map(Line::of)
        .collect();
    context.ui.report(&Runs { runs });
    Ok(Exit::Ok)
}
