//! Which versions somebody can name: they stay, whatever else goes.

use std::path::Path;

use crate::base::{Digest, Failure};
use crate::platform::data::{DataError, Pointer};
use crate::platform::project::Project;

/// What the pointers of all work trees and of all commits name. A pointer that cannot be read ends it: it may name anything.
pub(super) fn named(project: &Project) -> Result<Vec<Digest>, Failure> {
    let mut ids = Vec::new();
    let mut add = |pointer: &Pointer| {
        ids.extend(pointer.ids());
        ids.push(pointer.node().id);
    };
    let shown = Path::new("a pointer in git's history");
    for text in project.repo.versions(".mlp")? {
        let text = String::from_utf8_lossy(&text);
        match Pointer::parse(&text, shown) {
            Ok(pointer) => add(&pointer),
            // A newer mlp wrote it. What else is called like a pointer and is none names nothing.
            Err(error) if text.starts_with("mlp: ") && !text.starts_with("mlp: 1\n") => {
                return Err(error.into());
            }
            Err(_) => {}
        }
    }
    for repo in project.repo.work_trees()? {
        for file in repo.files()?.iter().filter(|file| file.ends_with(".mlp")) {
            let path = repo.root().join(file);
            match Pointer::read(&path) {
                Ok(pointer) => add(&pointer),
                Err(_) if !path.exists() => {}
                // Nothing of it is in any store of ours yet.
                Err(DataError::Unfetched(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
