//! What can go wrong with monitoring.

use std::path::PathBuf;

use crate::base::{Diagnose, Exit, Explain};
use crate::infrastructure::store::StoreError;
use crate::platform::train::TrainError;

/// What can go wrong with monitoring.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The file of sketches is not what a training writes.
    #[error("`sketches.json` cannot be used: {detail}")]
    Sketches {
        /// What is wrong.
        detail: String,
    },
    /// The model has no sketches.
    #[error("`{model}` has no sketches of what it was trained on")]
    NoSketches {
        /// Model and version.
        model: String,
    },
    /// No answer of the version was logged.
    #[error("no answer of `{model}` was logged in `{}`", .folder.display())]
    NoLog {
        /// Model and version.
        model: String,
        /// Where the log lies.
        folder: PathBuf,
    },
    /// A file of labels is not what it should be.
    #[error("`{}`: {detail}", .path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        detail: String,
    },
    /// Whoever was to be told of a breach was not.
    #[error("the alert was not delivered: {detail}")]
    Alert {
        /// What went wrong, without the URL.
        detail: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store cannot give what a version holds.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model cannot be used.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl MonitorError {
    /// For `map_err`: something with a file went wrong.
    pub(super) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl Diagnose for MonitorError {
    fn code(&self) -> &'static str {
        match self {
            Self::Sketches { .. } => "monitor::sketches",
            Self::NoSketches { .. } => "monitor::no-sketches",
            Self::NoLog { .. } => "monitor::no-log",
            Self::Labels { .. } => "monitor::labels",
            Self::Alert { .. } => "monitor::alert",
            Self::Io { .. } => "monitor::io",
            Self::Store(error) => error.code(),
            Self::Train(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Sketches { .. } => Exit::No,
            Self::NoSketches { .. } | Self::NoLog { .. } | Self::Alert { .. } | Self::Io { .. } => {
                Exit::World
            }
            Self::Labels { .. } => Exit::Usage,
            Self::Store(error) => error.exit(),
            Self::Train(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Sketches { .. } => "train the model again".to_owned(),
            Self::NoSketches { .. } => {
                "train it again with this version of mlp: a training ends with making them".to_owned()
            }
            Self::NoLog { .. } => {
                "serve it with `serve: {log: {}}` in `mlp.yaml`; on another machine, `mlp monitor push` there"
                    .to_owned()
            }
            Self::Labels { .. } => {
                "give a CSV file with the columns `id` (the prediction's) and `label`".to_owned()
            }
            Self::Alert { .. } => "correct `monitor.alert`, or what it names".to_owned(),
            Self::Io { .. } => "check that the path exists and that you may use it".to_owned(),
            Self::Store(error) => return error.hint(),
            Self::Train(error) => return error.hint(),
        })
    }
}

/// The long explanations of this module's error codes.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "monitor::sketches",
        text: "A training ends with writing distributions of its inputs and answers into the model's folder, as `sketches.json`. \
               This one cannot be read, or contradicts itself. Its bytes are those that were registered; train the model again.",
    },
    Explain {
        code: "monitor::no-sketches",
        text: "Drift is measured against the sketches that a training leaves in the model's folder. This version was trained before \
               mlp made them, or by another program. Quality and latency need none: leave `monitor.drift` out of what you look at, \
               or train the model again.",
    },
    Explain {
        code: "monitor::no-log",
        text: "`mlp serve` logs answers where `mlp.yaml` has `serve: {log: {}}`, below the repository's git folder, per model. None \
               of the version's is there, nor in a log that another machine has pushed with `mlp monitor push`.",
    },
    Explain {
        code: "monitor::labels",
        text: "Labels are joined to answers by prediction id. The file is CSV with a header that has the columns `id` and `label`; \
               the id is that of the answer's header `x-mlp-prediction-id`, and for the n-th instance of a request with several, from 0, \
               `ID/n`. For a model that predicts a number the label is one.",
    },
    Explain {
        code: "monitor::alert",
        text: "A breach was found, and `monitor.alert` could not be carried out: the secret that names the webhook has no value, the \
               webhook did not answer with a success, or the command failed. The record of the breach is kept all the same.",
    },
    Explain {
        code: "monitor::io",
        text: "A file of the prediction log or of labels cannot be read or written.",
    },
];
