//! Losses, mean over the batch, with the gradient computed in the forward pass.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{tensor, values};

/// Mean cross entropy of the softmax of `[batch, classes]` logits against class indices.
pub(in crate::platform::train) struct CrossEntropy {
    targets: Vec<u32>,
    gradient: Mutex<Vec<f32>>,
}

impl CrossEntropy {
    /// One target per example, each below the number of classes.
    pub(in crate::platform::train) fn new(targets: Vec<u32>) -> Self {
        Self { targets, gradient: Mutex::default() }
    }
}

/// Mean squared error of `[batch, 1]` predictions against numbers.
pub(in crate::platform::train) struct MeanSquaredError {
    targets: Vec<f32>,
    gradient: Mutex<Vec<f32>>,
}

impl MeanSquaredError {
    /// One target per example.
    pub(in crate::platform::train) fn new(targets: Vec<f32>) -> Self {
        Self { targets, gradient: Mutex::default() }
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
        for (row, &target) in gradient.chunks_mut(classes).zip(&self.targets) {
            let largest = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            let truth = row[target as usize] - largest;
            let mut total = 0_f32;
            for value in row.iter_mut() {
                *value = (*value - largest).exp();
                total += *value;
            }
            loss += total.ln() - truth;
            let share = 1.0 / (total * batch as f32);
            row.iter_mut().for_each(|value| *value *= share);
            row[target as usize] -= 1.0 / batch as f32;
        }
        keep(&self.gradient, gradient);
        Ok((CpuStorage::F32(vec![loss / batch as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        take(&self.gradient, logits, upstream)
    }
}

impl CustomOp1 for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean-squared-error"
    }

    fn cpu_fwd(&self, predictions: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let batch = layout.dims()[0] as f32;
        let differences = values(predictions, layout)?.iter().zip(&self.targets).map(|(y, t)| y - t);
        let mut gradient: Vec<f32> = differences.collect();
        let loss = gradient.iter().map(|difference| difference * difference).sum::<f32>() / batch;
        gradient.iter_mut().for_each(|difference| *difference *= 2.0 / batch);
        keep(&self.gradient, gradient);
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
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
