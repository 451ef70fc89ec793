//! What can go wrong with data.

use std::path::PathBuf;

use crate::base::{Diagnose, Exit, Explain, Label};
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
    /// A path that cannot be a dataset of this project.
    #[error("`{path}` cannot be a dataset: {detail}")]
    Place {
        /// The path.
        path: String,
        /// Why not.
        detail: String,
    },
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
            Self::NotAdded(_) => "data::not-added",
            Self::Modified(_) => "data::modified",
            Self::Missing(_) => "data::missing",
            Self::Absent { .. } => "data::absent",
            Self::Partial { .. } => "data::partial",
            Self::Place { .. } => "data::place",
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
                "write `input: {shape: [CHANNELS, HEIGHT, WIDTH]}` with 1 or 3 channels and sides up to 4096"
                    .into()
            }
            Self::Split { .. } => {
                "write shares from 0 to below 1 that leave examples to train on: `split: {val: 0.1, test: 0.1}`".into()
            }
            Self::NotAdded(name) | Self::Modified(name) => format!("run `mlp data add {name}`"),
            Self::Missing(name) => format!("run `mlp data checkout {name}` or `mlp data pull {name}`"),
            Self::Absent { name, .. } => {
                format!("check the path, or get the data: `mlp data download {name}`")
            }
            Self::Partial { name, .. } => format!(
                "add what is new by its path (`mlp data add PATH`), or get the rest first (`mlp data pull {name}`); \
                 `--replace` makes the folder as it is the whole dataset"
            ),
            Self::Place { .. } => "name a file or folder inside the project, none that holds mlp.yaml".into(),
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

/// What each code means.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "data::io",
        text: "A file or folder of a dataset could not be read or written. The message names it and says what the system answered: \
               most often the path in mlp.yaml is wrong, the data have not been downloaded or checked out, or the disk is full.",
    },
    Explain {
        code: "data::malformed",
        text: "A data file is not what its format says: truncated, damaged, or with a header that promises more than the file holds. \
               The message names the file, the place and what is wrong. Nothing of it was used.",
    },
    Explain {
        code: "data::layout",
        text: "A dataset lacks files that its format needs, or they do not fit together: IDX wants images and labels of equal count \
               under MNIST's names, `images` wants one folder per class, `csv` wants one file or a folder with `train.csv`.",
    },
    Explain {
        code: "data::cell",
        text: "A column whose cells are numbers has a cell that is not one. A column counts as numeric if all its cells in the \
               training part are numbers or missing (empty, `NA`, `N/A`, `NaN`, `null`, `?`).",
    },
    Explain {
        code: "data::row",
        text: "A row to be predicted does not fit the table that the model was trained on: it names a column that was not there, \
               or has a value that is neither number, text, boolean nor null.",
    },
    Explain {
        code: "data::target",
        text: "A CSV dataset needs `target:`, the name of a column in its header: what the model is to predict. With the loss `mse` \
               every target must be a number.",
    },
    Explain {
        code: "data::shape",
        text: "Images are decoded to `input.shape`: [channels, height, width] with 1 channel (grey) or 3 (RGB). IDX files have the \
               shape that stands in their header and are not resized.",
    },
    Explain {
        code: "data::split",
        text: "`split:` divides a dataset by shares: `val` and `test` are numbers from 0 to below 1, and together they must leave \
               examples to train on.",
    },
    Explain {
        code: "data::not-added",
        text: "The command needs a version of the dataset, and there is none: no `.mlp` pointer lies beside the data. \
               `mlp data add NAME` stores the data and writes the pointer.",
    },
    Explain {
        code: "data::modified",
        text: "The data on disk are not those that the `.mlp` pointer names, so that a result could not be traced to a version. \
               `mlp data status NAME` shows what changed; `mlp data add NAME` makes it the new version, \
               `mlp data checkout NAME --force` brings the old one back.",
    },
    Explain {
        code: "data::missing",
        text: "A pointer names a version of the dataset, but the data are not on disk. `mlp data checkout NAME` takes them from the \
               local store, `mlp data pull NAME` gets them from the remote first.",
    },
    Explain {
        code: "data::absent",
        text: "`mlp data add` found nothing at the dataset's path. Put the data there, correct `path` in mlp.yaml, or let \
               `mlp data download NAME` get what `source:` names.",
    },
    Explain {
        code: "data::partial",
        text: "A folder is added as a whole: what is not in it is not in the new version. Here that would drop files which this clone \
               never had, most likely by mistake, because only some were fetched. Paths inside a dataset can be added and removed \
               without having the rest (`mlp data add PATH`, `mlp data rm PATH`), and a sparse work tree (`mlp data sparse`) keeps what \
               it does not show.",
    },
    Explain {
        code: "data::place",
        text: "Only files and folders inside the repository can be added, and none that holds the repository itself or mlp.yaml: \
               the pointer must lie beside the data, where git sees it.",
    },
    Explain {
        code: "data::no-pointer",
        text: "The git revision is there, but the dataset's pointer is not in it: the dataset was added later, or lay elsewhere.",
    },
    Explain {
        code: "data::no-entry",
        text: "The version of the dataset has no file or folder of that name.",
    },
    Explain {
        code: "data::exists",
        text: "Something stands where a file or folder of a version is to be written. It is not replaced unless `--force` is given; then it \
               goes to the trash first, from where `mlp data trash restore` brings it back.",
    },
    Explain {
        code: "data::pointer",
        text: "A `.mlp` file is not a pointer that this version can use: broken YAML, a newer format, an entry whose name could leave \
               the folder, or an entry twice. Pointers are written by `mlp data add`; git holds earlier versions.",
    },
    Explain {
        code: "data::conflict",
        text: "Two branches changed the same entry of a dataset, and git left conflict markers in the pointer. `mlp merge` \
               merges the two versions file by file and asks only about files that both sides changed; \
               `mlp hook install` has git do so by itself.",
    },
    Explain {
        code: "data::origin",
        text: "`mlp data import` takes a file from an http(s) URL, all objects below the URL of a bucket or folder, or with `--repo` a \
               dataset of another project, from the first of its `stores:`. The message says what stands in the way.",
    },
    Explain {
        code: "data::unfetched",
        text: "`mlp import dvc` wrote a pointer that names the data by DVC's own ids; their bytes are still where DVC keeps them. \
               `mlp data pull NAME` (or `fetch`, `checkout`, `get`) fetches and checks them, stores them and writes an ordinary pointer, \
               which you then commit.",
    },
    Explain {
        code: "data::not-there",
        text: "A version of another tool needs an object that is neither in that tool's cache in this clone nor in the place that \
               `imports:` in mlp.yaml names. It may never have been pushed: ask whoever made the version, or look with that tool \
               (`dvc status --cloud`, `git lfs fsck`).",
    },
    Explain {
        code: "data::source",
        text: "An entry of `source:` has either `url` (http or https) or `digits`; `sha256` is 64 hexadecimal digits, and `file` a \
               path below the dataset's folder. A URL that ends with `/` needs `file`.",
    },
    Explain {
        code: "data::download",
        text: "A server did not give the file: it cannot be reached, answered with an error, or broke off several times in a row. \
               What has arrived is kept as `.mlptmp.<name>.part`; with a `sha256` the next attempt goes on from there.",
    },
    Explain {
        code: "data::wrong-hash",
        text: "A download is complete, but its SHA-256 is not the one in mlp.yaml: the file changed on the server, something between \
               altered it, or the number in mlp.yaml is wrong. It did not get its name; the message says where it was put.",
    },
    Explain {
        code: "data::differs",
        text: "A file of the dataset is there already, and its SHA-256 is not the one that its source says. It is not replaced \
               unless `--force` is given.",
    },
];

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
