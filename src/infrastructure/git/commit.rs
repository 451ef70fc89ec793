//! Commits that mlp makes.

use std::path::{Path, PathBuf};

use git2::{Index, IndexAddOption, Repository, Signature};

use super::{GitError, Repo};

impl Repo {
    /// Commits the content that `paths` (files or folders, relative to the root; one that is gone is a removal) have now,
    /// and nothing else: what was staged before stays staged. Returns the commit in hexadecimal; if nothing differs from
    /// the last commit, that one.
    pub fn commit_paths(&self, paths: &[PathBuf], message: &str) -> Result<String, GitError> {
        let repository = self.open()?;
        let parent = repository.head().ok().and_then(|head| head.peel_to_commit().ok());

        let mut index = repository.index()?;
        stage(&mut index, &self.root, paths)?;
        index.write()?;

        // The commit's tree is the last commit's with the paths taken over from the index.
        let mut staged = Index::new()?;
        if let Some(parent) = &parent {
            staged.read_tree(&parent.tree()?)?;
        }
        let inside = |path: &[u8]| {
            let path = String::from_utf8_lossy(path).into_owned();
            paths.iter().any(|wanted| Path::new(&path).starts_with(wanted) || wanted.as_os_str() == ".")
        };
        for gone in staged.iter().filter(|entry| inside(&entry.path)).collect::<Vec<_>>() {
            staged.remove(Path::new(&*String::from_utf8_lossy(&gone.path)), 0)?;
        }
        for entry in index.iter().filter(|entry| inside(&entry.path)) {
            staged.add(&entry)?;
        }
        let tree = repository.find_tree(staged.write_tree_to(&repository)?)?;
        if let Some(parent) = &parent
            && parent.tree_id() == tree.id()
        {
            return Ok(parent.id().to_string());
        }
        let signature = self.signature(&repository)?;
        let parents: Vec<_> = parent.iter().collect();
        let id = repository.commit(Some("HEAD"), &signature, &signature, message, &tree, &parents)?;
        Ok(id.to_string())
    }

    fn signature(&self, _: &Repository) -> Result<Signature<'static>, GitError> {
        let (name, email) = self.identity();
        Ok(Signature::now(&name, &email)?)
    }
}

fn stage(index: &mut Index, root: &Path, paths: &[PathBuf]) -> Result<(), GitError> {
    for path in paths {
        let there = root.join(path);
        if there.is_dir() && !there.is_symlink() {
            index.add_all([path], IndexAddOption::DEFAULT, None)?;
            index.update_all([path], None)?;
        } else if there.symlink_metadata().is_ok() {
            index.add_path(path)?;
        } else {
            index.remove_all([path], None)?;
        }
    }
    Ok(())
}
