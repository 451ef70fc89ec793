//! Evaluating a stored model on a part of a dataset.

use super::RunError;
use crate::base::{Digest, Evaluation, Record, Sink};
use crate::infrastructure::store::Local;
use crate::platform::data::Dataset;
use crate::platform::train::ModelSpec;

/// Evaluates the stored model `model_tree` on `part` of `dataset` at `tree`, keeps the predictions and the record.
#[expect(clippy::too_many_arguments)]
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
    let _ = (store, author, model_tree, model, dataset, tree, part, sink);
    todo!()
}
