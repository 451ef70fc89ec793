//! What a clone needs beside the committed files: the pre-push hook and the merge driver for pointers. Both stand in the
//! clone's own git directory, so that each clone is set up once.

use std::path::Path;

use crate::infrastructure::git::{GitError, Hook, Repo};

/// The hook's name.
const NAME: &str = "pre-push";
/// The line that tells our hook from others.
const MARK: &str = "# Installed by `mlp hook install`; `mlp hook remove` removes it.";
/// What a hook runs.
const CALL: &str = "hook pre-push";
/// The key of the merge driver, and what it runs.
const DRIVER: [(&str, &str); 2] = [
    ("merge.mlp.driver", "mlp merge driver %O %A %B %P"),
    ("merge.mlp.name", "three-way merge of datasets by mlp"),
];

/// How a clone is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The pre-push hook.
    pub hook: Hook,
    /// Where it is, or would be.
    pub path: std::path::PathBuf,
    /// Whether `core.hooksPath` names a folder that is not ours to write into.
    pub managed: bool,
    /// Whether the merge driver is configured.
    pub driver: bool,
    /// The line that runs the check from a hook of the user's own.
    pub line: String,
}

impl Setup {
    /// How the clone `repo` is set up, for a project in `folder` (relative to the root of the repository).
    pub fn of(repo: &Repo, folder: &Path) -> Result<Self, GitError> {
        let (path, managed) = repo.hook_path(NAME);
        Ok(Self {
            hook: repo.hook(NAME, MARK, CALL)?,
            path,
            managed,
            driver: repo.config(DRIVER[0].0).as_deref() == Some(DRIVER[0].1),
            line: line(folder),
        })
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.driver && matches!(self.hook, Hook::Ours | Hook::Chained)
    }

    /// Sets up the clone: the driver always, the hook where there is none of the user's. Returns how it is afterwards.
    pub fn install(repo: &Repo, folder: &Path) -> Result<Self, GitError> {
        for (key, value) in DRIVER {
            repo.set_config(key, value)?;
        }
        let before = Self::of(repo, folder)?;
        if before.hook == Hook::Ours || (before.hook == Hook::Absent && !before.managed) {
            repo.write_hook(NAME, &script(folder))?;
        }
        Self::of(repo, folder)
    }

    /// Removes what [`Setup::install`] made. A hook of the user's stays.
    pub fn remove(repo: &Repo, folder: &Path) -> Result<Self, GitError> {
        if Self::of(repo, folder)?.hook == Hook::Ours {
            repo.remove_hook(NAME)?;
        }
        for (key, _) in DRIVER {
            repo.unset_config(key)?;
        }
        Self::of(repo, folder)
    }
}

/// The command of the hook.
fn command(folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    match folder.is_empty() {
        true => format!("mlp {CALL} \"$@\""),
        false => format!("mlp -C {} {CALL} \"$@\"", shlex::try_quote(&folder).unwrap_or_default()),
    }
}

/// The same for a hook that others need the standard input of, too.
fn line(folder: &Path) -> String {
    format!("input=$(cat); printf '%s\\n' \"$input\" | {} || exit 1", command(folder))
}

fn script(folder: &Path) -> String {
    format!(
        "#!/bin/sh\n{MARK}\n# Refuses to push commits whose data are not on the store yet.\n\
         command -v mlp >/dev/null 2>&1 || {{\n  echo 'mlp is not in the PATH, so that nobody knows whether the data of \
         these commits are on the store; `git push --no-verify` pushes without asking' >&2\n  exit 2\n}}\nexec {}\n",
        command(folder)
    )
}
