//! Synthetic handwritten-like digits, 28x28: strokes, affine and elastic distortion, noise.
//!
//! The bytes are the same on every machine and with any number of threads: each image has random numbers of its own, a
//! function of seed, part and index, and all arithmetic is of the kind that IEEE 754 defines exactly (`+ - * /` and square
//! root; no sine, no exponential, whose last bit differs between platforms).

mod glyphs;
mod random;
mod render;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use self::random::Random;
use super::{DataError, Digits, idx};
use crate::base::{Sink, Unit};
use crate::infrastructure::durable;

/// Side of an image in pixels.
const SIDE: usize = 28;

/// Images rendered between two progress events.
const STRIDE: usize = 500;

/// Renders the digits into `folder` as four compressed IDX files under MNIST's names. Each file appears under its name
/// only when it is whole.
pub fn write(digits: &Digits, folder: &Path, sink: &dyn Sink) -> Result<(), DataError> {
    std::fs::create_dir_all(folder).map_err(DataError::io("make", folder))?;
    let total = u64::from(digits.train) + u64::from(digits.test);
    let done = AtomicU64::new(0);
    for (part, count, name) in [(0, digits.train, "train"), (1, digits.test, "t10k")] {
        let (images, labels) = render_part(digits.seed, part, count, &|images| {
            let done = done.fetch_add(images, Ordering::Relaxed) + images;
            sink.progress("rendering", done, Some(total), Unit::Samples);
        });
        let side = SIDE as u32;
        let write = |name: String, dimensions: &[u32], bytes: &[u8]| {
            let path = folder.join(name);
            durable::replace_with(&path, |out| idx::write(out, dimensions, bytes))
                .map_err(DataError::io("write", path))
        };
        write(format!("{name}-images-idx3-ubyte.gz"), &[count, side, side], &images)?;
        write(format!("{name}-labels-idx1-ubyte.gz"), &[count], &labels)?;
    }
    Ok(())
}

/// Images and labels of one part.
fn render_part(seed: u64, part: u64, count: u32, progress: &(dyn Fn(u64) + Sync)) -> (Vec<u8>, Vec<u8>) {
    let mut images = vec![0; count as usize * SIDE * SIDE];
    let mut labels = vec![0; count as usize];
    images.par_chunks_mut(STRIDE * SIDE * SIDE).zip(labels.par_chunks_mut(STRIDE)).enumerate().for_each(
        |(chunk, (images, labels))| {
            let pairs = images.chunks_exact_mut(SIDE * SIDE).zip(labels.iter_mut());
            for (offset, (image, label)) in pairs.enumerate() {
                let mut random = Random::new(seed, part, (chunk * STRIDE + offset) as u64);
                *label = random.below(10) as u8;
                render::digit(*label, &mut random, image);
            }
            progress(labels.len() as u64);
        },
    );
    (images, labels)
}

#[cfg(test)]
mod tests;
