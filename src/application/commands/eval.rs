//! `mlp eval`.

use std::path::PathBuf;

use serde::Serialize;

use super::{Answer, Context};
use crate::application::chosen;
use crate::application::following::workspace;
use crate::application::ui::{Align, Report, Table, clean, count, percent};
use crate::base::{
    Confusion, Digest, Estimate, Evaluation, Exit, Failure, JobState, Level, Name, Run, Sink, Slice,
};
use crate::infrastructure::durable;
use crate::platform::project::Project;
use crate::platform::run::{self, RunError};
use crate::platform::train::TrainError;

/// Evaluates a model: metrics with 95 % bounds, slices, confusion matrix; every prediction is kept as evidence.
///
/// MODEL@VERSION and MODEL@STAGE evaluate a registered version; MODEL alone the model's newest finished run, and its
/// newest version where there is no run. An evaluation that was already made of the same bytes is shown again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model; may be left out where the project has only one.
    #[arg(value_name = "MODEL[@REF]")]
    reference: Option<String>,
    /// Evaluate the model of this run instead: the beginning of its identifier, or `latest`.
    #[arg(long, conflicts_with = "reference")]
    run: Option<String>,
    /// The part of the data.
    #[arg(long, default_value = "test", value_parser = ["train", "val", "test"])]
    on: String,
    /// Draws the confusion matrix into this file (SVG).
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    plot: Option<PathBuf>,
    /// Evaluate even if the same evaluation was already made.
    #[arg(long)]
    force: bool,
}

/// What is evaluated.
struct Target {
    model: Name,
    tree: Digest,
    /// For people: `digits@3`, `digits (run 01j…)`.
    label: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let target = target(&project, &args)?;
    let spec = project.model(target.model.as_str())?;
    let dataset = project.dataset(spec.data.as_str())?;
    let tree = dataset.version(&project.cache(), &project.store, &context.ui)?.id;
    let found = match args.force {
        true => None,
        false => run::find_evaluation(&project.store, target.tree, spec, &dataset, tree, &args.on)?,
    };
    let reused = found.is_some();
    let (evaluation, record) = match found {
        Some(found) => {
            context.ui.log(Level::Info, "this evaluation was already made; `--force` makes it again");
            found
        }
        None => {
            let author = project.repo.author();
            let (store, ui) = (&project.store, &context.ui);
            run::evaluate(store, &author, target.tree, spec, &dataset, tree, &args.on, ui)?
        }
    };
    let metrics = spec.evaluate.metrics.clone();
    let pictures = draw(&project, &target, &record.body, args.plot, &context.ui)?;
    let label = target.label;
    context.ui.report(&Evaluated { label, evaluation, reused, body: record.body, pictures, metrics });
    Ok(Exit::Ok)
}

/// Draws the confusion matrix into the file that was asked for, and beside the runs that made these files, as far as their
/// folders are here; returns where.
fn draw(
    project: &Project,
    target: &Target,
    body: &Evaluation,
    asked: Option<PathBuf>,
    sink: &dyn Sink,
) -> Result<Vec<PathBuf>, Failure> {
    let title = format!("{} on {} of {}", target.model, body.part, body.data);
    let picture = body.confusion.as_ref().and_then(|confusion| run::picture::confusion(&title, confusion));
    let Some(picture) = picture else {
        if asked.is_some() {
            sink.log(Level::Warn, "there is no confusion matrix that could be drawn");
        }
        return Ok(Vec::new());
    };
    let made_it = |listed: &run::Listed| {
        let model = listed.record.as_ref().and_then(|(_, record)| record.body.outputs.get("model"));
        model == Some(&target.tree)
    };
    let listed = run::list(&workspace(project))?.into_iter().filter(made_it);
    let beside = listed.filter_map(|run| Some(run.folder?.0.join(format!("confusion-{}.svg", body.part))));
    let write = |path: &PathBuf| durable::replace(path, picture.as_bytes());
    // The folder of a run is an extra: one that cannot be written to is no failure.
    let mut drawn: Vec<PathBuf> = beside.filter(|path| write(path).is_ok()).collect();
    if let Some(path) = asked {
        write(&path).map_err(RunError::io("write", &path))?;
        drawn.push(path);
    }
    Ok(drawn)
}

fn target(project: &Project, args: &Args) -> Result<Target, Failure> {
    let workspace = workspace(project);
    if let Some(text) = &args.run {
        let mut models = run::list(&workspace)?;
        models.retain(|listed| listed.task == "model");
        let found = run::find(&models, text)?;
        return match found.record {
            Some((_, record)) => of_run(record.body),
            None => Err(RunError::Active { run: found.short(), state: found.state.to_string() }.into()),
        };
    }
    let reference = match &args.reference {
        Some(reference) => reference.clone(),
        None => only_model(project)?,
    };
    if !reference.contains('@') {
        project.model(&reference)?;
        let newest = run::list(&workspace)?.into_iter().find_map(|listed| {
            let run = listed.record?.1.body;
            let fits = run.name.as_str() == reference && run.end.state == JobState::Succeeded;
            (fits && run.outputs.contains_key("model")).then_some(run)
        });
        if let Some(newest) = newest {
            return of_run(newest);
        }
    }
    let chosen = chosen::choose(project, &reference)?;
    let label = format!("{}@{}", chosen.name, chosen.version.number);
    Ok(Target { model: chosen.name, tree: chosen.version.tree, label })
}

fn of_run(run: Run) -> Result<Target, Failure> {
    let Some(tree) = run.outputs.get("model") else {
        let detail = format!("run {} ({}) made none", run.run, run.end.state);
        return Err(TrainError::Model(detail).into());
    };
    Ok(Target { tree: *tree, label: format!("{} (run {})", run.name, run::short(run.run)), model: run.name })
}

fn only_model(project: &Project) -> Result<String, Failure> {
    let mut models = project.manifest.models.keys();
    match (models.next(), models.next()) {
        (Some(only), None) => Ok(only.to_string()),
        // Names that cannot exist: the error lists what does.
        _ => project.model("").map(|_| String::new()).map_err(Failure::from),
    }
}

#[derive(Serialize)]
struct Evaluated {
    #[serde(rename = "target")]
    label: String,
    evaluation: Digest,
    reused: bool,
    #[serde(flatten)]
    body: Evaluation,
    /// Where the confusion matrix was drawn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pictures: Vec<PathBuf>,
    /// Metrics in the order of `mlp.yaml`; the first decides which slices are worst.
    #[serde(skip)]
    metrics: Vec<String>,
}

impl Report for Evaluated {
    fn schema(&self) -> &'static str {
        "mlp/eval/1"
    }

    fn human(&self) -> String {
        let Evaluation { data, part, examples, .. } = &self.body;
        let mut text = format!("{} on {part} of {data}, {} examples\n\n", self.label, count(*examples));
        text.push_str(&self.metric_table());
        if let Some(first) = self.metrics.first().filter(|_| !self.body.slices.is_empty()) {
            text.push_str(&slices(&self.body.slices, first));
        }
        if let Some(confusion) = &self.body.confusion {
            text.push_str(&matrix(confusion));
        }
        text.push_str(&format!("\nevaluation {}\n", self.evaluation));
        for path in &self.pictures {
            text.push_str(&format!("picture    {}\n", clean(&path.display().to_string())));
        }
        text
    }
}

impl Evaluated {
    fn metric_table(&self) -> String {
        let mut table = Table::new(["METRIC", "VALUE", "95 % INTERVAL"]).align(1, Align::Right);
        let metrics = &self.body.metrics;
        let chosen = self.metrics.iter().filter_map(|name| metrics.get_key_value(name));
        let others = metrics.iter().filter(|(name, _)| !self.metrics.contains(name));
        for (name, estimate) in chosen.chain(others) {
            table.row([name.clone(), value(name, estimate.value), interval(name, estimate)]);
        }
        table.render()
    }
}

/// Whether a metric is a share of 1.
fn is_share(metric: &str) -> bool {
    !matches!(metric, "log_loss" | "loss" | "mae" | "mse" | "rmse" | "r2" | "ece")
}

fn value(metric: &str, value: f64) -> String {
    if is_share(metric) { percent(value) } else { format!("{value:.4}") }
}

fn interval(metric: &str, estimate: &Estimate) -> String {
    format!("{} to {}", value(metric, estimate.lower), value(metric, estimate.upper))
}

/// The five slices with the worst values of `metric`.
fn slices(slices: &[Slice], metric: &str) -> String {
    let mut worst: Vec<(&Slice, &Estimate)> =
        slices.iter().filter_map(|slice| Some((slice, slice.metrics.get(metric)?))).collect();
    worst.sort_by(|a, b| a.1.value.total_cmp(&b.1.value));
    // Of errors and losses, the largest are the worst.
    if !is_share(metric) && metric != "r2" {
        worst.reverse();
    }
    let Some((first, _)) = worst.first() else { return String::new() };
    let heading = format!("WORST BY {}", first.by.to_uppercase());
    let mut table =
        Table::new([heading, metric.to_uppercase(), "95 % INTERVAL".to_owned(), "EXAMPLES".to_owned()])
            .align(1, Align::Right)
            .align(3, Align::Right);
    for (slice, estimate) in worst.iter().take(5) {
        let value = value(metric, estimate.value);
        table.row([slice.value.clone(), value, interval(metric, estimate), count(slice.examples)]);
    }
    format!("\n{}", table.render())
}

/// The confusion matrix, or only the commonest confusions where there are too many classes for a terminal.
fn matrix(confusion: &Confusion) -> String {
    let Confusion { labels, counts } = confusion;
    let width: usize = labels.iter().map(|label| label.chars().count().max(4) + 2).sum();
    if width <= 100 {
        let mut table = Table::new(std::iter::once("TRUTH".to_owned()).chain(labels.iter().cloned()));
        for column in 1..=labels.len() {
            table = table.align(column, Align::Right);
        }
        for (label, row) in labels.iter().zip(counts) {
            let cells = row.iter().map(|n| if *n == 0 { "·".to_owned() } else { n.to_string() });
            table.row(std::iter::once(label.clone()).chain(cells));
        }
        return format!("\nConfusion matrix: a row per truth, a column per prediction\n{}", table.render());
    }
    let mut pairs: Vec<(u64, &str, &str)> = Vec::new();
    for (truth, row) in labels.iter().zip(counts) {
        let wrong = labels.iter().zip(row).filter(|(predicted, n)| *predicted != truth && **n > 0);
        pairs.extend(wrong.map(|(predicted, n)| (*n, truth.as_str(), predicted.as_str())));
    }
    pairs.sort_by(|a, b| b.cmp(a));
    let mut table = Table::new(["TRUTH", "PREDICTED", "TIMES"]).align(2, Align::Right);
    for (n, truth, predicted) in pairs.into_iter().take(10) {
        table.row([truth.to_owned(), predicted.to_owned(), n.to_string()]);
    }
    if table.is_empty() { String::new() } else { format!("\n{}", table.render()) }
}
