//! Which parts of which datasets a work tree holds: `<work tree's git dir>/mlp/sparse.json`.
//!
//! ```json
//! {"schema": "mlp/sparse/1", "datasets": {"data/mnist": ["/train/"]}}
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::{StoreError, files};
use super::Sparse;

const SCHEMA: &str = "mlp/sparse/1";

/// The file, read when something is asked.
pub struct SparseFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Content {
    schema: String,
    /// Patterns by the path of the data, relative to the root of the repository.
    datasets: BTreeMap<String, Vec<String>>,
}

impl SparseFile {
    /// The file at `path`, which need not be there.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The patterns of the data at `path` (relative to the root of the repository); none if all of them are wanted.
    pub fn get(&self, path: &str) -> Result<Option<Sparse>, StoreError> {
        self.read()?.datasets.get(path).map(|patterns| Sparse::new(patterns)).transpose()
    }

    /// Writes down the patterns of the data at `path`, or that all of them are wanted.
    pub fn set(&self, path: &str, patterns: Option<&Sparse>) -> Result<(), StoreError> {
        let mut content = self.read()?;
        match patterns {
            Some(sparse) => drop(content.datasets.insert(path.to_owned(), sparse.patterns().to_vec())),
            None => drop(content.datasets.remove(path)),
        }
        let text = serde_json::to_vec_pretty(&content)
            .map_err(|error| StoreError::io("write", &self.path)(error.into()))?;
        files::replace(&self.path, &text)?;
        files::sync_dir(&files::parent(&self.path))
    }

    fn read(&self) -> Result<Content, StoreError> {
        let Some(bytes) = files::read_if_there(&self.path)? else {
            return Ok(Content { schema: SCHEMA.to_owned(), datasets: BTreeMap::new() });
        };
        let damaged = |detail: String| StoreError::damaged(format!("`{}`", self.path.display()), detail);
        let content: Content = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if content.schema != SCHEMA {
            return Err(damaged(format!("its schema is `{}`", content.schema.escape_debug())));
        }
        Ok(content)
    }
}
