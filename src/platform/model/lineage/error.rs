//! What can go wrong when lineage is asked for.

use crate::base::{Diagnose, Exit, Explain};

/// What can go wrong when lineage is asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineageError {
    /// Nothing is called so.
    #[error("nothing here is called `{0}`")]
    Unknown(String),
    /// The beginning of a digest has too few digits.
    #[error("`{0}` is too short for the beginning of a digest")]
    Short(String),
    /// Several things begin like that.
    #[error("several things are called `{text}`")]
    Ambiguous {
        /// The text.
        text: String,
        /// Some of them.
        candidates: Vec<String>,
    },
}

impl Diagnose for LineageError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "lineage::unknown",
            Self::Short(_) => "lineage::short",
            Self::Ambiguous { .. } => "lineage::ambiguous",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => "name a model version (`digits@7`), a run, a dataset (`mnist`, `mnist@REV`), a file, a commit, \
                                 the whole id of an answer, or the beginning of a digest (`b3:1f3a`)"
                .to_owned(),
            Self::Short(_) => "write four digits or more after `b3:`".to_owned(),
            Self::Ambiguous { candidates, .. } => format!("write more of it: {}", candidates.join(", ")),
        })
    }
}

/// The explanations of the codes above.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "lineage::unknown",
        text: "`mlp why` and `mlp impact` take a model version, the beginning of a run's identifier, a dataset at a git \
               revision, a file, a commit, the id of an answer whose prediction log is here, or four digits or more of a digest. Only what a record, a ledger or a dataset at hand \
               names can be found: `mlp model ls`, `mlp runs ls` and `mlp data ls` list it.",
    },
    Explain {
        code: "lineage::short",
        text: "The beginning of a digest must have four digits or more after `b3:`, so that it does not fit things by chance.",
    },
    Explain {
        code: "lineage::ambiguous",
        text: "The beginning of a digest, a run or a commit fits several. More letters of it tell them apart.",
    },
];
