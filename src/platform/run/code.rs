//! Which code a step runs: the digest of the project's source files.

use std::path::{Path, PathBuf};

use super::RunError;
use crate::base::{Digest, Hasher};
use crate::infrastructure::git::Repo;

/// Digest of the code below `root`: every file that git tracks or would add, except `mlp.yaml` (a step's own entry is in
/// its plan), pointers (`*.mlp`), Markdown, hidden files, and what lies in `apart` (paths that steps and datasets name).
///
/// It does not change with a commit, so that committing what just ran keeps the results.
pub(super) fn code(repo: &Repo, root: &Path, apart: &[String]) -> Result<Digest, RunError> {
    let mut digest = Hasher::new();
    digest.update(b"mlp code 1\n");
    for (path, absolute) in code_files(repo, root, apart)? {
        let content = match std::fs::symlink_metadata(&absolute) {
            Ok(meta) if meta.is_symlink() => {
                std::fs::read_link(&absolute).map(|target| target.to_string_lossy().into_owned().into_bytes())
            }
            _ => std::fs::read(&absolute),
        };
        let content = content.map_err(RunError::io("read", &absolute))?;
        digest.update(path.as_bytes()).update(b"\0");
        digest.update(Digest::of(&content).as_bytes());
    }
    Ok(digest.finish())
}

/// The files that are the code below `root`: their paths there, and where they are.
pub(super) fn code_files(
    repo: &Repo,
    root: &Path,
    apart: &[String],
) -> Result<Vec<(String, PathBuf)>, RunError> {
    let repo_root = repo.root().canonicalize().unwrap_or_else(|_| repo.root().to_owned());
    let root = root.canonicalize().map_err(RunError::io("find", root))?;
    let mut files = Vec::new();
    for file in repo.files()? {
        let absolute = repo_root.join(&file);
        let Ok(path) = absolute.strip_prefix(&root) else { continue };
        let path = path.to_string_lossy().replace('\\', "/");
        // Anything else was deleted but not yet committed, or is a submodule.
        let meta = std::fs::symlink_metadata(&absolute);
        if is_code(&path, apart) && meta.is_ok_and(|meta| meta.is_file() || meta.is_symlink()) {
            files.push((path, absolute));
        }
    }
    Ok(files)
}

fn is_code(path: &str, apart: &[String]) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    let words = [".mlp", ".md"].iter().any(|ending| path.ends_with(ending));
    let named = apart.iter().any(|named| {
        path.strip_prefix(named.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    !(hidden || words || named || path == "mlp.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_words_and_settings_are_no_code() {
        let apart = ["data/raw".to_owned()];
        for path in ["prepare.py", "src/a/b.rs", "Cargo.toml", "data/rawer.py", "mlp.yaml.py"] {
            assert!(is_code(path, &apart), "{path}");
        }
        for path in
            ["mlp.yaml", "README.md", "docs/card.md", "data/raw", "data/raw/x", ".gitignore", "data/m.mlp"]
        {
            assert!(!is_code(path, &apart), "{path}");
        }
    }
}
