//! Evaluations: a model on one part of a dataset, with every prediction kept as evidence.

use super::{RunError, dataset_for, publish};
use crate::base::{Digest, Evaluation, Record, RecordKind, Sink, Slice};
use crate::infrastructure::store::{Local, NodeKind};
use crate::platform::data::Dataset;
use crate::platform::train::{self, Model, ModelSpec, TrainError};

/// Evaluates the model whose files are `model_tree` on one part (`train`, `val` or `test`) of `dataset`, which must be
/// checked out as `tree`.
///
/// The model is read from the store, which verifies it. The predictions, one JSON line of
/// [`Prediction`](crate::platform::train::Prediction) per example in dataset order, are stored as a blob, and the
/// record that names them is published.
// The parts of one question; a struct would only be taken apart again.
#[allow(clippy::too_many_arguments)]
pub fn evaluate(
    store: &Local,
    author: &str,
    model_tree: Digest,
    model: &ModelSpec,
    dataset: &Dataset,
    tree: Digest,
    part: &str,
    sink: &dyn Sink,
) -> Result<(Digest, Record<Evaluation>), RunError> {
    let trained = load(store, model_tree)?;
    // Images come in the shape that the model was trained on; a table has the shape that its encoding gives.
    let shape = (!dataset.spec.format.is_table()).then_some(trained.shape.as_slice());
    let mut dataset = dataset_for(model, dataset.clone());
    if let Some(encoding) = &trained.encoding {
        dataset = dataset.encoded(encoding.clone());
    }
    if let Some(text) = &trained.text {
        dataset = dataset.tokenized(text.clone());
    }
    let parts = dataset.load(shape, sink)?;
    let Some(examples) = parts.part(part).filter(|examples| !examples.is_empty()) else {
        return Err(TrainError::Data(format!("`{}` has no part `{part}`", dataset.name)).into());
    };
    if parts.classes != trained.classes {
        let detail = format!("`{}` has other classes than the model was trained on", dataset.name);
        return Err(TrainError::Data(detail).into());
    }
    let evaluated = train::evaluate(&trained, model, examples, sink)?;
    let mut lines = Vec::new();
    for prediction in &evaluated.predictions {
        // Plain strings and numbers: writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut lines, prediction);
        lines.push(b'\n');
    }
    let predictions = store.put(&lines)?;
    let body = Evaluation {
        model: model_tree,
        data: dataset.name.clone(),
        tree,
        settings: dataset.settings(),
        part: part.to_owned(),
        examples: examples.len() as u64,
        metrics: evaluated.metrics,
        slices: evaluated.slices,
        confusion: evaluated.confusion,
        per_class: evaluated.per_class,
        calibration: evaluated.calibration,
        predictions,
    };
    let record = Record::new(author, vec![model_tree, tree], body);
    let id = publish(store, &record, dataset.name.as_str(), &[model_tree, predictions])?;
    Ok((id, record))
}

/// The newest evaluation that answers the same question: same model, data, settings and part, and every metric,
/// slice and corruption that `model` asks for.
pub fn find_evaluation(
    store: &Local,
    model_tree: Digest,
    model: &ModelSpec,
    dataset: &Dataset,
    tree: Digest,
    part: &str,
) -> Result<Option<(Digest, Record<Evaluation>)>, RunError> {
    let settings = dataset.settings();
    let by = model.evaluate.slices.as_ref().map(|slices| slices.by.as_str());
    for id in store.records(RecordKind::Evaluation)?.into_iter().rev() {
        let record = store.record::<Evaluation>(&id)?;
        let body = &record.body;
        let same = (body.model, &body.data, body.tree, body.settings, body.part.as_str())
            == (model_tree, &dataset.name, tree, settings, part);
        let corrupted = |name: &str| {
            let corrupted = body.slices.iter().filter(|slice| slice.by == Slice::CORRUPTION);
            corrupted.into_iter().any(|slice| slice.value.split(' ').next() == Some(name))
        };
        let complete = model.evaluate.metrics.iter().all(|metric| body.metrics.contains_key(metric))
            && by.is_none_or(|by| body.slices.iter().any(|slice| slice.by == by))
            && model.evaluate.corruptions.iter().all(|corruption| corrupted(corruption.name()));
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
