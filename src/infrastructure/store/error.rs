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
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::World,
            Self::Missing(_) => Exit::World,
            Self::Damaged { .. } => Exit::No,
        }
    }
}
