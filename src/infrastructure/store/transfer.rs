//! Moving objects between the local store and a remote.

use super::{Local, Pin, Remote, StoreError};
use crate::base::{Digest, Sink};

/// What a transfer moved.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// Objects (packs, indexes, pins, records) moved.
    pub objects: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Requests sent to the remote.
    pub requests: u64,
}

/// Makes the closure of `pins` present on the remote, then writes the pins: packs, index, records, pins last.
pub fn push(local: &Local, remote: &Remote, pins: &[Pin], sink: &dyn Sink) -> Result<Transfer, StoreError> {
    let _ = (local, remote, pins, sink);
    todo!()
}

/// Makes the closure of the trees and blobs `roots` and of the `records` present here.
pub fn fetch(
    local: &Local,
    remote: &Remote,
    roots: &[Digest],
    records: &[Digest],
    sink: &dyn Sink,
) -> Result<Transfer, StoreError> {
    let _ = (local, remote, roots, records, sink);
    todo!()
}
