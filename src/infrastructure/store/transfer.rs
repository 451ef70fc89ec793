//! Moving objects between the local store and a remote.

use super::{Local, Pin, Remote, StoreError};
use crate::base::{Digest, Id, Sink};

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

/// Makes the closure of `pins` present on the remote, then writes the pins under `project`: packs, index, records,
/// pins last. Pins that are already there cost nothing.
pub fn push(
    local: &Local,
    remote: &Remote,
    project: Id,
    pins: &[Pin],
    sink: &dyn Sink,
) -> Result<Transfer, StoreError> {
    let _ = (local, remote, project, pins, sink);
    todo!()
}

/// Gets the pins of `project` that are not known here, with the records they name, so that evidence made by a
/// colleague can be found; their trees stay where they are until somebody fetches them.
pub fn fetch_pins(
    local: &Local,
    remote: &Remote,
    project: Id,
    sink: &dyn Sink,
) -> Result<Transfer, StoreError> {
    let _ = (local, remote, project, sink);
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
