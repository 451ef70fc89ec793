//! Differences between two roots; only directories whose ids differ are looked into.

use std::path::Path;

use super::super::{Local, Node, NodeKind, StoreError};
use super::cache::StatCache;
use super::names;
use super::snapshot::{Trees, observe};
use crate::base::{Digest, Sink};

/// One difference between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path below the root, `/`-separated, escaped for printing by whoever prints it. Empty if the root itself is a file.
    pub path: Vec<u8>,
    /// The node before, if there was one.
    pub old: Option<Node>,
    /// The node after, if there is one.
    pub new: Option<Node>,
}

/// Loads the entries of two directories of which at least one is there; entries equal in both may be left out.
type Load<'a> = &'a dyn Fn(Option<&Digest>, Option<&Digest>) -> Result<(Vec<Node>, Vec<Node>), StoreError>;

/// Differences between two stored roots (either may be absent), sorted by path; descends only where ids differ.
pub fn diff(store: &Local, old: Option<&Node>, new: Option<&Node>) -> Result<Vec<Change>, StoreError> {
    compare(old, new, &|old, new| store.differing(old, new))
}

/// Differences between a stored root and the folder or file as it is now, sorted by path.
pub fn status(
    root: &Node,
    path: &Path,
    store: &Local,
    cache: &StatCache,
    sink: &dyn Sink,
) -> Result<Vec<Change>, StoreError> {
    let mut trees = Trees::new();
    let now = match observe(path, None, Some(cache), Some(&mut trees), sink) {
        Ok(snapshot) => Some(snapshot.root),
        Err(StoreError::Absent(_)) => None,
        Err(error) => return Err(error),
    };
    compare(Some(root), now.as_ref(), &|old, new| {
        let old = old.map(|id| store.tree(id)).transpose()?;
        let new = new.and_then(|id| trees.get(id)).cloned();
        Ok((old.unwrap_or_default().nodes, new.unwrap_or_default().nodes))
    })
}

/// Files of `root` that are neither in what stands at `path` nor in the store: they were never here, and nobody can have removed
/// them. A folder whose tree is not here ends with `/`. `stored` is what stands at the path, if that is in the store already.
pub fn dropped(
    root: &Node,
    path: &Path,
    stored: Option<&Node>,
    store: &Local,
    cache: &StatCache,
    sink: &dyn Sink,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut trees = Trees::new();
    let now = match stored {
        Some(node) => node.clone(),
        None => observe(path, None, Some(cache), Some(&mut trees), sink)?.root,
    };
    let mut dropped = Vec::new();
    let mut todo = vec![(Vec::new(), root.clone(), Some(now))];
    while let Some((path, old, new)) = todo.pop() {
        let new = new.filter(|new| new.kind == NodeKind::Directory || old.kind != NodeKind::Directory);
        if old.kind != NodeKind::Directory {
            if new.is_none() && !store.has(&old.id)? {
                dropped.push(path);
            }
            continue;
        }
        if new.as_ref().is_some_and(|new| new.id == old.id) {
            continue;
        }
        let tree = match store.tree(&old.id) {
            Err(StoreError::Missing(_)) => {
                dropped.push([&path, &b"/"[..]].concat());
                continue;
            }
            tree => tree?,
        };
        let now = match &new {
            None => None,
            Some(new) => Some(trees.get(&new.id).cloned().map_or_else(|| store.tree(&new.id), Ok)?),
        };
        for node in tree.nodes {
            let below = now.as_ref().and_then(|now| now.get(&node.name)).cloned();
            todo.push((names::join(&path, &node.name), node, below));
        }
    }
    dropped.sort_unstable();
    Ok(dropped)
}

fn compare(old: Option<&Node>, new: Option<&Node>, load: Load<'_>) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    let mut todo = vec![(Vec::new(), old.cloned(), new.cloned())];
    while let Some((path, old, new)) = todo.pop() {
        let same = |a: &Node, b: &Node| a.kind == b.kind && a.id == b.id;
        if old.as_ref().zip(new.as_ref()).is_some_and(|(old, new)| same(old, new)) {
            continue;
        }
        let is_directory =
            |node: &Option<Node>| node.as_ref().is_some_and(|node| node.kind == NodeKind::Directory);
        let (from, to) = (is_directory(&old), is_directory(&new));
        let (old_file, new_file) = (old.clone().filter(|_| !from), new.clone().filter(|_| !to));
        if old_file.is_some() || new_file.is_some() {
            changes.push(Change { path: path.clone(), old: old_file, new: new_file });
        }
        if !from && !to {
            continue;
        }
        let id = |node: &Option<Node>, wanted: bool| node.as_ref().filter(|_| wanted).map(|node| node.id);
        let (before, after) = load(id(&old, from).as_ref(), id(&new, to).as_ref())?;
        // A directory without entries is only visible as itself.
        if from != to && before.is_empty() && after.is_empty() {
            let (old, new) = (old.filter(|_| from), new.filter(|_| to));
            changes.push(Change { path: path.clone(), old, new });
        }
        let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
        loop {
            let (old, new) = match (before.peek(), after.peek()) {
                (None, None) => break,
                (Some(a), Some(b)) if a.name == b.name => (before.next(), after.next()),
                (Some(a), Some(b)) if a.name > b.name => (None, after.next()),
                (None, Some(_)) => (None, after.next()),
                (Some(_), _) => (before.next(), None),
            };
            let name = old.as_ref().or(new.as_ref()).map_or(&[][..], |node| &node.name);
            todo.push((names::join(&path, name), old, new));
        }
    }
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}
