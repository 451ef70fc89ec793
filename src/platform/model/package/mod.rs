//! Packages: a model version as a folder that needs no mlp to be read, with a file that says what it is.

mod error;
mod oci;
mod place;
mod stamp;
#[cfg(test)]
mod tests;

pub use error::{EXPLAIN as PACKAGE_EXPLAIN, PackageError};
pub use oci::Image;
pub use place::{Placed, look, place};
pub use stamp::{PackedFile, STAMP, Stamp};

use std::path::{Component, Path};

use crate::base::Digest;
use crate::infrastructure::store::{Local, Node, NodeKind, StoreError};

/// The files of the tree `tree` with their paths, sorted. Model folders hold files alone: a link or a name that leads elsewhere is
/// refused.
///
/// # Errors
/// [`PackageError::Content`]; those of the store.
pub fn files(store: &Local, tree: &Digest) -> Result<Vec<(String, Node)>, PackageError> {
    let mut found = Vec::new();
    gather(store, tree, "", &mut found)?;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn gather(
    store: &Local,
    tree: &Digest,
    before: &str,
    found: &mut Vec<(String, Node)>,
) -> Result<(), PackageError> {
    for node in store.tree(tree)?.nodes {
        let refuse = |detail: &str| {
            let name = String::from_utf8_lossy(&node.name).escape_debug().to_string();
            Err(PackageError::Content { path: format!("{before}{name}"), detail: detail.to_owned() })
        };
        let Ok(name) = std::str::from_utf8(&node.name) else { return refuse("its name is no text") };
        let plain = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
        if !plain || name.contains(['/', '\\', ':']) || name.chars().any(char::is_control) || name == STAMP {
            return refuse("a file of a model cannot be called so");
        }
        let path = format!("{before}{name}");
        match node.kind {
            NodeKind::Directory => gather(store, &node.id, &format!("{path}/"), found)?,
            NodeKind::File | NodeKind::Executable => found.push((path, node)),
            NodeKind::Link => return refuse("it is a link; a model has files only"),
        }
    }
    Ok(())
}

/// Writes the files of `tree` below `folder`, every byte verified on the way.
///
/// # Errors
/// As for [`files`], and those of writing.
pub fn write_files(store: &Local, tree: &Digest, folder: &Path) -> Result<(), PackageError> {
    for (path, node) in files(store, tree)? {
        let path = folder.join(path);
        place::create(&path, |out| match store.copy(&node.id, out) {
            Ok(_) => Ok(()),
            Err(StoreError::Io { source, .. }) => Err(PackageError::io("write", &path)(source)),
            Err(error) => Err(error.into()),
        })?;
    }
    Ok(())
}
