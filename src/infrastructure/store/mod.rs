//! Where bytes live: blobs and trees in packs, records, ledgers, pins; here and on remotes.
//! `docs/design/store.md` describes the format, `mlpstore` 1.

mod catalog;
mod chunk;
mod closure;
mod codec;
mod error;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod ledger;
mod local;
mod mapped;
mod object;
mod pack;
mod pack_index;
mod parcel;
mod pin;
mod recipe;
mod records;
mod remote;
mod saver;
mod sealed;
mod spare;
mod spec;
mod stored;
mod transfer;
mod tree;
mod upkeep;
mod users;
mod wire;
pub mod worktree;
mod writer;

pub use error::{EXPLAIN as STORE_EXPLAIN, StoreError};
pub use ledger::{Appended, Head, Ledger, LedgerHome, StoredEntry};
pub use local::Local;
pub use object::{ObjectKind, WHOLE_FILE_LIMIT};
pub use pack::PackEntry;
pub use pack_index::Location;
pub use pin::{Pin, PinKind};
pub use remote::{Found, Outcome, REQUESTS_LOG, Rate, Remote, Requests, Trial, Tried, credential_variables};
pub use spec::{CredentialsSpec, LedgerPlace, StoreSpec};
pub use stored::Stored;
pub use transfer::{
    Borrowed, Lent, Lost, Missing, OnDemand, Presence, Transfer, Trees, fetch, fetch_evidence, fetch_pins,
    lend, missing, push,
};
pub use tree::{Node, NodeKind, Tree};
pub use upkeep::{
    Checked, CollectOptions, Collected, Compacted, Depth, Finding, Repaired, Stats, Swept, collect, compact,
    fsck, fsck_remote, repair, repair_remote, stats, stats_remote, sweep,
};
pub use writer::Writer;
