//! Images: folders of PNG and JPEG files by class, and single images for prediction.

use super::DataError;

/// Decodes one PNG or JPEG and resizes it to `shape` (`[channels, height, width]`, 1 channel for grey, 3 for RGB): the
/// preprocessing of training, for use when serving. `name` is for messages.
pub fn decode(bytes: &[u8], shape: &[usize], name: &str) -> Result<Vec<u8>, DataError> {
    let _ = (bytes, shape, name);
    todo!()
}
