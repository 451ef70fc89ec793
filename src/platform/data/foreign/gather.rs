//! Many objects of other places as files of one folder of ours, some at once.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use crate::base::Digest;
use crate::infrastructure::durable;
use crate::platform::data::DataError;

/// Requests under way at once.
const REQUESTS: usize = 32;

/// Gives every item, whose path below `data` is `path(item)`, to `work`, with the place where its file belongs. Nothing is begun if one of
/// the paths cannot be that of a file.
pub(super) fn gather<T: Sync>(
    items: &[T],
    data: &Path,
    path: impl Fn(&T) -> &str + Sync,
    work: impl Fn(&T, &Path) -> Result<(), DataError> + Sync,
) -> Result<(), DataError> {
    let mut folders = HashSet::new();
    for item in items {
        let path = path(item);
        let safe = safe(path).ok_or_else(|| DataError::Malformed {
            path: path.escape_debug().to_string(),
            format: "path of a file",
            detail: "it could lead out of the dataset, or belongs to git or mlp".to_owned(),
        })?;
        folders.insert(data.join(safe.parent().unwrap_or(Path::new(""))));
    }
    for folder in folders {
        fs::create_dir_all(&folder).map_err(DataError::io("make", &folder))?;
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(REQUESTS).build();
    let pool = pool.map_err(|error| DataError::io("start threads in", data)(std::io::Error::other(error)))?;
    pool.install(|| items.par_iter().with_max_len(1).try_for_each(|item| work(item, &data.join(path(item)))))
}

/// The name under which the file `to` is written until it is whole: never taken for data, and not longer than a name may be.
pub(super) fn begun(to: &Path) -> PathBuf {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    to.with_file_name(format!("{}{}", durable::TEMPORARY, &Digest::of(name.as_bytes()).hex()[..32]))
}

/// The path of an entry, if it stays below the folder and does not pass through what belongs to git or mlp.
fn safe(path: &str) -> Option<&Path> {
    let parts = Path::new(path).components();
    let is_own = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy().to_ascii_lowercase();
        matches!(name.as_str(), ".git" | ".mlp" | "git~1") || name.starts_with(durable::TEMPORARY)
    };
    let mut names = 0;
    for part in parts {
        match part {
            Component::Normal(name) if !is_own(name) => names += 1,
            _ => return None,
        }
    }
    let exact = path.split('/').count() == names && !path.contains('\0');
    (names > 0 && exact).then(|| Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_refused() {
        for path in
            ["", "/etc/passwd", "../x", "a/../x", "a//b", "a/", "./a", ".git/config", "a/.GIT/b", "a\0b"]
        {
            assert!(safe(path).is_none(), "{path}");
        }
        for path in ["a", "a/b c/d.png", "..a", "a/.gitignore"] {
            assert!(safe(path).is_some(), "{path}");
        }
    }
}
