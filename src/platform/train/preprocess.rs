//! From stored examples to the tensors a network eats: the same code for training, evaluation and serving.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::augment::{ImageShape, augment};
use super::kernels::vectorized;
use super::random::Purpose;
use super::sampling::{Draw, Mix};
use super::spec::{Augment, InputSpec};
use crate::platform::data::{Batch, DataError, Examples, Inputs, Storage, Targets};

/// `(x / 255 - mean) / std` for pixels, `(x - mean) / std` for other numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Normalization {
    /// Whether inputs are pixels from 0 to 255.
    pub(super) pixels: bool,
    /// One mean for all values, or one per column.
    pub(super) mean: Vec<f32>,
    /// One deviation for all values, or one per column; over 0.
    pub(super) std: Vec<f32>,
}

impl Normalization {
    /// What the settings say or, if they say nothing, mean and deviation of the training examples: by column for tables,
    /// over all values for everything else.
    pub(super) fn fit(spec: &InputSpec, examples: &Examples) -> std::result::Result<Self, TrainError> {
        let pixels = examples.inputs.is_bytes();
        if let Some(normalize) = spec.normalize {
            return Ok(Self { pixels, mean: vec![normalize.mean], std: vec![normalize.std] });
        }
        let columns = if examples.shape.len() == 1 && !pixels { examples.shape[0] } else { 1 };
        let (mean, std) = moments(&examples.inputs, columns)?;
        if mean.iter().chain(&std).any(|value| !value.is_finite()) {
            return Err(TrainError::Data("an input is not a finite number".to_owned()));
        }
        Ok(Self { pixels, mean, std })
    }

    /// Leaves tokens as they are.
    pub(super) fn of_tokens() -> Self {
        Self { pixels: false, mean: vec![0.0], std: vec![1.0] }
    }

    /// Whether it can be applied to inputs of this shape.
    pub(super) fn fits(&self, shape: &[usize]) -> bool {
        let length = self.mean.len();
        let finite = self.mean.iter().chain(&self.std).all(|value| value.is_finite());
        finite
            && length == self.std.len()
            && self.std.iter().all(|&std| std > 0.0)
            && (length == 1 || length == shape.iter().product::<usize>())
    }

    /// Example `index` of `inputs`, normalised, into `out`.
    pub(super) fn apply(&self, inputs: &Inputs, index: usize, out: &mut [f32]) {
        let at = index * out.len()..(index + 1) * out.len();
        let scale = if self.pixels { 1.0 / 255.0 } else { 1.0 };
        match inputs {
            Inputs::U8(values) => match (&self.mean[..], &self.std[..]) {
                ([mean], [std]) => bytes(&values[at], scale, *mean, 1.0 / std, out),
                _ => self.values(values[at].iter().map(|&value| f32::from(value) * scale), out),
            },
            Inputs::F32(values) => self.values(values[at].iter().map(|&value| value * scale), out),
        }
    }

    fn values(&self, values: impl Iterator<Item = f32>, out: &mut [f32]) {
        if let ([mean], [std]) = (&self.mean[..], &self.std[..]) {
            let factor = 1.0 / std;
            out.iter_mut().zip(values).for_each(|(out, value)| *out = (value - mean) * factor);
        } else {
            let columns = self.mean.iter().zip(&self.std);
            for ((out, value), (mean, std)) in out.iter_mut().zip(values).zip(columns) {
                *out = (value - mean) / std;
            }
        }
    }

    /// What a black pixel becomes.
    fn background(&self) -> f32 {
        -self.mean[0] / self.std[0]
    }
}

vectorized! {
    fn bytes(values: &[u8], scale: f32, mean: f32, factor: f32, out: &mut [f32]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = (f32::from(*value) * scale - mean) * factor;
        }
    }
}

/// Mean and deviation of each column; a column without deviation gets 1.
fn moments(inputs: &Storage, columns: usize) -> std::result::Result<(Vec<f32>, Vec<f32>), DataError> {
    let rows = (inputs.values() / columns.max(1)).max(1) as f64;
    let mut mean = vec![0_f64; columns];
    inputs.each(|part| add(part, &mut mean, |_, value| value))?;
    mean.iter_mut().for_each(|mean| *mean /= rows);
    let mut variance = vec![0_f64; columns];
    inputs.each(|part| add(part, &mut variance, |column, value| (value - mean[column]).powi(2)))?;
    let deviation = variance.iter().map(|variance| match (variance / rows).sqrt() as f32 {
        std if std < 1e-6 => 1.0,
        std => std,
    });
    let deviation = deviation.collect();
    Ok((mean.into_iter().map(|mean| mean as f32).collect(), deviation))
}

/// Adds `of` column and value to the sum of the column, one value after the other; pixels are from 0 to 1.
fn add(inputs: &Inputs, sums: &mut [f64], of: impl Fn(usize, f64) -> f64) {
    fn rows<T: Copy>(values: &[T], sums: &mut [f64], of: impl Fn(usize, T) -> f64) {
        for row in values.chunks(sums.len()) {
            for (column, (sum, value)) in sums.iter_mut().zip(row).enumerate() {
                *sum += of(column, *value);
            }
        }
    }
    match inputs {
        Inputs::U8(values) => rows(values, sums, |column, value| of(column, f64::from(value) / 255.0)),
        Inputs::F32(values) => rows(values, sums, |column, value| of(column, f64::from(value))),
    }
}

/// Mean and deviation of the numbers to be predicted: networks learn them standardised, whatever their unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TargetScale {
    pub(super) mean: f32,
    pub(super) std: f32,
}

impl TargetScale {
    /// Of these numbers.
    pub(super) fn fit(values: &Arc<Vec<f32>>) -> std::result::Result<Self, TrainError> {
        let (mean, std) = moments(&Inputs::F32(values.clone()).into(), 1)?;
        Ok(Self { mean: mean[0], std: std[0] })
    }
}

/// Whether all inputs are whole numbers from 0 to below `tokens`.
pub(super) fn are_tokens(inputs: &Inputs, tokens: usize) -> bool {
    match inputs {
        Inputs::U8(values) => values.iter().all(|&value| usize::from(value) < tokens),
        Inputs::F32(values) => {
            let limit = tokens as f32;
            values.iter().all(|&value| value >= 0.0 && value < limit && value.fract() == 0.0)
        }
    }
}

/// The targets of some examples, as a loss takes them.
#[derive(Clone, Debug)]
pub(super) enum BatchTargets {
    /// Class indices.
    Classes {
        truths: Vec<u32>,
        /// Where examples are mixed: the class of the other one, and the share of the first.
        mixed: Vec<(u32, f32)>,
    },
    /// Standardised numbers.
    Numbers(Vec<f32>),
}

/// How training batches are changed.
#[derive(Clone, Copy)]
pub(super) struct Augmentation<'a> {
    pub(super) changes: &'a [Augment],
    pub(super) seed: u64,
    pub(super) epoch: u64,
    /// Of each example of the batch.
    pub(super) draws: &'a [Draw],
    /// What each example of the batch is mixed with; none if there is no mixing.
    pub(super) mixes: &'a [Mix],
}

/// The examples at `order`, which `source` has, as one tensor `[order.len(), ...shape]`, normalised.
pub(super) fn inputs(
    normalization: &Normalization,
    shape: &[usize],
    source: &Batch<'_>,
    order: &[u32],
    device: &Device,
) -> Result<Tensor> {
    let length: usize = shape.iter().product();
    let mut values = vec![0_f32; order.len() * length];
    for (asked, (out, &index)) in values.chunks_mut(length).zip(order).enumerate() {
        normalization.apply(source.inputs(), source.place(asked, index), out);
    }
    batch(values, order.len(), shape, device)
}

/// The examples of `augmentation` as one tensor, normalised and changed; `source` has these examples and then those that they
/// are mixed with.
pub(super) fn augmented(
    normalization: &Normalization,
    shape: &[usize],
    source: &Batch<'_>,
    augmentation: Augmentation<'_>,
    device: &Device,
) -> Result<Tensor> {
    let Augmentation { changes, seed, epoch, draws, mixes } = augmentation;
    let length: usize = shape.iter().product();
    let image = match *shape {
        [_, height, width] => ImageShape { height, width },
        _ => ImageShape { height: 1, width: length },
    };
    let background = [normalization.background()];
    let one = |asked: usize, draw: Draw, out: &mut [f32]| {
        normalization.apply(source.inputs(), source.place(asked, draw.example), out);
        let mut random = draw.stream(seed, Purpose::Augment, epoch);
        augment(changes, &mut random, image, &background, out);
    };
    let fill = |(index, (out, &draw)): (usize, (&mut [f32], &Draw))| {
        one(index, draw, out);
        if let Some(&Mix { with, share }) = mixes.get(index) {
            let mut other = vec![0_f32; length];
            one(draws.len() + index, Draw { example: with, repeat: 0 }, &mut other);
            out.iter_mut().zip(other).for_each(|(out, other)| *out = share * *out + (1.0 - share) * other);
        }
    };
    let mut values = vec![0_f32; draws.len() * length];
    // Copying little is not worth waking threads for; augmentation is.
    if changes.is_empty() && values.len() < 1 << 16 {
        values.chunks_mut(length).zip(draws).enumerate().for_each(fill);
    } else {
        values.par_chunks_mut(length).zip(draws).enumerate().for_each(fill);
    }
    batch(values, draws.len(), shape, device)
}

fn batch(values: Vec<f32>, count: usize, shape: &[usize], device: &Device) -> Result<Tensor> {
    let mut dimensions = vec![count];
    dimensions.extend_from_slice(shape);
    Tensor::from_vec(values, dimensions, device)
}

/// The targets at `order`, mixed as the inputs are.
pub(super) fn targets(
    source: &Targets,
    order: &[u32],
    mixes: &[Mix],
    scale: Option<TargetScale>,
) -> BatchTargets {
    match source {
        Targets::Class(classes) => BatchTargets::Classes {
            truths: order.iter().map(|&index| classes[index as usize]).collect(),
            mixed: mixes.iter().map(|mix| (classes[mix.with as usize], mix.share)).collect(),
        },
        Targets::Value(values) => {
            let TargetScale { mean, std } = scale.unwrap_or(TargetScale { mean: 0.0, std: 1.0 });
            let number = |index: u32| (values[index as usize] - mean) / std;
            let mut numbers: Vec<f32> = order.iter().map(|&index| number(index)).collect();
            for (value, &Mix { with, share }) in numbers.iter_mut().zip(mixes) {
                *value = share * *value + (1.0 - share) * number(with);
            }
            BatchTargets::Numbers(numbers)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_standardised_by_column_and_a_constant_column_becomes_zero() {
        let values = vec![1.0, 10.0, 7.0, 3.0, 30.0, 7.0];
        let examples = Examples {
            shape: vec![3],
            inputs: Inputs::F32(Arc::new(values)).into(),
            keys: Arc::new(vec![0, 1]),
            ..Examples::default()
        };
        let normalization = Normalization::fit(&InputSpec::default(), &examples).expect("fits");
        assert_eq!(normalization.mean, [2.0, 20.0, 7.0]);
        let batch = examples.inputs.batch([1, 0].into_iter()).expect("is in memory");
        let x = inputs(&normalization, &[3], &batch, &[1, 0], &Device::Cpu).expect("a batch");
        assert_eq!(x.to_vec2::<f32>().expect("values"), [[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]);
    }

    #[test]
    fn pixels_given_as_bytes_and_as_numbers_are_the_same() {
        let normalization = Normalization { pixels: true, mean: vec![0.5], std: vec![0.25] };
        let (mut bytes, mut numbers) = ([0_f32; 2], [0_f32; 2]);
        normalization.apply(&Inputs::U8(Arc::new(vec![0, 255])), 0, &mut bytes);
        normalization.apply(&Inputs::F32(Arc::new(vec![0.0, 255.0])), 0, &mut numbers);
        assert_eq!(bytes, [-2.0, 2.0]);
        assert_eq!(bytes, numbers);
    }
}
