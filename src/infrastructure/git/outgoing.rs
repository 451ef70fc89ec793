//! What a push is about to publish.

use std::collections::BTreeSet;

use git2::{DiffOptions, Oid, Repository, Revwalk};

use super::{GitError, Repo};

/// A file as a commit that is about to be pushed has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Relative to the root, `/`-separated.
    pub path: String,
    /// The newest of the commits that bring it, in hexadecimal.
    pub commit: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Repo {
    /// The files named `*SUFFIX` that the commits up to `local` change, as far as `remote` does not have them: those that
    /// are reachable from `known` (where the branch is there now), or from what this clone knows of `remote`. Each content
    /// of each path is given once. Only folders that a commit changed are looked into.
    pub fn outgoing(
        &self,
        local: &str,
        known: &str,
        remote: &str,
        suffix: &str,
    ) -> Result<Vec<Outgoing>, GitError> {
        let repository = self.open()?;
        let mut walk = repository.revwalk()?;
        walk.push(repository.find_object(Oid::from_str(local)?, None)?.peel_to_commit()?.id())?;
        if let Ok(known) = Oid::from_str(known)
            && repository.find_commit(known).is_ok()
        {
            walk.hide(known)?;
        }
        // A remote may be named by its URL, of which nothing is known.
        if repository.find_remote(remote).is_ok() {
            walk.hide_glob(&format!("refs/remotes/{remote}/*"))?;
        }
        brought(&repository, walk, suffix)
    }

    /// As [`Repo::outgoing`], for the commits of the current branch that no branch of any remote has.
    pub fn unpublished(&self, suffix: &str) -> Result<Vec<Outgoing>, GitError> {
        let repository = self.open()?;
        if repository.head().is_err() {
            return Ok(Vec::new());
        }
        let mut walk = repository.revwalk()?;
        walk.push_head()?;
        walk.hide_glob("refs/remotes/*")?;
        brought(&repository, walk, suffix)
    }

    /// Whether there is another repository to work with.
    pub fn has_remote(&self) -> Result<bool, GitError> {
        Ok(!self.open()?.remotes()?.is_empty())
    }
}

/// The files that some commits bring.
fn brought(repository: &Repository, walk: Revwalk<'_>, suffix: &str) -> Result<Vec<Outgoing>, GitError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for commit in walk {
        changed(repository, commit?, suffix, &mut |path, id, commit| {
            if seen.insert((path.to_owned(), id)) {
                let bytes = repository.find_blob(id)?.content().to_owned();
                found.push(Outgoing { path: path.to_owned(), commit: commit.to_string(), bytes });
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Tells the files in which `commit` differs from its first parent.
fn changed(
    repository: &Repository,
    commit: Oid,
    suffix: &str,
    tell: &mut dyn FnMut(&str, Oid, Oid) -> Result<(), GitError>,
) -> Result<(), GitError> {
    let found = repository.find_commit(commit)?;
    let tree = found.tree()?;
    let parent = found.parents().next().map(|parent| parent.tree()).transpose()?;
    let mut options = DiffOptions::new();
    options.pathspec(format!("*{suffix}")).ignore_submodules(true);
    let diff = repository.diff_tree_to_tree(parent.as_ref(), Some(&tree), Some(&mut options))?;
    for delta in diff.deltas() {
        let file = delta.new_file();
        let Some(path) = file.path_bytes().and_then(|path| std::str::from_utf8(path).ok()) else { continue };
        let is_file = matches!(file.mode(), git2::FileMode::Blob | git2::FileMode::BlobExecutable);
        if is_file && !file.id().is_zero() {
            tell(path, file.id(), commit)?;
        }
    }
    Ok(())
}
