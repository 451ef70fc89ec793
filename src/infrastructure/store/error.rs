//! What can go wrong in the store.

mod explain;

use std::path::PathBuf;

pub use self::explain::EXPLAIN;
use crate::base::{Diagnose, Digest, Exit};
use crate::infrastructure::git::GitError;

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
    /// A command needs a remote store and none is named.
    #[error("mlp.yaml names no stores")]
    NoStores,
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
    #[error("store `{store}` cannot be used with these credentials: {detail}")]
    Credentials {
        /// The store.
        store: String,
        /// What the service said.
        detail: String,
        /// The variables that they are read from; none where ssh knows its own.
        variables: Vec<String>,
    },
    /// A remote can only be read.
    #[error("store `{0}` can only be read")]
    ReadOnly(String),
    /// A store that nothing was ever pushed to.
    #[error("store `{store}` holds nothing: there is no store at `{url}` yet")]
    Empty {
        /// The store.
        store: String,
        /// Its URL.
        url: String,
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
    /// A ledger has fewer entries than this clone has seen, or others.
    #[error("the ledger of `{model}` {place} was cut or rewritten: {detail}")]
    LedgerRolledBack {
        /// Where it is: "on `origin`", "in this clone".
        place: String,
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
    /// A ledger lives in git refs now, and `mlp.yaml` does not say so.
    #[error("the ledger of `{model}` moved from store `{store}` to git refs")]
    LedgerMoved {
        /// The store.
        store: String,
        /// The model.
        model: String,
    },
    /// Git failed.
    #[error(transparent)]
    Git(GitError),
    /// A name that must never be written into a work tree.
    #[error("`{path}` cannot be part of a dataset: {reason}")]
    Name {
        /// The path with the name, escaped.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pattern that cannot choose a part of a dataset.
    #[error("`{pattern}` is not a pattern: {detail}")]
    Pattern {
        /// As written, escaped.
        pattern: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file system has too little space.
    #[error("`{}` needs {needed} bytes and its file system has {available} left", path.display())]
    Space {
        /// What was to be written: a file, or a folder.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes that can be written there.
        available: u64,
    },
    /// A symbolic link that is absolute or leads out of the dataset.
    #[error("the link `{path}` to `{target}` leads out of the dataset")]
    Link {
        /// The link, escaped.
        path: String,
        /// Its target, escaped.
        target: String,
    },
    /// The folder or file to look at does not exist.
    #[error("`{0}` does not exist")]
    Absent(PathBuf),
    /// A file changed again and again while it was read.
    #[error("`{0}` changes while it is being read")]
    Changing(PathBuf),
    /// Another process uses the store that is to be collected.
    #[error("another process uses the store (`{0}` is locked)")]
    InUse(PathBuf),
    /// Another process holds the stat cache.
    #[error("`{path}` is held by another process ({holder})")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who wrote its name into it.
        holder: String,
    },
}

impl StoreError {
    /// Wraps an I/O error: `.map_err(StoreError::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Bytes that are not what they should be.
    /// Whether the store could not be asked: nothing is known of what it has.
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::Remote { .. } | Self::Credentials { .. } | Self::Foreign { .. })
    }

    pub(crate) fn damaged(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), detail: detail.into() }
    }
}

impl Diagnose for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "store::io",
            Self::Missing(_) => "store::missing",
            Self::Damaged { .. } => "store::damaged",
            Self::NoStores => "store::none",
            Self::Spec { .. } => "store::bad-spec",
            Self::Remote { .. } => "store::remote",
            Self::Credentials { .. } => "store::credentials",
            Self::ReadOnly(_) => "store::read-only",
            Self::Empty { .. } => "store::empty",
            Self::Foreign { .. } => "store::foreign",
            Self::NotOnRemote { .. } => "store::not-on-remote",
            Self::NoCreateIfAbsent { .. } => "store::no-create-if-absent",
            Self::LedgerDamaged { .. } => "store::ledger-damaged",
            Self::LedgerRolledBack { .. } => "store::ledger-rolled-back",
            Self::LedgerForked { .. } => "store::ledger-forked",
            Self::LedgerMoved { .. } => "store::ledger-moved",
            Self::Git(error) => error.code(),
            Self::Name { .. } => "store::name",
            Self::Pattern { .. } => "store::bad-pattern",
            Self::Space { .. } => "store::no-space",
            Self::Link { .. } => "store::link",
            Self::Absent(_) => "store::absent",
            Self::Changing(_) => "store::changing",
            Self::InUse(_) => "store::in-use",
            Self::Locked { .. } => "store::locked",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Damaged { .. } => Exit::No,
            Self::Git(error) => error.exit(),
            Self::LedgerMoved { .. } => Exit::Usage,
            Self::NoStores
            | Self::Spec { .. }
            | Self::ReadOnly(_)
            | Self::Foreign { .. }
            | Self::NoCreateIfAbsent { .. } => Exit::Usage,
            Self::Remote { .. }
            | Self::Credentials { .. }
            | Self::Empty { .. }
            | Self::NotOnRemote { .. } => Exit::World,
            Self::LedgerDamaged { .. } | Self::LedgerRolledBack { .. } | Self::LedgerForked { .. } => {
                Exit::No
            }
            Self::Space { .. } => Exit::World,
            Self::Name { .. } | Self::Pattern { .. } | Self::Link { .. } | Self::Absent(_) => Exit::Usage,
            Self::Io { .. } | Self::Missing(_) | Self::Changing(_) | Self::InUse(_) | Self::Locked { .. } => {
                Exit::World
            }
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull => "free some space and run the command again".to_owned(),
                std::io::ErrorKind::QuotaExceeded => "free some space within your quota and run the command again".to_owned(),
                std::io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only: use another place".to_owned(),
                std::io::ErrorKind::PermissionDenied => "check the owner and mode of the file".to_owned(),
                _ => return None,
            },
            Self::Missing(_) => "`mlp data fetch` gets what the `stores:` of mlp.yaml have; what nobody pushed there is only on the machine \
                                 that made it"
                .to_owned(),
            Self::Damaged { .. } => {
                "`mlp store repair` mends it from another copy (`--store NAME` for a remote store), `mlp data add` \
                 from the original files"
                    .to_owned()
            }
            Self::Name { .. } => "rename it, or list it in `.mlpignore`".to_owned(),
            Self::Pattern { .. } => "write it as in `.gitignore`: `train/`, `*.csv`, `!raw/`".to_owned(),
            Self::Space { needed, available, .. } => {
                format!("free {} bytes there and run the command again", needed.saturating_sub(*available))
            }
            Self::Link { .. } => {
                "replace the link by a copy of the file, or list it in `.mlpignore`".to_owned()
            }
            Self::Absent(_) => "check the path".to_owned(),
            Self::Changing(_) => "wait until whatever writes the file has ended".to_owned(),
            Self::InUse(_) => {
                "wait until running jobs, servers and other commands have ended (`mlp runs ls` shows jobs)".to_owned()
            }
            Self::Locked { .. } => "wait until the other command has ended".to_owned(),
            Self::NoStores => {
                "name one in mlp.yaml: `stores: {origin: {url: \"s3://bucket/prefix\"}}`, or `fs:///path`".to_owned()
            }
            Self::Spec { .. } => "correct `stores:` in mlp.yaml".to_owned(),
            Self::Remote { .. } => "check the network and the store's URL and endpoint, then try again".to_owned(),
            Self::Credentials { store, variables, .. } if variables.is_empty() => {
                format!("`ssh` itself must reach the host without a question; `key_file` and `known_hosts` of `{store}` name files")
            }
            Self::Credentials { variables, .. } => {
                format!("set {}, or `credentials` in your own configuration", variables.join(" and "))
            }
            Self::ReadOnly(_) => "push to another store with `--store NAME`".to_owned(),
            Self::Empty { store, .. } => {
                format!("`mlp data push --store {store}` begins it; if others did, check its URL in mlp.yaml")
            }
            Self::Foreign { .. } => "check the store's URL in mlp.yaml".to_owned(),
            Self::NotOnRemote { store, .. } => {
                format!("a clone that has it brings it there: `mlp data push --store {store}`, or `mlp store repair --store {store}` where it was there before")
            }
            Self::NoCreateIfAbsent { .. } => {
                "put another store first in `stores:`; this one can still carry data".to_owned()
            }
            Self::LedgerDamaged { .. } => {
                "`mlp store repair` puts the entry back from the project's store, `mlp store repair --store NAME` into a store from a clone that has it"
                    .to_owned()
            }
            Self::LedgerRolledBack { model, .. } => {
                format!("`mlp store repair --store NAME` in a clone that has them puts entries back that are gone; where it is right, `mlp audit {model} --accept` takes it as it is now")
            }
            Self::Git(error) => return error.hint(),
            Self::LedgerMoved { store, .. } => format!(
                "write `ledger: git` under `{store}` in `stores:` of mlp.yaml, as others of the project did"
            ),
            Self::LedgerForked { .. } => {
                "keep one: move the local ledger out of `ledger/` in the local store, then register and promote again (`mlp audit --accept`)"
                    .to_owned()
            }
        })
    }
}
