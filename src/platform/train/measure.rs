//! What a batch came to: loss, right answers, and their averages over a part.

use candle_core::Tensor;

use super::checkpoint::Sums;
use super::kernels::{CrossEntropy, MeanSquaredError};
use super::model::largest;
use super::preprocess::{BatchTargets, TargetScale};
use super::spec::Loss;
use super::{TrainError, stock};
use crate::platform::data::Targets;

/// How many rows have their largest value at the target; 0 for numbers.
pub(super) fn correct(y: &Tensor, targets: &BatchTargets) -> Result<u64, TrainError> {
    let BatchTargets::Classes(classes) = targets else { return Ok(0) };
    let width = y.dim(1)?;
    let values = y.flatten_all()?.to_vec1::<f32>()?;
    let rows = values.chunks(width).zip(classes);
    Ok(rows.filter(|(row, class)| largest(row) == **class as usize).count() as u64)
}

/// The mean loss of a batch.
pub(super) fn loss(y: &Tensor, targets: BatchTargets) -> Result<Tensor, TrainError> {
    Ok(match (targets, y.device().is_cpu()) {
        (BatchTargets::Classes(classes), true) => y.apply_op1(CrossEntropy::new(classes))?,
        (BatchTargets::Numbers(numbers), true) => y.apply_op1(MeanSquaredError::new(numbers))?,
        (BatchTargets::Classes(classes), false) => stock::cross_entropy(y, &classes)?,
        (BatchTargets::Numbers(numbers), false) => stock::mean_squared_error(y, &numbers)?,
    })
}

/// The metrics of one part: loss, and accuracy of classes or root mean squared error of numbers in their own unit.
pub(super) fn averages(part: &str, sums: Sums, target: Option<TargetScale>) -> Vec<(String, f64)> {
    let count = sums.examples.max(1) as f64;
    let loss = sums.loss / count;
    let second = match target {
        None => (format!("{part}.accuracy"), sums.correct as f64 / count),
        Some(scale) => (format!("{part}.rmse"), loss.sqrt() * f64::from(scale.std)),
    };
    vec![(format!("{part}.loss"), loss), second]
}

/// Whether the loss goes with what is to be predicted.
pub(super) fn fits(loss: Loss, targets: &Targets) -> bool {
    matches!((loss, targets), (Loss::CrossEntropy, Targets::Class(_)) | (Loss::Mse, Targets::Value(_)))
}
