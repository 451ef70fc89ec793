//! Opening a project: read, resolve once, pass resolved values on.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::Manifest;
use crate::base::{Diagnose, Exit, Name};
use crate::infrastructure::git::Repo;
use crate::infrastructure::store::{LedgerHome, Local};
use crate::platform::model::StageSpec;

/// An opened project.
pub struct Project {
    /// The git repository.
    pub repo: Repo,
    /// Folder of `mlp.yaml`; paths in it are relative to this.
    pub root: PathBuf,
    /// `mlp.yaml` of the work tree, checked: every reference in it exists.
    pub manifest: Manifest,
    /// The local store.
    pub store: Local,
}

/// What can go wrong with the project file.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No `mlp.yaml` here or above.
    #[error("no `mlp.yaml` in `{0}` or above it")]
    NoProject(PathBuf),
}

impl Diagnose for ProjectError {
    fn code(&self) -> &'static str {
        "project::none"
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Project {
    /// The project that `dir` lies in.
    pub fn open(dir: &Path) -> Result<Self, crate::base::Failure> {
        let _ = dir;
        todo!()
    }

    /// Stages in order with all their gates: those of the profile and those of the manifest.
    /// Judgements use [`Project::trusted`]'s, never the work tree's.
    pub fn stages(manifest: &Manifest) -> IndexMap<Name, StageSpec> {
        let _ = manifest;
        todo!()
    }

    /// `mlp.yaml` and the signers as they stand on the trust branch.
    pub fn trusted(&self) -> Result<(Manifest, crate::infrastructure::keys::Signers), crate::base::Failure> {
        todo!()
    }

    /// Where this project's ledgers live: its first store, or the local store.
    pub fn ledger_home(&self) -> Result<LedgerHome, crate::base::Failure> {
        todo!()
    }
}
