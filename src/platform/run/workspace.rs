//! Where runs happen: one work tree with its store and job folders.

use std::path::{Path, PathBuf};

use super::RunError;
use crate::base::{Digest, GitState};
use crate::hardware::{Device, describe_cpu, facts};
use crate::infrastructure::compute::LocalExecutor;
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

    /// What trainings of this build run on: instruction sets, and accelerators, differ in rounding.
    pub(super) fn device(&self) -> String {
        match Device::auto().0 {
            Device::Cpu => format!("cpu {}", describe_cpu()),
            accelerator => accelerator.to_string(),
        }
    }

    pub(super) fn git(&self) -> Result<GitState, RunError> {
        Ok(self.repo.state()?)
    }
}

/// The command line `mlp agent VERB JOBDIR` of this executable.
pub(super) fn agent(verb: &str) -> Result<Vec<String>, RunError> {
    let program = std::env::current_exe().map_err(RunError::io("find", "the mlp executable"))?;
    Ok(vec![program.to_string_lossy().into_owned(), "agent".into(), verb.into(), "{job}".into()])
}
