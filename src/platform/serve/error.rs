//! What can go wrong before and around predictions. What a single request gets is a [`Refusal`](super::Refusal).

use std::path::PathBuf;

use crate::base::{Diagnose, Digest, Exit, Explain, Label, Name};
use crate::infrastructure::store::StoreError;
use crate::platform::data::DataError;
use crate::platform::train::TrainError;

/// What can go wrong before and around predictions.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The tree of a version is not a model.
    #[error("the tree {tree} of `{model}` is not a model: {detail}")]
    NotAModel {
        /// Model and version, for people.
        model: String,
        /// The tree.
        tree: Digest,
        /// What is missing or too much.
        detail: String,
    },
    /// The model's bytes are damaged or not here.
    #[error("`{model}` is not served: {source}")]
    Bytes {
        /// Model and version, for people.
        model: String,
        /// What the store found.
        source: StoreError,
    },
    /// Two versions of one model.
    #[error("`{model}` is named twice, and a server answers with one version of a model")]
    Twice {
        /// The model.
        model: Name,
    },
    /// Not a host and a port.
    #[error("`{}` is not an address of the form `HOST:PORT`", address.escape_debug())]
    Address {
        /// As written.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`: {source}")]
    Bind {
        /// Host and port.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate or its key cannot be used.
    #[error("`{path}` cannot be used for TLS: {detail}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// What was asked for on the command line does not go together.
    #[error("{0}")]
    Asked(String),
    /// Something that a server needs of the system failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file to predict for is not what it should be.
    #[error("`{path}`: {detail}")]
    Input {
        /// The file, with a line or row where there is one.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The model cannot be used, or did not predict.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An image or table cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl Diagnose for ServeError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAModel { .. } => "serve::not-a-model",
            Self::Bytes { source: StoreError::Missing { .. }, .. } => "serve::missing",
            Self::Bytes { .. } => "serve::damaged",
            Self::Twice { .. } => "serve::twice",
            Self::Address { .. } => "serve::address",
            Self::Bind { .. } => "serve::bind",
            Self::Certificate { .. } => "serve::certificate",
            Self::Asked(_) => "serve::asked",
            Self::System { .. } => "serve::system",
            Self::Input { .. } => "serve::input",
            Self::Io { .. } => "serve::io",
            Self::Train(error) => error.code(),
            Self::Data(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotAModel { .. } => Exit::No,
            Self::Bytes { source, .. } => source.exit(),
            Self::Bind { .. } | Self::System { .. } | Self::Io { .. } => Exit::World,
            Self::Input { .. } | Self::Twice { .. } | Self::Address { .. } | Self::Asked(_) => Exit::Usage,
            Self::Certificate { .. } => Exit::World,
            Self::Train(error) => error.exit(),
            Self::Data(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAModel { .. } => {
                Some("register the run of a model: `mlp model register RUN`".to_owned())
            }
            Self::Bytes { source, .. } => {
                source.hint().or_else(|| Some("fetch the model again from the project's store".to_owned()))
            }
            Self::Twice { .. } => {
                Some("serve one of them; `--shadow` and `--canary` try a second version".to_owned())
            }
            Self::Address { .. } => Some("write it as `127.0.0.1:9090`, or the port alone".to_owned()),
            Self::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Some(
                "choose another port for it (`--port`, `--metrics`), 0 for a free one; `--host` names an address of this machine"
                    .to_owned(),
            ),
            Self::Bind { .. } => {
                Some("`--host` takes a name or address of this machine; ports below 1024 are for the administrator".to_owned())
            }
            Self::Io { .. } => Some("check that the path exists and that you may use it".to_owned()),
            Self::Certificate { .. } => {
                Some("give a PEM chain as `--tls-cert` and its own key as `--tls-key`".to_owned())
            }
            Self::Asked(_) => Some("`mlp serve --help` has the forms".to_owned()),
            Self::System { .. } | Self::Input { .. } => None,
            Self::Train(error) => error.hint(),
            Self::Data(error) => error.hint(),
        }
    }

    fn label(&self) -> Option<Label> {
        match self {
            Self::Train(error) => error.label(),
            Self::Data(error) => error.label(),
            _ => None,
        }
    }
}

/// The long explanations of this module's error codes.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "serve::not-a-model",
        text: "A model version is a folder with `model.json` and `model.safetensors`, `sketches.json` where its training made it, and \
               nothing else. The tree that the ledger names for this version holds something else, so it is not loaded.",
    },
    Explain {
        code: "serve::missing",
        text: "The ledger names a model version whose bytes are not in the local store, nor on the project's \
               store. Fetch them from a machine that has them, or train and register the model again.",
    },
    Explain {
        code: "serve::damaged",
        text: "Bytes of the model do not have the digest that the ledger names: a disk error, or somebody changed \
               them. A damaged model is never served, not even in part; the server stops before it listens. Move \
               the damaged file that the message names aside and fetch the model again.",
    },
    Explain {
        code: "serve::twice",
        text: "A server answers for several models, but with one version of each: a client that names the model must \
               get the answers of that version. Serve the other one on another port, or try it with `--shadow` (it \
               is asked too, and its answers are compared) or `--canary` (it answers a share of the clients).",
    },
    Explain {
        code: "serve::address",
        text: "An address to listen on is `HOST:PORT`, such as `127.0.0.1:9090` or `[::1]:9090`; a port alone means \
               this machine. Port 0 takes a free one.",
    },
    Explain {
        code: "serve::bind",
        text: "The address is in use, does not belong to this machine, or the port needs more rights (ports \
               below 1024). `--port 0` takes a free port and prints it.",
    },
    Explain {
        code: "serve::certificate",
        text: "`--tls-cert` is a file with a chain of certificates in PEM form, the server's own first, and `--tls-key` a \
               file with its private key, which not everybody may read. Both are read again when they change; if the new \
               ones do not go together, the old ones stay in use and the log says so.",
    },
    Explain {
        code: "serve::asked",
        text: "`--shadow` takes MODEL@N and `--canary` takes MODEL@N=SHARE% for a model that is served, whose live version \
               is another one; a model has one canary at most.",
    },
    Explain {
        code: "serve::system",
        text: "The system refused what a server needs, such as threads or signals.",
    },
    Explain {
        code: "serve::input",
        text: "A file given to `mlp predict` cannot be predicted for: its format is not one of PNG, JPEG, WebP, IDX, text lines, CSV \
               or JSON lines, or its values do not fit what the model was trained on. Nothing was written.",
    },
    Explain {
        code: "serve::io",
        text: "A file that `mlp predict` reads or writes cannot be used. Results appear under their name only when \
               they are complete.",
    },
];
