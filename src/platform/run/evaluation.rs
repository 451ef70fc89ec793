//! Evaluations: a model on one part of a dataset, with every prediction kept as evidence.

use std::path::Path;

use serde_json::json;

use super::training::{data, planned};
use super::work::{DatasetWork, Work};
use super::workspace::agent;
use super::{Plan, Planned, RunError, Workspace, dataset_for, publish, short};
use crate::base::{Digest, Evaluation, Name, Null, Record, RecordKind, Run, Sink, Slice};
use crate::infrastructure::compute::{JobError, JobFolder};
use crate::infrastructure::durable;
use crate::infrastructure::store::worktree::snapshot;
use crate::infrastructure::store::{Local, NodeKind, Stored};
use crate::platform::data::Dataset;
use crate::platform::train::{self, Model, ModelSpec, TrainError};

/// The task of a run that evaluated a model on a host.
pub const EVALUATION: &str = "evaluation";

/// What the plan of such a run calls the model's files. No dataset is called so.
pub(super) const FILES: &str = "the model";

/// Where such a run leaves its answer, below `out/`.
const ANSWER: &str = "evaluation.json";
/// And the predictions, one JSON line each.
const PREDICTIONS: &str = "predictions.jsonl";

/// What an evaluation answers: how good is this model on that part of those data?
#[derive(Clone, Debug)]
pub struct Question {
    /// Tree of the model's files.
    pub model: Digest,
    /// Says the metrics, slices and corruptions.
    pub spec: ModelSpec,
    /// The data, checked out.
    pub dataset: Dataset,
    /// Their version.
    pub tree: Digest,
    /// `train`, `val` or `test`.
    pub part: String,
}

/// Evaluates a model here.
///
/// The model is read from the store, which verifies it. The predictions, one JSON line of
/// [`Prediction`](crate::platform::train::Prediction) per example in dataset order, are stored as a blob, and the
/// record that names them is published.
pub fn evaluate(
    store: &Local,
    author: &str,
    question: &Question,
    sink: &dyn Sink,
) -> Result<(Digest, Record<Evaluation>), RunError> {
    let (body, predictions) = answer(store, question, sink)?;
    store.put(&predictions)?;
    file(store, author, question, vec![], body)
}

/// The evaluation, and its predictions as they are kept.
fn answer(store: &Local, question: &Question, sink: &dyn Sink) -> Result<(Evaluation, Vec<u8>), RunError> {
    let trained = load(store, question.model)?;
    let dataset = &question.dataset;
    // Images come in the shape that the model was trained on; a table has the shape that its encoding gives.
    let shape = (!dataset.spec.format.is_table()).then_some(trained.shape.as_slice());
    let mut dataset = dataset_for(&question.spec, dataset.clone());
    if let Some(encoding) = &trained.encoding {
        dataset = dataset.encoded(encoding.clone());
    }
    if let Some(text) = &trained.text {
        dataset = dataset.tokenized(text.clone());
    }
    let parts = dataset.load(shape, sink)?;
    let part = &question.part;
    let Some(examples) = parts.part(part).filter(|examples| !examples.is_empty()) else {
        return Err(TrainError::Data(format!("`{}` has no part `{part}`", dataset.name)).into());
    };
    if parts.classes != trained.classes {
        let detail = format!("`{}` has other classes than the model was trained on", dataset.name);
        return Err(TrainError::Data(detail).into());
    }
    let evaluated = train::evaluate(&trained, &question.spec, examples, sink)?;
    let mut lines = Vec::new();
    for prediction in &evaluated.predictions {
        // Plain strings and numbers: writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut lines, prediction);
        lines.push(b'\n');
    }
    let body = Evaluation {
        model: question.model,
        data: dataset.name.clone(),
        tree: question.tree,
        settings: dataset.settings(),
        part: part.clone(),
        examples: examples.len() as u64,
        metrics: evaluated.metrics,
        slices: evaluated.slices,
        confusion: evaluated.confusion,
        per_class: evaluated.per_class,
        calibration: evaluated.calibration,
        predictions: Digest::of(&lines),
    };
    Ok((body, lines))
}

/// Publishes the record of an evaluation whose predictions are in the store; `from` is what it came from besides model and data.
fn file(
    store: &Local,
    author: &str,
    question: &Question,
    from: Vec<Digest>,
    body: Evaluation,
) -> Result<(Digest, Record<Evaluation>), RunError> {
    let inputs = [question.model, question.tree].into_iter().chain(from).collect();
    let roots = [question.model, body.predictions];
    let record = Record::new(author, inputs, body);
    let id = publish(store, &record, question.dataset.name.as_str(), &roots)?;
    Ok((id, record))
}

/// Plans the evaluation of a model of this name as a job.
pub fn plan_evaluation(
    workspace: &Workspace<'_>,
    name: &Name,
    question: &Question,
) -> Result<Planned, RunError> {
    let dataset = &question.dataset;
    let plan = Plan {
        schema: Plan::SCHEMA.into(),
        name: name.clone(),
        task: EVALUATION.into(),
        config: json!({ "model": question.spec, "part": question.part }),
        inputs: [(dataset.name.to_string(), question.tree), (FILES.to_owned(), question.model)].into(),
        settings: [(dataset.name.to_string(), dataset_for(&question.spec, dataset.clone()).settings())]
            .into(),
        env: [].into(),
        code: None,
        seed: None,
        binary: Some(workspace.worker()?),
        device: Some(workspace.device()),
    };
    let root = match workspace.store.is_complete(&[question.tree])? {
        true => Stored::from(&workspace.store.root_node(&question.tree)?),
        false => {
            Stored::from(&snapshot(&dataset.path, workspace.store, Some(&workspace.cache()), &Null)?.root)
        }
    };
    let work = DatasetWork { name: dataset.name.clone(), spec: dataset.spec.clone(), fold: None, root };
    Ok(planned(workspace, plan, &question.spec, work, None)?.doing(agent("judge")))
}

/// The worker's part: answers what the job in `folder` asks, and leaves the answer in its folder.
pub fn judge(folder: &JobFolder, sink: &dyn Sink) -> Result<(), RunError> {
    let work = Work::of(folder)?;
    let damaged = |detail: String| {
        let path = folder.0.join("spec.json");
        RunError::Job(JobError::Damaged { path, detail })
    };
    let config = &work.plan.config;
    let spec = serde_json::from_value(config["model"].clone()).map_err(|error| damaged(error.to_string()))?;
    let (Some(part), Some(&model)) = (config["part"].as_str(), work.plan.inputs.get(FILES)) else {
        return Err(damaged("it names no model, or no part of the data".into()));
    };
    let dataset = data(&work, folder, sink)?;
    let tree = work.dataset.as_ref().map_or(model, |dataset| dataset.root.id);
    let question = Question { model, spec, dataset, tree, part: part.to_owned() };
    let (body, predictions) = answer(&folder.store()?, &question, sink)?;
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.out().join(name);
        durable::replace(&path, bytes).map_err(RunError::io("write", &path))
    };
    write(PREDICTIONS, &predictions)?;
    write(ANSWER, &serde_json::to_vec(&body).unwrap_or_default())
}

/// Files the answer that a finished run of [`judge`] left.
///
/// # Errors
/// [`RunError::NoAnswer`] if it left none, or not one to this question.
pub fn answered(
    store: &Local,
    author: &str,
    question: &Question,
    run: &(Digest, Record<Run>),
) -> Result<(Digest, Record<Evaluation>), RunError> {
    let (id, Record { body: run, .. }) = run;
    let none = |detail: &str| RunError::NoAnswer { run: short(run.run), detail: detail.to_owned() };
    let left = |name: &str| -> Result<Digest, RunError> {
        let path = Path::new("out").join(name);
        let found = run.output.map(|output| store.find(&output, &path.to_string_lossy())).transpose()?;
        found.flatten().map(|node| node.id).ok_or_else(|| none(&format!("it left no `{name}`")))
    };
    let body: Evaluation = serde_json::from_slice(&store.read(&left(ANSWER)?)?)
        .map_err(|error| none(&format!("its `{ANSWER}` cannot be read: {error}")))?;
    let settings = dataset_for(&question.spec, question.dataset.clone()).settings();
    let asked = (question.model, &question.dataset.name, question.tree, settings, &question.part);
    if (body.model, &body.data, body.tree, body.settings, &body.part) != asked {
        return Err(none("it answers another question"));
    }
    if body.predictions != left(PREDICTIONS)? {
        return Err(none(&format!("its `{PREDICTIONS}` is not the one that it speaks of")));
    }
    file(store, author, question, vec![*id], body)
}

/// The newest evaluation that answers the question: of the same model, data, settings and part, with every metric,
/// slice and corruption that is asked for.
pub fn find_evaluation(
    store: &Local,
    question: &Question,
) -> Result<Option<(Digest, Record<Evaluation>)>, RunError> {
    let Question { dataset, spec, .. } = question;
    let settings = dataset.settings();
    let by = spec.evaluate.slices.as_ref().map(|slices| slices.by.as_str());
    for id in store.records(RecordKind::Evaluation)?.into_iter().rev() {
        let record = store.record::<Evaluation>(&id)?;
        let body = &record.body;
        let same = (body.model, &body.data, body.tree, body.settings, &body.part)
            == (question.model, &dataset.name, question.tree, settings, &question.part);
        let corrupted = |name: &str| {
            let corrupted = body.slices.iter().filter(|slice| slice.by == Slice::CORRUPTION);
            corrupted.into_iter().any(|slice| slice.value.split(' ').next() == Some(name))
        };
        let complete = spec.evaluate.metrics.iter().all(|metric| body.metrics.contains_key(metric))
            && by.is_none_or(|by| body.slices.iter().any(|slice| slice.by == by))
            && spec.evaluate.corruptions.iter().all(|corruption| corrupted(corruption.name()));
        if same && complete {
            return Ok(Some((id, record)));
        }
    }
    Ok(None)
}

/// The model whose files are the tree `tree`, every byte verified.
fn load(store: &Local, tree: Digest) -> Result<Model, RunError> {
    let file = |name: &str| -> Result<Vec<u8>, RunError> {
        match store.find(&tree, name)? {
            Some(node) if matches!(node.kind, NodeKind::File | NodeKind::Executable) => {
                Ok(store.read(&node.id)?)
            }
            _ => Err(TrainError::Model(format!("its tree {tree} has no file `{name}`")).into()),
        }
    };
    Ok(Model::from_bytes(&file("model.json")?, &file("model.safetensors")?)?)
}
