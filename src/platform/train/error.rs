//! What can go wrong while training.

use crate::base::{Diagnose, Exit};

/// What can go wrong while training.
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
    /// candle failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Diagnose for TrainError {
    fn code(&self) -> &'static str {
        match self {
            Self::Layer { .. } => "train::layer",
            Self::Tensor(_) => "train::tensor",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Layer { .. } => Exit::Usage,
            Self::Tensor(_) => Exit::Bug,
        }
    }
}
