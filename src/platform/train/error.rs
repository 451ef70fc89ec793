//! What can go wrong while training.

use std::path::{Path, PathBuf};

use crate::base::{Diagnose, Exit, Explain};
use crate::platform::data::DataError;

/// What can go wrong while training, evaluating or loading a model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The network does not fit the data or itself.
    #[error("layer {index} (`{layer}`): {detail}")]
    Layer {
        /// Position in the list, from 1; nested as `3.2`.
        index: String,
        /// The layer as written.
        layer: String,
        /// What does not fit.
        detail: String,
    },
    /// A setting of the model has no meaning.
    #[error("`{key}` {detail}")]
    Setting {
        /// The key below the model: `train.batch_size`.
        key: &'static str,
        /// What is wrong with its value.
        detail: String,
    },
    /// The examples cannot be trained on or judged.
    #[error("the examples do not fit: {0}")]
    Data(String),
    /// The examples cannot be read.
    #[error(transparent)]
    Examples(#[from] DataError),
    /// The tensors to begin with do not go with the network.
    #[error("cannot begin with the tensors of `{from}`: {detail}")]
    Init {
        /// The model version or file.
        from: String,
        /// The tensors, with what does not fit.
        detail: String,
    },
    /// The loss is no longer a finite number.
    #[error("the loss is {loss} at step {step} of epoch {epoch}")]
    Diverged {
        /// The epoch, from 1.
        epoch: u64,
        /// The step within the epoch, from 1.
        step: u64,
        /// The loss.
        loss: f32,
        /// Whether there is a checkpoint from before.
        checkpoint: bool,
    },
    /// Files of a model are not what they say.
    #[error("the model cannot be used: {0}")]
    Model(String),
    /// Inputs for a prediction do not fit the model.
    #[error("the input does not fit the model: {0}")]
    Input(String),
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read`, `write`, ….
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A checkpoint cannot be written; those before it are still there.
    #[error("cannot write the checkpoint of epoch {epoch} to `{path}`: {source}")]
    Checkpoint {
        /// The epoch that is done, or under way, from 1.
        epoch: u64,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The device is not there.
    #[error("device `{name}` cannot be used: {detail}")]
    Device {
        /// As written.
        name: String,
        /// Why not.
        detail: String,
    },
    /// candle failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    pub(super) fn setting(key: &'static str, detail: impl Into<String>) -> Self {
        Self::Setting { key, detail: detail.into() }
    }

    /// For `map_err`: the action and the file that an I/O error is about.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl Diagnose for TrainError {
    fn code(&self) -> &'static str {
        match self {
            Self::Layer { .. } => "train::layer",
            Self::Setting { .. } => "train::setting",
            Self::Data(_) => "train::data",
            Self::Examples(error) => error.code(),
            Self::Init { .. } => "train::init",
            Self::Diverged { .. } => "train::diverged",
            Self::Model(_) => "train::model",
            Self::Input(_) => "train::input",
            Self::Io { .. } => "train::io",
            Self::Checkpoint { .. } => "train::checkpoint",
            Self::Device { .. } => "train::device",
            Self::Tensor(_) => "train::tensor",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Layer { .. }
            | Self::Setting { .. }
            | Self::Data(_)
            | Self::Init { .. }
            | Self::Input(_) => Exit::Usage,
            Self::Diverged { .. } | Self::Model(_) => Exit::No,
            Self::Io { .. } | Self::Checkpoint { .. } | Self::Device { .. } => Exit::World,
            Self::Tensor(_) => Exit::Bug,
            Self::Examples(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Layer { .. } => "change the model's `network` in mlp.yaml",
            Self::Setting { .. } => "change it where it is set: in mlp.yaml, or on the command line",
            Self::Data(_) => "look at the dataset with `mlp data info`",
            Self::Init { .. } => {
                "`train.init` says which tensors are taken: leave others out by their beginning, `except: [layers.10]`"
            }
            Self::Diverged { checkpoint: true, .. } => {
                "lower the learning rate, or clip gradients with `clip_norm`; the last good checkpoint is kept with the run"
            }
            Self::Diverged { checkpoint: false, .. } => {
                "lower the learning rate, or clip gradients with `clip_norm`, and look at how inputs are normalised"
            }
            Self::Model(_) => "fetch the model again, or train it again",
            Self::Input(_) => "send inputs of the shape that the model was trained on",
            Self::Io { .. } => "check that the disk has space and that the path can be read and written",
            Self::Checkpoint { .. } => {
                "make room on the disk, then `mlp runs resume` goes on from the last checkpoint that is whole"
            }
            Self::Device { .. } => {
                "check the device and its driver, or use a build of mlp without `cuda` and `metal`: it computes on the processor"
            }
            Self::Tensor(_) => return None,
            Self::Examples(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }
}

/// The long explanations of this module's error codes.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "train::layer",
        text: "A layer of the network does not fit what comes before it, or the last layer does not have one \
               output per class (one output for regression). Layers are numbered from 1 in the order written; a \
               layer inside `residual` is numbered `3.2`, one of its shortcut `3.shortcut.2`, and one of the second branch of a \
               `parallel` `3.2.1`. The check runs before anything is trained: nothing is \
               lost. A `linear` after a convolution needs a `flatten` between them.",
    },
    Explain {
        code: "train::setting",
        text: "A setting of the model has a value that means nothing, such as no epochs, a negative learning \
               rate, or a loss that does not go with the target. Correct it in mlp.yaml.",
    },
    Explain {
        code: "train::data",
        text: "The examples cannot be trained on or judged with this model: a part is empty, holds values that \
               are not finite, or has another shape or other classes than the model; or a class stands in validation or test and not in \
               the training part, so that nothing can be learnt of it.",
    },
    Explain {
        code: "train::init",
        text: "`train.init` begins a training with the tensors of another model, which are matched by name and shape. A \
               tensor is missing there, has another shape, or has no place in this network; nothing is skipped in silence. \
               `only: [layers.1, layers.4]` takes just the tensors that begin so, `except: [layers.10]` leaves some out, \
               such as a head for other classes: those begin with random values.",
    },
    Explain {
        code: "train::diverged",
        text: "The loss became infinite or not a number. This is nearly always a learning rate that is too high, \
               or inputs that are not normalised. The weights of the failed step were not saved: a checkpoint of an \
               earlier epoch is still there.",
    },
    Explain {
        code: "train::model",
        text: "`model.json` and `model.safetensors` do not agree with each other or with their digests: a file \
               was damaged or changed, or was made by a later version of mlp. Such a model is never used.",
    },
    Explain {
        code: "train::input",
        text: "The values given for a prediction do not have the shape that the model was trained on, or are not \
               finite numbers.",
    },
    Explain {
        code: "train::io",
        text: "A checkpoint or a model could not be read or written. What was written before is still whole: \
               files appear under their name only when they are complete.",
    },
    Explain {
        code: "train::checkpoint",
        text: "A checkpoint could not be written, most often because the disk is full, and the training ended there: it would \
               otherwise run on with nothing to go back to. Checkpoints appear under their name only when they are complete, \
               so that the one before, if there was one, is still good. `mlp runs resume` goes on from it once there is room.",
    },
    Explain {
        code: "train::device",
        text: "This build of mlp computes on an accelerator (`--features cuda` or `metal`) that is not in this machine, or whose \
               driver does not answer. The default build computes on the processor.",
    },
    Explain {
        code: "train::tensor",
        text: "The tensor library refused an operation that the network check had allowed. This is a bug in mlp; \
               please report it with the model's section of mlp.yaml.",
    },
];
