//! What can go wrong with the terminal itself.

use crate::base::{Diagnose, Exit, Explain};

/// What can go wrong between the user and the commands.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// The answer could not be written.
    #[error("cannot write the answer to stdout: {0}")]
    Output(std::io::Error),
    /// `mlp explain` of a code that there is not.
    #[error("no error has the code `{code}`")]
    UnknownCode {
        /// What was asked for.
        code: String,
        /// A code that is near.
        near: Option<&'static str>,
    },
}

impl Diagnose for UiError {
    fn code(&self) -> &'static str {
        match self {
            Self::Output(_) => "ui::output",
            Self::UnknownCode { .. } => "ui::unknown-code",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Output(_) => Exit::World,
            Self::UnknownCode { .. } => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Output(_) => "make room where the output goes, then run the command again".to_owned(),
            Self::UnknownCode { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::UnknownCode { near: None, .. } => "`mlp explain` lists all codes".to_owned(),
        })
    }
}

/// Explanations of the codes.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "mlp::bug",
        text: "mlp met a state that its authors thought impossible and stopped with exit status 70. What was \
               acknowledged before is safe: every file is written aside, synchronised and renamed. Please report the \
               text together with the command; RUST_BACKTRACE=1 adds where it happened.",
    },
    Explain {
        code: "ui::output",
        text: "The answer could not be written to stdout, for example because the disk it is redirected to is full. \
               What the command did is done; only its answer is lost. A reader that went away (a closed pipe) is not \
               an error.",
    },
    Explain {
        code: "ui::unknown-code",
        text: "`mlp explain` was asked for a code that no error has. Codes are written as in the error, without the \
               brackets: `mlp explain project::none`.",
    },
];
