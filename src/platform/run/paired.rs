//! Two evaluations of the same examples, compared by the predictions that they keep.

use super::RunError;
use crate::base::Evaluation;
use crate::infrastructure::store::Local;
use crate::platform::train::{Gain, Predicted, Prediction, paired_bootstrap};

/// The gain in `metric` of the model of `first` over that of `second`, by the paired bootstrap on their stored predictions, with a
/// two-sided interval of level `1 - alpha`. The inner error says for people why the two cannot be compared.
///
/// # Errors
/// What the store fails with, if predictions are not in it or damaged.
pub fn paired(
    store: &Local,
    metric: &str,
    alpha: f64,
    first: &Evaluation,
    second: &Evaluation,
) -> Result<Result<Gain, String>, RunError> {
    let (one, other) = (store.read(&first.predictions)?, store.read(&second.predictions)?);
    let compared = (|| {
        let (one, other) = (predictions(&one)?, predictions(&other)?);
        paired_bootstrap(metric, alpha, predicted(&one, first), predicted(&other, second))
    })();
    Ok(compared)
}

fn predicted<'a>(predictions: &'a [Prediction], evaluation: &'a Evaluation) -> Predicted<'a> {
    let classes = evaluation.confusion.as_ref().map_or(&[][..], |confusion| &confusion.labels);
    Predicted { predictions, classes }
}

fn predictions(bytes: &[u8]) -> Result<Vec<Prediction>, String> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_slice(line)
                .map_err(|error| format!("line {} of the predictions is none: {error}", index + 1))
        })
        .collect()
}
