//! Where runs happen: one work tree with its store and job folders.

use std::path::{Path, PathBuf};

use super::RunError;
use crate::base::{Digest, GitState};
use crate::hardware::{device_line, facts};
use crate::infrastructure::compute::{Hello, LocalExecutor};
use crate::infrastructure::git::Repo;
use crate::infrastructure::store::Local;
use crate::infrastructure::store::worktree::StatCache;

/// One work tree with its store and job folders.
pub struct Workspace<'a> {
    /// The git repository.
    pub repo: &'a Repo,
    /// The local store.
    pub store: &'a Local,
    /// Folder of `mlp.yaml`.
    pub root: &'a Path,
    /// The host that runs are planned for; this machine if there is none.
    pub on: Option<&'a Hello>,
}

impl Workspace<'_> {
    /// The executor of this machine.
    pub fn executor(&self) -> LocalExecutor {
        LocalExecutor::new(self.jobs())
    }

    pub(super) fn jobs(&self) -> PathBuf {
        self.repo.state_dir().join("jobs")
    }

    pub(super) fn cache(&self) -> StatCache {
        StatCache { path: self.repo.index_path() }
    }

    /// Digest of this executable, kept in the state folder between commands.
    pub fn binary(&self) -> Result<Digest, RunError> {
        facts::binary(&self.repo.state_dir().join("binary"))
            .map_err(RunError::io("read", "the mlp executable"))
    }

    /// Digest of the executable that a run is planned for.
    pub(super) fn worker(&self) -> Result<Digest, RunError> {
        self.on.map_or_else(|| self.binary(), |host| Ok(host.binary))
    }

    /// What trainings of this build run on: instruction sets, and accelerators, differ in rounding.
    pub(super) fn device(&self) -> String {
        self.on.map_or_else(device_line, |host| host.device.clone())
    }

    /// Whether trainings there compute on GPUs.
    pub fn drives_gpus(&self) -> bool {
        !self.device().starts_with("cpu")
    }

    pub(super) fn git(&self) -> Result<GitState, RunError> {
        Ok(self.repo.state()?)
    }
}

/// The command line `mlp agent VERB JOBDIR` of the executable that supervises the job.
pub(super) fn agent(verb: &str) -> Vec<String> {
    ["{mlp}", "agent", verb, "{job}"].map(str::to_owned).to_vec()
}
