//! What can go wrong in the store.

use std::path::PathBuf;

use crate::base::{Diagnose, Digest, Exit};

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file system operation failed.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried: `read`, `write`, …
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An object is not in the store.
    #[error("object `{0}` is not in the store")]
    Missing(Digest),
    /// Bytes do not have the digest they should have.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// The object: a pack, a record, a ledger entry, with its path.
        what: String,
        /// What was found.
        detail: String,
    },
    /// `stores:` names something that cannot be a store.
    #[error("store `{store}`: {detail}")]
    Spec {
        /// The store.
        store: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A remote did not answer, or refused.
    #[error("store `{store}`: cannot {action} `{key}`: {detail}")]
    Remote {
        /// The store.
        store: String,
        /// What was tried: `read`, `write`, `list`.
        action: &'static str,
        /// The key on the remote.
        key: String,
        /// What the service said.
        detail: String,
    },
    /// A remote refused the credentials, or there are none.
    #[error("store `{store}` refuses the credentials: {detail}")]
    Credentials {
        /// The store.
        store: String,
        /// What the service said.
        detail: String,
    },
    /// What stands at a store's URL is not a store that this version can use.
    #[error("store `{store}` is not usable: {detail}")]
    Foreign {
        /// The store.
        store: String,
        /// What was found.
        detail: String,
    },
    /// An object is neither here nor on the remote.
    #[error("object `{id}` is neither here nor on store `{store}`")]
    NotOnRemote {
        /// The store.
        store: String,
        /// The object.
        id: Digest,
    },
    /// A remote let several writers create one object.
    #[error("store `{store}` cannot hold ledgers: {detail}")]
    NoCreateIfAbsent {
        /// The store.
        store: String,
        /// What the probe found.
        detail: String,
    },
    /// A ledger entry is not what it should be.
    #[error("entry {seq} of the ledger of `{model}` is damaged (`{path}`): {detail}")]
    LedgerDamaged {
        /// The model.
        model: String,
        /// The entry's number.
        seq: u64,
        /// The file or key.
        path: String,
        /// What was found.
        detail: String,
    },
    /// A remote ledger has fewer entries than it had, or others.
    #[error("the ledger of `{model}` on store `{store}` was rolled back: {detail}")]
    LedgerRolledBack {
        /// The store.
        store: String,
        /// The model.
        model: String,
        /// What was found.
        detail: String,
    },
    /// The local ledger and the remote's went different ways before they met.
    #[error("the ledger of `{model}` forked: entry {seq} here is not the one on store `{store}`")]
    LedgerForked {
        /// The store.
        store: String,
        /// The model.
        model: String,
        /// The first entry that differs.
        seq: u64,
    },
}

impl StoreError {
    /// Wraps an I/O error: `.map_err(StoreError::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl Diagnose for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "store::io",
            Self::Missing(_) => "store::missing",
            Self::Damaged { .. } => "store::damaged",
            Self::Spec { .. } => "store::bad-spec",
            Self::Remote { .. } => "store::remote",
            Self::Credentials { .. } => "store::credentials",
            Self::Foreign { .. } => "store::foreign",
            Self::NotOnRemote { .. } => "store::not-on-remote",
            Self::NoCreateIfAbsent { .. } => "store::no-create-if-absent",
            Self::LedgerDamaged { .. } => "store::ledger-damaged",
            Self::LedgerRolledBack { .. } => "store::ledger-rolled-back",
            Self::LedgerForked { .. } => "store::ledger-forked",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::World,
            Self::Missing(_) => Exit::World,
            Self::Damaged { .. } => Exit::No,
            Self::Spec { .. } | Self::Foreign { .. } | Self::NoCreateIfAbsent { .. } => Exit::Usage,
            Self::Remote { .. } | Self::Credentials { .. } | Self::NotOnRemote { .. } => Exit::World,
            Self::LedgerDamaged { .. } | Self::LedgerRolledBack { .. } | Self::LedgerForked { .. } => {
                Exit::No
            }
        }
    }
}
