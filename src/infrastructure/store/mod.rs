//! Where bytes live: blobs and trees in packs, records, ledgers, pins; here and on remotes.
//! `docs/design/store.md` describes the format, `mlpstore` 1.

mod error;
mod ledger;
mod local;
mod pin;
mod remote;
mod spec;
mod transfer;
mod tree;
pub mod worktree;

pub use error::StoreError;
pub use ledger::{Appended, Ledger, LedgerHome};
pub use local::{Local, Writer};
pub use pin::{Pin, PinKind};
pub use remote::Remote;
pub use spec::StoreSpec;
pub use transfer::{Transfer, fetch, fetch_pins, push};
pub use tree::{Node, NodeKind, Tree};
