//! Indexes: where objects lie, sorted by id. One format locally (`index/<hex>`) and on remotes.
//!
//! ```text
//! "MLPI1" | packs u32 | per pack: id 32 B | objects u32 | 256 x u32: objects whose id begins with a byte up to this one |
//! per object, sorted by id: id 32 B, offset u32, stored u32, length u32, pack u16, kind u8, codec u8 | BLAKE3 (index context)
//! ```

use super::mapped::Bytes;
use super::object::index_id;
use super::wire::Fields;
use super::{ObjectKind, PackEntry, StoreError};
use crate::base::Digest;

const MAGIC: &[u8; 5] = b"MLPI1";
const ENTRY: usize = 48;
const FANOUT: usize = 256;
/// An index lists at most this many packs: their position is a u16.
pub(crate) const MOST_PACKS: usize = u16::MAX as usize;

/// Where an object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: Digest,
    /// The object in it.
    pub entry: PackEntry,
}

/// An immutable, verified index.
pub(crate) struct PackIndex {
    bytes: Bytes,
    id: Digest,
    packs: Vec<Digest>,
    /// Where the fan-out table begins; the objects follow it.
    table: usize,
    count: usize,
}

impl PackIndex {
    /// The bytes of an index of `packs` (at most [`MOST_PACKS`]); its id is [`index_id`] of them.
    pub(crate) fn encode(packs: &[(Digest, Vec<PackEntry>)]) -> Vec<u8> {
        let mut objects = packs
            .iter()
            .enumerate()
            .flat_map(|(pack, (_, entries))| entries.iter().map(move |entry| (pack as u16, entry)))
            .collect::<Vec<_>>();
        objects.sort_unstable_by_key(|(pack, entry)| (entry.id, *pack));
        let mut out = Vec::with_capacity(64 + packs.len() * 32 + FANOUT * 4 + objects.len() * ENTRY);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(packs.len() as u32).to_le_bytes());
        for (id, _) in packs {
            out.extend_from_slice(id.as_bytes());
        }
        out.extend_from_slice(&(objects.len() as u32).to_le_bytes());
        for byte in 0..FANOUT {
            let upto = objects.partition_point(|(_, entry)| usize::from(entry.id.as_bytes()[0]) <= byte);
            out.extend_from_slice(&(upto as u32).to_le_bytes());
        }
        for (pack, entry) in objects {
            out.extend_from_slice(entry.id.as_bytes());
            for number in [entry.offset, entry.stored, entry.length] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&pack.to_le_bytes());
            out.extend_from_slice(&[entry.kind as u8, entry.codec]);
        }
        let digest = index_id(&out);
        out.extend_from_slice(digest.as_bytes());
        out
    }

    /// Verifies and takes the bytes of an index. `place` names it in errors.
    pub(crate) fn parse(bytes: Vec<u8>, place: &str) -> Result<Self, StoreError> {
        Self::take(Bytes::Owned(bytes), place)
    }

    /// Verifies and takes the bytes of an index, mapped or owned.
    pub(crate) fn take(bytes: Bytes, place: &str) -> Result<Self, StoreError> {
        let damaged = |detail: &str| StoreError::damaged(format!("index `{place}`"), detail);
        let body =
            bytes.len().checked_sub(32).map(|end| &bytes[..end]).ok_or_else(|| damaged("it is cut off"))?;
        let digest = index_id(body);
        if bytes[body.len()..] != *digest.as_bytes() {
            return Err(damaged("its bytes do not match its digest"));
        }
        let (packs, table, count) = layout(body).ok_or_else(|| damaged("its fields make no sense"))?;
        Ok(Self { id: digest, packs, table, count, bytes })
    }

    /// Its id: the digest at its end, of all bytes before.
    pub(crate) fn id(&self) -> Digest {
        self.id
    }

    /// The id of the index with these bytes, as [`PackIndex::encode`] gave them.
    pub(crate) fn id_of(bytes: &[u8]) -> Digest {
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[bytes.len() - 32..]);
        Digest::from_bytes(id)
    }

    /// The packs it lists.
    pub(crate) fn packs(&self) -> &[Digest] {
        &self.packs
    }

    /// Number of objects.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The `position`th object in the order of ids.
    pub(crate) fn get(&self, position: usize) -> Location {
        let bytes = self.object(position);
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[..32]);
        Location {
            pack: self.packs[usize::from(u16::from_le_bytes([bytes[44], bytes[45]]))],
            entry: PackEntry {
                id: Digest::from_bytes(id),
                // Kinds were checked when the index was taken.
                kind: ObjectKind::from_byte(bytes[46]).unwrap_or(ObjectKind::Blob),
                codec: bytes[47],
                offset: number(32),
                stored: number(36),
                length: number(40),
            },
        }
    }

    /// Where `id` lies, in the first pack that has it.
    pub(crate) fn find(&self, id: &Digest) -> Option<Location> {
        self.find_all(id).next()
    }

    /// Everywhere `id` lies: two packs may hold the same object.
    pub(crate) fn find_all(&self, id: &Digest) -> impl Iterator<Item = Location> {
        let wanted = id.as_bytes();
        let first = usize::from(wanted[0]);
        let (mut low, end) = (if first == 0 { 0 } else { self.fanout(first - 1) }, self.fanout(first));
        let mut high = end;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.object(middle)[..32] < wanted[..] { low = middle + 1 } else { high = middle }
        }
        (low..end)
            .take_while(move |position| self.object(*position)[..32] == wanted[..])
            .map(|at| self.get(at))
    }

    fn object(&self, position: usize) -> &[u8] {
        let start = self.table + FANOUT * 4 + position * ENTRY;
        &self.bytes[start..start + ENTRY]
    }

    fn fanout(&self, byte: usize) -> usize {
        let at = self.table + byte * 4;
        let bytes = &self.bytes[at..at + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
    }
}

/// Packs, start of the fan-out table and number of objects, if everything is in its place and in order.
fn layout(body: &[u8]) -> Option<(Vec<Digest>, usize, usize)> {
    let mut fields = Fields(body);
    (fields.take(MAGIC.len())? == MAGIC).then_some(())?;
    let pack_count = fields.u32()? as usize;
    if pack_count > MOST_PACKS {
        return None;
    }
    let packs = (0..pack_count).map(|_| fields.digest()).collect::<Option<Vec<_>>>()?;
    let count = fields.u32()? as usize;
    let table = body.len() - fields.0.len();
    let mut fanout = [0usize; FANOUT];
    for slot in &mut fanout {
        *slot = fields.u32()? as usize;
    }
    if fields.0.len() != count.checked_mul(ENTRY)? {
        return None;
    }
    let mut counted = [0usize; FANOUT];
    let mut previous: &[u8] = &[];
    for object in fields.0.chunks_exact(ENTRY) {
        let pack = usize::from(u16::from_le_bytes([object[44], object[45]]));
        if pack >= packs.len() || object[46] > ObjectKind::Recipe as u8 || &object[..32] < previous {
            return None;
        }
        previous = &object[..32];
        counted[usize::from(object[0])] += 1;
    }
    let mut sum = 0;
    for (slot, count) in fanout.iter().zip(counted) {
        sum += count;
        if *slot != sum {
            return None;
        }
    }
    Some((packs, table, count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(seed: u32, count: u32) -> Vec<PackEntry> {
        (0..count)
            .map(|i| PackEntry {
                id: Digest::of(&[seed.to_le_bytes(), i.to_le_bytes()].concat()),
                kind: ObjectKind::Chunk,
                codec: 1,
                offset: 5 + i * 10,
                stored: 10,
                length: 20,
            })
            .collect()
    }

    #[test]
    fn every_object_is_found_where_it_is_and_no_other() {
        let packs = [(Digest::of(b"p0"), entries(0, 700)), (Digest::of(b"p1"), entries(1, 1))];
        let index = PackIndex::parse(PackIndex::encode(&packs), "test").expect("parses");
        assert_eq!((index.len(), index.packs()), (701, &[packs[0].0, packs[1].0][..]));
        for (pack, entries) in &packs {
            for entry in entries {
                assert_eq!(index.find(&entry.id), Some(Location { pack: *pack, entry: *entry }));
            }
        }
        assert_eq!(index.find(&Digest::of(b"absent")), None);
        assert!((1..index.len()).all(|i| index.get(i - 1).entry.id < index.get(i).entry.id));
    }

    #[test]
    fn an_object_in_two_packs_is_found_in_both() {
        let packs = [(Digest::of(b"p0"), entries(0, 9)), (Digest::of(b"p1"), entries(0, 9))];
        let index = PackIndex::parse(PackIndex::encode(&packs), "test").expect("parses");
        let found = index.find_all(&packs[0].1[4].id).map(|location| location.pack).collect::<Vec<_>>();
        assert_eq!(found, [packs[0].0, packs[1].0]);
    }

    #[test]
    fn an_index_of_nothing_is_an_index() {
        let index = PackIndex::parse(PackIndex::encode(&[]), "test").expect("parses");
        assert_eq!(index.find(&Digest::of(b"x")), None);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_anywhere_is_found_and_the_index_named(position: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = PackIndex::encode(&[(Digest::of(b"p"), entries(0, 5))]);
            *position.get_mut(&mut bytes) ^= 1 << bit;
            let error = PackIndex::parse(bytes, "here/is/it").err().expect("an error").to_string();
            prop_assert!(error.contains("here/is/it"));
        }

        #[test]
        fn bytes_with_a_right_digest_are_read_without_a_panic(bytes: Vec<u8>, magic: bool) {
            let mut bytes = if magic { [&MAGIC[..], &bytes].concat() } else { bytes };
            let digest = index_id(&bytes);
            bytes.extend_from_slice(digest.as_bytes());
            prop_assert!(PackIndex::parse(bytes, "test").is_err());
        }
    }

    #[test]
    fn the_bytes_of_format_1_stay_readable() {
        let bytes = include_bytes!("fixtures/format-1.index");
        let index = PackIndex::parse(bytes.to_vec(), "old").expect("an old index is read");
        let packs = [(Digest::of(b"p0"), entries(0, 3)), (Digest::of(b"p1"), entries(1, 2))];
        assert_eq!(index.get(0), Location { pack: index.get(0).pack, entry: index.get(0).entry });
        assert_eq!(PackIndex::encode(&packs), bytes);
    }
}
