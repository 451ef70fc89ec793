//! What can go wrong with the terminal itself.

use crate::base::{Diagnose, Exit, Explain};

/// The answer could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the answer to stdout: {0}")]
pub struct UiError(pub std::io::Error);

impl Diagnose for UiError {
    fn code(&self) -> &'static str {
        "ui::output"
    }

    fn exit(&self) -> Exit {
        Exit::World
    }

    fn hint(&self) -> Option<String> {
        Some("make room where the output goes, then run the command again".to_owned())
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
];
