//! A part of a version: patterns in gitignore syntax choose what a work tree holds.
//!
//! The chosen part is a version of its own ([`Sparse::narrow`]), which is checked out and compared as any other; what is added from such a
//! work tree is laid over the whole version again ([`Sparse::widen`]), so that nothing outside of the patterns is ever dropped.

use std::collections::BTreeMap;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::super::{Local, Node, NodeKind, OnDemand, StoreError, Tree, Writer};
use super::names;
use super::scan::path_buf;
use crate::base::{Digest, Sink};

/// The patterns of one dataset. The last one that matches a path or a folder above it decides; `!` excludes.
#[derive(Clone, Debug)]
pub struct Sparse {
    patterns: Vec<String>,
    /// Each pattern for itself.
    rules: Vec<Gitignore>,
}

/// The position of the pattern that decides about a path so far; none if no pattern matches it or a folder above it.
type Choice = Option<usize>;

/// Looks up a folder.
type Look<'a> = dyn FnMut(&Digest) -> Result<Tree, StoreError> + 'a;
/// Stores a folder.
type Keep<'a> = dyn FnMut(&Tree) -> Result<Digest, StoreError> + 'a;

impl Sparse {
    /// From patterns as written.
    pub fn new(patterns: &[String]) -> Result<Self, StoreError> {
        let rule = |pattern: &String| {
            let failed =
                |detail: String| StoreError::Pattern { pattern: pattern.escape_debug().to_string(), detail };
            if pattern.trim().is_empty() || pattern.starts_with('#') || pattern.contains(['\n', '\r', '\0']) {
                return Err(failed("it is empty or a comment".to_owned()));
            }
            let mut builder = GitignoreBuilder::new("");
            builder.add_line(None, pattern).map_err(|error| failed(error.to_string()))?;
            builder.build().map_err(|error| failed(error.to_string()))
        };
        let rules = patterns.iter().map(rule).collect::<Result<_, StoreError>>()?;
        Ok(Self { patterns: patterns.to_vec(), rules })
    }

    /// As written.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// The chosen part of the folder `root`, its trees in the store. A file is chosen whole.
    pub fn narrow(&self, root: &Node, store: &Local) -> Result<Node, StoreError> {
        if root.kind != NodeKind::Directory {
            return Ok(root.clone());
        }
        let mut writer = store.writer()?;
        let (look, keep): (&mut Look<'_>, &mut Keep<'_>) =
            (&mut |id| store.tree(id), &mut |tree| writer.tree(tree));
        let part = match self.part(root, &mut Vec::new(), None, look, keep)? {
            Some(part) => part,
            None => Node { size: 0, id: writer.tree(&Tree::default())?, ..root.clone() },
        };
        writer.finish()?;
        Ok(part)
    }

    /// Makes the chosen part of `root` present here, with the folders that must be looked into to choose it.
    pub fn fetch(&self, root: &Node, source: &mut OnDemand<'_>, sink: &dyn Sink) -> Result<(), StoreError> {
        if root.kind != NodeKind::Directory {
            return source.complete(&[root.id], sink);
        }
        // Level by level: all folders of a level that are not here are got together.
        let mut level = vec![(Vec::new(), root.clone(), None)];
        let mut wanted = Vec::new();
        while !level.is_empty() {
            let (mut below, mut again, mut absent) = (Vec::new(), Vec::new(), Vec::new());
            for (path, node, above) in level {
                let is_folder = node.kind == NodeKind::Directory;
                let choice = self.choice(&path, is_folder, above);
                let chosen = self.is_chosen(choice);
                if !is_folder {
                    wanted.extend(chosen.then_some(node.id));
                    continue;
                }
                if !chosen && !self.may_hold(&path) {
                    continue;
                }
                match source.local().tree(&node.id) {
                    Err(StoreError::Missing(id)) => {
                        absent.push(id);
                        again.push((path, node, above));
                    }
                    tree => {
                        let children = tree?.nodes.into_iter();
                        below.extend(children.map(|child| (names::join(&path, &child.name), child, choice)));
                    }
                }
            }
            absent.sort_unstable();
            absent.dedup();
            if !absent.is_empty() {
                source.get(&absent)?;
            }
            level = again;
            level.append(&mut below);
        }
        wanted.sort_unstable();
        wanted.dedup();
        source.complete(&wanted, sink)
    }

    /// The whole version after an edit of its chosen part: what the patterns do not choose stays as in `whole`, the rest is as in
    /// `part` (which may hold more than the patterns choose).
    pub fn widen(&self, whole: &Node, part: &Node, store: &Local) -> Result<Node, StoreError> {
        if whole.kind != NodeKind::Directory || part.kind != NodeKind::Directory {
            return Ok(part.clone());
        }
        let mut writer = store.writer()?;
        let tree = self.overlay(store, &mut writer, [Some(whole), Some(part)], &mut Vec::new(), None)?;
        let tree = tree.unwrap_or_default();
        let id = writer.tree(&tree)?;
        writer.finish()?;
        Ok(Node { name: Vec::new(), kind: NodeKind::Directory, size: tree.size(), id })
    }

    /// What is chosen of `node`; none if nothing is.
    fn part(
        &self,
        node: &Node,
        path: &mut Vec<u8>,
        above: Choice,
        look: &mut Look<'_>,
        keep: &mut Keep<'_>,
    ) -> Result<Option<Node>, StoreError> {
        let is_folder = node.kind == NodeKind::Directory;
        let choice = self.choice(path, is_folder, above);
        let chosen = self.is_chosen(choice);
        if !is_folder {
            return Ok(chosen.then(|| node.clone()));
        }
        if !chosen && !self.may_hold(path) {
            return Ok(None);
        }
        // Whole folders need not be looked into, unless a later pattern excludes something below.
        if chosen && !self.has_exceptions() {
            return Ok(Some(node.clone()));
        }
        let mut tree = Tree::default();
        let old = look(&node.id)?;
        let was_empty = old.nodes.is_empty();
        for child in &old.nodes {
            let length = path.len();
            *path = names::join(path, &child.name);
            tree.nodes.extend(self.part(child, path, choice, look, keep)?);
            path.truncate(length);
        }
        if tree.nodes.is_empty() && !(was_empty && chosen) {
            return Ok(None);
        }
        let id = keep(&tree)?;
        Ok(Some(Node { size: tree.size(), id, ..node.clone() }))
    }

    fn overlay(
        &self,
        store: &Local,
        writer: &mut Writer<'_>,
        [whole, part]: [Option<&Node>; 2],
        path: &mut Vec<u8>,
        choice: Choice,
    ) -> Result<Option<Tree>, StoreError> {
        let look = |node: Option<&Node>| match node {
            Some(node) => store.tree(&node.id),
            None => Ok(Tree::default()),
        };
        let (old, new) = (look(whole)?, look(part)?);
        // An empty folder is kept where the work tree has it, and where it is none of the work tree's business.
        let stays_empty = (part.is_some() && new.nodes.is_empty())
            || (whole.is_some() && !self.is_chosen(choice) && old.nodes.is_empty());
        let mut both: BTreeMap<Vec<u8>, [Option<Node>; 2]> = BTreeMap::new();
        for (side, tree) in [old, new].into_iter().enumerate() {
            for node in tree.nodes {
                let sides = both.entry(node.name.clone()).or_default();
                sides[side] = Some(node);
            }
        }
        let mut tree = Tree::default();
        for (name, sides) in both {
            let length = path.len();
            *path = names::join(path, &name);
            tree.nodes.extend(self.laid_over(store, writer, sides, path, choice)?);
            path.truncate(length);
        }
        Ok((stays_empty || !tree.nodes.is_empty()).then_some(tree))
    }

    /// What stands at `path` in the end, `old` being in the whole version and `new` in the part.
    fn laid_over(
        &self,
        store: &Local,
        writer: &mut Writer<'_>,
        [old, new]: [Option<Node>; 2],
        path: &mut Vec<u8>,
        above: Choice,
    ) -> Result<Option<Node>, StoreError> {
        let is_folder = |node: &Node| node.kind == NodeKind::Directory;
        let Some(old) = old else { return Ok(new) };
        if new.as_ref().is_some_and(|new| new.id == old.id) {
            return Ok(new);
        }
        let choice = self.choice(path, is_folder(&old), above);
        let chosen = self.is_chosen(choice);
        if !is_folder(&old) {
            return Ok(new.or((!chosen).then_some(old)));
        }
        // What the patterns cannot choose anything of stays without a look.
        if new.is_none() && !chosen && !self.may_hold(path) {
            return Ok(Some(old));
        }
        if new.as_ref().is_some_and(|new| !is_folder(new)) {
            if chosen && !self.has_exceptions() {
                return Ok(new);
            }
            let reason = "a folder stands there in the version, of which not all is checked out";
            return Err(StoreError::Name { path: names::shown(path), reason });
        }
        let Some(tree) = self.overlay(store, writer, [Some(&old), new.as_ref()], path, choice)? else {
            return Ok(None);
        };
        let id = writer.tree(&tree)?;
        Ok(Some(Node { size: tree.size(), id, ..old }))
    }

    /// What decides about `path`, `above` being what decides about the folder around it.
    fn choice(&self, path: &[u8], is_folder: bool, above: Choice) -> Choice {
        if path.is_empty() {
            return above;
        }
        let path = path_buf(path);
        // None is less than any position.
        above.max(self.rules.iter().rposition(|rule| !rule.matched(&path, is_folder).is_none()))
    }

    fn is_chosen(&self, choice: Choice) -> bool {
        match choice {
            Some(at) => !self.patterns[at].starts_with('!'),
            // With exceptions alone everything else is meant.
            None => self.patterns.iter().all(|pattern| pattern.starts_with('!')),
        }
    }

    fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.starts_with('!'))
    }

    /// Whether a pattern could choose something below the folder `path`, which is not chosen itself. So only the folders in question are
    /// looked into, and fetched.
    fn may_hold(&self, path: &[u8]) -> bool {
        let path = String::from_utf8_lossy(path);
        let folder: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        self.patterns.iter().any(|pattern| !pattern.starts_with('!') && leads_below(pattern, &folder))
    }
}

/// Whether a pattern may match something below `folder`.
fn leads_below(pattern: &str, folder: &[&str]) -> bool {
    let pattern = pattern.trim_end().trim_end_matches('/');
    // Without a slash before its end a pattern holds at any depth.
    if !pattern.contains('/') {
        return true;
    }
    let mut parts = pattern.trim_start_matches('/').split('/');
    for name in folder {
        match parts.next() {
            // It names a folder above, and then something excluded this one.
            None => return false,
            Some(part) if part.contains(['*', '?', '[', '\\']) => return true,
            Some(part) if part != *name => return false,
            Some(_) => {}
        }
    }
    true
}
