//! Training as a job: planning it here, doing it in the worker.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::work::{DatasetWork, Work};
use super::workspace::agent;
use super::{Curves, Plan, RunError, Weights, Workspace, folds, picture};
use crate::base::{Artifact, Digest, Event, Level, Name, Resources, Retry, Sink, What, variables};
use crate::infrastructure::compute::{JobFolder, JobSpec};
use crate::infrastructure::durable;
use crate::infrastructure::git::Repo;
use crate::infrastructure::store::worktree::{self, CheckoutOptions, StatCache};
use crate::infrastructure::store::{Node, Stored};
use crate::platform::data::{Dataset, Decoded, Format, Parts, TargetKind, image_classes};
use crate::platform::monitor::{SKETCHES, Sketches};
use crate::platform::train::{self, Control, Model, ModelSpec, Outcome, Stopped};

/// Where a job lays out data that the work tree does not have in its version.
pub(super) const LAID_OUT: &str = "in";

/// A run that could be started.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What it depends on.
    pub plan: Plan,
    /// Digest of the plan: the cache key.
    pub digest: Digest,
    work: Work,
    spec: JobSpec,
}

impl Planned {
    pub(super) fn new(work: Work, mut spec: JobSpec) -> Result<Self, RunError> {
        spec.work = serde_json::to_value(&work).unwrap_or_default();
        Ok(Self { plan: work.plan.clone(), digest: work.plan.digest(), work, spec })
    }

    /// A job that does it; `threads` limits what computations use.
    pub fn job(&self, threads: Option<usize>) -> JobSpec {
        let mut spec = JobSpec { id: crate::base::Id::new(), ..self.spec.clone() };
        if let Some(threads) = threads {
            for variable in [variables::THREADS, "RAYON_NUM_THREADS"] {
                spec.env.insert(variable.to_owned(), threads.to_string());
            }
        }
        spec
    }

    /// The run as a trial of this sweep. What it depends on and what it makes stay the same.
    pub fn of_sweep(mut self, sweep: Digest) -> Result<Self, RunError> {
        self.work.sweep = Some(sweep);
        Self::new(self.work, self.spec)
    }

    /// The run by another command line.
    pub(super) fn doing(self, argv: Vec<String>) -> Self {
        Self { spec: JobSpec { argv, ..self.spec }, ..self }
    }

    /// How many processes of its command there are.
    pub fn ranks(&self) -> u32 {
        self.spec.resources.ranks()
    }

    pub(super) fn work(&self) -> &Work {
        &self.work
    }

    pub(super) fn makes(&self) -> &[String] {
        &self.work.makes
    }
}

/// One layer of a network, for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LayerLine {
    /// `conv2d 32x3x3`.
    pub layer: String,
    /// Shape of its output without the batch dimension.
    pub shape: Vec<usize>,
    /// Numbers that are learned.
    pub parameters: usize,
}

/// The dataset of a model, with the kind of target that its loss asks for.
pub fn dataset_for(model: &ModelSpec, dataset: Dataset) -> Dataset {
    let kind = if model.train.loss.of_classes() { TargetKind::Class } else { TargetKind::Value };
    dataset.predicting(kind)
}

/// Plans the training of `model` on the version of `dataset` that is checked out, beginning with `weights` if `train.init`
/// names some; with a fold, the run is one of a cross-validation. The plan names the weights as they are called themselves: a stage by
/// the version that is live there.
pub fn plan_training(
    workspace: &Workspace<'_>,
    name: &Name,
    model: &ModelSpec,
    dataset: Dataset,
    weights: Option<&Weights>,
    sink: &dyn Sink,
) -> Result<Planned, RunError> {
    let dataset = dataset_for(model, dataset);
    let root = dataset.version(&workspace.cache(), workspace.store, sink)?;
    let mut model = model.clone();
    // What a training may take does not change what comes of it.
    let (resources, retry) = model.train.take_limits();
    let mut inputs = BTreeMap::from([(dataset.name.to_string(), root.id)]);
    if let (Some(init), Some(weights)) = (&mut model.train.init, weights) {
        init.from.clone_from(&weights.name);
        inputs.insert(weights.name.clone(), weights.id);
    }
    let fold = dataset.spec.split.fold;
    let (task, config) = match fold {
        Some(fold) => (folds::TASK, json!({ "model": model, "fold": fold })),
        None => ("model", json!({ "model": model })),
    };
    let plan = Plan {
        schema: Plan::SCHEMA.into(),
        name: name.clone(),
        task: task.into(),
        config,
        inputs,
        settings: BTreeMap::from([(dataset.name.to_string(), dataset.settings())]),
        env: BTreeMap::new(),
        code: None,
        seed: Some(model.train.seed),
        binary: Some(workspace.worker()?),
        device: Some(workspace.device()),
    };
    let dataset = DatasetWork {
        name: dataset.name.clone(),
        spec: dataset.spec.clone(),
        fold,
        root: Stored::from(&root),
    };
    let mut planned = planned(workspace, plan, &model, dataset, weights)?;
    (planned.spec.resources, planned.spec.retry) = (resources, retry);
    Ok(planned)
}

/// The training that `plan` says, as a job of this work tree.
pub(super) fn planned(
    workspace: &Workspace<'_>,
    plan: Plan,
    model: &ModelSpec,
    dataset: DatasetWork,
    weights: Option<&Weights>,
) -> Result<Planned, RunError> {
    let spec = JobSpec {
        schema: JobSpec::SCHEMA.into(),
        id: crate::base::Id::new(),
        name: plan.name.clone(),
        argv: agent("work"),
        after: Vec::new(),
        cwd: workspace.root.to_owned(),
        inputs: BTreeMap::new(),
        rests_on: Vec::new(),
        env: BTreeMap::new(),
        secrets: Vec::new(),
        resources: Resources::default(),
        retry: Retry::default(),
        power: true,
        grace_s: 30,
        params: json!({ "model": model }),
        work: serde_json::Value::Null,
    };
    let work = Work {
        schema: Work::SCHEMA.into(),
        plan,
        author: workspace.repo.author(),
        git: workspace.git()?,
        root: workspace.root.to_owned(),
        device: workspace.device(),
        binary: workspace.worker()?,
        sweep: None,
        dataset: Some(dataset),
        weights: weights.map(Weights::work),
        makes: Vec::new(),
    };
    Planned::new(work, spec)
}

/// Checks the network and describes its layers. Data are loaded only where the model does not say the shape of its
/// input; folders of images never are, because that takes long: they need the shape.
pub fn describe_network(
    model: &ModelSpec,
    dataset: &Dataset,
    load: bool,
    sink: &dyn Sink,
) -> Result<Vec<LayerLine>, RunError> {
    let shape = model.input.shape.clone();
    let (input, outputs) = match shape {
        Some(shape) if load && dataset.spec.format == Format::Images => {
            (shape, model.train.loss.outputs(image_classes(&dataset.path)?.len()))
        }
        Some(shape) if !load => (shape, train::last_outputs(&model.network).unwrap_or(1)),
        None if !load && dataset.spec.format == Format::Images => return Ok(Vec::new()),
        shape => {
            let parts = dataset_for(model, dataset.clone()).load(shape.as_deref(), sink)?;
            (parts.train.shape.clone(), model.train.loss.outputs(parts.classes.len()))
        }
    };
    let layers = train::check(model, &input, outputs)?;
    Ok(layers.into_iter().map(|(layer, shape, parameters)| LayerLine { layer, shape, parameters }).collect())
}

/// The worker's part: trains what the job in `folder` asks for, going on from its last checkpoint if there is one.
/// `stop` asks it to checkpoint and end.
pub fn work(
    folder: &JobFolder,
    stop: &(dyn Fn() -> bool + Sync),
    sink: &dyn Sink,
) -> Result<Stopped, RunError> {
    let work = Work::of(folder)?;
    let own_attempt = folder.attempt()?;
    let model: ModelSpec = serde_json::from_value(work.plan.config["model"].clone()).map_err(|error| {
        let path = folder.0.join("spec.json");
        RunError::Job(crate::infrastructure::compute::JobError::Damaged { path, detail: error.to_string() })
    })?;
    let dataset = data(&work, folder, sink)?;
    let parts = dataset_for(&model, dataset.clone()).load(model.input.shape.as_deref(), sink)?;
    settle_decoded(&work, &dataset, sink)?;
    let fence = || folder.attempt().is_ok_and(|attempt| attempt == own_attempt);
    let control = Control { stop, fence: &fence };
    let (checkpoints, out) = (folder.checkpoints(), folder.out());
    let outcome = match &work.weights {
        None => train::train(&model, &parts, None, &checkpoints, &out, &control, sink),
        Some(weights) => weights.with(&folder.store()?, |origin| {
            train::train(&model, &parts, Some(origin), &checkpoints, &out, &control, sink)
        }),
    };
    if fence() {
        draw(&work, folder, sink);
    }
    let outcome = outcome?;
    if let Some(model) = &outcome.model {
        sketch(model, &parts, &fence, sink);
    }
    tell(&outcome, sink);
    Ok(outcome.stopped)
}

/// The job's data: the work tree's if they are still the version that was planned, else that version from the store.
pub(super) fn data(work: &Work, folder: &JobFolder, sink: &dyn Sink) -> Result<Dataset, RunError> {
    let missing = || {
        let path = folder.0.join("spec.json");
        crate::infrastructure::compute::JobError::Damaged { path, detail: "it names no dataset".into() }
    };
    let planned = work.dataset.as_ref().ok_or_else(missing)?;
    let root = folder.0.join(&work.root);
    let mut dataset = Dataset::new(&planned.name, &planned.spec, &root).folded(planned.fold);
    dataset.decoded = (dataset.spec.format == Format::Images)
        .then(|| Decoded { folder: decoded_folder(folder), version: planned.root.id });
    if work.is_laid_out() {
        return Ok(dataset);
    }
    let cache = StatCache { path: Repo::discover(&work.root)?.index_path() };
    if identical(&dataset.path, &planned.root.node(""), &cache, sink) {
        return Ok(dataset);
    }
    sink.log(
        Level::Info,
        "the work tree holds another version of the data than this run uses: taking that from the store",
    );
    let path = folder.0.join(LAID_OUT).join(dataset.path.file_name().unwrap_or_default());
    let root = planned.root.node("");
    worktree::checkout(
        &root,
        &path,
        &folder.store()?,
        None,
        CheckoutOptions { force: true, kept: None },
        sink,
    )?;
    dataset.path = path;
    Ok(dataset)
}

/// Where decoded images are kept: beside the folder of all jobs.
fn decoded_folder(folder: &JobFolder) -> PathBuf {
    folder.0.parent().unwrap_or(&folder.0).with_file_name("decoded")
}

/// Lets go of decoded images that may be of files which came while they were read.
fn settle_decoded(work: &Work, dataset: &Dataset, sink: &dyn Sink) -> Result<(), RunError> {
    let (Some(decoded), Some(planned)) = (&dataset.decoded, &work.dataset) else { return Ok(()) };
    if work.is_laid_out() || dataset.path != work.root.join(&planned.spec.path) {
        return Ok(());
    }
    let cache = StatCache { path: Repo::discover(&work.root)?.index_path() };
    if !identical(&dataset.path, &planned.root.node(""), &cache, sink) {
        decoded.forget();
    }
    Ok(())
}

/// Whether `path` holds just what `root` says.
pub(super) fn identical(path: &Path, root: &Node, cache: &StatCache, sink: &dyn Sink) -> bool {
    path.symlink_metadata().is_ok()
        && worktree::identify(path, cache, sink).is_ok_and(|found| found.root.id == root.id)
}

/// Puts the sketches of what the model was trained on beside it. A training is not lost for them.
fn sketch(model: &Path, parts: &Parts, fence: &dyn Fn() -> bool, sink: &dyn Sink) {
    let path = model.join(SKETCHES);
    let made =
        Model::load(model).and_then(|model| Sketches::of(&model, parts)).map_err(|error| error.to_string());
    let written = made.and_then(|sketches| {
        let bytes = sketches.to_bytes();
        durable::replace_if(&path, |out| out.write_all(&bytes), fence).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        sink.log(Level::Warn, &format!("cannot make `{}`, which monitoring needs: {error}", path.display()));
    }
}

/// Draws the curves of all epochs so far, those of earlier attempts too. A training is not lost for a picture.
fn draw(work: &Work, folder: &JobFolder, sink: &dyn Sink) {
    let Ok(events) = std::fs::read(folder.events()) else { return };
    let Some(picture) = picture::learning(work.plan.name.as_str(), &Curves::read(&events)) else { return };
    let path = folder.out().join(picture::CURVES);
    match durable::replace(&path, picture.as_bytes()) {
        Ok(()) => sink.emit(&Event::now(What::Artifact(Artifact {
            path: picture::CURVES.to_owned(),
            kind: Some("plot".to_owned()),
            digest: Some(Digest::of(picture.as_bytes())),
        }))),
        Err(error) => sink.log(Level::Warn, &format!("cannot write `{}`: {error}", path.display())),
    }
}

fn tell(outcome: &Outcome, sink: &dyn Sink) {
    let metrics: BTreeMap<&String, f64> = outcome
        .metrics
        .iter()
        .filter(|(_, value)| value.is_finite())
        .map(|(name, value)| (name, *value))
        .collect();
    sink.emit(&Event::now(What::Result { value: json!({ "metrics": metrics }) }));
}
