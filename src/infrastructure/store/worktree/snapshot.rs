//! From a folder to a root node: scan, read what the cache does not know, build the trees bottom-up.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::super::{Local, Node, NodeKind, StoreError, Tree, Writer};
use super::cache::{Cached, Contents, Group, StatCache, key, split};
use super::portable;
use super::read::{Target, resolve};
use super::scan::{Folder, Scan};
use super::stat::Stat;
use crate::base::{Digest, Sink};

/// What a snapshot found and stored.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The folder or file as a root node (empty name).
    pub root: Node,
    /// Files in it.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Files that had to be read, the others being known by the stat cache.
    pub hashed: u64,
    /// Bytes newly written to the store (after deduplication and compression).
    pub stored: u64,
}

/// Directories by id, for whoever compares a folder with a stored tree.
pub(super) type Trees = HashMap<Digest, Tree>;

/// Hashes `path` (folder or file) using the cache, without storing anything: the id it would have.
pub fn identify(path: &Path, cache: &StatCache, sink: &dyn Sink) -> Result<Snapshot, StoreError> {
    observe(path, None, Some(cache), None, sink)
}

/// Stores `path` (folder or file): hash, chunk, compress, pack; then updates the cache.
pub fn snapshot(
    path: &Path,
    store: &Local,
    cache: Option<&StatCache>,
    sink: &dyn Sink,
) -> Result<Snapshot, StoreError> {
    observe(path, Some(store), cache, None, sink)
}

/// Both of the above; `trees` collects the directories.
pub(super) fn observe(
    path: &Path,
    store: Option<&Local>,
    cache: Option<&StatCache>,
    mut trees: Option<&mut Trees>,
    sink: &dyn Sink,
) -> Result<Snapshot, StoreError> {
    let known = cache.map_or_else(|| Ok(Contents::empty()), StatCache::load)?;
    // Taken before anything is looked at. Without a time everything is taken for young.
    let now = cache.and_then(|cache| cache.file_system_time().ok()).unwrap_or(i64::MIN);
    let (root, mut scan, is_file) = look(path, &known, sink)?;
    let mut writer = store.map(Local::writer).transpose()?;
    if let Some(writer) = &writer {
        portable::warn(&scan, sink);
        forget_what_is_not_stored(&mut scan, writer)?;
    }
    let target = writer.as_mut().zip(store).map(|(writer, store)| Target { writer, store });
    let hashed = resolve(&mut scan, target, true, sink)?;
    let root_node = if is_file { file_node(&scan)? } else { build(&scan, writer.as_mut(), &mut trees)? };
    let (mut files, mut bytes, mut same) = (0, 0, true);
    for entry in scan.folders.iter().flat_map(|folder| &folder.entries) {
        if entry.kind != NodeKind::Directory {
            files += 1;
            bytes += entry.stat.size;
            same &= entry.cached && (store.is_none() || entry.tracked == entry.id);
        }
    }
    let mut stored = 0;
    if let Some(writer) = writer {
        stored = writer.publish()?;
    }
    if let Some(cache) = cache {
        let known_files = if is_file { files } else { known.files_below(&root) };
        if !same || known_files != files {
            let update = cache.update(&root, groups(&scan, store.is_some(), now), store.is_some());
            // Whoever only looks need not be able to write.
            if store.is_some() {
                update?;
            }
        }
    }
    Ok(Snapshot { root: root_node, files, bytes, hashed, stored })
}

/// The root's path in the cache, what is there, and whether it is a single file.
fn look(path: &Path, known: &Contents, sink: &dyn Sink) -> Result<(Vec<u8>, Scan, bool), StoreError> {
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => StoreError::Absent(path.to_owned()),
        _ => StoreError::io("read", path)(error),
    })?;
    if found.is_dir() {
        let root = key(path)?;
        let scan = Scan::of(root.clone(), known, sink)?;
        return Ok((root, scan, false));
    }
    let real = fs::canonicalize(path).map_err(StoreError::io("read", path))?;
    let root = key(&real)?;
    let (parent, name) = split(&root);
    let stat = rustix::fs::lstat(&real).map_err(|error| StoreError::io("read", path)(error.into()))?;
    let stat = Stat::of(&stat);
    let kind = if stat.is_executable() { NodeKind::Executable } else { NodeKind::File };
    let mut folder = Folder::new(parent.to_vec(), 0);
    folder.push(name, kind, stat);
    folder.recall(known);
    Ok((root.clone(), Scan { folders: vec![folder] }, true))
}

/// The cache may know ids of content that was only looked at, or that is damaged since: such files are read again.
fn forget_what_is_not_stored(scan: &mut Scan, writer: &Writer<'_>) -> Result<(), StoreError> {
    for entry in scan.folders.iter_mut().flat_map(|folder| &mut folder.entries) {
        if let Some(id) = entry.id
            && !writer.is_complete(&id)?
        {
            (entry.id, entry.cached) = (None, false);
        }
    }
    Ok(())
}

fn file_node(scan: &Scan) -> Result<Node, StoreError> {
    let entry = &scan.folders[0].entries[0];
    let id = entry.id.ok_or_else(|| StoreError::Absent(scan.folders[0].path_of(entry)))?;
    Ok(Node { name: Vec::new(), kind: entry.kind, size: entry.stat.size, id })
}

/// The root directory. Children stand after their parents in a scan: from the back, they are ready when they are needed.
fn build(
    scan: &Scan,
    mut writer: Option<&mut Writer<'_>>,
    trees: &mut Option<&mut Trees>,
) -> Result<Node, StoreError> {
    let mut done = vec![None; scan.folders.len()];
    for (at, folder) in scan.folders.iter().enumerate().rev() {
        let mut tree = Tree { nodes: Vec::with_capacity(folder.entries.len()) };
        for entry in &folder.entries {
            let (id, size) = match entry.kind {
                NodeKind::Directory => {
                    done[entry.child].ok_or_else(|| StoreError::Changing(folder.path_of(entry)))?
                }
                _ => (entry.id.ok_or_else(|| StoreError::Changing(folder.path_of(entry)))?, entry.stat.size),
            };
            tree.nodes.push(Node { name: folder.name(entry).to_vec(), kind: entry.kind, size, id });
        }
        let id = match &mut writer {
            Some(writer) => writer.tree(&tree)?,
            None => tree.id(),
        };
        done[at] = Some((id, tree.size()));
        if let Some(trees) = trees {
            trees.insert(id, tree);
        }
    }
    let (id, size) =
        done[0].ok_or_else(|| StoreError::Changing(super::scan::path_buf(&scan.folders[0].path)))?;
    Ok(Node { name: Vec::new(), kind: NodeKind::Directory, size, id })
}

/// What the cache shall know about a scan.
fn groups(scan: &Scan, stored: bool, now: i64) -> Vec<(Vec<u8>, Group)> {
    let group = |folder: &Folder| {
        let mut group = Group::default();
        for entry in &folder.entries {
            if let Some(id) = entry.id {
                let tracked = stored || entry.tracked == Some(id);
                let racy = entry.stat.is_racy(now) && !entry.cached;
                group.push(folder.name(entry), Cached { stat: entry.stat, id, tracked, racy });
            }
        }
        (folder.path.clone(), group)
    };
    scan.folders.iter().map(group).collect()
}
