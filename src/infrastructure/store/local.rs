//! The local store: `<state dir>/store`, plain files, shared by all work trees of a repository.
//!
//! ```text
//! packs/ab/<pack id>   index/<index id>   records/ab/<record id>   pins/   bad/   temporary files begin with `.mlptmp.`
//! objects/ab/<file id>   clones of long files, where the file system shares blocks (`worktree/clones.rs`)
//! ```

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::catalog::{Catalog, bad_name};
use super::codec::decode_object;
use super::pack::{read_at, read_entries};
use super::recipe::Recipe;
use super::worktree::Clones;
use super::{Location, Node, NodeKind, ObjectKind, StoreError, Tree, Writer, files, tree};
use crate::base::{Digest, Hasher};

/// Pack files kept open at most.
const OPEN_PACKS: usize = 32;

/// The local store.
pub struct Local {
    root: PathBuf,
    /// None until something is looked up.
    catalog: RwLock<Option<Arc<Catalog>>>,
    open: Mutex<HashMap<Digest, Arc<File>>>,
    /// The lock that says that this process uses the store, taken when something is looked up first.
    user: OnceLock<Option<File>>,
    /// Long files that share their blocks with the work tree.
    pub(super) clones: Clones,
}

impl Local {
    /// Opens the store in `dir`, making it if it is not there. Nothing is read before it is needed.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        files::make_dir(dir)?;
        Ok(Self {
            root: dir.to_owned(),
            catalog: RwLock::default(),
            open: Mutex::default(),
            user: OnceLock::new(),
            clones: Clones::new(dir),
        })
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the blob or tree `id` is here. Of a tree this says nothing about its children, of a long file nothing about its
    /// chunks: see `Local::closure`.
    pub fn has(&self, id: &Digest) -> Result<bool, StoreError> {
        Ok(self.locate(id)?.is_some())
    }

    /// The verified bytes of a blob.
    pub fn read(&self, id: &Digest) -> Result<Vec<u8>, StoreError> {
        let (kind, bytes) = self.object(id)?;
        if kind != ObjectKind::Recipe {
            return Ok(bytes);
        }
        let recipe = Recipe::decode(&bytes)?;
        let mut file = Vec::new();
        self.assemble(&recipe, &mut |chunk| {
            file.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(file)
    }

    /// Writes the verified bytes of a blob to `out`; returns their number. Each chunk of a long file is verified before it
    /// is written, the whole when all are: after an error, what was written must not be used.
    pub fn copy(&self, id: &Digest, out: &mut dyn Write) -> Result<u64, StoreError> {
        let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(StoreError::io("write", "the output"));
        let (kind, bytes) = self.object(id)?;
        if kind != ObjectKind::Recipe {
            write(&bytes)?;
            return Ok(bytes.len() as u64);
        }
        let recipe = Recipe::decode(&bytes)?;
        self.assemble(&recipe, &mut write)?;
        Ok(recipe.size())
    }

    /// A verified directory.
    pub fn tree(&self, id: &Digest) -> Result<Tree, StoreError> {
        Ok(Tree { nodes: self.joined(self.tree_node(id)?)? })
    }

    /// The node at `path` (`a/b/c`) below the tree `root`; none if there is no such entry.
    pub fn find(&self, root: &Digest, path: &str) -> Result<Option<Node>, StoreError> {
        let mut components = path.split('/').filter(|component| !component.is_empty()).peekable();
        let mut id = *root;
        while let Some(component) = components.next() {
            let Some(node) = self.lookup(&id, component.as_bytes())? else { return Ok(None) };
            match components.peek() {
                None => return Ok(Some(node)),
                Some(_) if node.kind == NodeKind::Directory => id = node.id,
                Some(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The root `id`, which may be a directory or a file.
    pub fn root_node(&self, id: &Digest) -> Result<Node, StoreError> {
        let (kind, size) = match self.object(id)? {
            (ObjectKind::Tree, _) => {
                (NodeKind::Directory, self.tree(id)?.nodes.iter().map(|node| node.size).sum())
            }
            (ObjectKind::Recipe, bytes) => (NodeKind::File, Recipe::decode(&bytes)?.size()),
            (_, bytes) => (NodeKind::File, bytes.len() as u64),
        };
        Ok(Node { name: Vec::new(), kind, size, id: *id })
    }

    /// Where an object lies; none if it is not here.
    pub(crate) fn locate(&self, id: &Digest) -> Result<Option<Location>, StoreError> {
        let catalog = self.catalog()?;
        match catalog.find(id) {
            Some(location) => Ok(Some(location)),
            // Another process may have added it since the indexes were listed.
            None => Ok(self.reload()?.find(id)),
        }
    }

    /// The decoded and verified bytes of any object: blob, chunk, tree node or recipe.
    pub(crate) fn object(&self, id: &Digest) -> Result<(ObjectKind, Vec<u8>), StoreError> {
        loop {
            let Some(location) = self.locate(id)? else { return Err(self.absent(id)?) };
            match self.verified(&location) {
                Ok((_, bytes)) => return Ok((location.entry.kind, bytes)),
                // It is set aside now; another pack may hold it too.
                Err(StoreError::Damaged { .. }) if self.locate(id)?.is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Why an object cannot be read: it was never here, or it is damaged and was set aside.
    pub(super) fn absent(&self, id: &Digest) -> Result<StoreError, StoreError> {
        let listed = self.catalog()?.indexes.iter().find_map(|index| index.find(id));
        Ok(match listed {
            None => StoreError::Missing(*id),
            Some(there) => StoreError::damaged(
                format!("object `{id}`"),
                format!("it was set aside (pack `{}`)", self.pack_path(&there.pack).display()),
            ),
        })
    }

    /// The stored (encoded) bytes at `location`, verified by decoding them: what goes into a pack for a remote.
    pub(crate) fn stored(&self, location: &Location) -> Result<Vec<u8>, StoreError> {
        self.verified(location).map(|(stored, _)| stored)
    }

    /// Starts adding objects.
    pub fn writer(&self) -> Result<Writer<'_>, StoreError> {
        Ok(Writer::new(self, self.reload()?))
    }

    /// Stores one blob durably.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let mut writer = self.writer()?;
        let id = writer.blob(bytes)?;
        writer.finish()?;
        Ok(id)
    }

    /// The recipe of a long file; none for a file stored whole or not here.
    pub(super) fn recipe(&self, id: &Digest) -> Result<Option<Recipe>, StoreError> {
        let is_recipe = |location: Location| location.entry.kind == ObjectKind::Recipe;
        match self.locate(id)?.is_some_and(is_recipe) {
            true => Recipe::decode(&self.object(id)?.1).map(Some),
            false => Ok(None),
        }
    }

    /// One stored tree node.
    pub(super) fn tree_node(&self, id: &Digest) -> Result<tree::Stored, StoreError> {
        match self.object(id)? {
            (ObjectKind::Tree, bytes) => tree::decode(&bytes),
            _ => Err(StoreError::damaged(format!("tree `{id}`"), "it is not a tree")),
        }
    }

    /// The entries of two directories in which they may differ: ranges with the same id are left out.
    pub(super) fn differing(
        &self,
        old: Option<&Digest>,
        new: Option<&Digest>,
    ) -> Result<(Vec<Node>, Vec<Node>), StoreError> {
        let top = |id: Option<&Digest>| id.map(|id| self.tree_node(id)).transpose();
        let (Some(old_top), Some(new_top)) = (top(old)?, top(new)?) else {
            let all =
                |id: Option<&Digest>| Ok(id.map(|id| self.tree(id)).transpose()?.unwrap_or_default().nodes);
            return Ok((all(old)?, all(new)?));
        };
        if old_top.level == 0 || new_top.level == 0 {
            return Ok((self.joined(old_top)?, self.joined(new_top)?));
        }
        let ids = |node: &tree::Stored| node.nodes.iter().map(|range| range.id).collect::<HashSet<_>>();
        let (old_ids, new_ids) = (ids(&old_top), ids(&new_top));
        let rest = |node: tree::Stored, other: &HashSet<Digest>| {
            let nodes = node.nodes.into_iter().filter(|range| !other.contains(&range.id)).collect();
            self.joined(tree::Stored { level: node.level, nodes })
        };
        Ok((rest(old_top, &new_ids)?, rest(new_top, &old_ids)?))
    }

    /// This process's own lock, taken when it first uses the store; none where it cannot be taken.
    pub(super) fn user(&self) -> Option<&File> {
        self.user.get_or_init(|| self.using()).as_ref()
    }

    /// The path of a pack.
    pub(super) fn pack_path(&self, pack: &Digest) -> PathBuf {
        files::fanned(&self.root.join("packs"), &pack.hex())
    }

    /// The indexes as they were last listed.
    pub(super) fn catalog(&self) -> Result<Arc<Catalog>, StoreError> {
        let known = self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(catalog) => Ok(catalog),
            None => self.reload(),
        }
    }

    /// Lists the indexes again. A damaged index is set aside and named; what it listed is indexed anew from the packs, so
    /// that the next command works.
    pub(super) fn reload(&self) -> Result<Arc<Catalog>, StoreError> {
        self.user();
        let mut slot = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        let known = slot.clone().unwrap_or_default();
        match Catalog::load(&self.root, &known) {
            Ok(catalog) => {
                let catalog = Arc::new(catalog);
                *slot = Some(Arc::clone(&catalog));
                Ok(catalog)
            }
            Err(error @ StoreError::Damaged { .. }) => {
                self.rebuild_index()?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The entries below a stored node.
    fn joined(&self, top: tree::Stored) -> Result<Vec<Node>, StoreError> {
        if top.level == 0 {
            return Ok(top.nodes);
        }
        let mut nodes = Vec::new();
        self.expand(top, None, &mut nodes)?;
        Ok(nodes)
    }

    /// Collects the entries below a stored node; `wanted` limits it to the range that may hold that name.
    fn expand(
        &self,
        top: tree::Stored,
        wanted: Option<&[u8]>,
        out: &mut Vec<Node>,
    ) -> Result<(), StoreError> {
        let mut stack = vec![(top.level, top.nodes.into_iter())];
        let misplaced = || StoreError::damaged("a large directory", "its ranges are not in order");
        while let Some((level, nodes)) = stack.last_mut() {
            let level = *level;
            if level == 0 {
                for node in nodes.by_ref() {
                    if out.last().is_some_and(|last| last.name >= node.name) {
                        return Err(misplaced());
                    }
                    out.push(node);
                }
            }
            let next = match wanted {
                // Ranges are named by their first entry: the last one not after the wanted name is the only candidate.
                Some(name) => nodes.by_ref().filter(|range| range.name.as_slice() <= name).last(),
                None => nodes.next(),
            };
            let Some(range) = next else {
                stack.pop();
                continue;
            };
            let below = self.tree_node(&range.id)?;
            if below.level + 1 != level || below.nodes.first().is_none_or(|first| first.name != range.name) {
                return Err(misplaced());
            }
            stack.push((below.level, below.nodes.into_iter()));
        }
        Ok(())
    }

    fn lookup(&self, directory: &Digest, name: &[u8]) -> Result<Option<Node>, StoreError> {
        let mut nodes = Vec::new();
        self.expand(self.tree_node(directory)?, Some(name), &mut nodes)?;
        Ok(nodes.into_iter().find(|node| node.name == name))
    }

    /// Hands out the verified chunks of a file in order, then checks the whole.
    fn assemble(
        &self,
        recipe: &Recipe,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let wrong = |detail: &str| StoreError::damaged(format!("file `{}`", recipe.file), detail);
        let mut hasher = Hasher::new();
        for (id, length) in &recipe.chunks {
            let (kind, bytes) = self.object(id)?;
            if kind != ObjectKind::Chunk || bytes.len() != *length as usize {
                return Err(wrong("its recipe does not fit its chunks"));
            }
            hasher.update(&bytes);
            take(&bytes)?;
        }
        if hasher.finish() == recipe.file { Ok(()) } else { Err(wrong("its chunks do not add up to it")) }
    }

    /// Stored and decoded bytes at a place; what is damaged is set aside.
    fn verified(&self, location: &Location) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        let path = self.pack_path(&location.pack);
        let entry = &location.entry;
        let stored = self
            .pack_file(&location.pack, &path)
            .and_then(|file| read_at(&file, u64::from(entry.offset), entry.stored as usize));
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.set_aside(&location.pack, None, &[])?;
                return Err(StoreError::damaged(format!("pack `{}`", path.display()), "it is gone"));
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.set_aside(&location.pack, Some(entry.offset), &[])?;
                return Err(StoreError::damaged(format!("pack `{}`", path.display()), "it is cut off"));
            }
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        match decode_object(entry, &stored, &path.display().to_string()) {
            Ok(bytes) => Ok((stored, bytes)),
            Err(error) => {
                self.set_aside(&location.pack, Some(entry.offset), &stored)?;
                Err(error)
            }
        }
    }

    fn pack_file(&self, pack: &Digest, path: &Path) -> std::io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(pack) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(path)?);
        if open.len() >= OPEN_PACKS {
            open.clear();
        }
        open.insert(*pack, Arc::clone(&file));
        Ok(file)
    }

    /// Puts a copy of damaged bytes into `bad/` and treats that place as absent from now on, so that adding or fetching the
    /// object stores it anew. The rest of the pack stays in use.
    fn set_aside(&self, pack: &Digest, offset: Option<u32>, bytes: &[u8]) -> Result<(), StoreError> {
        let bad = self.root.join("bad");
        files::make_dir(&bad)?;
        files::replace(&bad.join(bad_name(pack, offset)), bytes)?;
        self.reload().map(drop)
    }

    /// A pack was written anew under the name of one that was damaged: what was set aside of it counts again.
    pub(super) fn forget_damage(&self, pack: &Digest) -> Result<(), StoreError> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(pack);
        if !self.catalog()?.is_damaged(pack) {
            return Ok(());
        }
        let bad = self.root.join("bad");
        for name in super::catalog::names(&bad)? {
            if name.split_once('.').is_some_and(|(hex, place)| hex == pack.hex() && place != "record") {
                files::remove(&bad.join(name))?;
            }
        }
        self.reload().map(drop)
    }

    /// Writes an index for every pack that no index lists, from the packs' own headers. Returns how many there were.
    pub(crate) fn rebuild_index(&self) -> Result<usize, StoreError> {
        let listed = Catalog::load(&self.root, &Catalog::default()).map(|catalog| catalog.packs())?;
        let dir = self.root.join("packs");
        let mut packs = Vec::new();
        for fan in super::catalog::names(&dir)? {
            for name in super::catalog::names(&dir.join(&fan))? {
                let Ok(id) = Digest::from_hex(&name) else { continue };
                if listed.binary_search(&id).is_ok() {
                    continue;
                }
                match read_entries(&self.pack_path(&id)) {
                    Ok(entries) => packs.push((id, entries)),
                    // A damaged header: its objects cannot be found and have to be fetched again.
                    Err(StoreError::Damaged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        super::writer::publish_index(&self.root, &packs)?;
        Ok(packs.len())
    }
}

#[cfg(test)]
mod tests;
