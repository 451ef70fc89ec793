//! relu and dropout, alone and as parts of other kernels.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::pool::NOWHERE;
use super::{Lent, Mask, tensor, values, vectorized};

/// Values of one task.
const CHUNK: usize = 1 << 14;

/// `max(x, 0)`. What is not a number stays so: a training that diverges must not be hidden.
#[inline(always)]
pub(super) fn relu(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}

vectorized! {
    /// `max(x, 0)` in place.
    pub(super) fn clamp(values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = relu(*value));
    }
}

vectorized! {
    /// The way back through relu and dropout: `gradient` times `scale` where what came out, `y`, is over 0, else 0.
    pub(super) fn gate(gradient: &mut [f32], y: &[f32], scale: f32) {
        for (gradient, y) in gradient.iter_mut().zip(y) {
            let through = *gradient * scale;
            *gradient = if *y > 0.0 { through } else { 0.0 };
        }
    }
}

/// [`gate`] by many tasks.
pub(super) fn gate_all(gradient: &mut [f32], y: &[f32], scale: f32) {
    let chunks = gradient.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK));
    chunks.for_each(|(gradient, y)| gate(gradient, y, scale));
}

/// Dropout of one sample in place.
pub(super) fn drop_sample(mask: &Mask, sample: usize, values: &mut [f32]) {
    let scale = mask.scale();
    mask.for_each(sample, values.len(), |index, dropped| {
        let value = &mut values[index];
        *value = if dropped { 0.0 } else { *value * scale };
    });
}

/// Dropout of one sample in place, and of the routes by which gradients go back.
pub(super) fn drop_routed(mask: &Mask, sample: usize, values: &mut [f32], routes: &mut [u8]) {
    let scale = mask.scale();
    mask.for_each(sample, values.len(), |index, dropped| {
        let (value, route) = (&mut values[index], &mut routes[index]);
        *value = if dropped { 0.0 } else { *value * scale };
        *route = if dropped { NOWHERE } else { *route };
    });
}

/// `max(x, 0)`.
pub(in crate::platform::train) struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = values(x, layout)?.to_vec();
        y.par_chunks_mut(CHUNK).for_each(clamp);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let mut dx = Lent::of(&dy)?.to_vec();
        gate_all(&mut dx, &Lent::of(y)?, 1.0);
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// Sets a share of the values to zero and scales the others so that the mean is kept.
pub(in crate::platform::train) struct Dropout(pub(in crate::platform::train) Mask);

impl Dropout {
    fn apply(&self, x: &[f32], batch: usize) -> Vec<f32> {
        let mut y = x.to_vec();
        let length = (y.len() / batch.max(1)).max(1);
        y.par_chunks_mut(length).enumerate().for_each(|(sample, y)| drop_sample(&self.0, sample, y));
        y
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.apply(values(x, layout)?, layout.dims()[0]);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        // The same mask again: it is a function of its key.
        let dy = dy.contiguous()?;
        let dx = self.apply(&Lent::of(&dy)?, x.dims()[0]);
        Ok(Some(tensor(dx, x.shape())?))
    }
}
