//! Kernels for the processor, as candle custom operations with forward and backward pass.
//!
//! They are here because candle's own path is slow there (a convolution's gradients), wrong (the gradient of max pooling)
//! or not repeatable (its matrix products divide the work by the number of threads). On other devices candle's own
//! operations are used: see `forward.rs`.
//!
//! **Repeatable bit for bit, whatever the number of threads.** Every value of a matrix product is one chain of operations
//! (`tile.rs`), whoever computes it. Where sums of several tasks are added, the work is divided by the shape of the problem alone
//! and they are added in the order of the tasks: such code may not ask how many threads there are.

mod attention;
mod batch_norm;
mod conv2d;
mod conv_transpose2d;
mod direct;
mod geometry;
mod grouped_conv2d;
mod linear;
mod loss;
mod matrix;
mod optimizer;
mod pool;
mod pool_windows;
mod recurrent;
mod relu;
mod tile;
mod unfolded;
mod vectorized;
mod windows;

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, StorageRef, Tensor};

pub(super) use attention::{MatrixProducts, Softmax};
pub(super) use batch_norm::{BatchNorm, EPSILON, Moments};
pub(super) use conv_transpose2d::ConvTranspose2d;
pub(super) use conv2d::Conv2d;
pub(super) use grouped_conv2d::GroupedConv2d;
pub(super) use linear::{Linear, turned};
pub(super) use loss::{CrossEntropy, Distance, MeanDistance};
pub(super) use matrix::Panels;
pub(super) use optimizer::{AdamStep, MomentumStep, RmsPropStep};
pub(super) use pool::{AvgPool2d, MaxOfRow, MaxPool2d, ReluPool2d};
pub(super) use pool_windows::{AvgPoolWindows, MaxPoolWindows};
pub(super) use recurrent::{Cell, Recurrent};
pub(super) use relu::{Dropout, Relu};
pub(super) use tile::Vectors;
pub(super) use vectorized::vectorized;

use super::random::Stream;

/// Dropout inside a kernel: the share, and the stream of random numbers of this layer and step.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    /// Share of values set to zero.
    pub(super) share: f32,
    /// One nested stream per sample.
    pub(super) stream: Stream,
}

impl Mask {
    /// Factor of the values that stay, so that the mean is kept.
    fn scale(&self) -> f32 {
        1.0 / (1.0 - self.share)
    }

    /// The mask as factors, 0 or the scale, for a path that cannot drop in place.
    pub(super) fn factors(&self, shape: &Shape, device: &Device) -> Result<Tensor> {
        let mut factors = vec![1_f32; shape.elem_count()];
        let length = (factors.len() / shape.dims()[0].max(1)).max(1);
        for (sample, factors) in factors.chunks_mut(length).enumerate() {
            relu::drop_sample(self, sample, factors);
        }
        Tensor::from_vec(factors, shape, device)
    }

    /// Calls `visit(index, dropped)` for each of `length` values of sample `sample`, `dropped` if it is set to zero. Shares are exact to
    /// 2^-16. A branch on what is dropped would be guessed wrong half of the time: select by it.
    fn for_each(&self, sample: usize, length: usize, mut visit: impl FnMut(usize, bool)) {
        let threshold = (f64::from(self.share) * 65536.0) as u64;
        let mut stream = self.stream.nested(sample as u64);
        for first in (0..length).step_by(4) {
            let bits = stream.bits();
            for lane in 0..4.min(length - first) {
                visit(first + lane, (bits >> (16 * lane)) & 0xffff < threshold);
            }
        }
    }
}

/// The values of a contiguous f32 tensor in processor memory.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => candle_core::bail!("a kernel was given a tensor that is not contiguous"),
    }
}

/// The values of a contiguous f32 tensor in processor memory, readable for as long as this lives.
struct Lent<'a> {
    storage: StorageRef<'a>,
    start: usize,
    end: usize,
}

impl<'a> Lent<'a> {
    fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a kernel was given a tensor that is not contiguous")
        };
        match &*storage {
            Storage::Cpu(CpuStorage::F32(_)) => Ok(Self { storage, start, end }),
            _ => candle_core::bail!("a kernel was given a tensor that is not f32 in processor memory"),
        }
    }
}

impl std::ops::Deref for Lent<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            _ => &[],
        }
    }
}

/// A tensor of these values.
fn tensor(values: Vec<f32>, shape: &Shape) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Lanes on which sums are taken, in the order of the values.
const LANES: usize = 16;

vectorized! {
    /// The sum of all values.
    fn sum(values: &[f32]) -> f32 {
        let mut lanes = [0_f32; LANES];
        let chunks = values.chunks_exact(LANES);
        let rest: f32 = chunks.remainder().iter().sum();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += value;
            }
        }
        lanes.iter().sum::<f32>() + rest
    }
}

vectorized! {
    /// The sum of `(x - mean) * factor` over both.
    fn centred_dot(x: &[f32], mean: f32, factors: &[f32]) -> f32 {
        let mut lanes = [0_f32; LANES];
        let (chunks, others) = (x.chunks_exact(LANES), factors.chunks_exact(LANES));
        let rest = chunks.remainder().iter().zip(others.remainder());
        let rest: f32 = rest.map(|(x, factor)| (x - mean) * factor).sum();
        for (chunk, others) in chunks.zip(others) {
            for ((lane, x), factor) in lanes.iter_mut().zip(chunk).zip(others) {
                *lane += (x - mean) * factor;
            }
        }
        lanes.iter().sum::<f32>() + rest
    }
}

vectorized! {
    /// The sum of `(x - mean)^2`.
    fn squares(x: &[f32], mean: f32) -> f32 {
        let mut lanes = [0_f32; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest: f32 = chunks.remainder().iter().map(|x| (x - mean) * (x - mean)).sum();
        for chunk in chunks {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane += (x - mean) * (x - mean);
            }
        }
        lanes.iter().sum::<f32>() + rest
    }
}

vectorized! {
    /// `total += part`, element by element.
    fn add(total: &mut [f32], part: &[f32]) {
        for (total, part) in total.iter_mut().zip(part) {
            *total += part;
        }
    }
}

/// Rows of a matrix product's result that one task computes, each value of which takes `operations` for the whole row. How many
/// tasks there are changes no value, as each is a chain of its own: it may go by the number of threads.
fn rows_per_task(rows: usize, operations: usize) -> usize {
    /// About 10 us of work: below it, waking another thread costs more than it gives.
    const LEAST: usize = 1 << 19;
    let worth_it = LEAST.div_ceil(operations.max(1));
    let even = rows.div_ceil(rayon::current_num_threads()).clamp(8, 64);
    even.max(worth_it).next_multiple_of(8)
}

/// Lends this thread's scratch memory, `length` values with whatever was in it.
fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    // Taken out while it is used, so that a nested call gets memory of its own.
    let mut scratch = SCRATCH.take();
    if scratch.len() < length {
        scratch.resize(length, 0.0);
    }
    let result = work(&mut scratch[..length]);
    SCRATCH.set(scratch);
    result
}

#[cfg(feature = "measuring")]
pub(super) mod roofline;
#[cfg(test)]
mod tests;
