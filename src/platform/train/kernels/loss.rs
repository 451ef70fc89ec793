//! Losses, mean over the batch, with the gradient computed in the forward pass.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{tensor, values};

/// Mean cross entropy of the softmax of `[batch, classes]` logits against shares of each class: -sum of `q log p`.
pub(in crate::platform::train) struct CrossEntropy {
    shares: Vec<f32>,
    gradient: Mutex<Vec<f32>>,
}

impl CrossEntropy {
    /// One share for each example and class.
    pub(in crate::platform::train) fn new(shares: Vec<f32>) -> Self {
        Self { shares, gradient: Mutex::default() }
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, classes) = (layout.dims()[0], layout.dims()[1]);
        let mut gradient = values(logits, layout)?.to_vec();
        let mut loss = 0_f32;
        for (row, shares) in gradient.chunks_mut(classes).zip(self.shares.chunks(classes)) {
            let largest = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            let (mut total, mut truth, mut whole) = (0_f32, 0_f32, 0_f32);
            for (value, share) in row.iter_mut().zip(shares) {
                let shifted = *value - largest;
                // A class without a share has no part in the loss, however unlikely it is.
                truth += if *share == 0.0 { 0.0 } else { share * shifted };
                whole += share;
                *value = shifted.exp();
                total += *value;
            }
            loss += whole * total.ln() - truth;
            let scale = whole / (total * batch as f32);
            for (value, share) in row.iter_mut().zip(shares) {
                *value = *value * scale - share / batch as f32;
            }
        }
        keep(&self.gradient, gradient);
        Ok((CpuStorage::F32(vec![loss / batch as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        take(&self.gradient, logits, upstream)
    }
}

/// A loss of one output `y` against a number `t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::platform::train) enum Distance {
    /// `(y - t)^2`.
    Squared,
    /// `|y - t|`.
    Absolute,
    /// `(y - t)^2 / 2` up to this distance, beyond it `delta (|y - t| - delta / 2)`.
    Huber(f32),
    /// Binary cross entropy of the logistic function of `y`: `max(y, 0) - y t + ln(1 + exp(-|y|))`.
    Logistic,
}

impl Distance {
    /// The loss and its derivative by `y`.
    fn at(self, y: f32, t: f32) -> (f32, f32) {
        let difference = y - t;
        match self {
            Self::Squared => (difference * difference, 2.0 * difference),
            // Zero has no sign; what is not a number stays so.
            Self::Absolute if difference == 0.0 => (0.0, 0.0),
            Self::Absolute => (difference.abs(), difference.signum()),
            Self::Huber(delta) if difference.abs() <= delta => (0.5 * difference * difference, difference),
            Self::Huber(delta) => (delta * (difference.abs() - 0.5 * delta), delta * difference.signum()),
            Self::Logistic => {
                let power = (-y.abs()).exp();
                let positive = 1.0 / (1.0 + power);
                let probability = if y >= 0.0 { positive } else { 1.0 - positive };
                (y.max(0.0) - y * t + power.ln_1p(), probability - t)
            }
        }
    }
}

/// Mean distance of `[batch, 1]` predictions from numbers.
pub(in crate::platform::train) struct MeanDistance {
    distance: Distance,
    targets: Vec<f32>,
    gradient: Mutex<Vec<f32>>,
}

impl MeanDistance {
    /// One target per example.
    pub(in crate::platform::train) fn new(distance: Distance, targets: Vec<f32>) -> Self {
        Self { distance, targets, gradient: Mutex::default() }
    }
}

impl CustomOp1 for MeanDistance {
    fn name(&self) -> &'static str {
        "mean-distance"
    }

    fn cpu_fwd(&self, predictions: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let batch = layout.dims()[0] as f32;
        let pairs = values(predictions, layout)?.iter().zip(&self.targets);
        let (losses, mut gradient): (Vec<f32>, Vec<f32>) =
            pairs.map(|(y, t)| self.distance.at(*y, *t)).unzip();
        gradient.iter_mut().for_each(|gradient| *gradient /= batch);
        keep(&self.gradient, gradient);
        Ok((CpuStorage::F32(vec![losses.iter().sum::<f32>() / batch]), Shape::from(())))
    }

    fn bwd(&self, predictions: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        take(&self.gradient, predictions, upstream)
    }
}

fn keep(slot: &Mutex<Vec<f32>>, gradient: Vec<f32>) {
    if let Ok(mut slot) = slot.lock() {
        *slot = gradient;
    }
}

fn take(slot: &Mutex<Vec<f32>>, argument: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
    let gradient = slot.lock().map(|mut slot| std::mem::take(&mut *slot)).unwrap_or_default();
    let gradient = tensor(gradient, argument.shape())?;
    match upstream.to_scalar::<f32>()? {
        1.0 => Ok(Some(gradient)),
        factor => Ok(Some((gradient * f64::from(factor))?)),
    }
}
