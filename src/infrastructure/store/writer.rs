//! Adding objects: collected into packs; visible and durable when the writer has finished.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher as StdHasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::catalog::Catalog;
use super::chunk::{self, Class};
use super::codec::{self, Plan, decode_object};
use super::object::chunk_id;
use super::pack::{DATA_TARGET, METADATA_TARGET, PACK_LIMIT, Pack, PackBuilder};
use super::pack_index::{MOST_PACKS, PackIndex};
use super::recipe::Recipe;
use super::saver::Saver;
use super::{Local, ObjectKind, PackEntry, StoreError, Tree, WHOLE_FILE_LIMIT, files, tree};
use crate::base::Digest;

/// Indexes are merged into one when there are more than this.
const MOST_INDEXES: usize = 16;
/// Larger indexes are left alone when others are merged.
const MERGED_OBJECTS: usize = 200_000;

/// Collects new objects into packs; nothing is visible before [`Writer::finish`].
pub struct Writer<'a> {
    store: &'a Local,
    /// What was here when the writer was made.
    catalog: Arc<Catalog>,
    added: HashSet<Digest, BuildHasherDefault<DigestHash>>,
    data: PackBuilder,
    metadata: PackBuilder,
    packs: Vec<(Digest, Vec<PackEntry>)>,
    /// Writes full packs; none before the first of them.
    saver: Option<Saver>,
    /// Whether the caller waits while a pack is written.
    in_line: bool,
    stored: u64,
}

/// An encoded object on its way into a pack.
pub(super) struct Encoded {
    pub(super) id: Digest,
    pub(super) kind: ObjectKind,
    pub(super) codec: u8,
    pub(super) length: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(store: &'a Local, catalog: Arc<Catalog>) -> Self {
        Self {
            store,
            catalog,
            added: HashSet::default(),
            data: PackBuilder::new(),
            metadata: PackBuilder::new(),
            packs: Vec::new(),
            saver: None,
            in_line: false,
            stored: 0,
        }
    }

    /// The same writer, which lets its caller wait while a full pack is written: for callers that hold many buffers of their own.
    pub(super) fn in_line(mut self) -> Self {
        self.in_line = true;
        self
    }

    /// Adds a blob; returns its id.
    pub fn blob(&mut self, bytes: &[u8]) -> Result<Digest, StoreError> {
        if bytes.len() as u64 > WHOLE_FILE_LIMIT {
            let id = Digest::of(bytes);
            if !self.is_complete(&id)? {
                let class = Class::choose(bytes.len() as u64, None);
                let plan = Plan::choose(b"", bytes);
                let chunks = self.chunks(class, plan, bytes, true)?.1;
                self.recipe(&Recipe { class, chunks, file: id })?;
            }
            return Ok(id);
        }
        let id = Digest::of(bytes);
        self.encode(id, ObjectKind::Blob, Plan::choose(b"", bytes), bytes)?;
        Ok(id)
    }

    /// Adds a directory whose children are already added; returns its id.
    pub fn tree(&mut self, tree: &Tree) -> Result<Digest, StoreError> {
        tree::encode(&tree.nodes, &mut |id, bytes| self.encode(id, ObjectKind::Tree, Plan::ZSTD, &bytes))
    }

    /// Takes one encoded object (a range of a remote pack), verified by decoding it; nothing happens if it is here.
    pub(crate) fn object(&mut self, entry: &PackEntry, stored: &[u8]) -> Result<(), StoreError> {
        if self.has(&entry.id) {
            return Ok(());
        }
        decode_object(entry, stored, "a remote pack")?;
        let encoded = Encoded { id: entry.id, kind: entry.kind, codec: entry.codec, length: entry.length };
        self.push(&encoded, stored)
    }

    /// Stored bytes added so far: after deduplication and compression.
    pub fn stored_bytes(&self) -> u64 {
        self.stored
    }

    /// Makes everything added visible and durable: packs, then their index.
    pub fn finish(self) -> Result<(), StoreError> {
        self.publish().map(drop)
    }

    /// As [`Writer::finish`]; returns the stored bytes added.
    pub(super) fn publish(mut self) -> Result<u64, StoreError> {
        self.written()?;
        for builder in [&mut self.data, &mut self.metadata] {
            let builder = std::mem::replace(builder, PackBuilder::new());
            if !builder.is_empty() {
                let pack = builder.finish();
                save_pack(self.store, &pack)?;
                self.packs.push((pack.id, pack.entries));
            }
        }
        if self.packs.is_empty() {
            // What is here already may have been written by a command that died before it synced the names.
            let dir = self.store.root().join("index");
            if dir.is_dir() {
                files::sync_dir(&dir)?;
            }
            return Ok(self.stored);
        }
        let dirs = self.packs.iter().map(|(id, _)| files::parent(&self.store.pack_path(id)));
        let mut dirs = dirs.collect::<Vec<PathBuf>>();
        dirs.sort_unstable();
        dirs.dedup();
        dirs.push(self.store.root().join("packs"));
        dirs.iter().try_for_each(|dir| files::sync_dir(dir))?;
        publish_index(self.store.root(), &self.packs)?;
        self.store.merge_indexes()?;
        Ok(self.stored)
    }

    /// Whether the file `id` is here with all its chunks.
    pub(super) fn is_complete(&self, id: &Digest) -> Result<bool, StoreError> {
        if self.added.contains(id) {
            return Ok(true);
        }
        match self.catalog.find(id) {
            None => Ok(false),
            Some(location) if location.entry.kind == ObjectKind::Recipe => {
                let recipe = match self.store.recipe(id) {
                    Err(StoreError::Damaged { .. }) => return Ok(false),
                    recipe => recipe?,
                };
                Ok(recipe.is_some_and(|recipe| recipe.chunks.iter().all(|(chunk, _)| self.has(chunk))))
            }
            Some(_) => Ok(true),
        }
    }

    /// Whether `id` was here or has been added.
    pub(super) fn has(&self, id: &Digest) -> bool {
        self.added.contains(id) || self.catalog.find(id).is_some()
    }

    /// What was here when the writer was made, for threads that prepare objects.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// Adds an object that is not here yet, already encoded.
    pub(super) fn push(&mut self, object: &Encoded, stored: &[u8]) -> Result<(), StoreError> {
        if !self.added.insert(object.id) {
            return Ok(());
        }
        self.stored += stored.len() as u64;
        let (builder, target) = if object.kind.is_metadata() {
            (&mut self.metadata, METADATA_TARGET)
        } else {
            (&mut self.data, DATA_TARGET)
        };
        let full = (!builder.is_empty() && builder.size() + stored.len() + 64 > PACK_LIMIT)
            .then(|| std::mem::replace(builder, PackBuilder::new()));
        builder.push(object.id, object.kind, object.codec, object.length, stored);
        let reached = (builder.size() >= target).then(|| std::mem::replace(builder, PackBuilder::new()));
        for builder in full.into_iter().chain(reached) {
            self.save(builder.finish())?;
        }
        Ok(())
    }

    /// Cuts `bytes` and adds the chunks; returns how many bytes were consumed (all if `last`) and the chunks' ids and lengths.
    pub(super) fn chunks(
        &mut self,
        class: Class,
        plan: Plan,
        bytes: &[u8],
        last: bool,
    ) -> Result<(usize, Vec<(Digest, u32)>), StoreError> {
        let lengths = chunk::cut(class, bytes, last);
        let mut start = 0;
        let pieces = lengths.iter().map(|length| {
            start += length;
            &bytes[start - length..start]
        });
        let pieces = pieces.collect::<Vec<_>>();
        let mut ids = Vec::with_capacity(pieces.len());
        // A batch is bounded so that a long window does not stand in memory twice.
        for batch in pieces.chunks((8 << 20) / (class.most() / 4)) {
            let encoded = batch.par_iter().map(|piece| {
                let id = chunk_id(piece);
                let mut stored = Vec::new();
                let known = self.has(&id);
                let codec = if known { codec::RAW } else { codec::encode(plan, piece, &mut stored) };
                (Encoded { id, kind: ObjectKind::Chunk, codec, length: piece.len() as u32 }, stored, known)
            });
            for (object, stored, known) in encoded.collect::<Vec<_>>() {
                ids.push((object.id, object.length));
                if !known {
                    self.push(&object, &stored)?;
                }
            }
        }
        Ok((start, ids))
    }

    /// Adds the recipe of a long file whose chunks are added.
    pub(super) fn recipe(&mut self, recipe: &Recipe) -> Result<(), StoreError> {
        self.encode(recipe.file, ObjectKind::Recipe, Plan::ZSTD, &recipe.encode())
    }

    fn encode(&mut self, id: Digest, kind: ObjectKind, plan: Plan, bytes: &[u8]) -> Result<(), StoreError> {
        if self.has(&id) {
            return Ok(());
        }
        let mut stored = Vec::new();
        let codec = codec::encode(plan, bytes, &mut stored);
        self.push(&Encoded { id, kind, codec, length: bytes.len() as u32 }, &stored)
    }

    fn save(&mut self, pack: Pack) -> Result<(), StoreError> {
        let saver = match &self.saver {
            Some(saver) => saver,
            None => self.saver.insert(Saver::start()?),
        };
        let given = saver.give(self.store.pack_path(&pack.id), pack.bytes);
        self.packs.push((pack.id, pack.entries));
        if given && !self.in_line { Ok(()) } else { self.written() }
    }

    /// Waits until all full packs are on the disk.
    fn written(&mut self) -> Result<(), StoreError> {
        self.saver.take().map_or(Ok(()), Saver::end)?;
        self.packs.iter().try_for_each(|(id, _)| self.store.forget_damage(id))
    }
}

impl Local {
    /// Joins small indexes when there are many. Readers that listed the old ones list again; a crash leaves both, which is
    /// harmless.
    fn merge_indexes(&self) -> Result<(), StoreError> {
        let catalog = self.reload()?;
        let small = catalog.indexes.iter().filter(|index| index.len() < MERGED_OBJECTS).collect::<Vec<_>>();
        if small.len() <= MOST_INDEXES {
            return Ok(());
        }
        let mut packs = std::collections::BTreeMap::<Digest, Vec<PackEntry>>::new();
        for index in &small {
            let mut listed = index
                .packs()
                .iter()
                .map(|pack| (*pack, Vec::new()))
                .collect::<std::collections::BTreeMap<_, _>>();
            for location in (0..index.len()).map(|position| index.get(position)) {
                listed.entry(location.pack).or_default().push(location.entry);
            }
            packs.extend(listed);
        }
        let merged = publish_index(self.root(), &packs.into_iter().collect::<Vec<_>>())?;
        for index in small.iter().filter(|index| !merged.contains(&index.id())) {
            files::remove(&self.root().join("index").join(index.id().hex()))?;
        }
        self.reload().map(drop)
    }
}

/// Writes a pack under its name and makes its bytes durable; the name is durable when its folder was synced.
fn save_pack(store: &Local, pack: &Pack) -> Result<(), StoreError> {
    files::replace(&store.pack_path(&pack.id), &pack.bytes)?;
    store.forget_damage(&pack.id)
}

/// Writes an index of `packs` (more than one if there are very many) durably; returns the ids.
pub(super) fn publish_index(
    root: &Path,
    packs: &[(Digest, Vec<PackEntry>)],
) -> Result<Vec<Digest>, StoreError> {
    let dir = root.join("index");
    let mut ids = Vec::new();
    for part in packs.chunks(MOST_PACKS) {
        let bytes = PackIndex::encode(part);
        let id = PackIndex::id_of(&bytes);
        files::replace(&dir.join(id.hex()), &bytes)?;
        ids.push(id);
    }
    if !ids.is_empty() {
        let synced = files::sync_dir(&dir).and_then(|()| files::sync_dir(root));
        if synced.is_err() {
            // A failed sync is never tried again, for the next one may say that all is well: nothing must rely on these names.
            ids.iter().for_each(|id| drop(files::remove(&dir.join(id.hex()))));
        }
        synced?;
    }
    Ok(ids)
}

/// Digests are random already: their first bytes are a good hash.
#[derive(Default)]
pub(super) struct DigestHash(u64);

impl StdHasher for DigestHash {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length of the array, the same for all.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
