//! What mlp asks of git: commit, dirty tree, files of the work tree, files at a revision.

mod repo;

pub use repo::{GitError, Repo, Trust};
