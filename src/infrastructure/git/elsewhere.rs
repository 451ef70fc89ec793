//! Another repository, looked at and not worked in.

use std::path::Path;
use std::process::{Command, Stdio};

use git2::{ErrorCode, Oid, Repository};
use tempfile::TempDir;

use super::{GitError, command};

/// A copy of another repository that lasts as long as this value.
pub struct Elsewhere {
    repository: Repository,
    _folder: TempDir,
}

impl Elsewhere {
    /// Copies the repository at `url` (whatever `git clone` takes) into a new folder in `scratch`: its whole history if `whole`, else
    /// the newest commit of its default branch.
    pub fn copy(url: &str, whole: bool, scratch: &Path) -> Result<Self, GitError> {
        let failed = |source: std::io::Error| GitError::Git(source.to_string());
        std::fs::create_dir_all(scratch).map_err(failed)?;
        let folder = TempDir::new_in(scratch).map_err(failed)?;
        let mut git = Command::new("git");
        // A URL must not run a program of its own choice.
        git.args(["-c", "protocol.ext.allow=never", "clone", "--quiet", "--bare"]);
        if !whole {
            git.args(["--depth", "1"]);
        }
        git.arg("--").arg(url).arg(folder.path()).stdin(Stdio::null());
        git.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"] {
            git.env_remove(variable);
        }
        let output = git.output().map_err(|source| GitError::NoProgram(source.to_string()))?;
        if !output.status.success() {
            return Err(GitError::Git(command::words(&output)));
        }
        Ok(Self { repository: Repository::open_bare(folder.path())?, _folder: folder })
    }

    /// The commit that `rev` names, or that of the default branch.
    pub fn commit(&self, rev: Option<&str>) -> Result<String, GitError> {
        let found = self.repository.revparse_single(rev.unwrap_or("HEAD"))?;
        Ok(found.peel_to_commit()?.id().to_string())
    }

    /// The bytes of `path` at a commit, or none if it has no such file.
    pub fn file_at(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let tree = self.repository.find_commit(Oid::from_str(commit)?)?.tree()?;
        let entry = match tree.get_path(Path::new(path)) {
            Ok(entry) => entry,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(entry.to_object(&self.repository)?.as_blob().map(|blob| blob.content().to_owned()))
    }
}
