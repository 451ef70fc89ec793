//! The loss of a training, with what it takes from the training part.

use candle_core::{Tensor, Var};

use super::kernels::{self, Distance};
use super::preprocess::BatchTargets;
use super::spec::{Balanced, ClassWeights, CrossEntropy, Loss};
use super::{TrainError, stock};
use crate::base::plural;
use crate::platform::data::Targets;

/// A loss ready to be computed.
#[derive(Debug)]
pub(super) struct Criterion {
    loss: Loss,
    /// Weight of each class; empty if all weigh the same.
    weights: Vec<f32>,
}

impl Criterion {
    /// The loss of a training on examples with these targets.
    pub(super) fn new(loss: &Loss, targets: &Targets, classes: usize) -> Self {
        let weights = match (loss, targets) {
            (Loss::CrossEntropy(settings), Targets::Class(truths)) => match &settings.class_weights {
                None => Vec::new(),
                Some(ClassWeights::Given(weights)) => weights.clone(),
                Some(ClassWeights::Named(Balanced::Balanced)) => balanced(truths, classes),
            },
            _ => Vec::new(),
        };
        Self { loss: loss.clone(), weights }
    }

    /// The mean loss of a batch of outputs `[batch, outputs]`.
    pub(super) fn of(&self, y: &Tensor, targets: &BatchTargets) -> Result<Tensor, TrainError> {
        let distance = match &self.loss {
            Loss::CrossEntropy(settings) => {
                let shares = self.shares(settings, targets, y.dim(1)?);
                return Ok(match y.device().is_cpu() {
                    true => y.apply_op1(kernels::CrossEntropy::new(shares))?,
                    false => stock::cross_entropy(y, shares)?,
                });
            }
            Loss::Bce => Distance::Logistic,
            Loss::Mse => Distance::Squared,
            Loss::Mae => Distance::Absolute,
            Loss::Huber(huber) => Distance::Huber(huber.delta),
        };
        let numbers = numbers(targets);
        Ok(match y.device().is_cpu() {
            true => y.apply_op1(kernels::MeanDistance::new(distance, numbers))?,
            false => stock::mean_distance(y, distance, &numbers)?,
        })
    }

    /// The mean loss of a batch, and its gradient by the outputs times `share`.
    pub(super) fn gradient(
        &self,
        y: &Tensor,
        targets: &BatchTargets,
        share: f64,
    ) -> Result<(f32, Tensor), TrainError> {
        let y = Var::from_tensor(&y.detach())?;
        let loss = self.of(&y, targets)?;
        let scaled = if share == 1.0 { loss.clone() } else { (&loss * share)? };
        let gradient = match scaled.backward()?.remove(&y) {
            Some(gradient) => gradient,
            None => y.zeros_like()?,
        };
        Ok((loss.to_scalar()?, gradient))
    }

    /// What share each class has in the truth, times its weight. Smoothing as in PyTorch: `epsilon / classes` for every
    /// class, the rest for the true one.
    fn shares(&self, settings: &CrossEntropy, targets: &BatchTargets, classes: usize) -> Vec<f32> {
        let BatchTargets::Classes { truths, mixed } = targets else { return Vec::new() };
        let epsilon = settings.label_smoothing;
        let mut shares = vec![epsilon / classes as f32; truths.len() * classes];
        for (example, (row, &truth)) in shares.chunks_mut(classes).zip(truths).enumerate() {
            match mixed.get(example) {
                None => row[truth as usize] += 1.0 - epsilon,
                Some(&(other, share)) => {
                    row[truth as usize] += (1.0 - epsilon) * share;
                    row[other as usize] += (1.0 - epsilon) * (1.0 - share);
                }
            }
            row.iter_mut().zip(&self.weights).for_each(|(share, weight)| *share *= weight);
        }
        shares
    }
}

/// `n / (classes * examples of the class)`; 0 for a class without examples.
fn balanced(truths: &[u32], classes: usize) -> Vec<f32> {
    let mut counts = vec![0_usize; classes];
    truths.iter().for_each(|&truth| counts[truth as usize] += 1);
    let weight = |&count: &usize| match count {
        0 => 0.0,
        _ => truths.len() as f32 / (classes * count) as f32,
    };
    counts.iter().map(weight).collect()
}

/// Targets as numbers: of two classes the second is 1.
fn numbers(targets: &BatchTargets) -> Vec<f32> {
    match targets {
        BatchTargets::Numbers(numbers) => numbers.clone(),
        BatchTargets::Classes { truths, mixed } if mixed.is_empty() => {
            truths.iter().map(|&truth| truth as f32).collect()
        }
        BatchTargets::Classes { truths, mixed } => {
            let mix = |(&truth, &(other, share)): (&u32, &(u32, f32))| {
                share * truth as f32 + (1.0 - share) * other as f32
            };
            truths.iter().zip(mixed).map(mix).collect()
        }
    }
}

/// Whether the loss goes with what is to be predicted; if not, what does not go.
pub(super) fn check(loss: &Loss, targets: &Targets, classes: usize) -> Result<(), TrainError> {
    let fail = |detail: String| Err(TrainError::setting("train.loss", detail));
    let name = loss.name();
    match targets {
        Targets::Class(_) if !loss.of_classes() => {
            return fail(format!("is `{name}`, but what is predicted is a class: use `cross_entropy`"));
        }
        Targets::Value(_) if loss.of_classes() => {
            return fail(format!("is `{name}`, but what is predicted is a number: use `mse`"));
        }
        _ => {}
    }
    match loss {
        Loss::Bce if classes != 2 => {
            fail(format!("is `bce`, which is for two classes, but there are {classes}: use `cross_entropy`"))
        }
        Loss::CrossEntropy(CrossEntropy { class_weights: Some(ClassWeights::Given(weights)), .. })
            if weights.len() != classes =>
        {
            fail(format!(
                "has {}, but there are {classes} classes",
                plural(weights.len() as u64, "class weight")
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
