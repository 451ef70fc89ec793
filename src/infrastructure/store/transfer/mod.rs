//! Moving objects between the local store and a remote.
//!
//! Everything goes in packs, found through index objects; what is missing is computed here, without asking for single
//! objects. The order of writing is packs, indexes, records, pins: whoever reads pins first finds all that they name.

pub(super) mod doomed;
pub(super) mod fetch;
pub(super) mod index;
mod journal;
mod lend;
mod on_demand;
pub(super) mod parallel;
mod presence;
pub(super) mod push;
pub(super) mod records;
mod trees;

pub use self::fetch::fetch;
pub(super) use self::lend::Link;
pub use self::lend::{Borrowed, Lent, lend};
pub use self::on_demand::OnDemand;
pub use self::presence::Presence;
pub use self::push::{Missing, missing, push};
pub use self::records::{Lost, fetch_evidence, fetch_pins};
pub use self::trees::Trees;

use super::Remote;
use super::remote::Requests;

/// What a transfer moved.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// Objects (packs or parts of packs, indexes, pins, records) moved.
    pub objects: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Requests sent to the remote.
    pub requests: u64,
}

impl Transfer {
    pub(super) fn moved(&mut self, bytes: usize) {
        self.objects += 1;
        self.bytes += bytes as u64;
    }

    /// Fills in the requests sent since `before`.
    fn since(mut self, remote: &Remote, before: Requests) -> Self {
        self.requests = remote.requests().total() - before.total();
        self
    }
}

/// The key of an object named by a digest: `packs/ab/<64 hexadecimal digits>`.
pub(super) fn fanned(folder: &str, hex: &str) -> String {
    format!("{folder}/{}/{hex}", &hex[..2])
}

#[cfg(test)]
mod tests;
