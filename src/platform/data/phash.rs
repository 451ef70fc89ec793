//! Perceptual hashes of images: what re-encoding, scaling and lighting hardly change.

use std::f32::consts::PI;

/// Side of the image that frequencies are taken of.
const SIDE: usize = 32;
/// Frequencies in each direction.
const FREQUENCIES: usize = 16;
/// Bits of a hash.
pub(super) const BITS: u32 = (FREQUENCIES * FREQUENCIES) as u32;

/// A hash of [`BITS`] bits.
pub(super) type Hash = [u64; 4];

/// Bits in which two hashes differ.
pub(super) fn distance(a: &Hash, b: &Hash) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// Hashes images of one shape as pHash does (Zauner, 2010): the image in grey is averaged down (or up) to 32 by 32, its discrete
/// cosine transform taken, and each of the lowest frequencies (without those that are constant in a direction) gives one
/// bit: whether it is above their median. Zauner takes 8 by 8 frequencies; 16 by 16 tell images of digits apart.
pub(super) struct Hasher {
    channels: usize,
    height: usize,
    width: usize,
    /// `FREQUENCIES x height`: averaging and transform of columns in one matrix.
    down: Vec<f32>,
    /// `width x FREQUENCIES`: the same for rows, turned.
    across: Vec<f32>,
}

impl Hasher {
    /// For images of the shape `[channels, height, width]`; none for what is no image of 1 or 3 channels.
    pub(super) fn new(shape: &[usize]) -> Option<Self> {
        let [channels @ (1 | 3), height, width] = *shape else { return None };
        let turned = frequencies(width);
        let mut across = vec![0.0; turned.len()];
        for (frequency, row) in turned.chunks(width).enumerate() {
            for (x, weight) in row.iter().enumerate() {
                across[x * FREQUENCIES + frequency] = *weight;
            }
        }
        Some(Self { channels, height, width, down: frequencies(height), across })
    }

    /// The hash of an image and, with `moved`, of the image moved by a pixel in each of eight directions, its border
    /// repeated; none if its lightest and darkest place differ by less than `contrast`: an empty page is like any other.
    pub(super) fn hashes(&self, values: impl Iterator<Item = f32>, contrast: f32, moved: bool) -> Vec<Hash> {
        let grey = self.grey(values);
        let (low, high) =
            grey.iter().fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
        if high - low < contrast.max(f32::MIN_POSITIVE) {
            return Vec::new();
        }
        let mut hashes = vec![self.hash(&grey)];
        if moved {
            let ways = (0..9).map(|way| (way % 3, way / 3)).filter(|way| *way != (1, 1));
            hashes.extend(ways.map(|way| self.hash(&self.moved(&grey, way))));
        }
        hashes
    }

    /// The image moved left and up by less one pixel than `way` says.
    fn moved(&self, grey: &[f32], (right, down): (usize, usize)) -> Vec<f32> {
        let from = |place: usize, by: usize, length: usize| (place + by).saturating_sub(1).min(length - 1);
        let row = |y| &grey[from(y, down, self.height) * self.width..][..self.width];
        (0..self.height)
            .flat_map(|y| (0..self.width).map(move |x| row(y)[from(x, right, self.width)]))
            .collect()
    }

    fn hash(&self, grey: &[f32]) -> Hash {
        let mut found = [0.0; FREQUENCIES * FREQUENCIES];
        let mut line = vec![0.0; self.width];
        for (found, weights) in found.chunks_mut(FREQUENCIES).zip(self.down.chunks(self.height)) {
            line.fill(0.0);
            for (row, weight) in grey.chunks(self.width).zip(weights) {
                line.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
            for (value, weights) in line.iter().zip(self.across.chunks(FREQUENCIES)) {
                found.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
        }
        let mut sorted = found;
        sorted.sort_unstable_by(f32::total_cmp);
        let median = sorted[sorted.len() / 2];
        let mut hash = [0; 4];
        for (bit, _) in found.iter().enumerate().filter(|(_, value)| **value > median) {
            hash[bit / 64] |= 1 << (bit % 64);
        }
        hash
    }

    /// One channel, by the weights of ITU-R BT.601.
    fn grey(&self, mut values: impl Iterator<Item = f32>) -> Vec<f32> {
        let mut grey = vec![0.0; self.height * self.width];
        let weights: &[f32] = if self.channels == 3 { &[0.299, 0.587, 0.114] } else { &[1.0] };
        for weight in weights {
            grey.iter_mut().zip(&mut values).for_each(|(grey, value)| *grey += weight * value);
        }
        grey
    }
}

/// `FREQUENCIES x length`: the average of `length` places to [`SIDE`] by the area that they share, and of those the cosine
/// transform at the frequencies from 1 on.
fn frequencies(length: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; FREQUENCIES * length];
    let ratio = length as f32 / SIDE as f32;
    for cell in 0..SIDE {
        let (begin, end) = (cell as f32 * ratio, (cell + 1) as f32 * ratio);
        for place in begin as usize..(end.ceil() as usize).min(length) {
            let shared = end.min(place as f32 + 1.0) - begin.max(place as f32);
            for frequency in 0..FREQUENCIES {
                let angle = (2 * cell + 1) as f32 * (frequency + 1) as f32 * PI / (2 * SIDE) as f32;
                matrix[frequency * length + place] += shared.max(0.0) / ratio * angle.cos();
            }
        }
    }
    matrix
}

#[cfg(test)]
mod tests;
