//! Merging two versions of a dataset: a true three-way merge of trees.
//!
//! A pure function of the three versions and of the choices made. Only directories that all three versions differ in are
//! read. What changed on one side is taken, the same change on both sides is one change; a file that both sides changed
//! differently, or that one changed and the other removed, is a conflict of just that file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::{Map, Value};

use super::DataError;
use super::pointer::Pointer;
use crate::base::Digest;
use crate::infrastructure::store::{Node, NodeKind, StoreError, Tree};

/// Directories that nest deeper are not merged; none that mlp made does.
const DEEPEST: usize = 128;

/// The three versions; none where a side has no such dataset.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    /// What both sides come from.
    pub base: Option<Pointer>,
    /// The version here.
    pub ours: Option<Pointer>,
    /// The version that is merged in.
    pub theirs: Option<Pointer>,
}

impl Sides {
    /// The two sides of a pointer that holds the conflict markers of git, and the base where the markers show it
    /// (`merge.conflictStyle` diff3); none if it holds no markers. Without a base nobody knows what was removed: an entry that one
    /// side alone has is kept.
    pub fn from_markers(text: &str, path: &Path) -> Result<Option<Self>, DataError> {
        let mut sides = [String::new(), String::new(), String::new()];
        let (mut at, mut conflict, mut has_base) = (None, false, false);
        for line in text.split_inclusive('\n') {
            let begins = |mark: &str| {
                line.starts_with(mark) && matches!(line.as_bytes().get(7), Some(b' ' | b'\n' | b'\r'))
            };
            match at {
                None if begins("<<<<<<<") => (at, conflict) = (Some(1), true),
                Some(1) if begins("|||||||") => (at, has_base) = (Some(0), true),
                Some(0 | 1) if begins("=======") => at = Some(2),
                Some(2) if begins(">>>>>>>") => at = None,
                Some(side) => sides[side].push_str(line),
                None => sides.iter_mut().for_each(|side| side.push_str(line)),
            }
        }
        if !conflict {
            return Ok(None);
        }
        let [base, ours, theirs] = sides;
        let base = has_base.then(|| Pointer::parse(&base, path)).transpose()?;
        Ok(Some(Self {
            base,
            ours: Some(Pointer::parse(&ours, path)?),
            theirs: Some(Pointer::parse(&theirs, path)?),
        }))
    }
}

/// How a conflict is to be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Take what is here.
    Ours,
    /// Take what is merged in.
    Theirs,
    /// Keep both: the other version gets the name `name.theirs.ext`.
    Both,
}

/// One file that cannot be merged. A side is none where the file does not exist there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Path in the dataset, `/` between its parts; empty for the dataset itself.
    pub path: Vec<u8>,
    /// What both sides come from.
    pub base: Option<Node>,
    /// What is here.
    pub ours: Option<Node>,
    /// What is merged in.
    pub theirs: Option<Node>,
}

/// What a merge came to.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The merged version, with ours in the place of each conflict; none if the dataset is gone.
    pub pointer: Option<Pointer>,
    /// Directories that neither side has: they belong into the store.
    pub trees: Vec<Tree>,
    /// What is left to decide, in the order of paths.
    pub conflicts: Vec<Conflict>,
    /// How many conflicts a choice resolved.
    pub resolved: u64,
}

/// Reads a directory.
pub type ReadTree<'a> = dyn FnMut(&Digest) -> Result<Tree, StoreError> + 'a;
/// The choice for a path, if one was made.
pub type Choose<'a> = dyn Fn(&[u8]) -> Option<Choice> + 'a;

/// Merges.
pub fn merge(sides: &Sides, read: &mut ReadTree<'_>, choose: &Choose<'_>) -> Result<Merged, StoreError> {
    let versions = [&sides.base, &sides.ours, &sides.theirs];
    let known = versions.iter().filter_map(|side| side.as_ref()?.listed()).map(|tree| (tree.id(), tree));
    let mut merger = Merger {
        known: known.collect(),
        read,
        choose,
        made: BTreeMap::new(),
        conflicts: Vec::new(),
        resolved: 0,
    };
    let [base, ours, theirs] = versions.map(|side| side.as_ref().map(Pointer::node));
    let root = merger.root(base.as_ref(), ours.as_ref(), theirs.as_ref())?;
    let pointer = match &root {
        None => None,
        Some(root) => {
            let tree = match root.kind {
                NodeKind::Directory => merger.listed(root),
                _ => None,
            };
            let mut pointer = Pointer::new(root, tree.as_ref());
            pointer.take_extra(sides, extra(sides));
            Some(pointer)
        }
    };
    let Merger { made, mut conflicts, resolved, .. } = merger;
    conflicts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Merged { pointer, trees: made.into_values().collect(), conflicts, resolved })
}

/// The keys that a later mlp wrote beside the known ones: what one side changed counts, ours where both did.
fn extra(sides: &Sides) -> Map<String, Value> {
    let none = Map::new();
    let of =
        |side: &'_ Option<Pointer>| side.as_ref().map_or_else(|| none.clone(), |side| side.extra().clone());
    let (base, ours, theirs) = (of(&sides.base), of(&sides.ours), of(&sides.theirs));
    let mut merged = Map::new();
    for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
        let value = if ours.get(key) == base.get(key) { theirs.get(key) } else { ours.get(key) };
        if let Some(value) = value {
            merged.insert(key.clone(), value.clone());
        }
    }
    merged
}

struct Merger<'a, 'r> {
    /// The directories that the pointers list.
    known: HashMap<Digest, Tree>,
    read: &'a mut ReadTree<'r>,
    choose: &'a Choose<'r>,
    made: BTreeMap<Digest, Tree>,
    conflicts: Vec<Conflict>,
    resolved: u64,
}

/// Whether two sides say the same of an entry.
fn same(a: Option<&Node>, b: Option<&Node>) -> bool {
    a.map(|node| (node.kind, node.id)) == b.map(|node| (node.kind, node.id))
}

fn is_directory(node: Option<&Node>) -> bool {
    node.is_some_and(|node| node.kind == NodeKind::Directory)
}

impl Merger<'_, '_> {
    /// The datasets themselves: one that a side removed and the other changed is a conflict as a whole.
    fn root(
        &mut self,
        base: Option<&Node>,
        ours: Option<&Node>,
        theirs: Option<&Node>,
    ) -> Result<Option<Node>, StoreError> {
        let removed = base.is_some() && (ours.is_none() || theirs.is_none());
        if removed && !same(base, ours) && !same(base, theirs) && !same(ours, theirs) {
            return Ok(self.conflict(Vec::new(), [base, ours, theirs], None).into_iter().next());
        }
        Ok(self.entry(&[], [base, ours, theirs], None, 0)?.into_iter().next())
    }

    /// One entry: what stands under its name afterwards, and what was put beside it.
    fn entry(
        &mut self,
        path: &[u8],
        sides: [Option<&Node>; 3],
        taken: Option<&BTreeSet<&[u8]>>,
        depth: usize,
    ) -> Result<Vec<Node>, StoreError> {
        let [base, ours, theirs] = sides;
        let keep = |node: Option<&Node>| Ok(node.cloned().into_iter().collect());
        if same(ours, theirs) || same(base, theirs) {
            return keep(ours);
        }
        if same(base, ours) {
            return keep(theirs);
        }
        // A directory that one side removed is merged as an empty one, so that conflicts are those of its files.
        let directories = (is_directory(ours) && is_directory(theirs))
            || (is_directory(base)
                && [ours, theirs].iter().all(|side| side.is_none() || is_directory(*side)));
        if !directories {
            return Ok(self.conflict(path.to_vec(), sides, taken));
        }
        if depth == DEEPEST {
            let detail = format!("its directories nest more than {DEEPEST} deep");
            return Err(StoreError::damaged("a dataset", detail));
        }
        let mut tree = |side: Option<&Node>| match side.filter(|node| node.kind == NodeKind::Directory) {
            Some(node) => self.tree(&node.id),
            None => Ok(Tree::default()),
        };
        let trees = [tree(base)?, tree(ours)?, tree(theirs)?];
        let merged = self.directory(path, &trees, depth)?;
        let name = ours.or(theirs).map(|node| node.name.clone()).unwrap_or_default();
        if merged.nodes.is_empty() && (ours.is_none() || theirs.is_none()) {
            return Ok(Vec::new());
        }
        let node = Node { name, kind: NodeKind::Directory, size: merged.size(), id: merged.id() };
        if !same(Some(&node), ours) && !same(Some(&node), theirs) {
            self.made.insert(node.id, merged);
        }
        Ok(vec![node])
    }

    fn directory(&mut self, path: &[u8], trees: &[Tree; 3], depth: usize) -> Result<Tree, StoreError> {
        let names: BTreeSet<&[u8]> =
            trees.iter().flat_map(|tree| tree.nodes.iter().map(|node| node.name.as_slice())).collect();
        // All three are sorted: each is walked once.
        let mut rest = [0_usize; 3];
        let mut nodes = Vec::with_capacity(names.len());
        for name in &names {
            let mut sides = [None; 3];
            for ((side, tree), at) in sides.iter_mut().zip(trees).zip(&mut rest) {
                *side = tree.nodes.get(*at).filter(|node| node.name == *name);
                *at += usize::from(side.is_some());
            }
            let mut below = path.to_vec();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(name);
            nodes.extend(self.entry(&below, sides, Some(&names), depth + 1)?);
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Tree { nodes })
    }

    /// Takes what was chosen, else notes the conflict and keeps ours.
    fn conflict(
        &mut self,
        path: Vec<u8>,
        sides: [Option<&Node>; 3],
        taken: Option<&BTreeSet<&[u8]>>,
    ) -> Vec<Node> {
        let [base, ours, theirs] = sides.map(|side| side.cloned());
        // The dataset itself has no name beside which another could stand.
        let choice = (self.choose)(&path).filter(|choice| *choice != Choice::Both || taken.is_some());
        self.resolved += u64::from(choice.is_some());
        match (choice, ours, theirs) {
            (None, ours, theirs) => {
                self.conflicts.push(Conflict { path, base, ours: ours.clone(), theirs });
                ours.into_iter().collect()
            }
            (Some(Choice::Ours), ours, _) => ours.into_iter().collect(),
            (Some(Choice::Theirs), _, theirs) => theirs.into_iter().collect(),
            (Some(Choice::Both), Some(ours), Some(mut theirs)) => {
                theirs.name = beside(&theirs.name, |name| taken.is_some_and(|taken| taken.contains(name)));
                vec![ours, theirs]
            }
            (Some(Choice::Both), ours, theirs) => ours.or(theirs).into_iter().collect(),
        }
    }

    fn tree(&mut self, id: &Digest) -> Result<Tree, StoreError> {
        match self.known.get(id).or_else(|| self.made.get(id)) {
            Some(tree) => Ok(tree.clone()),
            None => (self.read)(id),
        }
    }

    /// The directory that a pointer may list. One that a side gives only by its id stays so, and need not be read.
    fn listed(&self, root: &Node) -> Option<Tree> {
        self.known.get(&root.id).or_else(|| self.made.get(&root.id)).cloned()
    }
}

/// `name.theirs.ext`, or the first of `name.theirs2.ext`, … that nothing else is called.
fn beside(name: &[u8], is_taken: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    (1_u64..)
        .map(|n| {
            let word = if n == 1 { ".theirs".to_owned() } else { format!(".theirs{n}") };
            let room = 255_usize.saturating_sub(word.len() + extension.len());
            let mut end = stem.len().min(room);
            // Not in the middle of a character.
            while end > 0 && end < stem.len() && (stem[end] & 0xc0) == 0x80 {
                end -= 1;
            }
            [&stem[..end], word.as_bytes(), &extension[..extension.len().min(255 - word.len())]].concat()
        })
        .find(|name| !is_taken(name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
