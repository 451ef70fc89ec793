//! Figures of a store: what it holds, what deduplication and compression save.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::pack_index::PackIndex;
use super::super::transfer::doomed;
use super::super::transfer::index::RemoteIndex;
use super::super::{Local, NodeKind, PackEntry, Remote, StoreError, Tree, Trees, ledger};
use super::accounts::accounts;
use super::reach::Ids;
use super::{reach, roots};
use crate::base::{Digest, Sink, Unit};

/// Figures of a store.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Versions that pins name.
    pub versions: u64,
    /// Files in all versions, each counted in each version it is in.
    pub files: u64,
    /// Bytes in all versions, counted so.
    pub bytes: u64,
    /// Objects: blobs, chunks, trees, recipes.
    pub objects: u64,
    /// Bytes of the objects before compression: `bytes` without what occurs twice.
    pub unique: u64,
    /// Bytes of the objects as they are stored.
    pub stored: u64,
    /// Bytes of objects that no version needs.
    pub waste: u64,
    /// Packs.
    pub packs: u64,
    /// Indexes.
    pub indexes: u64,
    /// Long files kept whole, sharing their blocks with the work tree, and their bytes.
    pub clones: u64,
    /// Bytes of the files kept whole.
    pub clone_bytes: u64,
    /// Stored bytes by codec: `raw`, `zstd`, `grouped-2`, `grouped-4`, `grouped-8`.
    pub codecs: BTreeMap<&'static str, u64>,
    /// Requests that one object a file would have taken, for each of those that packs and indexes take.
    pub files_per_request: f64,
}

impl Stats {
    /// Bytes in all versions for each byte stored.
    pub fn ratio(&self) -> f64 {
        if self.stored == 0 { 1.0 } else { self.bytes as f64 / self.stored as f64 }
    }
}

/// Figures of the local store. Reads trees, no data.
pub fn stats(local: &Local, sink: &dyn Sink) -> Result<Stats, StoreError> {
    let pins = local.pins()?;
    let mut stats = Stats::default();
    let mut known = BTreeMap::new();
    for root in pins.iter().flat_map(|pin| &pin.roots) {
        if local.has(root)? {
            stats.versions += 1;
            let (files, bytes) = count(&mut |id| local.tree(id), root, &mut known)?;
            stats.files += files;
            stats.bytes += bytes;
        }
    }
    let roots = roots::here(local, pins.iter())?;
    let all: Vec<Digest> = roots.required.into_iter().chain(roots.optional).collect();
    let live = reach::here(local, &all, sink)?.live;
    let catalog = local.reload()?;
    add(&mut stats, catalog.indexes.iter().map(AsRef::as_ref), &live);
    (stats.clones, stats.clone_bytes) = local.clones.figures();
    stats.indexes = catalog.indexes.len() as u64;
    stats.files_per_request = stats.files as f64 / (stats.packs + stats.indexes).max(1) as f64;
    Ok(stats)
}

/// Figures of a remote, of all its projects. Reads trees, no data.
pub fn stats_remote(local: &Local, remote: &Remote, sink: &dyn Sink) -> Result<Stats, StoreError> {
    remote.expect(local.root())?;
    let mut stats = Stats::default();
    // Damage is what fsck tells of.
    let pins = roots::there(local, remote, false)?.sound;
    let mut index = RemoteIndex::read(local, remote)?;
    index.doom(doomed::packs(local, remote)?);
    let (mut trees, mut known) = (Trees::new(local, Some(remote)), BTreeMap::new());
    for root in pins.iter().flat_map(|(_, pin)| &pin.roots) {
        if index.find(root)?.is_some() {
            stats.versions += 1;
            let (files, bytes) = count(&mut |id| trees.tree(id), root, &mut known)?;
            stats.files += files;
            stats.bytes += bytes;
            sink.progress("counting versions", stats.versions, Some(pins.len() as u64), Unit::Items);
        }
    }
    let chains = ledger::chains_there(remote)?;
    let (roots, _) = roots::of(local, remote, pins.iter().map(|(_, pin)| pin), &chains, &mut |_| Ok(()))?;
    let all: Vec<Digest> = roots.required.into_iter().chain(roots.optional).collect();
    let live = reach::there(local, remote, &index, &all, sink)?.live;
    add(&mut stats, index.objects().map(|(_, index)| index), &live);
    stats.indexes = index.objects().count() as u64;
    stats.files_per_request = stats.files as f64 / (stats.packs + stats.indexes).max(1) as f64;
    Ok(stats)
}

fn add<'a>(stats: &mut Stats, indexes: impl Iterator<Item = &'a PackIndex>, live: &Ids) {
    let accounts = accounts(indexes, live, |_| true);
    stats.packs = accounts.len() as u64;
    for account in accounts.values() {
        stats.waste += account.waste();
        for PackEntry { stored, length, codec, .. } in &account.entries {
            stats.objects += 1;
            stats.unique += u64::from(*length);
            stats.stored += u64::from(*stored);
            let name = match codec {
                0 => "raw",
                1 => "zstd",
                2 => "grouped-2",
                3 => "grouped-4",
                _ => "grouped-8",
            };
            *stats.codecs.entry(name).or_default() += u64::from(*stored);
        }
    }
}

/// Files and bytes below a root. What is not here counts as nothing.
fn count(
    tree: &mut dyn FnMut(&Digest) -> Result<Tree, StoreError>,
    root: &Digest,
    known: &mut BTreeMap<Digest, (u64, u64)>,
) -> Result<(u64, u64), StoreError> {
    if let Some(counted) = known.get(root) {
        return Ok(*counted);
    }
    let found = match tree(root) {
        Ok(found) => found,
        // A file, or a tree that is not here.
        Err(StoreError::Damaged { .. } | StoreError::Missing(_) | StoreError::NotOnRemote { .. }) => {
            return Ok((1, 0));
        }
        Err(error) => return Err(error),
    };
    let (mut files, mut bytes) = (0, 0);
    for node in &found.nodes {
        if node.kind == NodeKind::Directory {
            let below = count(tree, &node.id, known)?;
            (files, bytes) = (files + below.0, bytes + below.1);
        } else {
            (files, bytes) = (files + 1, bytes + node.size);
        }
    }
    known.insert(*root, (files, bytes));
    Ok((files, bytes))
}
