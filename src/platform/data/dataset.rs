//! One dataset of `mlp.yaml`, its place on disk and its version.

use std::path::{Path, PathBuf};

use super::{
    DataError, DataSpec, Decoded, Fold, Format, Parts, Pointer, TableEncoding, TextEncoding, array_files,
    idx_folder, image_folder, table, text,
};
use crate::base::{Digest, Name, Sink};
use crate::infrastructure::store::worktree::{StatCache, identify};
use crate::infrastructure::store::{Local, Node, StoreError};

/// What is to be predicted of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetKind {
    /// Numbers if every target cell is a number and one of them is no whole number or there are over 100 different ones;
    /// classes otherwise.
    #[default]
    Auto,
    /// Classes, whatever the cells look like.
    Class,
    /// Numbers; a cell that is none is an error.
    Value,
}

/// One dataset.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name in `data:`.
    pub name: Name,
    /// The folder or file, absolute.
    pub path: PathBuf,
    /// As written.
    pub spec: DataSpec,
    /// What is to be predicted.
    pub target: TargetKind,
    /// How rows of a table become inputs, where that was learnt before; else it is learnt from the training part.
    pub encoding: Option<TableEncoding>,
    /// The folder whose file system holds inputs that do not fit into memory.
    pub scratch: PathBuf,
    /// How texts become inputs, where that was chosen before; else `spec` says it.
    pub text: Option<TextEncoding>,
    /// Where decoded images are kept between runs; not at all, where the version of what lies at `path` is not known.
    pub decoded: Option<Decoded>,
}

impl Dataset {
    /// The dataset `name` of the project in `project_root`.
    pub fn new(name: &Name, spec: &DataSpec, project_root: &Path) -> Self {
        Self {
            name: name.clone(),
            path: project_root.join(&spec.path),
            spec: spec.clone(),
            target: TargetKind::Auto,
            encoding: None,
            text: None,
            scratch: project_root.to_owned(),
            decoded: None,
        }
    }

    /// The same dataset with the kind of target that the loss of a model asks for: `Value` for MSE.
    pub fn predicting(mut self, target: TargetKind) -> Self {
        self.target = target;
        self
    }

    /// The same dataset, its rows encoded as when a model was trained: what another version of a table means to that model.
    pub fn encoded(mut self, encoding: TableEncoding) -> Self {
        self.encoding = Some(encoding);
        self
    }

    /// The same dataset, its texts encoded as when a model was trained.
    pub fn tokenized(mut self, text: TextEncoding) -> Self {
        self.text = Some(text);
        self
    }

    /// The same dataset with one of several folds for its validation part.
    pub fn folded(mut self, fold: Option<Fold>) -> Self {
        self.spec.split.fold = fold;
        self
    }

    /// Digest of the settings that decide which examples stand in which part, and what they look like: format, target and
    /// split, and of texts the column, the tokenizer and the length.
    pub fn settings(&self) -> Digest {
        // The split's numbers and the words of the format; JSON of a fixed shape is a canonical form for both.
        let spec = &self.spec;
        let mut settings = match spec.format {
            Format::Text => serde_json::json!([
                spec.format,
                spec.target,
                spec.split,
                spec.text,
                spec.tokenizer,
                spec.length
            ]),
            _ => serde_json::json!([spec.format, spec.target, spec.split]),
        };
        if let (Some(fold), Some(settings)) = (spec.split.fold, settings.as_array_mut()) {
            settings.push(serde_json::json!({ "fold": fold }));
        }
        Digest::derive("mlp data settings 1", settings.to_string().as_bytes())
    }

    /// The pointer beside the data: `data/mnist.mlp`.
    pub fn pointer(&self) -> PathBuf {
        Pointer::beside(&self.path)
    }

    /// Loads and divides the dataset. Images are resized to `shape` (`[channels, height, width]`).
    pub fn load(&self, shape: Option<&[usize]>, sink: &dyn Sink) -> Result<Parts, DataError> {
        self.spec.split.check(self.name.as_str())?;
        match self.spec.format {
            Format::Idx => idx_folder::load(self, shape, sink),
            Format::Images => image_folder::load(self, shape, sink),
            Format::Csv | Format::Parquet => table::load(self, sink),
            Format::Text => text::load(self, shape, sink),
            Format::Npy | Format::Safetensors => array_files::load(self, shape, sink),
        }
    }

    /// The root that the pointer names, provided that the data on disk are just that.
    ///
    /// Fails with `data::not-added` without a pointer, `data::missing` where nothing is checked out and `data::modified`
    /// where the data on disk differ.
    pub fn version(&self, cache: &StatCache, store: &Local, sink: &dyn Sink) -> Result<Node, DataError> {
        let name = || self.name.to_string();
        let pointer = self.pointer();
        if !pointer.exists() {
            return Err(DataError::NotAdded(name()));
        }
        let root = Pointer::read(&pointer)?.root(store)?;
        let now = match identify(&self.path, cache, sink) {
            Err(StoreError::Absent(_)) => return Err(DataError::Missing(name())),
            now => now?.root,
        };
        if (now.kind, now.id) != (root.kind, root.id) {
            return Err(DataError::Modified(name()));
        }
        Ok(root)
    }
}
