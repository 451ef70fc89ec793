//! Hooks and the local configuration of a clone.

use std::fs;
use std::path::{Path, PathBuf};

use super::{GitError, Repo};

/// A hook of a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// There is none.
    Absent,
    /// It is ours: it can be replaced and removed.
    Ours,
    /// It is the user's, and runs ours.
    Chained,
    /// It is the user's, and does not run ours.
    Foreign,
}

impl Repo {
    /// Where git looks for the hook `name`, and whether another tool or the user has put that folder there
    /// (`core.hooksPath`): then nothing is written into it.
    pub fn hook_path(&self, name: &str) -> (PathBuf, bool) {
        match self.config("core.hooksPath") {
            Some(folder) => (self.root.join(folder).join(name), true),
            None => (self.common_dir.join("hooks").join(name), false),
        }
    }

    /// Whose the hook `name` is. Ours holds the line `mark`; one that holds the words `call` runs ours.
    pub fn hook(&self, name: &str, mark: &str, call: &str) -> Result<Hook, GitError> {
        let (path, _) = self.hook_path(name);
        Ok(match fs::read(&path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                match (text.lines().any(|line| line == mark), text.contains(call)) {
                    (true, _) => Hook::Ours,
                    (false, true) => Hook::Chained,
                    _ => Hook::Foreign,
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Hook::Absent,
            Err(source) => return Err(GitError::Read { path, source }),
        })
    }

    /// Writes the hook `name`, executable, whole or not at all.
    pub fn write_hook(&self, name: &str, text: &str) -> Result<(), GitError> {
        let (path, _) = self.hook_path(name);
        write(&path, text).map_err(|source| GitError::Write { path, source })
    }

    /// Removes the hook `name`.
    pub fn remove_hook(&self, name: &str) -> Result<(), GitError> {
        let (path, _) = self.hook_path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(GitError::Write { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Sets `key` in this clone's own configuration.
    pub fn set_config(&self, key: &str, value: &str) -> Result<(), GitError> {
        Ok(self.local_config()?.set_str(key, value)?)
    }

    /// Removes `key` from this clone's own configuration.
    pub fn unset_config(&self, key: &str) -> Result<(), GitError> {
        match self.local_config()?.remove(key) {
            Err(error) if error.code() != git2::ErrorCode::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn local_config(&self) -> Result<git2::Config, GitError> {
        Ok(git2::Config::open(&self.common_dir.join("config"))?)
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
