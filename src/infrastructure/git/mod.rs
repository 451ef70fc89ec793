//! What mlp asks of git: commit, dirty tree, files of the work tree, files at a revision. By libgit2, which
//! has no network here; what talks to another repository is git's own program.

mod chain;
mod command;
mod commit;
mod conflicts;
mod elsewhere;
mod error;
mod history;
mod hooks;
mod outgoing;
mod repo;
mod tag;
mod worktree;

#[cfg(test)]
mod tests;

pub use conflicts::Conflicted;
pub use elsewhere::Elsewhere;
pub use error::{EXPLAIN as GIT_EXPLAIN, GitError};
pub use hooks::Hook;
pub use outgoing::Outgoing;
pub use repo::{Repo, Trust, is_branch};
