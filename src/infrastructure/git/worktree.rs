//! What the work tree looks like beside the last commit.

use std::path::Path;

use git2::{Repository, Status, StatusOptions};

use super::{GitError, Repo};
use crate::base::{Digest, GitState, Hasher};

impl Repo {
    /// Commit, branch and digest of uncommitted changes (tracked and untracked files that git does not ignore).
    ///
    /// The digest covers path, kind (file, executable, link, missing) and content of every file that differs from the
    /// commit in the index or in the work tree. It speaks of the work tree alone: `git add` does not change it.
    pub fn state(&self) -> Result<GitState, GitError> {
        let repository = self.open()?;
        let head = repository.head().ok();
        let commit =
            head.as_ref().and_then(|head| head.peel_to_commit().ok()).map(|commit| commit.id().to_string());
        let branch = head
            .filter(git2::Reference::is_branch)
            .and_then(|head| head.shorthand().ok().map(str::to_owned))
            .or_else(|| unborn_branch(&repository));
        let changed = changed(&repository)?;
        let dirty = if changed.is_empty() { None } else { Some(self.digest(&changed)?) };
        Ok(GitState { commit, branch, dirty })
    }

    /// Paths of uncommitted changes, relative to the root, sorted.
    pub fn changes(&self) -> Result<Vec<String>, GitError> {
        let changed = changed(&self.open()?)?;
        Ok(changed.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    /// Files git tracks or would add (`ls-files -co --exclude-standard`) and that are there, relative to the root, sorted.
    pub fn files(&self) -> Result<Vec<String>, GitError> {
        let repository = self.open()?;
        let untracked = statuses(&repository, |status| status.contains(Status::WT_NEW))?;
        let tracked = repository.index()?.iter().map(|entry| entry.path).collect::<Vec<_>>();
        let mut files: Vec<String> = tracked
            .into_iter()
            .chain(untracked)
            .filter(|path| {
                let there = self.root.join(os_path(path)).symlink_metadata();
                there.is_ok_and(|found| !found.is_dir())
            })
            .map(|path| String::from_utf8_lossy(&path).into_owned())
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Files of the index and the ids of their blobs, without submodules.
    pub fn tracked(&self) -> Result<Vec<(String, String)>, GitError> {
        const SUBMODULE: u32 = 0o160_000;
        let index = self.open()?.index()?;
        let files = index.iter().filter(|entry| entry.mode != SUBMODULE);
        Ok(files
            .map(|entry| (String::from_utf8_lossy(&entry.path).into_owned(), entry.id.to_string()))
            .collect())
    }

    /// The bytes of a blob by its id.
    pub fn blob(&self, id: &str) -> Result<Vec<u8>, GitError> {
        Ok(self.open()?.find_blob(git2::Oid::from_str(id)?)?.content().to_owned())
    }

    /// Whether git ignores `path` (relative to the root).
    pub fn ignores(&self, path: &Path) -> Result<bool, GitError> {
        Ok(self.open()?.is_path_ignored(path)?)
    }

    fn digest(&self, paths: &[Vec<u8>]) -> Result<Digest, GitError> {
        let mut hasher = Hasher::new();
        for path in paths {
            let (kind, content) = self.describe(path)?;
            hasher.update(&(path.len() as u64).to_le_bytes()).update(path).update(&[kind]);
            hasher.update(content.as_bytes());
        }
        Ok(Digest::derive("mlp git dirty tree 1", hasher.finish().as_bytes()))
    }

    /// Kind and content digest of one path as it is in the work tree.
    fn describe(&self, path: &[u8]) -> Result<(u8, Digest), GitError> {
        let path = self.root.join(os_path(path));
        let read = |source| GitError::Read { path: path.clone(), source };
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((b'-', Digest::of(b""))),
            Err(error) => return Err(read(error)),
        };
        if metadata.is_symlink() {
            let target = std::fs::read_link(&path).map_err(read)?;
            return Ok((b'l', Digest::of(target.as_os_str().as_encoded_bytes())));
        }
        if metadata.is_dir() {
            // A repository inside the repository: its commit is its content.
            let commit = Repository::open(&path)
                .and_then(|inner| inner.head()?.peel_to_commit().map(|commit| commit.id().to_string()));
            return Ok((b'r', Digest::of(commit.unwrap_or_default().as_bytes())));
        }
        if !metadata.is_file() {
            return Ok((b'?', Digest::of(b"")));
        }
        let mut hasher = Hasher::new();
        let mut file = std::fs::File::open(&path).map_err(read)?;
        std::io::copy(&mut file, &mut hasher).map_err(read)?;
        Ok((if executable(&metadata) { b'x' } else { b'f' }, hasher.finish()))
    }
}

#[cfg(unix)]
fn executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn executable(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn os_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn os_path(bytes: &[u8]) -> std::path::PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

fn unborn_branch(repository: &Repository) -> Option<String> {
    let head = repository.find_reference("HEAD").ok()?;
    let target = head.symbolic_target().ok().flatten()?;
    target.strip_prefix("refs/heads/").map(str::to_owned)
}

fn changed(repository: &Repository) -> Result<Vec<Vec<u8>>, GitError> {
    statuses(repository, |status| status != Status::CURRENT && !status.contains(Status::IGNORED))
}

fn statuses(repository: &Repository, keep: impl Fn(Status) -> bool) -> Result<Vec<Vec<u8>>, GitError> {
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .include_ignored(false)
        .renames_head_to_index(false)
        .renames_index_to_workdir(false)
        .update_index(false);
    let found = repository.statuses(Some(&mut options))?;
    let mut paths: Vec<Vec<u8>> = found
        .iter()
        .filter(|entry| keep(entry.status()))
        .map(|entry| entry.path_bytes().to_owned())
        .collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}
