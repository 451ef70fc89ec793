//! What can go wrong in the store.

use std::path::PathBuf;

use crate::base::{Diagnose, Digest, Exit, Explain};

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
    /// A name that must never be written into a work tree.
    #[error("`{path}` cannot be part of a dataset: {reason}")]
    Name {
        /// The path with the name, escaped.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
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
            Self::Foreign { .. } => "store::foreign",
            Self::NotOnRemote { .. } => "store::not-on-remote",
            Self::NoCreateIfAbsent { .. } => "store::no-create-if-absent",
            Self::LedgerDamaged { .. } => "store::ledger-damaged",
            Self::LedgerRolledBack { .. } => "store::ledger-rolled-back",
            Self::LedgerForked { .. } => "store::ledger-forked",
            Self::Name { .. } => "store::name",
            Self::Link { .. } => "store::link",
            Self::Absent(_) => "store::absent",
            Self::Changing(_) => "store::changing",
            Self::Locked { .. } => "store::locked",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Damaged { .. } => Exit::No,
            Self::NoStores | Self::Spec { .. } | Self::Foreign { .. } | Self::NoCreateIfAbsent { .. } => {
                Exit::Usage
            }
            Self::Remote { .. } | Self::Credentials { .. } | Self::NotOnRemote { .. } => Exit::World,
            Self::LedgerDamaged { .. } | Self::LedgerRolledBack { .. } | Self::LedgerForked { .. } => {
                Exit::No
            }
            Self::Name { .. } | Self::Link { .. } | Self::Absent(_) => Exit::Usage,
            Self::Io { .. } | Self::Missing(_) | Self::Changing(_) | Self::Locked { .. } => Exit::World,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull => "free some space and run the command again".to_owned(),
                std::io::ErrorKind::PermissionDenied => "check the owner and mode of the file".to_owned(),
                _ => return None,
            },
            Self::Missing(_) => "`mlp data fetch` gets what a remote store has".to_owned(),
            Self::Damaged { .. } => {
                "what is damaged was set aside; `mlp data fetch` gets it from a remote store, `mlp data add` \
                 from the original files"
                    .to_owned()
            }
            Self::Name { .. } => "rename it, or list it in `.mlpignore`".to_owned(),
            Self::Link { .. } => {
                "replace the link by a copy of the file, or list it in `.mlpignore`".to_owned()
            }
            Self::Absent(_) => "check the path".to_owned(),
            Self::Changing(_) => "wait until whatever writes the file has ended".to_owned(),
            Self::Locked { .. } => "wait until the other command has ended".to_owned(),
            Self::NoStores => {
                "name one in mlp.yaml: `stores: {origin: {url: \"s3://bucket/prefix\"}}`, or `fs:///path`".to_owned()
            }
            Self::Spec { .. } => "correct `stores:` in mlp.yaml".to_owned(),
            Self::Remote { .. } => "check the network and the store's URL and endpoint, then try again".to_owned(),
            Self::Credentials { store, .. } => {
                let name = store.to_ascii_uppercase().replace('-', "_");
                format!("set MLP_STORE_{name}_ACCESS_KEY_ID and MLP_STORE_{name}_SECRET_ACCESS_KEY")
            }
            Self::Foreign { .. } => "check the store's URL in mlp.yaml".to_owned(),
            Self::NotOnRemote { store, .. } => {
                format!("a clone that has it brings it there: `mlp data push --store {store}`")
            }
            Self::NoCreateIfAbsent { .. } => {
                "put another store first in `stores:`; this one can still carry data".to_owned()
            }
            Self::LedgerDamaged { .. } => {
                "restore that file from a backup or from another clone; entries are never rewritten".to_owned()
            }
            Self::LedgerRolledBack { .. } => {
                "restore the store from a backup; this machine has a copy in `ledger/` of its local store".to_owned()
            }
            Self::LedgerForked { .. } => {
                "keep one: move the local ledger out of `ledger/` in the local store, then register and promote again"
                    .to_owned()
            }
        })
    }
}

/// The long explanations of this module's codes.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "store::io",
        text: "The file system refused an operation. The message names the file and what the system said: no space, \
               no permission, a disk that fails. Nothing that was acknowledged before is lost; after the cause is \
               gone, run the command again.",
    },
    Explain {
        code: "store::missing",
        text: "An object is named by a pointer, tree or record, but neither the local store nor its indexes have it. \
               It was never fetched, or it was set aside because it was damaged. `mlp data fetch` gets it from a \
               remote store.",
    },
    Explain {
        code: "store::damaged",
        text: "Every byte that is read from the store is hashed and compared with its digest before it is used. Here \
               the two differ: a disk error, an incomplete copy, or somebody edited the file. What was damaged is \
               copied to or moved into the store's `bad/` folder and treated as absent from then on, so that \
               `mlp data fetch` or `mlp data add` of the original files brings it back.",
    },
    Explain {
        code: "store::name",
        text: "A dataset cannot hold files or folders named `.git` or `.mlp`, and a name from a store may not be `.`, \
               `..`, absolute, or contain `/` or a NUL byte: writing it could change files outside the dataset.",
    },
    Explain {
        code: "store::link",
        text: "Symbolic links are versioned as links, not followed. Only a relative link that stays inside the \
               dataset (leading `..` components, then names) means the same on every machine; others are refused, \
               when data is added and when it is checked out.",
    },
    Explain {
        code: "store::absent",
        text: "The folder or file that the command should look at does not exist.",
    },
    Explain {
        code: "store::changing",
        text: "A file was written to while it was being read, several times over. What would be stored is neither the \
               old nor the new content, so nothing is stored. Wait until the writer has ended.",
    },
    Explain {
        code: "store::locked",
        text: "The stat cache is swapped under a file lock that is held for milliseconds. Another process has held it \
               for a minute; the message names it. The kernel releases the lock when that process ends: there is no \
               lock file to delete.",
    },
    Explain {
        code: "store::none",
        text: "Data and evidence are pushed to and fetched from a remote store: a bucket of S3 or of a compatible service, or a \
               folder that others can reach. Stores are named in mlp.yaml under `stores:`; the first is the default, and \
               the home of the ledgers.",
    },
    Explain {
        code: "store::bad-spec",
        text: "A store in `stores:` has a URL of the form s3://bucket/prefix, fs:///absolute/path or memory://name, and \
               perhaps `endpoint` and `region`. Credentials never stand in mlp.yaml, which is committed: they come from \
               MLP_STORE_<NAME>_ACCESS_KEY_ID and MLP_STORE_<NAME>_SECRET_ACCESS_KEY, or from the service's own chain \
               (environment, profile, instance).",
    },
    Explain {
        code: "store::remote",
        text: "A remote store did not answer, or answered with an error, and trying again for a while did not help. \
               Nothing that was acknowledged is lost, and a push that is run again goes on where it stopped.",
    },
    Explain {
        code: "store::credentials",
        text: "The service refused the request. For the store NAME the keys are read from \
               MLP_STORE_<NAME>_ACCESS_KEY_ID, MLP_STORE_<NAME>_SECRET_ACCESS_KEY and MLP_STORE_<NAME>_SESSION_TOKEN \
               (the name in capitals, `-` as `_`), else from the service's own chain. They also need the right to list, \
               read and write below the store's prefix.",
    },
    Explain {
        code: "store::foreign",
        text: "Every store holds `mlpstore.json`, written on its first use. Here it is missing where it was once, or it \
               is of a format that this version cannot use. A folder that is empty all of a sudden is most often a \
               network file system that is not mounted.",
    },
    Explain {
        code: "store::not-on-remote",
        text: "An object that a pointer, tree or record names is neither in the local store nor in any pack of the \
               remote. Whoever added it has not pushed it yet: `mlp data push` in that clone brings it.",
    },
    Explain {
        code: "store::no-create-if-absent",
        text: "A ledger needs a place where of several writers exactly one can create an object. Before its first use \
               for ledgers, a remote is tried with eight writers and twenty objects, because some services promise this \
               and do not hold it. This one let more than one writer win. It can still carry data; let the first of \
               `stores:` be another one.",
    },
    Explain {
        code: "store::ledger-damaged",
        text: "Each ledger entry ends with its own digest and names the digest of the one before, so that a changed, \
               missing or exchanged entry is found by whoever reads it. The message names the entry and where it lies. \
               Entries are never rewritten: put the right file back from a backup or from another clone's copy.",
    },
    Explain {
        code: "store::ledger-rolled-back",
        text: "This machine keeps a copy of every ledger entry it has seen. The remote now has fewer entries, or others: \
               it was restored from an old backup, or somebody removed or replaced entries. Nothing is promoted or \
               served on such a ledger. Put the missing entries back; the copy below `ledger/` in the local store has them.",
    },
    Explain {
        code: "store::ledger-forked",
        text: "A ledger that began in the local store is published when the first remote store is added, if the remote \
               has no entries or the same ones. Here the remote has others: two clones began the same model's ledger on \
               their own. One of the two has to be kept; what the other decided must be decided again.",
    },
];
