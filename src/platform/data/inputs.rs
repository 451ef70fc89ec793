//! Inputs without targets, for prediction.

use std::path::Path;
use std::sync::Arc;

use super::array::Element;
use super::idx::{self, malformed};
use super::{DataError, Inputs};

/// The content of one IDX file, plain or gzip, read as when training: its dimensions (the first counts the inputs) and
/// its values. `name` is for messages.
pub fn idx_inputs(path: &Path, name: &str) -> Result<(Vec<usize>, Inputs), DataError> {
    let array = idx::read(path, name)?;
    let inputs = match array.element {
        Element::U8 => Inputs::U8(Arc::new(array.bytes)),
        _ => {
            let numbers: Vec<f32> = array.numbers().map(|number| number as f32).collect();
            if !numbers.iter().all(|number| number.is_finite()) {
                return Err(malformed(name, "it holds a value that is no finite number"));
            }
            Inputs::F32(Arc::new(numbers))
        }
    };
    Ok((array.dimensions, inputs))
}
