//! What can go wrong with data.

mod explain;

use std::path::PathBuf;

pub use self::explain::EXPLAIN;
use crate::base::{Diagnose, Exit, Label};
use crate::infrastructure::store::StoreError;

/// What can go wrong with data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file system operation failed.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, …
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
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
    /// Files that the format needs are not there, or do not belong together.
    #[error("`{path}` is not a dataset of format `{format}`: {detail}")]
    Layout {
        /// The folder or file.
        path: String,
        /// The format, as in `mlp.yaml`.
        format: &'static str,
        /// What is missing or does not fit.
        detail: String,
    },
    /// A cell of a numeric column is not a number.
    #[error("{place}: `{value}` in column `{column}` is not a number")]
    Cell {
        /// `file:line`, or what else the row comes from.
        place: String,
        /// The column.
        column: String,
        /// The cell.
        value: String,
    },
    /// A row names a column that the table did not have, or is not a row at all.
    #[error("{detail}")]
    Row {
        /// What is wrong.
        detail: String,
        /// A column with nearly that name.
        nearest: Option<String>,
    },
    /// The target column is not given or not there.
    #[error("dataset `{name}`: {detail}")]
    Target {
        /// The dataset.
        name: String,
        /// What is wrong.
        detail: String,
        /// What to write instead.
        hint: String,
    },
    /// Images cannot have the wanted shape.
    #[error("`{name}` cannot have the shape {wanted:?}: {detail}")]
    Shape {
        /// The file or dataset.
        name: String,
        /// The wanted shape.
        wanted: Vec<usize>,
        /// Why not.
        detail: String,
    },
    /// The shares of a split do not leave anything to train on.
    #[error("dataset `{name}`: {detail}")]
    Split {
        /// The dataset.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// `guard:` asks for what these data do not have.
    #[error("dataset `{name}`: {detail}")]
    Guard {
        /// The dataset.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// A dataset has no pointer yet.
    #[error("dataset `{0}` has no version yet")]
    NotAdded(String),
    /// The data on disk are not those that the pointer names.
    #[error("dataset `{0}` differs from its pointer")]
    Modified(String),
    /// A pointer is there, the data are not.
    #[error("the data of `{0}` are not here")]
    Missing(String),
    /// There is nothing to make a version of.
    #[error("there is nothing at `{path}`")]
    Absent {
        /// The dataset or path, as the user named it.
        name: String,
        /// Where it should be.
        path: String,
    },
    /// A folder that lacks files of its version which were never here: adding it would take them out of the dataset.
    #[error(
        "{count} of `{name}` were never here, `{first}` for one: adding the folder would take them out of the dataset"
    )]
    Partial {
        /// The dataset or path, as the user named it.
        name: String,
        /// `3 paths`.
        count: String,
        /// The first of them.
        first: String,
    },
    /// The work tree holds what a checkout that was cut off has left.
    #[error("the last checkout of `{0}` did not come to its end: what it has not written yet looks removed")]
    Unfinished(String),
    /// A path that cannot be a dataset of this project.
    #[error("`{path}` cannot be a dataset: {detail}")]
    Place {
        /// The path.
        path: String,
        /// Why not.
        detail: String,
    },
    /// An argument that makes no sense.
    #[error("`{argument}`: {detail}")]
    Argument {
        /// As it was given.
        argument: String,
        /// Why not, and what to do.
        detail: String,
    },
    /// The trash does not hold it.
    #[error("the trash has no `{0}`")]
    NotInTrash(String),
    /// A revision has no version of the dataset.
    #[error("`{rev}` has no pointer `{path}`")]
    NoPointer {
        /// The git revision.
        rev: String,
        /// The pointer, relative to the root of the repository.
        path: String,
    },
    /// A dataset has no such entry.
    #[error("`{path}` is not in dataset `{name}`")]
    NoEntry {
        /// The dataset.
        name: String,
        /// The path in it.
        path: String,
    },
    /// Something stands where a file or folder is to be written.
    #[error("`{0}` is there already")]
    Exists(String),
    /// A pointer file cannot be used.
    #[error("`{path}` is not a valid pointer: {detail}")]
    Pointer {
        /// The pointer file.
        path: String,
        /// What is wrong.
        detail: String,
        /// Where, if it is one place.
        label: Option<Box<Label>>,
    },
    /// A pointer file holds the conflict of a merge.
    #[error("`{0}` has a merge conflict")]
    Conflict(String),
    /// Data cannot be imported from there.
    #[error("nothing can be imported from `{origin}`: {detail}")]
    Origin {
        /// As the user named it.
        origin: String,
        /// Why not.
        detail: String,
    },
    /// The files of an imported version have not been fetched yet. The pointer's path.
    #[error("the files of `{0}` were imported by name and have not been fetched yet")]
    Unfetched(String),
    /// An object that another tool's version needs is nowhere.
    #[error("the object `{id}` is in none of these places: {}", if places.is_empty() { "(none is known)".to_owned() } else { places.join(", ") })]
    NotThere {
        /// The other tool's id.
        id: String,
        /// Where it was looked for.
        places: Vec<String>,
    },
    /// An entry of `source:` cannot be used.
    #[error("dataset `{name}`: {detail}")]
    Source {
        /// The dataset.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// A file could not be downloaded.
    #[error("cannot download `{url}`: {detail}")]
    Download {
        /// Where from.
        url: String,
        /// What the server or the network said.
        detail: String,
    },
    /// What was downloaded is not what `sha256` says.
    #[error("`{url}` gave a file with SHA-256 {found} where {wanted} was expected")]
    WrongHash {
        /// Where from.
        url: String,
        /// As in `mlp.yaml`.
        wanted: String,
        /// As it is.
        found: String,
        /// Where the file was put.
        aside: PathBuf,
    },
    /// A file that is there is not what its source says.
    #[error("`{path}` has SHA-256 {found} where its source says {wanted}")]
    Differs {
        /// The file.
        path: String,
        /// As in `mlp.yaml`.
        wanted: String,
        /// As it is.
        found: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DataError {
    /// Wraps an I/O error: `.map_err(DataError::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl Diagnose for DataError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "data::io",
            Self::Malformed { .. } => "data::malformed",
            Self::Layout { .. } => "data::layout",
            Self::Cell { .. } => "data::cell",
            Self::Row { .. } => "data::row",
            Self::Target { .. } => "data::target",
            Self::Shape { .. } => "data::shape",
            Self::Split { .. } => "data::split",
            Self::Guard { .. } => "data::guard",
            Self::NotAdded(_) => "data::not-added",
            Self::Modified(_) => "data::modified",
            Self::Missing(_) => "data::missing",
            Self::Absent { .. } => "data::absent",
            Self::Partial { .. } => "data::partial",
            Self::Unfinished(_) => "data::unfinished",
            Self::Place { .. } => "data::place",
            Self::Argument { .. } => "data::argument",
            Self::NotInTrash(_) => "data::not-in-trash",
            Self::NoPointer { .. } => "data::no-pointer",
            Self::NoEntry { .. } => "data::no-entry",
            Self::Exists(_) => "data::exists",
            Self::Pointer { .. } => "data::pointer",
            Self::Conflict(_) => "data::conflict",
            Self::Origin { .. } => "data::origin",
            Self::Unfetched(_) => "data::unfetched",
            Self::NotThere { .. } => "data::not-there",
            Self::Source { .. } => "data::source",
            Self::Download { .. } => "data::download",
            Self::WrongHash { .. } => "data::wrong-hash",
            Self::Differs { .. } => "data::differs",
            Self::Store(error) => error.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } | Self::Download { .. } => Exit::World,
            Self::WrongHash { .. } | Self::Differs { .. } | Self::Unfetched(_) | Self::NotThere { .. } => {
                Exit::No
            }
            Self::Store(error) => error.exit(),
            _ => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => {
                    "check `path` in mlp.yaml, or get the data with `mlp data download` or `mlp data checkout`"
                        .into()
                }
                std::io::ErrorKind::PermissionDenied => "check the permissions of the file".into(),
                std::io::ErrorKind::StorageFull => "free some space and run the command again".into(),
                _ => "check the file system, then try again".into(),
            },
            Self::Malformed { .. } => "get the file again, or take it out of the dataset".into(),
            Self::Layout { .. } => "check `path` and `format` of the dataset in mlp.yaml".into(),
            Self::Cell { .. } => "write a number, or leave the cell empty if it is missing".into(),
            Self::Row { nearest, .. } => match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "send the columns that the model was trained on".into(),
            },
            Self::Target { hint, .. } => hint.clone(),
            Self::Shape { .. } => {
                "write `input: {shape: [CHANNELS, HEIGHT, WIDTH]}` for images, with 1 or 3 channels and sides up to 4096, \
                 or leave it out: the data say it"
                    .into()
            }
            Self::Split { .. } => {
                "write shares from 0 to below 1 that leave examples to train on: `split: {val: 0.1, test: 0.1}`".into()
            }
            Self::Guard { .. } => "take `near` out of `guard:` of the dataset in mlp.yaml, or correct it".into(),
            Self::NotAdded(name) | Self::Modified(name) => format!("run `mlp data add {name}`"),
            Self::Missing(name) => format!("run `mlp data checkout {name}` or `mlp data pull {name}`"),
            Self::Absent { name, .. } => {
                format!("check the path, or get the data: `mlp data download {name}`")
            }
            Self::Partial { name, .. } => format!(
                "add what is new by its path (`mlp data add PATH`), or get the rest first (`mlp data pull {name}`); \
                 `--replace` makes the folder as it is the whole dataset"
            ),
            Self::Unfinished(name) => format!(
                "`mlp data checkout {name}` goes on with it; `mlp data add {name} --replace` takes the folder as it is"
            ),
            Self::Place { .. } => "name another file or folder inside the project".into(),
            Self::Argument { .. } => return None,
            Self::NotInTrash(_) => "`mlp data trash ls` lists what it has".into(),
            Self::NoPointer { .. } => "`git log -- POINTER` lists the commits that have it".into(),
            Self::NoEntry { name, .. } => format!("`mlp data ls {name}` lists what is in it"),
            Self::Exists(_) => "choose another place, or replace it with `--force`".into(),
            Self::Pointer { .. } => "restore it from git, or make it anew with `mlp data add`".into(),
            Self::Conflict(_) => {
                "`mlp merge` merges it file by file".into()
            }
            Self::Origin { .. } => {
                "give a URL (https://host/file, s3://bucket/prefix, fs:///folder), or `--repo URL NAME`".into()
            }
            Self::Unfetched(path) => {
                format!("`mlp data pull {}` fetches them", path.strip_suffix(".mlp").unwrap_or(path))
            }
            Self::NotThere { .. } => {
                "get it with the tool that made it (`dvc fetch`, `git lfs fetch`), or check `imports:` in mlp.yaml".into()
            }
            Self::Source { .. } => "correct `source:` of the dataset in mlp.yaml".into(),
            Self::Download { .. } => "check the URL and the network, then try again; it goes on where it stopped".into(),
            Self::WrongHash { aside, .. } => format!(
                "the file was put aside as `{}`; if it is the right one, write its SHA-256 into mlp.yaml",
                aside.display()
            ),
            Self::Differs { .. } => "`mlp data download --force` replaces it".into(),
            Self::Store(error) => return error.hint(),
        })
    }

    fn label(&self) -> Option<Label> {
        match self {
            Self::Pointer { label, .. } => label.as_deref().cloned(),
            Self::Store(error) => error.label(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_once() {
        let codes: std::collections::BTreeSet<_> = EXPLAIN.iter().map(|entry| entry.code).collect();
        assert_eq!(codes.len(), EXPLAIN.len());
        for error in [DataError::NotAdded("x".into()), DataError::Conflict("x".into())] {
            assert!(codes.contains(error.code()));
            assert!(error.hint().is_some());
        }
    }
}
