//! Changing single paths of a stored version: only the folders on the way are read and written anew.

use std::collections::BTreeMap;

use super::super::{Local, Node, NodeKind, StoreError, Tree, Writer};
use super::names;
use super::scan::path_buf;

/// What becomes of one path.
#[derive(Clone, Debug)]
pub enum Edit {
    /// This stored file or folder stands there, whatever stood there before. Its name does not count.
    Put(Node),
    /// Nothing stands there.
    Remove,
}

/// Edits by their path (`a/b/c`) below the root.
pub type Edits = BTreeMap<String, Edit>;

/// The root after some edits of the folder `root`. A folder that an edit empties is gone, as in git.
///
/// # Errors
/// [`StoreError::Absent`] for a path to be removed that is not there; [`StoreError::Name`] for a path through a file, or one that no
/// dataset can hold; [`StoreError::Missing`] for a folder on the way that is not here.
pub fn edit(store: &Local, root: &Node, edits: &Edits) -> Result<Node, StoreError> {
    let mut paths = Vec::new();
    for (path, edit) in edits {
        let parts: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        for part in &parts {
            names::check(part, path.as_bytes())?;
        }
        paths.push((parts, edit));
    }
    let mut writer = store.writer()?;
    let done = folder(store, &mut writer, Some(root), &paths, &mut Vec::new())?;
    // The root stays, even if nothing is left in it.
    let tree = done.unwrap_or_default();
    let id = writer.tree(&tree)?;
    writer.finish()?;
    Ok(Node { name: Vec::new(), kind: NodeKind::Directory, size: tree.size(), id })
}

/// One folder after the edits below it; none if it is empty.
fn folder(
    store: &Local,
    writer: &mut Writer<'_>,
    old: Option<&Node>,
    edits: &[(Vec<&[u8]>, &Edit)],
    path: &mut Vec<u8>,
) -> Result<Option<Tree>, StoreError> {
    let old = match old {
        Some(node) if node.kind == NodeKind::Directory => store.tree(&node.id)?,
        Some(_) => {
            let reason = "what stands there is a file, not a folder";
            return Err(StoreError::Name { path: names::shown(path), reason });
        }
        None => Tree::default(),
    };
    let mut entries: BTreeMap<Vec<u8>, Node> =
        old.nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
    /// The names below, and what happens there.
    type Deeper<'a> = (Vec<&'a [u8]>, &'a Edit);
    let mut groups: BTreeMap<&[u8], Vec<Deeper<'_>>> = BTreeMap::new();
    for (parts, edit) in edits {
        if let Some((first, rest)) = parts.split_first() {
            groups.entry(first).or_default().push((rest.to_vec(), edit));
        }
    }
    for (name, below) in groups {
        let length = path.len();
        *path = names::join(path, name);
        // An edit of the folder itself comes first, then those below it.
        let (itself, below): (Vec<_>, Vec<_>) = below.into_iter().partition(|(rest, _)| rest.is_empty());
        for (_, edit) in itself {
            match edit {
                Edit::Put(node) => {
                    entries.insert(name.to_vec(), Node { name: name.to_vec(), ..node.clone() });
                }
                Edit::Remove => {
                    if entries.remove(name).is_none() {
                        return Err(StoreError::Absent(path_buf(path)));
                    }
                }
            }
        }
        if !below.is_empty() {
            let tree = folder(store, writer, entries.get(name), &below, path)?;
            match tree {
                None => drop(entries.remove(name)),
                Some(tree) => {
                    let (id, size) = (writer.tree(&tree)?, tree.size());
                    let node = Node { name: name.to_vec(), kind: NodeKind::Directory, size, id };
                    entries.insert(name.to_vec(), node);
                }
            }
        }
        path.truncate(length);
    }
    let tree = Tree { nodes: entries.into_values().collect() };
    Ok((!tree.nodes.is_empty()).then_some(tree))
}
