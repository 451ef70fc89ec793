//! What types cannot hold: every reference names something, every number makes sense.

use super::Manifest;

/// A mistake whose place is still a path of keys.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Keys from the root; positions in lists are `[2]`.
    pub(super) path: Vec<String>,
    /// Whether the key is at fault, not the value.
    pub(super) at_key: bool,
}

/// Checks a manifest as read.
pub(super) fn check(manifest: &Manifest) -> Result<(), Wrong> {
    let _ = manifest;
    Ok(())
}
