//! Packs: many objects in one immutable file, its header at the end so that it can be written as a stream.
//!
//! ```text
//! "MLPK1" | stored objects, one after another |
//! header: per object kind u8, codec u8, stored u32, length u32, id 32 B | header bytes u32 | BLAKE3 of the header 32 B
//! ```
//! Numbers are little-endian. A pack's name is the BLAKE3 of the whole file (pack context).

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use super::codec::RAW;
use super::object::{pack_header_digest, pack_id};
use super::wire::Fields;
use super::{ObjectKind, StoreError};
use crate::base::{Digest, Id};

/// A data pack is closed when it has reached this size.
pub(crate) const DATA_TARGET: usize = 32 << 20;
/// A metadata pack is closed when it has reached this size.
pub(crate) const METADATA_TARGET: usize = 4 << 20;
/// No pack is larger.
pub(crate) const PACK_LIMIT: usize = 64 << 20;

const MAGIC: &[u8; 5] = b"MLPK1";
/// Header bytes of one object.
const ENTRY: usize = 42;
/// Length and digest of the header.
pub(crate) const TRAILER: usize = 36;

/// One object of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackEntry {
    /// The object.
    pub id: Digest,
    /// What it is.
    pub kind: ObjectKind,
    /// How it is encoded (`codec.rs`).
    pub codec: u8,
    /// Where its stored bytes begin in the pack.
    pub offset: u32,
    /// Stored (encoded) bytes.
    pub stored: u32,
    /// Decoded bytes.
    pub length: u32,
}

impl PackEntry {
    /// The bytes of the pack that are the stored object.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.offset as usize..self.offset as usize + self.stored as usize
    }
}

/// Puts a pack together in memory.
pub(crate) struct PackBuilder {
    bytes: Vec<u8>,
    entries: Vec<PackEntry>,
}

/// A finished pack in memory.
pub(crate) struct Pack {
    /// Its name.
    pub(crate) id: Digest,
    /// The whole file.
    pub(crate) bytes: Vec<u8>,
    /// What it holds, in the order of offsets.
    pub(crate) entries: Vec<PackEntry>,
}

impl PackBuilder {
    /// An empty pack.
    pub(crate) fn new() -> Self {
        Self { bytes: MAGIC.to_vec(), entries: Vec::new() }
    }

    /// Bytes that the finished pack would have.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * ENTRY + TRAILER
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an encoded object. The caller sees to it that no id is added twice and that the pack stays below its limit.
    pub(crate) fn push(&mut self, id: Digest, kind: ObjectKind, codec: u8, length: u32, stored: &[u8]) {
        let offset = self.bytes.len() as u32;
        if self.bytes.len() > (1 << 20) && self.bytes.capacity() < DATA_TARGET {
            // Once for the rest of the pack: doubling would hold tens of MiB twice.
            let mut large = super::spare::take();
            large.extend_from_slice(&self.bytes);
            self.bytes = large;
        }
        self.bytes.extend_from_slice(stored);
        self.entries.push(PackEntry { id, kind, codec, offset, stored: stored.len() as u32, length });
    }

    /// Closes the pack under a name that is in none of the `doomed`: a name follows from the content, so that the content gets a
    /// blob more that nothing needs where that is necessary.
    pub(crate) fn finish_unlike(self, doomed: &HashSet<Digest>) -> Pack {
        let pack = self.finish();
        if !doomed.contains(&pack.id) {
            return pack;
        }
        let mut builder = Self::new();
        for entry in &pack.entries {
            builder.push(entry.id, entry.kind, entry.codec, entry.length, &pack.bytes[entry.range()]);
        }
        let salt = Id::new().to_string();
        builder.push(Digest::of(salt.as_bytes()), ObjectKind::Blob, RAW, salt.len() as u32, salt.as_bytes());
        builder.finish()
    }

    /// Closes the pack.
    pub(crate) fn finish(mut self) -> Pack {
        let start = self.bytes.len();
        self.bytes.reserve(self.entries.len() * ENTRY + TRAILER);
        for entry in &self.entries {
            self.bytes.extend_from_slice(&[entry.kind as u8, entry.codec]);
            self.bytes.extend_from_slice(&entry.stored.to_le_bytes());
            self.bytes.extend_from_slice(&entry.length.to_le_bytes());
            self.bytes.extend_from_slice(entry.id.as_bytes());
        }
        let digest = pack_header_digest(&self.bytes[start..]);
        self.bytes.extend_from_slice(&((self.entries.len() * ENTRY) as u32).to_le_bytes());
        self.bytes.extend_from_slice(digest.as_bytes());
        Pack { id: pack_id(&self.bytes), bytes: self.bytes, entries: self.entries }
    }
}

/// What the pack at `path` holds, in the order of offsets, from its verified header; nothing else is read. The objects are
/// verified when they are decoded ([`super::codec::decode_object`]).
pub(crate) fn read_entries(path: &Path) -> Result<Vec<PackEntry>, StoreError> {
    let damaged = |detail: &str| StoreError::damaged(format!("pack `{}`", path.display()), detail);
    let file = File::open(path).map_err(StoreError::io("read", path))?;
    let size = file.metadata().map_err(StoreError::io("read", path))?.len();
    let end = size
        .checked_sub((TRAILER + MAGIC.len()) as u64)
        .filter(|_| size <= PACK_LIMIT as u64)
        .ok_or_else(|| damaged("it has an impossible size"))?
        + MAGIC.len() as u64;
    let trailer = read_at(&file, end, TRAILER).map_err(StoreError::io("read", path))?;
    let length = header_length(&trailer).filter(|length| *length as u64 <= end - MAGIC.len() as u64);
    let length = length.ok_or_else(|| damaged("it is cut off, or its end is damaged"))?;
    let start = end - length as u64;
    let header = read_at(&file, start, length).map_err(StoreError::io("read", path))?;
    read_header(&header, &trailer[4..], start as usize).map_err(damaged)
}

/// What the whole pack `id` holds, in the order of offsets; none if its bytes are not those of that name.
pub(crate) fn entries_of(bytes: &[u8], id: &Digest) -> Option<Vec<PackEntry>> {
    let end = bytes.len().checked_sub(TRAILER).filter(|_| pack_id(bytes) == *id)?;
    let start = end.checked_sub(header_length(&bytes[end..])?)?;
    read_header(&bytes[start..end], &bytes[end + 4..], start).ok()
}

/// `length` bytes at `offset` of a file.
pub(crate) fn read_at(file: &File, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    #[cfg(unix)]
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, offset)?;
    #[cfg(not(unix))]
    {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
    }
    Ok(bytes)
}

/// Header bytes, from the trailer.
pub(crate) fn header_length(trailer: &[u8]) -> Option<usize> {
    let length = Fields(trailer).u32()? as usize;
    (length.is_multiple_of(ENTRY) && length <= PACK_LIMIT).then_some(length)
}

/// The entries of a header that begins at byte `start` of its pack, verified against the trailer's `digest`.
pub(crate) fn read_header(
    header: &[u8],
    digest: &[u8],
    start: usize,
) -> Result<Vec<PackEntry>, &'static str> {
    if pack_header_digest(header).as_bytes() != digest {
        return Err("its header does not match its digest");
    }
    let mut fields = Fields(header);
    let mut entries = Vec::with_capacity(header.len() / ENTRY);
    let mut offset = MAGIC.len() as u64;
    while !fields.is_empty() {
        let entry = (|| {
            let kind = ObjectKind::from_byte(fields.byte()?)?;
            let (codec, stored, length) = (fields.byte()?, fields.u32()?, fields.u32()?);
            let id = fields.digest()?;
            let entry = PackEntry { id, kind, codec, offset: u32::try_from(offset).ok()?, stored, length };
            offset += u64::from(stored);
            (offset <= start as u64).then_some(entry)
        })();
        entries.push(entry.ok_or("its header makes no sense")?);
    }
    if offset != start as u64 {
        return Err("its header does not account for all of its bytes");
    }
    let mut ids = entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("its header lists an object twice");
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
