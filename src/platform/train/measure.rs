//! What a batch came to: right answers and squared errors, and their averages over a part.

use candle_core::Tensor;

use super::TrainError;
use super::checkpoint::Sums;
use super::model::largest;
use super::preprocess::{BatchTargets, TargetScale};

/// Adds a batch with outputs `y` and mean loss `loss` to the sums.
pub(super) fn count(
    sums: &mut Sums,
    y: &Tensor,
    targets: &BatchTargets,
    loss: f32,
) -> Result<(), TrainError> {
    let width = y.dim(1)?;
    let values = y.flatten_all()?.to_vec1::<f32>()?;
    let batch = values.len() / width;
    sums.loss += f64::from(loss) * batch as f64;
    sums.examples += batch as u64;
    match targets {
        BatchTargets::Classes { truths, mixed } => {
            let truth = |example: usize| match mixed.get(example) {
                // Of a mixture the larger part.
                Some(&(other, share)) if share < 0.5 => other,
                _ => truths[example],
            };
            // One output is the log odds of the second of two classes.
            let answer = |row: &[f32]| if width == 1 { usize::from(row[0] > 0.0) } else { largest(row) };
            let right = values.chunks(width).enumerate().filter(|(e, row)| answer(row) == truth(*e) as usize);
            sums.correct += right.count() as u64;
        }
        BatchTargets::Numbers(numbers) => {
            let errors = values.iter().zip(numbers).map(|(y, t)| f64::from(y - t));
            sums.squares += errors.map(|error| error * error).sum::<f64>();
        }
    }
    Ok(())
}

/// The metrics of one part: loss, and accuracy of classes or root mean squared error of numbers in their own unit.
pub(super) fn averages(part: &str, sums: Sums, target: Option<TargetScale>) -> Vec<(String, f64)> {
    let count = sums.examples.max(1) as f64;
    let second = match target {
        None => (format!("{part}.accuracy"), sums.correct as f64 / count),
        Some(scale) => (format!("{part}.rmse"), (sums.squares / count).sqrt() * f64::from(scale.std)),
    };
    vec![(format!("{part}.loss"), sums.loss / count), second]
}
