//! What can go wrong with git.

use std::path::PathBuf;

use crate::base::{Diagnose, Exit, Explain};

/// What can go wrong with git.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Not inside a repository.
    #[error("`{0}` is not inside a git repository")]
    NotARepository(PathBuf),
    /// A repository without a work tree.
    #[error("`{0}` is a bare git repository: it has no work tree")]
    Bare(PathBuf),
    /// The trust branch does not exist.
    #[error("the trust branch `{name}` does not exist: {why}")]
    NoTrustBranch {
        /// `origin/main` or `main`.
        name: String,
        /// What is there instead.
        why: String,
        /// The git commands that make it.
        fix: String,
    },
    /// A file of the work tree cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A clone that does not know all commits cannot tell what nobody needs.
    #[error("this clone does not know all that others may need: {0}")]
    Partial(String),
    /// The system's git failed.
    #[error("git {action}: {detail}")]
    Program {
        /// Its command.
        action: &'static str,
        /// What it said.
        detail: String,
    },
    /// A file of the git directory cannot be written.
    #[error("cannot write `{path}`: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no other repository to work with, or several and none is meant.
    #[error("this clone has no git remote to keep ledgers in")]
    NoRemote,
    /// Another repository did not answer, or refused.
    #[error("cannot {action} the git remote `{remote}`: {detail}")]
    Network {
        /// What was tried: `fetch from`, `push to`.
        action: &'static str,
        /// The git remote.
        remote: String,
        /// What git said.
        detail: String,
    },
    /// The program `git` cannot be started.
    #[error("cannot start `git`: {0}")]
    NoProgram(String),
    /// Git knows no such revision.
    #[error("git knows no revision `{0}` here")]
    NoRevision(String),
    /// A tag is on another commit than it should be.
    #[error("the tag `{0}` is on another commit")]
    TagTaken(String),
    /// libgit2 failed.
    #[error("git: {0}")]
    Git(String),
}

/// The long explanations of this module's errors.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "git::not-a-repository",
        text: "mlp keeps its state in the git directory and reads decisions from commits, so that a project must lie \
               in a git repository. `git init -b main` makes one in an existing folder; `mlp init NAME` makes a \
               project with one.",
    },
    Explain {
        code: "git::bare",
        text: "A bare repository has no files to work on. Clone it (`git clone PATH`) and work in the clone.",
    },
    Explain {
        code: "git::no-trust-branch",
        text: "Gates, roles and signers are read from the branch named by `trust: {branch: …}` in mlp.yaml (`main` if \
               nothing is said): from its copy on the remote `origin` where there is one, else from the local branch. \
               That branch has no commit yet, or has another name. Commit and push it, or name the right branch.",
    },
    Explain {
        code: "git::read",
        text: "A file of the work tree that belongs to the code could not be read. Check its permissions.",
    },
    Explain {
        code: "git::partial-history",
        text: "A version of a dataset may be given up when no commit of any branch names it. A shallow clone, or one that has not \
               fetched the newest branches, cannot know that. `git fetch --all --unshallow` makes it whole.",
    },
    Explain {
        code: "git::program",
        text: "What talks to a git remote runs the system's `git`, which knows your credentials. It is not installed, or the \
               remote did not answer or refused. The message is git's own; the same command by hand shows more.",
    },
    Explain {
        code: "git::write",
        text: "A hook could not be written into the git directory, or removed from it. Check the owner and mode of the \
               folder.",
    },
    Explain {
        code: "git::no-remote",
        text: "`ledger: git` in mlp.yaml keeps ledgers in refs of a shared git repository: that of the current branch's \
               remote, else `origin`, else the only remote. This clone has none of these. `git remote add origin URL` \
               names one; without a shared repository put a store that can hold ledgers first in `stores:`.",
    },
    Explain {
        code: "git::network",
        text: "Git's own program could not reach the shared repository, or was refused there. What it said stands in the \
               message; `git ls-remote` shows whether the repository answers, and whether you may read it. Ledgers in \
               git need the right to push to refs below `refs/mlp/`.",
    },
    Explain {
        code: "git::no-program",
        text: "What talks to another repository is done by git's own program, so that your credentials and SSH settings \
               count. It is not installed, or not in the PATH.",
    },
    Explain {
        code: "git::no-revision",
        text: "A revision is a commit, branch or tag, or what git makes of `HEAD~1` and its like. This clone has none of that name: \
               it is misspelled, not fetched yet, or older than a shallow clone goes. In `NAME/PATH@REV` the last `@` begins the \
               revision; a path that has one itself needs a revision behind it.",
    },
    Explain {
        code: "git::tag-taken",
        text: "`--tag` mirrors what the ledger says into git tags, and a tag of that name is there already, on another commit: \
               somebody made it by hand, or for another ledger. Tags are never moved. `git tag -d NAME` removes the one of this \
               clone, `git push origin :refs/tags/NAME` the shared one.",
    },
    Explain {
        code: "git::failed",
        text: "libgit2 could not do what was asked. If the repository belongs to another user, run `git config \
               --global --add safe.directory PATH`; if it is damaged, `git fsck` tells.",
    },
];

impl From<git2::Error> for GitError {
    fn from(error: git2::Error) -> Self {
        Self::Git(error.message().trim_end().to_lowercase())
    }
}

impl Diagnose for GitError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotARepository(_) => "git::not-a-repository",
            Self::Bare(_) => "git::bare",
            Self::NoTrustBranch { .. } => "git::no-trust-branch",
            Self::Read { .. } => "git::read",
            Self::Partial(_) => "git::partial-history",
            Self::Program { .. } => "git::program",
            Self::Write { .. } => "git::write",
            Self::NoRevision(_) => "git::no-revision",
            Self::NoRemote => "git::no-remote",
            Self::Network { .. } => "git::network",
            Self::NoProgram(_) => "git::no-program",
            Self::TagTaken(_) => "git::tag-taken",
            Self::Git(_) => "git::failed",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotARepository(_)
            | Self::Bare(_)
            | Self::NoTrustBranch { .. }
            | Self::NoRemote
            | Self::TagTaken(_)
            | Self::NoRevision(_) => Exit::Usage,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Partial(_)
            | Self::Program { .. }
            | Self::NoProgram(_)
            | Self::Network { .. }
            | Self::Git(_) => Exit::World,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotARepository(_) => Some(
                "make a project with `mlp init NAME`, or a repository here with `git init -b main`".into(),
            ),
            Self::Bare(_) => Some("clone it and work in the clone".into()),
            Self::NoTrustBranch { fix, .. } => Some(fix.clone()),
            Self::Read { .. } => Some("check its permissions, or have git ignore it".into()),
            Self::Partial(_) => Some("run it again after that".into()),
            Self::Program { action, .. } => Some(format!("`git {action}` by hand shows more")),
            Self::Write { .. } => Some("check the owner and mode of the folder".into()),
            Self::NoRemote => Some(
                "name one with `git remote add origin URL`, or put a store that can hold ledgers first in `stores:`"
                    .into(),
            ),
            Self::Network { remote, .. } => {
                Some(format!("`git ls-remote {remote}` tells whether it answers; then try again"))
            }
            Self::NoRevision(_) => Some("`git log --oneline --all` lists the commits that are here".into()),
            Self::NoProgram(_) => Some("install git, or put it into the PATH".into()),
            Self::TagTaken(name) => Some(format!("`git show {name}` tells whose it is")),
            Self::Git(message) if message.contains("owner") => Some(
                "run `git config --global --add safe.directory PATH` if you trust this repository".into(),
            ),
            Self::Git(_) => Some("`git status` and `git fsck` may tell more".into()),
        }
    }
}
