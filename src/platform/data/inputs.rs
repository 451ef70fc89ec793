//! Inputs without targets, for prediction.

use std::path::Path;

use super::{DataError, Inputs};

/// The content of one IDX file, plain or gzip, read as when training: its dimensions (the first counts the inputs) and
/// its values. `name` is for messages.
pub fn idx_inputs(path: &Path, name: &str) -> Result<(Vec<usize>, Inputs), DataError> {
    let _ = (path, name);
    todo!()
}
