//! One optimiser step over one tensor, in place and in a single pass; nothing is allocated.

use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result};
use rayon::prelude::*;

use super::{values, vectorized};

/// Values of one task.
const CHUNK: usize = 1 << 14;

/// AdamW (Loshchilov and Hutter, 2019): the weights are decayed apart from the adaptive step.
pub(in crate::platform::train) struct AdamStep<'a> {
    pub(in crate::platform::train) lr: f32,
    pub(in crate::platform::train) beta1: f32,
    pub(in crate::platform::train) beta2: f32,
    pub(in crate::platform::train) eps: f32,
    pub(in crate::platform::train) weight_decay: f32,
    /// Steps done, this one included.
    pub(in crate::platform::train) step: u64,
    /// First and second moment.
    pub(in crate::platform::train) moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
}

/// Stochastic gradient descent with momentum and L2 weight decay, as in PyTorch: `v = momentum v + g`, `p -= lr v`.
pub(in crate::platform::train) struct MomentumStep<'a> {
    pub(in crate::platform::train) lr: f32,
    pub(in crate::platform::train) momentum: f32,
    pub(in crate::platform::train) weight_decay: f32,
    /// `v`.
    pub(in crate::platform::train) velocity: Mutex<&'a mut [f32]>,
}

/// RMSprop (Hinton, 2012) with momentum and L2 weight decay, as in PyTorch.
pub(in crate::platform::train) struct RmsPropStep<'a> {
    pub(in crate::platform::train) lr: f32,
    pub(in crate::platform::train) alpha: f32,
    pub(in crate::platform::train) eps: f32,
    pub(in crate::platform::train) momentum: f32,
    pub(in crate::platform::train) weight_decay: f32,
    /// Velocity and mean square.
    pub(in crate::platform::train) moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
}

/// The weights to be changed; they fill their storage.
fn weights(storage: &mut CpuStorage) -> Result<&mut [f32]> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        _ => candle_core::bail!("weights must be f32"),
    }
}

vectorized! {
    fn adam(
        weight: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        betas: [f32; 2],
        rule: [f32; 4],
    ) {
        let ([beta1, beta2], [rate, root, eps, keep]) = (betas, rule);
        let moments = first.iter_mut().zip(second);
        for ((weight, gradient), (first, second)) in weight.iter_mut().zip(gradient).zip(moments) {
            *first = beta1 * *first + (1.0 - beta1) * gradient;
            *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
            *weight = *weight * keep - rate * *first / (second.sqrt() / root + eps);
        }
    }
}

vectorized! {
    fn momentum(
        weight: &mut [f32],
        gradient: &[f32],
        velocity: &mut [f32],
        lr: f32,
        momentum: f32,
        weight_decay: f32,
    ) {
        for ((weight, gradient), velocity) in weight.iter_mut().zip(gradient).zip(velocity) {
            *velocity = momentum * *velocity + gradient + weight_decay * *weight;
            *weight -= lr * *velocity;
        }
    }
}

vectorized! {
    fn root_mean_square(
        weight: &mut [f32],
        gradient: &[f32],
        velocity: &mut [f32],
        square: &mut [f32],
        rule: [f32; 5],
    ) {
        let [lr, alpha, eps, momentum, weight_decay] = rule;
        let moments = velocity.iter_mut().zip(square);
        for ((weight, gradient), (velocity, square)) in weight.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient + weight_decay * *weight;
            *square = alpha * *square + (1.0 - alpha) * gradient * gradient;
            *velocity = momentum * *velocity + gradient / (square.sqrt() + eps);
            *weight -= lr * *velocity;
        }
    }
}

impl InplaceOp2 for AdamStep<'_> {
    fn name(&self) -> &'static str {
        "adam-step"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        _: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (weight, gradient) = (weights(weight)?, values(gradient, gradient_layout)?);
        let Ok(mut moments) = self.moments.lock() else { candle_core::bail!("another step failed") };
        let (first, second) = &mut *moments;
        // The corrections of the moments' bias towards zero, in f64: beta^step loses digits in f32.
        let exponent = self.step.min(i32::MAX as u64) as i32;
        let rate = f64::from(self.lr) / (1.0 - f64::from(self.beta1).powi(exponent));
        let rate = rate as f32;
        let root = (1.0 - f64::from(self.beta2).powi(exponent)).sqrt() as f32;
        let (beta1, beta2, eps) = (self.beta1, self.beta2, self.eps);
        let keep = 1.0 - self.lr * self.weight_decay;
        weight
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
            .for_each(|((weight, gradient), (first, second))| {
                adam(weight, gradient, first, second, [beta1, beta2], [rate, root, eps, keep]);
            });
        Ok(())
    }
}

impl InplaceOp2 for MomentumStep<'_> {
    fn name(&self) -> &'static str {
        "momentum-step"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        _: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (weight, gradient) = (weights(weight)?, values(gradient, gradient_layout)?);
        let Ok(mut velocity) = self.velocity.lock() else { candle_core::bail!("another step failed") };
        weight
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(velocity.par_chunks_mut(CHUNK))
            .for_each(|((weight, gradient), velocity)| {
                momentum(weight, gradient, velocity, self.lr, self.momentum, self.weight_decay);
            });
        Ok(())
    }
}

impl InplaceOp2 for RmsPropStep<'_> {
    fn name(&self) -> &'static str {
        "rmsprop-step"
    }

    fn cpu_fwd(
        &self,
        weight: &mut CpuStorage,
        _: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (weight, gradient) = (weights(weight)?, values(gradient, gradient_layout)?);
        let Ok(mut moments) = self.moments.lock() else { candle_core::bail!("another step failed") };
        let (velocity, square) = &mut *moments;
        weight
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(velocity.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK)))
            .for_each(|((weight, gradient), (velocity, square))| {
                let rule = [self.lr, self.alpha, self.eps, self.momentum, self.weight_decay];
                root_mean_square(weight, gradient, velocity, square, rule);
            });
        Ok(())
    }
}
