//! Files that a merge left in conflict.

use std::path::Path;

use super::{GitError, Repo};

/// A file in conflict: its three versions, as the index keeps them (stages 1 to 3). One is none where the file does not
/// exist on that side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicted {
    /// Relative to the root, `/`-separated.
    pub path: String,
    /// What both sides come from.
    pub base: Option<Vec<u8>>,
    /// The version here.
    pub ours: Option<Vec<u8>>,
    /// The version that is merged in.
    pub theirs: Option<Vec<u8>>,
}

impl Repo {
    /// The files in conflict whose name ends with `suffix`, sorted.
    pub fn conflicts(&self, suffix: &str) -> Result<Vec<Conflicted>, GitError> {
        let repository = self.open()?;
        let index = repository.index()?;
        let mut found = Vec::new();
        for conflict in index.conflicts()? {
            let conflict = conflict?;
            let sides = [&conflict.ancestor, &conflict.our, &conflict.their];
            let Some(entry) = sides.iter().find_map(|side| side.as_ref()) else { continue };
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            if !path.ends_with(suffix) {
                continue;
            }
            let mut blobs = [const { None }; 3];
            for (blob, side) in blobs.iter_mut().zip(sides) {
                if let Some(entry) = side {
                    *blob = Some(repository.find_blob(entry.id)?.content().to_owned());
                }
            }
            let [base, ours, theirs] = blobs;
            found.push(Conflicted { path, base, ours, theirs });
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Stages `path` as it is in the work tree, or its removal: its conflict is resolved.
    pub fn resolve(&self, path: &str) -> Result<(), GitError> {
        let repository = self.open()?;
        let mut index = repository.index()?;
        let path = Path::new(path);
        if self.root.join(path).symlink_metadata().is_ok() {
            index.add_path(path)?;
        } else {
            index.remove_path(path)?;
        }
        Ok(index.write()?)
    }
}
