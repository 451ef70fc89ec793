//! What git holds of a dataset: `data/mnist.mlp`, a small YAML file beside the data.
//!
//! ```yaml
//! mlp: 1
//! kind: tree
//! children:
//! - dir: test/
//!   id: b3:9f2c…
//!   size: 1648877
//! - file: README.md
//!   id: b3:51aa…
//!   size: 512
//! ```
//!
//! The first line of a child is its name and never changes while the child lives, so that changes of two neighbours do not
//! touch and git merges them; nothing is written that all children together decide (a root id, a total), because two
//! changes of it always conflict. A directory of more than 256 entries, or with a name that YAML cannot show, is one `id`.

mod text;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{DataError, Sides};
use crate::base::Digest;
use crate::infrastructure::durable;
use crate::infrastructure::store::{Local, Node, NodeKind, StoreError, Tree};

/// Most children that are listed.
const MOST_CHILDREN: usize = 256;
/// No pointer is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// The pointer of one tracked folder or file.
#[derive(Clone, Debug, PartialEq)]
pub struct Pointer {
    target: Target,
    /// Keys that a later version wrote: kept as they are.
    extra: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
enum Target {
    /// A directory by its entries.
    Children(Vec<Child>),
    /// A file, or a directory that is not listed.
    Whole { kind: NodeKind, size: u64, id: Digest },
}

#[derive(Clone, Debug, PartialEq)]
struct Child {
    name: String,
    kind: NodeKind,
    size: u64,
    id: Digest,
    extra: Map<String, Value>,
}

impl Pointer {
    /// Where the pointer of `path` lies: `data/mnist` -> `data/mnist.mlp`.
    pub fn beside(path: &Path) -> PathBuf {
        // Through the components, so that a slash at the end of `path` does not count.
        let mut name = path.components().as_path().as_os_str().to_owned();
        name.push(".mlp");
        PathBuf::from(name)
    }

    /// The pointer of `root`; `tree` is the root directory (none for a file).
    pub fn new(root: &Node, tree: Option<&Tree>) -> Self {
        let whole = || Target::Whole { kind: root.kind, size: root.size, id: root.id };
        let target = match tree {
            Some(tree) if tree.nodes.len() <= MOST_CHILDREN => {
                let children: Option<Vec<Child>> = tree.nodes.iter().map(Child::of).collect();
                children.map_or_else(whole, Target::Children)
            }
            _ => whole(),
        };
        Self { target, extra: Map::new() }
    }

    /// The pointer of a root in the store: reads the root directory.
    pub fn of(root: &Node, store: &Local) -> Result<Self, StoreError> {
        let tree = match root.kind {
            NodeKind::Directory => Some(store.tree(&root.id)?),
            _ => None,
        };
        Ok(Self::new(root, tree.as_ref()))
    }

    /// Reads the pointer file at `path`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::parse(&Self::text_at(path)?, path)
    }

    /// The text of the pointer file at `path`.
    pub fn text_at(path: &Path) -> Result<String, DataError> {
        let length = fs::metadata(path).map_err(DataError::io("read", path))?.len();
        if length > LONGEST {
            return Err(refuse(path, format!("it has {length} bytes, more than a pointer can have")));
        }
        let bytes = fs::read(path).map_err(DataError::io("read", path))?;
        String::from_utf8(bytes).map_err(|_| refuse(path, "it is not UTF-8"))
    }

    /// Reads a pointer from its text; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, DataError> {
        text::parse(text, path)
    }

    /// Writes the pointer file at `path`, atomically. Keys that a later version wrote into the pointer that is there stay.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let mut pointer = self.clone();
        if let Ok(old) = Self::read(path) {
            pointer.keep(old);
        }
        let text = pointer.text();
        if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
            // Whoever wrote it may have died before its name was on the disk.
            return durable::sync_folder(durable::folder_of(path)).map_err(DataError::io("sync", path));
        }
        durable::replace(path, text.as_bytes()).map_err(DataError::io("write", path))
    }

    /// The pointer as text: the same for the same content.
    pub fn text(&self) -> String {
        text::write(self)
    }

    /// The root that the pointer names. After a merge of two pointers no directory with just these children may be in the
    /// store yet: then it is put there.
    pub fn root(&self, store: &Local) -> Result<Node, DataError> {
        let root = self.node();
        if let Target::Children(_) = &self.target
            && !store.has(&root.id)?
        {
            let mut writer = store.writer()?;
            writer.tree(&self.tree())?;
            writer.finish()?;
        }
        Ok(root)
    }

    /// The root that the pointer names, by computing alone: nothing of it need be in any store.
    pub fn node(&self) -> Node {
        let name = Vec::new();
        match &self.target {
            Target::Whole { kind, size, id } => Node { name, kind: *kind, size: *size, id: *id },
            Target::Children(_) => {
                let tree = self.tree();
                Node { name, kind: NodeKind::Directory, size: tree.size(), id: tree.id() }
            }
        }
    }

    /// The ids that the pointer's lines name (of its children, or its one id): what a clone without the data asks a remote
    /// for; with these in the store [`Pointer::root`] works.
    pub fn ids(&self) -> Vec<Digest> {
        match &self.target {
            Target::Whole { id, .. } => vec![*id],
            Target::Children(children) => children.iter().map(|child| child.id).collect(),
        }
    }

    /// The root directory, if the pointer lists it.
    pub(super) fn listed(&self) -> Option<Tree> {
        matches!(self.target, Target::Children(_)).then(|| self.tree())
    }

    /// The same pointer, which says where its version came from: under the key `import`.
    pub fn imported(mut self, origin: Map<String, Value>) -> Self {
        self.extra.insert("import".to_owned(), Value::Object(origin));
        self
    }

    /// Whether it names what was imported, unchanged.
    pub fn is_as_imported(&self) -> bool {
        let id = self.extra.get("import").and_then(|origin| origin.get("id")).and_then(Value::as_str);
        id.is_some_and(|id| id == self.node().id.to_string())
    }

    /// Keys that a later version wrote.
    pub(super) fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    /// After a merge: these keys, and those of children as the sides have them, ours first.
    pub(super) fn take_extra(&mut self, sides: &Sides, extra: Map<String, Value>) {
        for side in [&sides.theirs, &sides.ours].into_iter().flatten() {
            self.keep(side.clone());
        }
        self.extra = extra;
    }

    /// The root directory, from the listed children.
    fn tree(&self) -> Tree {
        let Target::Children(children) = &self.target else { return Tree::default() };
        let node = |child: &Child| Node {
            name: child.name.as_bytes().to_vec(),
            kind: child.kind,
            size: child.size,
            id: child.id,
        };
        Tree { nodes: children.iter().map(node).collect() }
    }

    /// Takes over what an older pointer says beyond this version's keys.
    fn keep(&mut self, old: Pointer) {
        if self.extra.is_empty() {
            self.extra = old.extra;
        }
        let (Target::Children(children), Target::Children(old)) = (&mut self.target, old.target) else {
            return;
        };
        for old in old.into_iter().filter(|old| !old.extra.is_empty()) {
            if let Some(child) = children.iter_mut().find(|child| child.name == old.name) {
                child.extra = old.extra;
            }
        }
    }
}

impl Child {
    /// None if the name could not be read back.
    fn of(node: &Node) -> Option<Self> {
        let name = std::str::from_utf8(&node.name).ok().filter(|name| text::check_name(name).is_ok())?;
        let Node { kind, size, id, .. } = *node;
        Some(Self { name: name.to_owned(), kind, size, id, extra: Map::new() })
    }
}

fn refuse(path: &Path, detail: impl Into<String>) -> DataError {
    DataError::Pointer { path: path.display().to_string(), detail: detail.into(), label: None }
}

#[cfg(test)]
mod tests;
