//! Making a project from a template: what is there stays as it is.

use std::path::{Path, PathBuf};

use super::{FILE, Profile, ProjectError, Setup, Template};
use crate::base::{Failure, Name};
use crate::infrastructure::durable::{self, Sync};
use crate::infrastructure::git::Repo;

/// A project that is about to be made.
#[derive(Debug)]
pub struct Scaffold {
    /// Its name.
    pub name: Name,
    /// Its folder, as the user would name it.
    pub folder: PathBuf,
    /// Paths and texts of the files that will be written, in this order.
    pub missing: Vec<(String, String)>,
    /// Paths of what is there already and stays as it is.
    pub existing: Vec<String>,
    /// Whether there is a project already: then nothing is written.
    pub complete: bool,
}

impl Scaffold {
    /// Plans the project `target` (a name for a new folder in `dir`, or `.` for `dir` itself). Touches nothing.
    pub fn plan(
        dir: &Path,
        target: &str,
        template: &Template,
        profile: Profile,
    ) -> Result<Self, ProjectError> {
        let (name, folder) = match target {
            "." => (name_of(dir)?, dir.to_owned()),
            name => {
                let name: Name = name.parse().map_err(ProjectError::Name)?;
                let folder = if dir == Path::new(".") { PathBuf::new() } else { dir.to_owned() };
                let folder = folder.join(name.as_str());
                (name, folder)
            }
        };
        match folder.symlink_metadata() {
            Ok(_) if !folder.is_dir() => {
                let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
                return Err(ProjectError::Folder { path: folder, source });
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ProjectError::Folder { path: folder, source: error });
            }
            _ => {}
        }
        let there = |path: &str| folder.join(path).symlink_metadata().is_ok();
        let (existing, missing): (Vec<_>, Vec<_>) =
            template.files(&name, profile).into_iter().partition(|(path, _)| there(path));
        let complete = there(FILE);
        let existing = existing.into_iter().map(|(path, _)| path).collect();
        Ok(Self { name, folder, missing: if complete { Vec::new() } else { missing }, existing, complete })
    }

    /// Makes the folder, its git repository if it lies in none, and the missing files, `mlp.yaml` last; then sets up the clone
    /// for work with others. Returns how it is set up; none if there was a project already.
    pub fn write(&self) -> Result<Option<Setup>, Failure> {
        if self.complete {
            return Ok(None);
        }
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ProjectError::Io { action, path, source }
        };
        std::fs::create_dir_all(&self.folder).map_err(io("make", &self.folder))?;
        // A new folder becomes a repository of its own; one with content stays in the repository it belongs to.
        let empty = std::fs::read_dir(&self.folder).map_err(io("read", &self.folder))?.next().is_none();
        let repo = match Repo::discover(&self.folder) {
            Ok(around) if !empty => around,
            _ => Repo::init(&self.folder)?,
        };
        for (path, text) in &self.missing {
            let path = self.folder.join(path);
            create(&path, text).map_err(io("write", &path))?;
        }
        let full = self.folder.canonicalize().map_err(io("open", &self.folder))?;
        let inside = full.strip_prefix(repo.root()).unwrap_or(Path::new(""));
        Ok(Some(Setup::install(&repo, inside)?))
    }
}

/// A name for the project in a folder: the folder's, with what names cannot have replaced.
fn name_of(dir: &Path) -> Result<Name, ProjectError> {
    let path = dir.canonicalize().map_err(|source| ProjectError::Folder { path: dir.to_owned(), source })?;
    let folder = path.file_name().unwrap_or_default().to_string_lossy();
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    let name: String = folder.chars().map(letter).take(63).collect();
    let name = name.trim_matches(|c| c == '-' || c == '_');
    Ok(name.parse().unwrap_or_else(|_| "project".parse().expect("is a name")))
}

/// Writes a file of a project that is not there, whole or not at all, with the folders around it; one that appeared meanwhile stays.
pub fn write_new(path: &Path, text: &str) -> Result<(), ProjectError> {
    create(path, text).map_err(|source| ProjectError::Io { action: "write", path: path.to_owned(), source })
}

fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = durable::temporary(folder)?;
    durable::write(&mut file, text.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let script = path.extension().is_some_and(|extension| extension == "sh");
        file.as_file().set_permissions(std::fs::Permissions::from_mode(if script {
            0o755
        } else {
            0o644
        }))?;
    }
    durable::link(file, path, Sync::Disk).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_a_name_whatever_it_is_called() {
        let root = tempfile::tempdir().expect("makes a folder");
        for (folder, name) in
            [("digits", "digits"), ("My Data (2)", "My-Data--2"), ("数字", "project"), ("-x-", "x")]
        {
            let path = root.path().join(folder);
            std::fs::create_dir(&path).expect("makes a folder");
            assert_eq!(name_of(&path).expect("has a name").as_str(), name);
        }
    }

    #[test]
    fn a_file_that_is_there_is_never_overwritten() {
        let root = tempfile::tempdir().expect("makes a folder");
        let path = root.path().join("a/b.txt");
        create(&path, "one").expect("writes");
        create(&path, "two").expect("leaves it");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "one");
        assert_eq!(std::fs::read_dir(root.path().join("a")).expect("lists").count(), 1);
    }
}
