//! One git repository and its work tree.

use std::path::{Path, PathBuf};

use crate::base::{Diagnose, Exit, GitState};

/// A git repository with a work tree.
pub struct Repo {
    root: PathBuf,
}

/// Where gates, roles and signers are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The revision: `origin/main`, or `main` where there is no remote.
    pub rev: String,
    /// Whether it is only the local branch, because there is no remote.
    pub local_only: bool,
}

/// What can go wrong with git.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Not inside a repository.
    #[error("`{0}` is not inside a git repository")]
    NotARepository(PathBuf),
    /// libgit2 failed.
    #[error("git: {0}")]
    Git(String),
}

impl Diagnose for GitError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotARepository(_) => "git::not-a-repository",
            Self::Git(_) => "git::failed",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotARepository(_) => Exit::Usage,
            Self::Git(_) => Exit::World,
        }
    }
}

impl Repo {
    /// The repository that `dir` lies in.
    pub fn discover(dir: &Path) -> Result<Self, GitError> {
        let _ = dir;
        todo!()
    }

    /// Makes a repository in `dir` (branch `main`), or opens the one that is there.
    pub fn init(dir: &Path) -> Result<Self, GitError> {
        let _ = dir;
        todo!()
    }

    /// Root of the work tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `<git common dir>/mlp`: store, jobs, spool, tmp, trash; shared by all work trees, out of reach of `git clean`.
    pub fn state_dir(&self) -> PathBuf {
        todo!()
    }

    /// `<work tree's git dir>/mlp/index`: the stat cache of this work tree.
    pub fn index_path(&self) -> PathBuf {
        todo!()
    }

    /// Commit, branch and digest of uncommitted changes (tracked and untracked files that git does not ignore).
    pub fn state(&self) -> Result<GitState, GitError> {
        todo!()
    }

    /// `Name <email>` from git's configuration; `unknown <unknown@HOST>` if none is set.
    pub fn author(&self) -> String {
        todo!()
    }

    /// Paths of uncommitted changes, relative to the root, sorted.
    pub fn changes(&self) -> Result<Vec<String>, GitError> {
        todo!()
    }

    /// Files git tracks or would add (`ls-files -co --exclude-standard`), relative to the root, sorted.
    pub fn files(&self) -> Result<Vec<String>, GitError> {
        todo!()
    }

    /// Where trust is read from: `origin/<branch>`, or the local branch where there is no remote.
    pub fn trust(&self, branch: &str) -> Result<Trust, GitError> {
        let _ = branch;
        todo!()
    }

    /// The bytes of `path` at `rev`, or none if the revision has no such file.
    pub fn file_at(&self, rev: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let _ = (rev, path);
        todo!()
    }
}
