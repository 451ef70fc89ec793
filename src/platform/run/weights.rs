//! What a training begins with: `train.init` of a model, found and kept in the store.

use std::path::Path;

use super::graph::normal;
use super::work::WeightsWork;
use super::{RunError, Workspace};
use crate::base::{Digest, Name, Sink};
use crate::infrastructure::store::worktree::snapshot;
use crate::infrastructure::store::{Local, NodeKind, Stored};
use crate::platform::data::Pointer;
use crate::platform::train::{Init, Origin, TrainError};

/// The file of a model's tree that holds its tensors.
pub(super) const TENSORS: &str = "model.safetensors";

/// Tensors to begin with, at hand in the local store.
#[derive(Clone, Debug)]
pub struct Weights {
    /// What the plan calls them: `digits@3`, `weights/base.safetensors`.
    pub name: String,
    /// The tree of the model version, or the file.
    pub id: Digest,
    file: Stored,
}

impl Weights {
    /// The safetensors file at `path` of the project, for the model `model`; it goes into the store, so that the run rests on
    /// what it was now.
    ///
    /// # Errors
    /// [`RunError::Weights`] if it lies outside the project or is not there.
    pub fn of_file(
        workspace: &Workspace<'_>,
        model: &Name,
        path: &str,
        sink: &dyn Sink,
    ) -> Result<Self, RunError> {
        let fail = |detail: &str, hint: String| RunError::Weights {
            from: path.escape_debug().to_string(),
            detail: detail.to_owned(),
            hint,
        };
        let name = normal(model, path).map_err(|_| {
            fail(
                "it does not lie inside the project",
                "give a path relative to `mlp.yaml`, without `..`".into(),
            )
        })?;
        let place = workspace.root.join(&name);
        if !place.is_file() {
            let hint = match pointed(workspace.root, &name) {
                Some(data) => format!("`mlp data pull {data}` brings it"),
                None => format!(
                    "put it there; `mlp data add {name}` and `mlp data push` share it with other clones, which then \
                     `mlp data pull {name}`"
                ),
            };
            return Err(fail("there is no such file here", hint));
        }
        let root = snapshot(&place, workspace.store, Some(&workspace.cache()), sink)?.root;
        if !matches!(root.kind, NodeKind::File | NodeKind::Executable) {
            return Err(fail("it is a link", "name the file that it leads to".into()));
        }
        Ok(Self { name, id: root.id, file: Stored::from(&root) })
    }

    /// The tensors of a model version whose files are the tree `tree` of the store; `name` is `digits@3`.
    ///
    /// # Errors
    /// [`RunError::Weights`] if the model does not keep its tensors as mlp does.
    pub fn of_version(store: &Local, name: String, tree: Digest) -> Result<Self, RunError> {
        match store.find(&tree, TENSORS)? {
            Some(file) => Ok(Self { name, id: tree, file: Stored::from(&file) }),
            None => Err(RunError::Weights {
                from: name,
                detail: format!("it has no file `{TENSORS}`"),
                hint: "name a version of a model that mlp trained, or a safetensors file".into(),
            }),
        }
    }

    /// The tensors that a run began with, from its record: `name` is `digits@3` or the path of a file, `id` its content.
    pub(super) fn recorded(store: &Local, init: &Init, id: Digest) -> Result<Self, RunError> {
        let name = init.from.clone();
        match init.is_file() {
            true => Ok(Self { name, id, file: Stored::from(&store.root_node(&id)?) }),
            false => Self::of_version(store, name, id),
        }
    }

    pub(super) fn work(&self) -> WeightsWork {
        WeightsWork { name: self.name.clone(), file: self.file.clone() }
    }
}

/// The dataset or path with a pointer that `path` is or lies in.
fn pointed(root: &Path, path: &str) -> Option<String> {
    let above = Path::new(path).ancestors().filter(|path| !path.as_os_str().is_empty());
    let mut pointed = above.filter(|path| Pointer::beside(&root.join(path)).is_file());
    pointed.next().map(|path| path.display().to_string())
}

impl WeightsWork {
    /// Calls `train` with the tensors, which are read from `store` if it asks for them.
    pub(super) fn with<T>(&self, store: &Local, train: impl FnOnce(&Origin<'_>) -> T) -> T {
        let read = || {
            store.read(&self.file.id).map_err(|error| TrainError::Init {
                from: self.name.clone(),
                detail: format!("the local store does not give it: {error}"),
            })
        };
        train(&Origin { name: &self.name, digest: self.file.id, read: &read })
    }
}
