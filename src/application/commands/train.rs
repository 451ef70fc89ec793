//! `mlp train`.

mod folds;

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use self::folds::Folds;
use super::{Answer, Context};
use crate::application::chosen::begin;
use crate::application::completion;
use crate::application::elsewhere::{Place, Wishes, list, roots};
use crate::application::following::{OnInterrupt, RunReport, exit_of, follow, learning_curve, worse};
use crate::application::ui::{Align, Report, Table, count};
use crate::base::{Digest, Exit, Failure, Level, Name, Sink, Span};
use crate::infrastructure::compute::{Interrupts, Wants};
use crate::platform::data::{Dataset, Fold};
use crate::platform::project::Project;
use crate::platform::run::{self, LayerLine, Listed, Planned, RunError, Weights, Workspace};
use crate::platform::train::ModelSpec;

/// Trains models.
///
/// A plan (model, data, seed, executable) that was already done is not done again; --force does it anyway. Ctrl-C stops
/// with a checkpoint, from which `mlp runs resume` goes on. With --folds nothing is trained that could be used: it tells how
/// well such a model does, and how much that depends on the data it happens to get.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Models of mlp.yaml; all of them if none is named.
    #[arg(add = ArgValueCandidates::new(completion::models))]
    models: Vec<String>,
    /// Changes a setting of the model: train.epochs=3.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// The same as --set train.seed=N.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Cross-validation: trains once per fold of what is not the test, on all folds but that one, and tells mean and
    /// deviation of the metrics on the folds left out.
    #[arg(long, value_name = "K", conflicts_with = "detach", value_parser = clap::value_parser!(u32).range(2..=100))]
    folds: Option<u32>,
    /// GPUs that the training wants; it waits until so many are free.
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// How long it may wait for them: 30m, 2h.
    #[arg(long, value_name = "TIME", requires = "gpus")]
    max_wait: Option<Span>,
    /// Says what would be done, and whether it was done before.
    #[arg(long)]
    dry_run: bool,
    /// Leaves it running in the background.
    #[arg(short, long)]
    detach: bool,
    /// Trains on this host (`mlp host ls`). Of several (`a,b`), or `any`, on the one that is free first: it says which, and why.
    #[arg(long, value_name = "HOST", conflicts_with = "folds")]
    on: Option<String>,
    /// Trains although the plan was already done.
    #[arg(long)]
    force: bool,
    /// Threads that computations use; the result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// What was trained.
#[derive(Serialize)]
struct Trained {
    runs: Vec<RunReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    folds: Vec<Folds>,
}

impl Report for Trained {
    fn schema(&self) -> &'static str {
        "mlp/train/1"
    }

    fn human(&self) -> String {
        let runs = self.runs.iter().map(RunReport::human);
        runs.chain(self.folds.iter().map(Folds::human)).collect()
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

/// What would be trained.
#[derive(Serialize)]
struct DryRun {
    plans: Vec<PlanReport>,
}

#[derive(Serialize)]
struct PlanReport {
    model: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    fold: Option<Fold>,
    plan: Digest,
    data: String,
    version: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<Begun>,
    seed: u64,
    epochs: u32,
    layers: Vec<LayerLine>,
    parameters: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<RunReport>,
}

/// The tensors that a training begins with.
#[derive(Serialize)]
struct Begun {
    from: String,
    id: Digest,
}

impl Report for DryRun {
    fn schema(&self) -> &'static str {
        "mlp/train-plan/1"
    }

    fn human(&self) -> String {
        self.plans.iter().map(PlanReport::human).collect()
    }
}

impl PlanReport {
    fn human(&self) -> String {
        let mut text = format!(
            "{}{}  plan b3:{}\n  data {} b3:{}  seed {}  epochs {}\n",
            self.model,
            of_fold(self.fold),
            self.plan.short(),
            self.data,
            self.version.short(),
            self.seed,
            self.epochs
        );
        if let Some(Begun { from, id }) = &self.init {
            text += &format!("  begins with {from} b3:{}\n", id.short());
        }
        // All folds have the same layers.
        if self.fold.is_none_or(|fold| fold.number == 1) {
            let mut table = Table::new(["LAYER", "OUTPUT", "PARAMETERS"]).align(2, Align::Right).indent(2);
            for line in &self.layers {
                table.row([line.layer.clone(), format!("{:?}", line.shape), count(line.parameters as u64)]);
            }
            table.row(["total".to_owned(), String::new(), count(self.parameters as u64)]);
            text += &table.render();
        }
        if let Some(done) = &self.done {
            text += &format!("  {}", done.human());
        }
        text
    }
}

/// One model, ready to be trained.
struct Ready {
    name: Name,
    model: ModelSpec,
    dataset: Dataset,
    weights: Option<Weights>,
    planned: Planned,
}

impl Ready {
    fn fold(&self) -> Option<Fold> {
        self.dataset.spec.split.fold
    }
}

/// ` (fold 2 of 5)`.
fn of_fold(fold: Option<Fold>) -> String {
    fold.map_or_else(String::new, |Fold { number, of }| format!(" (fold {number} of {of})"))
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let names = names(&args, &project)?;
    let place = Place::of(&project, args.on.as_deref(), &wants(&args, &names, &project), &context.ui)?;
    let workspace = place.workspace(&project);
    let folds = match args.folds {
        Some(of) => (1..=of).map(|number| Some(Fold { number, of })).collect(),
        None => vec![None],
    };
    let ready = names
        .iter()
        .flat_map(|name| folds.iter().map(move |fold| (name, *fold)))
        .map(|(name, fold)| prepare(&args, name, fold, &project, &workspace, &context.ui))
        .collect::<Result<Vec<_>, _>>()?;
    let listed = list(&workspace, &context.ui)?;
    if args.dry_run {
        let plans = ready.iter().map(|ready| plan_report(ready, &listed, &context.ui));
        let plans = plans.collect::<Result<_, _>>()?;
        context.ui.report(&DryRun { plans });
        return Ok(Exit::Ok);
    }
    context.ui.stream();
    let mut runs = Vec::new();
    let mut exit = Exit::Ok;
    let interrupts = (!args.detach).then(Interrupts::watch);
    for ready in &ready {
        let report = train(&args, ready, &place, &workspace, &listed, interrupts.as_ref(), context)?;
        if report.state.ended() {
            exit = worse(exit, exit_of(report.state));
        }
        runs.push(report);
        if exit == Exit::Interrupted {
            break;
        }
    }
    let folds = match args.folds {
        Some(_) => folds::judge(&project, &ready, &runs, &context.ui)?,
        None => Vec::new(),
    };
    context.ui.report(&Trained { runs, folds });
    Ok(exit)
}

/// What all of these trainings want of a host.
fn wants(args: &Args, names: &[Name], project: &Project) -> Wants {
    let models: Vec<&ModelSpec> = names.iter().filter_map(|name| project.manifest.models.get(name)).collect();
    let gpus = models.iter().filter_map(|model| model.train.resources.gpus).max();
    Wants {
        gpus: args.gpus.or(gpus).unwrap_or(0),
        share: models.iter().filter_map(|model| model.train.resources.share).min(),
        trains: true,
        roots: roots(project, models.iter().map(|model| &model.data)),
    }
}

fn names(args: &Args, project: &Project) -> Result<Vec<Name>, Failure> {
    if args.models.is_empty() {
        return Ok(project.manifest.models.keys().cloned().collect());
    }
    let mut names = Vec::new();
    for text in &args.models {
        project.model(text)?;
        let name: Name = text.parse().map_err(|_| RunError::NoStep { name: text.clone(), nearest: None })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn prepare(
    args: &Args,
    name: &Name,
    fold: Option<Fold>,
    project: &Project,
    workspace: &Workspace<'_>,
    sink: &dyn Sink,
) -> Result<Ready, Failure> {
    let mut model = project.model(name.as_str())?.clone();
    for setting in &args.set {
        model = run::set(&model, setting)?;
    }
    if let Some(seed) = args.seed {
        model.train.seed = seed;
    }
    let dataset = project.dataset(model.data.as_str())?.folded(fold);
    let weights = begin(project, workspace, name, &model, sink)?;
    let planned = run::plan_training(workspace, name, &model, dataset.clone(), weights.as_ref(), sink)?;
    Ok(Ready { name: name.clone(), model, dataset, weights, planned })
}

fn plan_report(ready: &Ready, listed: &[Listed], sink: &dyn Sink) -> Result<PlanReport, Failure> {
    let layers = run::describe_network(&ready.model, &ready.dataset, true, sink)?;
    let plan = &ready.planned.plan;
    Ok(PlanReport {
        model: ready.name.clone(),
        fold: ready.fold(),
        plan: ready.planned.digest,
        data: ready.dataset.name.to_string(),
        version: plan.inputs.get(ready.dataset.name.as_str()).copied().unwrap_or(ready.planned.digest),
        init: ready.weights.as_ref().map(|weights| Begun { from: weights.name.clone(), id: weights.id }),
        seed: ready.model.train.seed,
        epochs: ready.model.train.epochs,
        parameters: layers.iter().map(|layer| layer.parameters).sum(),
        layers,
        done: run::done(listed, &ready.planned.digest).map(|(id, record)| RunReport::of(id, &record, true)),
    })
}

fn train(
    args: &Args,
    ready: &Ready,
    place: &Place,
    workspace: &Workspace<'_>,
    listed: &[Listed],
    interrupts: Option<&Interrupts>,
    context: &Context,
) -> Result<RunReport, Failure> {
    let digest = ready.planned.digest;
    if !args.force {
        if let Some((id, record)) = run::done(listed, &digest) {
            return Ok(RunReport::of(id, &record, true));
        }
        if let Some(active) = run::active(listed, &digest) {
            return Err(RunError::Active { run: active.short(), state: active.state.to_string() }.into());
        }
    }
    run::describe_network(&ready.model, &ready.dataset, false, &context.ui)?;
    let executor = workspace.executor();
    let wishes = Wishes { threads: args.threads.map(usize::from), gpus: args.gpus, max_wait: args.max_wait };
    let id = place.start(&ready.planned, workspace, &wishes, &[], &context.ui)?;
    let active = RunReport::active(id, ready.name.as_str(), &ready.planned.plan.task, digest);
    let Some(interrupts) = interrupts else { return Ok(active) };
    let which = of_fold(ready.fold());
    let on = place.name().map_or_else(String::new, |host| format!(" on {host}"));
    let text = format!("training {}{which}{on} as run {}", ready.name, run::short(id));
    context.ui.log(Level::Info, &text);
    let ended = follow(&context.ui, workspace, id, None, interrupts, OnInterrupt::Cancel)?;
    Ok(match ended {
        // Of folds the last word is what they came to together.
        Some((id, record)) if ready.fold().is_some() => RunReport::of(id, &record, false),
        Some((digest, record)) => {
            let events = std::fs::read(executor.folder(id).events()).unwrap_or_default();
            RunReport { curve: learning_curve(&events), ..RunReport::of(digest, &record, false) }
        }
        None => active,
    })
}
