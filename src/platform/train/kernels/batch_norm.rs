//! Batch normalisation (Ioffe and Szegedy, 2015) over all but the channel or feature dimension, with PyTorch's
//! conventions: epsilon 1e-5, the biased variance normalises, the unbiased one goes into the running statistics.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Lent, centred_dot, squares, sum, tensor, values, vectorized};

/// Added to the variance.
pub(in crate::platform::train) const EPSILON: f32 = 1e-5;

/// Mean and biased variance of each channel.
#[derive(Clone, Debug, Default)]
pub(in crate::platform::train) struct Moments {
    pub(in crate::platform::train) mean: Vec<f32>,
    pub(in crate::platform::train) variance: Vec<f32>,
}

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` for `x` `[batch, channels, ...]`.
pub(in crate::platform::train) struct BatchNorm {
    /// The running statistics, for inference; without them those of the batch are used.
    fixed: Option<Moments>,
    /// Where the statistics of the batch are left.
    found: Arc<Mutex<Moments>>,
}

impl BatchNorm {
    /// Normalises by the statistics of the batch and leaves them in `found`.
    pub(in crate::platform::train) fn training(found: Arc<Mutex<Moments>>) -> Self {
        Self { fixed: None, found }
    }

    /// Normalises by these statistics; has no backward pass.
    pub(in crate::platform::train) fn inference(fixed: Moments) -> Self {
        Self { fixed: Some(fixed), found: Arc::default() }
    }
}

/// How the values of a channel lie in memory.
struct Planes {
    channels: usize,
    /// Values of one channel of one example, one after the other.
    pixels: usize,
    /// Values of one channel in the batch.
    count: usize,
}

impl Planes {
    fn of(x: &[usize]) -> Self {
        let pixels = x[2..].iter().product();
        Self { channels: x[1], pixels, count: x[0] * pixels }
    }

    /// The planes of one channel in the order of the examples.
    fn channel<'a>(&self, x: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> {
        x.chunks(self.pixels).skip(channel).step_by(self.channels)
    }

    fn moments(&self, x: &[f32]) -> Moments {
        let count = self.count as f64;
        let (mean, variance) = (0..self.channels)
            .into_par_iter()
            .map(|channel| {
                let total: f64 = self.channel(x, channel).map(|plane| f64::from(sum(plane))).sum();
                let mean = (total / count) as f32;
                let squares: f64 =
                    self.channel(x, channel).map(|plane| f64::from(squares(plane, mean))).sum();
                (mean, (squares / count) as f32)
            })
            .unzip();
        Moments { mean, variance }
    }
}

vectorized! {
    fn normalize(x: &[f32], mean: f32, scale: f32, bias: f32, y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = (x - mean) * scale + bias;
        }
    }
}

vectorized! {
    fn normalize_back(x: &[f32], dy: &[f32], mean: f32, factors: [f32; 3], dx: &mut [f32]) {
        let [factor, dw, db] = factors;
        for (dx, (x, dy)) in dx.iter_mut().zip(x.iter().zip(dy)) {
            *dx = factor * (dy - db - (x - mean) * dw);
        }
    }
}

fn inverse_deviation(variance: f32) -> f32 {
    1.0 / (variance + EPSILON).sqrt()
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, planes) = (values(x, x_layout)?, Planes::of(x_layout.dims()));
        let (weight, bias) = (values(weight, weight_layout)?, values(bias, bias_layout)?);
        let moments = self.fixed.clone().unwrap_or_else(|| planes.moments(x));
        let scale: Vec<f32> =
            weight.iter().zip(&moments.variance).map(|(w, &v)| w * inverse_deviation(v)).collect();
        let mut y = vec![0_f32; x.len()];
        let sample = planes.channels * planes.pixels;
        y.par_chunks_mut(sample).zip(x.par_chunks(sample)).for_each(|(y, x)| {
            let channels = y.chunks_mut(planes.pixels).zip(x.chunks(planes.pixels)).enumerate();
            for (channel, (y, x)) in channels {
                let (mean, scale, bias) = (moments.mean[channel], scale[channel], bias[channel]);
                normalize(x, mean, scale, bias, y);
            }
        });
        if let Ok(mut found) = self.found.lock() {
            *found = moments;
        }
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let planes = Planes::of(x.dims());
        let moments = self.found.lock().map(|found| found.clone()).unwrap_or_default();
        let dy = dy.contiguous()?;
        let (x_values, weight_values, dy) = (Lent::of(x)?, Lent::of(weight)?, Lent::of(&dy)?);
        let (x_all, dy_all): (&[f32], &[f32]) = (&x_values, &dy);
        // Per channel: the sum of dy, and of dy times the normalised input.
        let (dw, db): (Vec<f32>, Vec<f32>) = (0..planes.channels)
            .into_par_iter()
            .map(|channel| {
                let (mean, inverse) = (moments.mean[channel], inverse_deviation(moments.variance[channel]));
                let (mut products, mut total) = (0_f64, 0_f64);
                for (x, dy) in planes.channel(x_all, channel).zip(planes.channel(dy_all, channel)) {
                    total += f64::from(sum(dy));
                    products += f64::from(centred_dot(x, mean, dy));
                }
                (products as f32 * inverse, total as f32)
            })
            .unzip();
        let mut dx = vec![0_f32; x_all.len()];
        let sample = planes.channels * planes.pixels;
        let count = planes.count as f32;
        let sources = x_all.par_chunks(sample).zip(dy_all.par_chunks(sample));
        dx.par_chunks_mut(sample).zip(sources).for_each(|(dx, (x, dy))| {
            let sources = x.chunks(planes.pixels).zip(dy.chunks(planes.pixels));
            for (channel, (dx, (x, dy))) in dx.chunks_mut(planes.pixels).zip(sources).enumerate() {
                let inverse = inverse_deviation(moments.variance[channel]);
                let factor = weight_values[channel] * inverse;
                let (mean, dw, db) =
                    (moments.mean[channel], dw[channel] * inverse / count, db[channel] / count);
                normalize_back(x, dy, mean, [factor, dw, db], dx);
            }
        });
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, weight.shape())?), Some(tensor(db, bias.shape())?)))
    }
}
