//! Corrupted inputs, on which a model shows how robust it is: a function of (corruption, severity, example).
//!
//! Images have the corruptions of Hendrycks and Dietterich (2019) that need no pictures of their own, with the parameters of
//! their CIFAR-10-C for images of up to 64 pixels a side and of ImageNet-C for larger ones; `translate` and `rotate` are
//! those of MNIST-C (Mu and Gilmer, 2019), the distance as a share of the side. What tables and texts have is this program's own.

mod texts;

use rayon::prelude::*;

use super::augment::{ImageShape, rotate, shift};
use super::random::{Purpose, Stream};
use super::{Corruption, Model, TrainError};
use crate::platform::data::{ColumnKind, Inputs};

/// Severities, from mild to strong.
pub(super) const SEVERITIES: std::ops::RangeInclusive<usize> = 1..=5;
/// Images with a longer side have the parameters of ImageNet-C.
const SMALL: usize = 64;

impl Corruption {
    /// Those that images can have.
    pub const OF_IMAGES: [Self; 9] = [
        Self::GaussianNoise,
        Self::ShotNoise,
        Self::ImpulseNoise,
        Self::GaussianBlur,
        Self::Brightness,
        Self::Contrast,
        Self::Pixelate,
        Self::Translate,
        Self::Rotate,
    ];
    /// Those that rows of tables can have.
    pub const OF_TABLES: [Self; 2] = [Self::GaussianNoise, Self::Missing];
    /// Those that texts can have.
    pub const OF_TEXTS: [Self; 2] = [Self::TokenDrop, Self::TokenSwap];

    /// The word for it in `mlp.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GaussianNoise => "gaussian_noise",
            Self::ShotNoise => "shot_noise",
            Self::ImpulseNoise => "impulse_noise",
            Self::GaussianBlur => "gaussian_blur",
            Self::Brightness => "brightness",
            Self::Contrast => "contrast",
            Self::Pixelate => "pixelate",
            Self::Translate => "translate",
            Self::Rotate => "rotate",
            Self::Missing => "missing",
            Self::TokenDrop => "token_drop",
            Self::TokenSwap => "token_swap",
        }
    }

    /// What severity 1 to 5 means for an image: a deviation, photons at full light, a share, …
    fn parameter(self, small: bool, severity: usize) -> f32 {
        let (cifar, imagenet) = match self {
            Self::GaussianNoise => ([0.04, 0.06, 0.08, 0.09, 0.10], [0.08, 0.12, 0.18, 0.26, 0.38]),
            Self::ShotNoise => ([500.0, 250.0, 100.0, 75.0, 50.0], [60.0, 25.0, 12.0, 5.0, 3.0]),
            Self::ImpulseNoise => ([0.01, 0.02, 0.03, 0.05, 0.07], [0.03, 0.06, 0.09, 0.17, 0.27]),
            Self::GaussianBlur => ([0.4, 0.6, 0.7, 0.8, 1.0], [1.0, 2.0, 3.0, 4.0, 6.0]),
            Self::Brightness => ([0.05, 0.1, 0.15, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4, 0.5]),
            Self::Contrast => ([0.75, 0.5, 0.4, 0.3, 0.15], [0.4, 0.3, 0.2, 0.1, 0.05]),
            Self::Pixelate => ([0.95, 0.9, 0.85, 0.75, 0.65], [0.6, 0.5, 0.4, 0.3, 0.25]),
            // Pixels of an image with sides of 28.
            Self::Translate => ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]),
            // Radians.
            Self::Rotate => ([0.2, 0.4, 0.6, 0.8, 1.0], [0.2, 0.4, 0.6, 0.8, 1.0]),
            // Of no image.
            Self::Missing | Self::TokenDrop | Self::TokenSwap => (TABLE, TABLE),
        };
        if small { cifar[severity - 1] } else { imagenet[severity - 1] }
    }
}

/// Deviations of a column's noise as a share of its own deviation, and shares of missing cells.
const TABLE: [f32; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

/// Refuses a corruption that the model's inputs cannot have.
pub(super) fn check(model: &Model, corruption: Corruption) -> Result<(), TrainError> {
    let known: &[Corruption] = match (is_image(model), &model.encoding, &model.text) {
        (true, ..) => &Corruption::OF_IMAGES,
        (_, Some(_), _) => &Corruption::OF_TABLES,
        (.., Some(_)) => &Corruption::OF_TEXTS,
        _ => &[],
    };
    if known.contains(&corruption) {
        return Ok(());
    }
    let name = corruption.name();
    let detail = match known {
        [] => format!("cannot be `{name}`: only images, tables and texts can be corrupted"),
        _ => {
            let known: Vec<&str> = known.iter().map(|known| known.name()).collect();
            format!("cannot be `{name}`, which these inputs cannot have; they can have {}", known.join(", "))
        }
    };
    Err(TrainError::setting("evaluate.corruptions", detail))
}

fn is_image(model: &Model) -> bool {
    model.pixels && model.shape.len() == 3
}

/// Examples with `keys`, corrupted: inputs as stored, before normalisation. Equal examples are corrupted alike.
pub(super) fn corrupt(
    model: &Model,
    inputs: &Inputs,
    keys: &[u64],
    corruption: Corruption,
    severity: usize,
) -> Inputs {
    let length: usize = model.shape.iter().product();
    let random = |key: u64| Stream::new(0, Purpose::Corruption, &[corruption as u64, severity as u64, key]);
    match inputs {
        Inputs::U8(pixels) if is_image(model) => {
            let shape = ImageShape { height: model.shape[1], width: model.shape[2] };
            let parameter = corruption.parameter(shape.height.max(shape.width) <= SMALL, severity);
            let mut pixels = pixels.to_vec();
            pixels.par_chunks_mut(length).zip(keys).for_each(|(pixels, key)| {
                let mut image: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
                change(corruption, parameter, shape, &mut random(*key), &mut image);
                let byte = |value: &f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
                pixels.iter_mut().zip(&image).for_each(|(pixel, value)| *pixel = byte(value));
            });
            Inputs::U8(pixels.into())
        }
        Inputs::F32(rows) => {
            let mut rows = rows.to_vec();
            for (row, key) in rows.chunks_mut(length).zip(keys) {
                let mut random = random(*key);
                match &model.text {
                    Some(text) => texts::change(text.padding as f32, corruption, severity, &mut random, row),
                    None => change_row(model, corruption, TABLE[severity - 1], &mut random, row),
                }
            }
            Inputs::F32(rows.into())
        }
        Inputs::U8(_) => inputs.clone(),
    }
}

/// Changes the row of a table: noise on its numbers, in units of each column's deviation, or cells that are missing.
fn change_row(model: &Model, corruption: Corruption, parameter: f32, random: &mut Stream, row: &mut [f32]) {
    let columns = model.encoding.iter().flat_map(|encoding| &encoding.columns);
    let mut at = 0;
    for column in columns {
        let cells = &mut row[at..at + column.width()];
        match (corruption, &column.kind) {
            (Corruption::Missing, kind) => {
                if random.uniform() < parameter {
                    match kind {
                        ColumnKind::Number { mean } => cells[0] = *mean,
                        ColumnKind::Category { .. } => cells.fill(0.0),
                    }
                }
            }
            (_, ColumnKind::Number { .. }) => {
                cells[0] += parameter * model.deviation(at) * random.normal_pair().0
            }
            (_, ColumnKind::Category { .. }) => {}
        }
        at += column.width();
    }
}

/// Changes an image of values from 0 to 1, channel by channel in memory.
fn change(corruption: Corruption, parameter: f32, shape: ImageShape, random: &mut Stream, image: &mut [f32]) {
    let plane = shape.height * shape.width;
    match corruption {
        Corruption::GaussianNoise => {
            for pair in image.chunks_mut(2) {
                let (first, second) = random.normal_pair();
                pair.iter_mut().zip([first, second]).for_each(|(value, noise)| *value += parameter * noise);
            }
        }
        Corruption::ShotNoise => {
            image.iter_mut().for_each(|value| *value = poisson(*value * parameter, random) / parameter);
        }
        Corruption::ImpulseNoise => {
            for value in image.iter_mut().filter(|_| random.uniform() < parameter).collect::<Vec<_>>() {
                *value = (random.bits() & 1) as f32;
            }
        }
        Corruption::GaussianBlur => image.chunks_mut(plane).for_each(|plane| blur(shape, parameter, plane)),
        Corruption::Brightness => brighten(plane, parameter, image),
        Corruption::Contrast => {
            for plane in image.chunks_mut(plane) {
                let mean = plane.iter().sum::<f32>() / plane.len() as f32;
                plane.iter_mut().for_each(|value| *value = (*value - mean) * parameter + mean);
            }
        }
        Corruption::Pixelate => image.chunks_mut(plane).for_each(|plane| pixelate(shape, parameter, plane)),
        Corruption::Translate => {
            let mut by = |side: usize| {
                let distance = (parameter * side as f32 / 28.0).round() as isize;
                if random.bits() & 1 == 1 { distance } else { -distance }
            };
            let by = (by(shape.height), by(shape.width));
            shift(shape, by, &[0.0], image);
        }
        Corruption::Rotate => {
            let angle = if random.bits() & 1 == 1 { parameter } else { -parameter };
            rotate(shape, angle, &[0.0], image);
        }
        Corruption::Missing | Corruption::TokenDrop | Corruption::TokenSwap => {}
    }
}

/// A number of the Poisson distribution: exact (Knuth, 1969) for a mean below 30, else the nearest whole number to one of the
/// normal distribution with the same mean and variance.
fn poisson(mean: f32, random: &mut Stream) -> f32 {
    if mean >= 30.0 {
        return (mean + mean.sqrt() * random.normal_pair().0).round().max(0.0);
    }
    let limit = (-mean).exp();
    let (mut count, mut product) = (0.0, random.uniform());
    while product > limit {
        count += 1.0;
        product *= random.uniform();
    }
    count
}

/// Convolves both ways with a Gaussian that is cut at four deviations; beyond the edge the image goes on as at the edge.
fn blur(ImageShape { height, width }: ImageShape, deviation: f32, plane: &mut [f32]) {
    let radius = (4.0 * deviation + 0.5) as isize;
    let weights: Vec<f32> =
        (-radius..=radius).map(|x| (-0.5 * (x as f32 / deviation).powi(2)).exp()).collect();
    let total: f32 = weights.iter().sum();
    for (length, step, lines, between) in [(width, 1, height, width), (height, width, width, 1)] {
        let source = plane.to_vec();
        for line in 0..lines {
            for at in 0..length as isize {
                let value = |(weight, by): (&f32, isize)| {
                    let from = (at + by).clamp(0, length as isize - 1) as usize;
                    weight * source[line * between + from * step]
                };
                let sum: f32 = weights.iter().zip(-radius..).map(value).sum();
                plane[line * between + at as usize * step] = sum / total;
            }
        }
    }
}

/// Adds to the value of the HSV colour model: the largest channel of a pixel; the others keep their ratio to it.
fn brighten(plane: usize, more: f32, image: &mut [f32]) {
    for pixel in 0..plane {
        let channels = || (pixel..image.len()).step_by(plane);
        let value = channels().map(|at| image[at]).fold(0.0, f32::max);
        let brighter = (value + more).min(1.0);
        for at in channels().collect::<Vec<_>>() {
            image[at] = if value > 0.0 { image[at] * brighter / value } else { brighter };
        }
    }
}

/// Makes the image smaller, each pixel the mean of those that it stands for, and large again without smoothing.
fn pixelate(ImageShape { height, width }: ImageShape, share: f32, plane: &mut [f32]) {
    let small = |side: usize| ((side as f32 * share) as usize).max(1);
    let (rows, columns) = (small(height), small(width));
    // Pixels whose centres lie in the place of pixel `at` of `count`.
    let span = |at: usize, count: usize, side: usize| {
        let edge = |at: usize| (at as f32 * side as f32 / count as f32 + 0.5) as usize;
        edge(at)..edge(at + 1).min(side)
    };
    let mut shrunk = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for column in 0..columns {
            let (down, right) = (span(row, rows, height), span(column, columns, width));
            let count = (down.len() * right.len()) as f32;
            let sum: f32 = down.map(|y| plane[y * width..][right.clone()].iter().sum::<f32>()).sum();
            shrunk.push(sum / count);
        }
    }
    let nearest = |at: usize, side: usize, count: usize| (2 * at + 1) * count / (2 * side);
    for (row, line) in plane.chunks_mut(width).enumerate() {
        for (column, value) in line.iter_mut().enumerate() {
            *value = shrunk[nearest(row, height, rows) * columns + nearest(column, width, columns)];
        }
    }
}

#[cfg(test)]
mod tests;
