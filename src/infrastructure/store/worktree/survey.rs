//! A look over a tree before it is written: a few kilobytes of hostile trees can name more folders than fit on any disk.

use std::collections::HashMap;

use super::super::{Local, Node, NodeKind, StoreError};
use super::scan::DEEPEST;
use crate::base::Digest;

/// More entries than any dataset has.
const MOST_ENTRIES: u64 = 1 << 32;

/// Refuses trees that nest too deep or, because they name the same folders again and again, have absurdly many entries.
pub(super) fn check(store: &Local, root: &Node) -> Result<(), StoreError> {
    if root.kind != NodeKind::Directory {
        return Ok(());
    }
    // Entries of each folder with everything below it.
    let mut sums: HashMap<Digest, u64> = HashMap::new();
    let mut open = vec![Level::of(store, root.id)?];
    while let Some(level) = open.last_mut() {
        let Some(child) = level.todo.pop() else {
            let (id, sum) = (level.id, level.sum);
            open.pop();
            sums.insert(id, sum);
            if let Some(above) = open.last_mut() {
                above.sum = above.sum.saturating_add(sum);
            }
            if sum > MOST_ENTRIES {
                return Err(refused(root, "it has more than four thousand million entries"));
            }
            continue;
        };
        if let Some(sum) = sums.get(&child) {
            level.sum = level.sum.saturating_add(*sum);
            continue;
        }
        if open.len() > DEEPEST {
            return Err(refused(root, "its folders nest too deep"));
        }
        open.push(Level::of(store, child)?);
    }
    Ok(())
}

fn refused(root: &Node, reason: &'static str) -> StoreError {
    StoreError::Name { path: root.id.to_string(), reason }
}

struct Level {
    id: Digest,
    todo: Vec<Digest>,
    sum: u64,
}

impl Level {
    fn of(store: &Local, id: Digest) -> Result<Self, StoreError> {
        let tree = store.tree(&id)?;
        let folders = tree.nodes.iter().filter(|node| node.kind == NodeKind::Directory);
        Ok(Self { id, todo: folders.map(|node| node.id).collect(), sum: tree.nodes.len() as u64 })
    }
}
