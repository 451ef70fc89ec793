//! What can go wrong with data.

use crate::base::{Diagnose, Exit};

/// What can go wrong with data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file is not what its format says.
    #[error("`{path}` is not valid {format}: {detail}")]
    Malformed {
        /// The file, with a row or line where there is one.
        path: String,
        /// The format.
        format: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl Diagnose for DataError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "data::malformed",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}
