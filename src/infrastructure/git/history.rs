//! What the commits that references lead to hold: for whoever must know what is still needed.

use std::collections::HashSet;
use std::process::{Command, Stdio};

use git2::{ObjectType, Oid, Repository, Tree};

use super::{GitError, Repo};

impl Repo {
    /// Contents of all files whose names end with `suffix`, each once, in all commits that a branch, tag, stash or remote branch leads
    /// to; those of `HEAD` of every work tree included, and those that the reflog of `HEAD` remembers.
    pub fn versions(&self, suffix: &str) -> Result<Vec<Vec<u8>>, GitError> {
        let repository = self.open()?;
        let mut walk = repository.revwalk()?;
        walk.push_glob("*")?;
        // A repository without commits has no HEAD.
        let _ = walk.push_head();
        for name in repository.worktrees()?.iter().flatten().flatten() {
            let head = repository.find_worktree(name).and_then(|tree| Repository::open_from_worktree(&tree));
            let head = head.and_then(|tree| Ok(tree.head()?.peel_to_commit()?.id()));
            if let Ok(id) = head {
                walk.push(id)?;
            }
        }
        // What a reset or an amended commit left behind: git, too, keeps it for a while.
        for (name, folder) in [("HEAD", repository.path()), ("refs/stash", repository.commondir())] {
            // libgit2 makes the log that it is asked for.
            if !folder.join("logs").join(name).is_file() {
                continue;
            }
            let log = repository.reflog(name)?;
            for id in log.iter().map(|entry| entry.id_new()).filter(|id| repository.find_commit(*id).is_ok())
            {
                walk.push(id)?;
            }
        }
        let (mut seen, mut blobs) = (HashSet::new(), HashSet::new());
        for id in walk {
            let tree = repository.find_commit(id?)?.tree()?;
            collect(&repository, &tree, suffix, &mut seen, &mut blobs)?;
        }
        // What is staged and not committed yet.
        for entry in repository.index()?.iter().filter(|entry| entry.path.ends_with(suffix.as_bytes())) {
            blobs.insert(entry.id);
        }
        let mut contents = Vec::new();
        for blob in blobs {
            contents.push(repository.find_blob(blob)?.content().to_vec());
        }
        Ok(contents)
    }

    /// A commit in a line, as `Begin, Ada <ada@example.org>`; none if the commit is not here.
    pub fn commit_line(&self, commit: &str) -> Result<Option<String>, GitError> {
        let repository = self.open()?;
        let Ok(found) = Oid::from_str(commit).and_then(|id| repository.find_commit(id)) else {
            return Ok(None);
        };
        let subject = found.summary_bytes().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        Ok(self.commit_author(commit)?.map(|author| format!("{subject}, {author}")))
    }

    /// All work trees of the repository that are there, this one among them.
    pub fn work_trees(&self) -> Result<Vec<Self>, GitError> {
        let repository = self.open()?;
        let mut paths: Vec<std::path::PathBuf> = vec![self.root().to_owned()];
        // The main work tree lies beside the common git directory.
        paths.extend(repository.commondir().parent().map(std::path::Path::to_owned));
        for name in repository.worktrees()?.iter().flatten().flatten() {
            paths.push(repository.find_worktree(name)?.path().to_owned());
        }
        let mut trees: Vec<Self> = Vec::new();
        for path in paths.iter().filter(|path| path.is_dir()) {
            // A bare repository's folder is no work tree.
            let Ok(tree) = Self::discover(path) else { continue };
            if tree.state_dir() == self.state_dir() && trees.iter().all(|known| known.root() != tree.root()) {
                trees.push(tree);
            }
        }
        Ok(trees)
    }

    /// Whether `commit` is `tip` or one of those before it, as far as the history is here.
    pub fn is_ancestor(&self, commit: &str, tip: &str) -> Result<bool, GitError> {
        let repository = self.open()?;
        let (Ok(commit), Ok(tip)) = (git2::Oid::from_str(commit), git2::Oid::from_str(tip)) else {
            return Ok(false);
        };
        Ok(commit == tip || repository.graph_descendant_of(tip, commit)?)
    }

    /// Whether the history here is whole; a shallow clone's is not.
    pub fn has_whole_history(&self) -> Result<bool, GitError> {
        Ok(!self.open()?.is_shallow())
    }

    /// References of the git remotes whose commits are not here. Asks the remotes, through the system's git.
    pub fn unknown_references(&self) -> Result<Vec<String>, GitError> {
        let repository = self.open()?;
        let mut unknown = Vec::new();
        for remote in repository.remotes()?.iter().flatten().flatten() {
            let output = Command::new("git")
                .arg("-C")
                .arg(self.root())
                .args(["ls-remote", "--quiet", "--", remote])
                .stdin(Stdio::null())
                .output()
                .map_err(|source| GitError::Program { action: "ls-remote", detail: source.to_string() })?;
            if !output.status.success() {
                let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(GitError::Program { action: "ls-remote", detail });
            }
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let Some((id, name)) = line.split_once('\t') else { continue };
                let is_here =
                    Oid::from_str(id).is_ok_and(|id| repository.odb().is_ok_and(|odb| odb.exists(id)));
                if !is_here && (name.starts_with("refs/heads/") || name.starts_with("refs/tags/")) {
                    unknown.push(format!("{remote} {name}"));
                }
            }
        }
        Ok(unknown)
    }
}

fn collect(
    repository: &Repository,
    tree: &Tree<'_>,
    suffix: &str,
    seen: &mut HashSet<Oid>,
    blobs: &mut HashSet<Oid>,
) -> Result<(), GitError> {
    if !seen.insert(tree.id()) {
        return Ok(());
    }
    for entry in tree {
        match entry.kind() {
            Some(ObjectType::Tree) => {
                collect(repository, &repository.find_tree(entry.id())?, suffix, seen, blobs)?;
            }
            Some(ObjectType::Blob) if entry.name_bytes().ends_with(suffix.as_bytes()) => {
                blobs.insert(entry.id());
            }
            _ => {}
        }
    }
    Ok(())
}
