//! The training loop and evaluation: the two entry points of this module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Model, ModelSpec, Prediction, TrainError};
use crate::base::{Confusion, Estimate, Sink, Slice};
use crate::platform::data::{Examples, Parts};

/// What the loop asks its surroundings between steps.
pub struct Control<'a> {
    /// True when the training should checkpoint and stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Called before a checkpoint becomes visible; false means that another attempt has taken over.
    pub fence: &'a (dyn Fn() -> bool + Sync),
}

/// Why training stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All epochs are done, or early stop.
    Finished,
    /// `Control::stop` said so; a checkpoint is written.
    Interrupted,
    /// `Control::fence` said no; nothing was written.
    Fenced,
}

/// What a training came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it stopped.
    pub stopped: Stopped,
    /// Last (best, with early stop) value of each metric.
    pub metrics: BTreeMap<String, f64>,
    /// Folder of the finished model (`model.safetensors`, `model.json`), if finished.
    pub model: Option<PathBuf>,
}

/// What an evaluation found.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Metrics with 95 % intervals.
    pub metrics: BTreeMap<String, Estimate>,
    /// Metrics per slice.
    pub slices: Vec<Slice>,
    /// For classifiers.
    pub confusion: Option<Confusion>,
    /// One per example, in order.
    pub predictions: Vec<Prediction>,
}

/// Trains, resuming from `checkpoints` if a checkpoint of the same spec is there; writes the model into `out/model`.
pub fn train(
    spec: &ModelSpec,
    data: &Parts,
    checkpoints: &Path,
    out: &Path,
    control: &Control<'_>,
    sink: &dyn Sink,
) -> Result<Outcome, TrainError> {
    let _ = (spec, data, checkpoints, out, control, sink);
    todo!()
}

/// Evaluates a model on some examples.
pub fn evaluate(
    model: &Model,
    spec: &ModelSpec,
    examples: &Examples,
    sink: &dyn Sink,
) -> Result<Evaluated, TrainError> {
    let _ = (model, spec, examples, sink);
    todo!()
}
