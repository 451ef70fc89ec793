//! What only git's own program can do: it is run as a child, with its words kept for messages.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{GitError, Repo};

impl Repo {
    /// A command of git's in this repository. It asks nothing of the terminal, and what an outer git set for its own hooks
    /// and drivers does not reach it.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C");
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"] {
            command.env_remove(variable);
        }
        command.args(args);
        command
    }

    /// Runs it to its end.
    pub(super) fn output(&self, args: &[&str]) -> Result<Output, GitError> {
        self.command(args).output().map_err(|source| GitError::NoProgram(source.to_string()))
    }

    /// Runs one that speaks with the git remote `remote`.
    pub(super) fn talk(&self, action: &'static str, remote: &str, args: &[&str]) -> Result<String, GitError> {
        // A transfer that stands still ends.
        let patience = ["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60"];
        let output = self.output(&[&patience[..], args].concat())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(GitError::Network { action, remote: remote.to_owned(), detail: words(&output) })
    }

    /// Gets what the branch `branch` of the git remote `remote` is now, as `git fetch` does.
    pub fn fetch_branch(&self, remote: &str, branch: &str) -> Result<(), GitError> {
        let refspec = format!("+refs/heads/{branch}:refs/remotes/{remote}/{branch}");
        let args = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-gc",
            "--",
            remote,
            &refspec,
        ];
        self.talk("fetch from", remote, &args).map(drop)
    }

    /// Merges three text files as git does; the result, with markers where it conflicts, is written into `ours`. Whether
    /// it is without conflicts.
    pub fn merge_file(&self, ours: &Path, base: &Path, theirs: &Path) -> Result<bool, GitError> {
        let mut command = self.command(&["merge-file", "-L", "ours", "-L", "base", "-L", "theirs", "--"]);
        let output = command.args([ours, base, theirs]).output();
        let output = output.map_err(|source| GitError::NoProgram(source.to_string()))?;
        // The status is the number of conflicts, or 255.
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1..=127) => Ok(false),
            _ => Err(GitError::Git(words(&output))),
        }
    }
}

/// The last words of a command on its standard error.
pub(super) fn words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let told = lines.iter().find(|line| line.starts_with("fatal:") || line.starts_with("error:"));
    let line = told.or(lines.last()).copied().unwrap_or("it said nothing");
    line.trim_start_matches("fatal: ").trim_start_matches("error: ").chars().take(300).collect()
}
