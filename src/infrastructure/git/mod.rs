//! What mlp asks of git: commit, dirty tree, files of the work tree, files at a revision. By libgit2, without network.

mod commit;
mod error;
mod history;
mod repo;
mod worktree;

#[cfg(test)]
mod tests;

pub use error::{EXPLAIN as GIT_EXPLAIN, GitError};
pub use repo::{Repo, Trust};
