//! What git holds of a dataset: `data/mnist.mlp`, a small YAML file beside the data.

use std::path::{Path, PathBuf};

use super::DataError;
use crate::base::Digest;
use crate::infrastructure::store::{Local, Node, Tree};

/// The pointer of one tracked folder or file.
#[derive(Clone, Debug, PartialEq)]
pub struct Pointer {}

impl Pointer {
    /// Where the pointer of `path` lies: `data/mnist` -> `data/mnist.mlp`.
    pub fn beside(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".mlp");
        PathBuf::from(name)
    }

    /// The pointer of `root`; `tree` is the root directory (none for a file).
    pub fn new(root: &Node, tree: Option<&Tree>) -> Self {
        let _ = (root, tree);
        todo!()
    }

    /// Reads the pointer file at `path`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let _ = path;
        todo!()
    }

    /// Reads a pointer from its text; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, DataError> {
        let _ = (text, path);
        todo!()
    }

    /// Writes the pointer file at `path`, atomically.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let _ = path;
        todo!()
    }

    /// The root that the pointer names. After a merge of two pointers no directory with just these children may be in the
    /// store yet: then it is put there.
    pub fn root(&self, store: &Local) -> Result<Node, DataError> {
        let _ = store;
        todo!()
    }

    /// The ids that the pointer's lines name (of its children, or its one id): what a clone without the data asks a remote
    /// for; with these in the store [`Pointer::root`] works.
    pub fn ids(&self) -> Vec<Digest> {
        todo!()
    }
}
