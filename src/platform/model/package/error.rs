//! What can go wrong with packages.

use std::path::{Path, PathBuf};

use crate::base::{Diagnose, Exit, Explain, Name};
use crate::infrastructure::store::StoreError;

/// What can go wrong with packages.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A version holds what no package can hold.
    #[error("the version holds `{path}`: {detail}")]
    Content {
        /// The path in the version.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The folder holds something that mlp did not put there.
    #[error("`{}` holds something else", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds a package of something else.
    #[error("`{}` holds a package of something else: {}", path.display(), holds.escape_debug())]
    Another {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        holds: String,
    },
    /// What mlp put into the folder was changed.
    #[error("`{}` is not what was put there: {detail}", path.display())]
    Altered {
        /// The folder.
        path: PathBuf,
        /// The first difference.
        detail: String,
    },
    /// A version is live, and what stands behind that does not check.
    #[error("{model}@{number} is live in `{stage}` without standing: {why}")]
    Unapproved {
        /// The model.
        model: Name,
        /// The version.
        number: u64,
        /// The stage.
        stage: Name,
        /// What does not check.
        why: String,
    },
    /// Only what is live in a stage can be held against approvals.
    #[error("`--verify` asks for a stage, and `{reference}` names none")]
    NoStage {
        /// What was named.
        reference: String,
    },
    /// Where a card should go lies a file that `mlp model card` did not write.
    #[error("`{}` was not written by `mlp model card`", path.display())]
    Card {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// `read`, `write`, ….
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PackageError {
    /// Wraps an error of the operating system.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl Diagnose for PackageError {
    fn code(&self) -> &'static str {
        match self {
            Self::Content { .. } => "package::content",
            Self::Occupied { .. } => "package::occupied",
            Self::Another { .. } => "package::another",
            Self::Altered { .. } => "package::altered",
            Self::Unapproved { .. } => "package::unapproved",
            Self::NoStage { .. } => "package::no-stage",
            Self::Card { .. } => "package::card",
            Self::Io { .. } => "package::io",
            Self::Store(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Content { .. } | Self::Altered { .. } | Self::Unapproved { .. } => Exit::No,
            Self::Occupied { .. } | Self::Another { .. } | Self::NoStage { .. } | Self::Card { .. } => {
                Exit::Usage
            }
            Self::Io { .. } => Exit::World,
            Self::Store(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Content { .. } => {
                "only files that are models are packed; train the version again with an mlp of today"
                    .to_owned()
            }
            Self::Occupied { .. } => "name a folder that is new, empty, or from an earlier call".to_owned(),
            Self::Another { .. } => {
                "name another folder; `--force` puts the version there nevertheless".to_owned()
            }
            Self::Altered { path, .. } => format!(
                "find out who changed it; `--force` puts the version there, or remove `{}` first",
                path.display()
            ),
            Self::Unapproved { model, number, stage, .. } => {
                format!(
                    "`mlp gate check {model}@{number} --to {stage}` says what is missing; `mlp rollback {model} --stage {stage}` puts the version before back"
                )
            }
            Self::NoStage { reference } => {
                let model = reference.split('@').next().unwrap_or_default();
                format!("name what is live: `{model}@production`")
            }
            Self::Card { .. } => {
                "name another file; `--force` puts the card there, and what people wrote there is gone"
                    .to_owned()
            }
            Self::Io { .. } => "look at the space and the permissions there, then do it again".to_owned(),
            Self::Store(error) => return error.hint(),
        })
    }
}

/// The explanations of the codes above.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "package::content",
        text: "A model version is packed as plain files. A link, a name that leads out of the folder, or a file called \
               `mlp-model.json` is refused, whoever registered it.",
    },
    Explain {
        code: "package::occupied",
        text: "`mlp model pull` and `mlp model export` replace only what they wrote: a folder with their file `mlp-model.json`. \
               Anything else in the folder is somebody's, and stays.",
    },
    Explain {
        code: "package::another",
        text: "A folder of mlp is replaced by a version of the same model of the same project in the same format: something may serve \
               from it, and would find what it cannot load. `--force` replaces it by anything.",
    },
    Explain {
        code: "package::altered",
        text: "The folder says which version it holds, and a file there has other bytes, is missing, or was added. Nothing is \
               overwritten: it may be an attack or somebody's work. `--force` replaces it.",
    },
    Explain {
        code: "package::unapproved",
        text: "With `--verify` the promotion that made a version live must stand today: its verdicts are at hand and all of them \
               pass, and the approvals that the stage asks for are signed, for these very files, by people who may. The folder was \
               not touched.",
    },
    Explain {
        code: "package::no-stage",
        text: "Approvals are for a version in a stage. `mlp model pull digits@production --verify DIR` gets what is live there; without \
               `--verify` any version can be pulled.",
    },
    Explain {
        code: "package::card",
        text: "`mlp model card --output FILE` replaces only a card that it wrote itself, which says so under `Evidence`. Anything else may be \
               what people wrote, the card in `card:` of the model first of all: it is read, and the card that is made goes elsewhere. `--force` \
               replaces it.",
    },
    Explain {
        code: "package::io",
        text: "A file of a package could not be read or written. A folder is replaced as a whole when all of the new one is on the \
               disk, so that what was there is still there.",
    },
];
