//! Synthetic handwritten-like digits: strokes, affine and elastic distortion, noise.

use std::path::Path;

use super::{DataError, Digits};
use crate::base::Sink;

/// Renders the digits into `folder` as four IDX files under MNIST's names.
pub fn write(digits: &Digits, folder: &Path, sink: &dyn Sink) -> Result<(), DataError> {
    let _ = (digits, folder, sink);
    todo!()
}
