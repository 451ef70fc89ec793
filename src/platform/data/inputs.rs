//! Inputs without targets, for prediction.

use std::path::Path;
use std::sync::Arc;

use csv::StringRecord;

use super::array::{Array, Element};
use super::parquet_file::ParquetFile;
use super::table_file::{TableFile, malformed};
use super::{DataError, Inputs, idx, npy};

/// The content of one IDX file, plain or gzip, read as when training: its dimensions (the first counts the inputs) and
/// its values. `name` is for messages.
pub fn idx_inputs(path: &Path, name: &str) -> Result<(Vec<usize>, Inputs), DataError> {
    values(idx::read(path, name)?, "IDX", name)
}

fn values(array: Array, format: &'static str, name: &str) -> Result<(Vec<usize>, Inputs), DataError> {
    let inputs = match array.element {
        Element::U8 => Inputs::U8(Arc::new(array.bytes)),
        _ => {
            let numbers: Vec<f32> = array.numbers().map(|number| number as f32).collect();
            if !numbers.iter().all(|number| number.is_finite()) {
                return Err(malformed(name, format, "it holds a value that is no finite number"));
            }
            Inputs::F32(Arc::new(numbers))
        }
    };
    Ok((array.dimensions, inputs))
}

/// The content of one NPY file: its dimensions (the first counts the inputs; channels stand before height and width) and its values,
/// bytes as pixels. `name` is for messages.
pub fn npy_inputs(path: &Path, name: &str) -> Result<(Vec<usize>, Inputs), DataError> {
    values(npy::read(path, name)?.channels_first(), "NPY", name)
}

/// The columns and the rows of a Parquet file, as cells that CSV would have. `name` is for messages.
pub fn parquet_rows(path: &Path, name: &str) -> Result<(StringRecord, Vec<StringRecord>), DataError> {
    let mut file = ParquetFile::open(path, name)?;
    let header = file.header().clone();
    let mut rows = Vec::new();
    file.rows(&mut |_, cells| rows.push(cells))?;
    Ok((header, rows))
}
