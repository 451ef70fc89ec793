//! The readers of bytes that somebody else may have written, as the fuzzers in `fuzz/` and the test below call them. Where a digest
//! guards the bytes it is made to fit first: what is behind it is to be reached, too.

use super::codec::decode_object;
use super::object::{index_id, pack_header_digest};
use super::pack::{header_length, read_header};
use super::pack_index::PackIndex;
use super::recipe::Recipe;
use super::remote::pages;
use super::{ObjectKind, PackEntry, Pin, ledger, tree};
use crate::base::{AnyRecord, Digest, Id};

/// A reader of some bytes, with its name.
pub type Reader = (&'static str, fn(&[u8]));

/// All of them. None may panic, or allocate much more than the bytes it is given.
pub const READERS: [Reader; 9] = [
    ("pack header", |bytes| {
        let _ = header_length(bytes);
        let _ = read_header(bytes, pack_header_digest(bytes).as_bytes(), 5 + bytes.len());
    }),
    ("index", |bytes| {
        let bytes = [bytes, index_id(bytes).as_bytes()].concat();
        if let Ok(index) = PackIndex::parse(bytes, "fuzzed") {
            for location in (0..index.len()).map(|at| index.get(at)) {
                let _ = index.find(&location.entry.id);
                let _ = index.find_all(&location.entry.id).count();
            }
        }
    }),
    ("tree", |bytes| drop(tree::decode(bytes))),
    ("recipe", |bytes| drop(Recipe::decode(bytes))),
    ("object", |bytes| {
        let Some((head, stored)) = bytes.split_first_chunk::<6>() else { return };
        let Some(kind) = ObjectKind::from_byte(head[0] % 4) else { return };
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        let (codec, id, offset) = (head[1] % 6, Digest::of(stored), 0);
        let entry = PackEntry { id, kind, codec, offset, stored: stored.len() as u32, length };
        let _ = decode_object(&entry, stored, "fuzzed");
    }),
    ("pin", |bytes| drop(Pin::from_bytes(bytes, Id::new(), "fuzzed"))),
    ("ledger entry", |bytes| {
        ledger::read(bytes);
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().next().unwrap_or_default();
        ledger::read(format!("{line}\n{}\n", Digest::of(line.as_bytes())).as_bytes());
    }),
    ("page of a web server", |bytes| drop(pages::names(&String::from_utf8_lossy(bytes)))),
    ("record", |bytes| drop(AnyRecord::parse(bytes))),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::RecordKind;
    use crate::infrastructure::store::pack::PackBuilder;
    use crate::infrastructure::store::{Node, NodeKind, PinKind};

    /// Bytes that the readers take, to be changed: noise alone does not get far.
    fn valid() -> Vec<Vec<u8>> {
        let mut builder = PackBuilder::new();
        let mut entries = Vec::new();
        for text in ["one", "two", "three"] {
            let id = Digest::of(text.as_bytes());
            builder.push(id, ObjectKind::Blob, 0, text.len() as u32, text.as_bytes());
            entries.push(id);
        }
        let pack = builder.finish();
        let index = PackIndex::encode(&[(pack.id, pack.entries.clone())]);
        let node = |name: &str| Node {
            name: name.into(),
            kind: NodeKind::File,
            size: 3,
            id: Digest::of(name.as_bytes()),
        };
        let mut encoded = Vec::new();
        let nodes = ["a", "ab", "b"].map(node).to_vec();
        tree::encode(&nodes, &mut |_, bytes| {
            encoded = bytes;
            Ok::<_, crate::infrastructure::store::StoreError>(())
        })
        .expect("encodes");
        let class = crate::infrastructure::store::chunk::Class::choose(2 << 20, None);
        let chunks = entries.iter().map(|id| (*id, 70_000)).collect();
        let recipe = Recipe { class, chunks, file: Digest::of(b"file") }.encode();
        let header = pack.bytes[5 + 11..pack.bytes.len() - 36].to_vec();
        let pin = Pin::new(PinKind::Record(RecordKind::Run), "digits").to_bytes();
        vec![header, index[..index.len() - 32].to_vec(), encoded, recipe, pin]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn valid_bytes_that_were_changed_are_read_without_a_panic(
            changes in proptest::collection::vec((any::<u16>(), any::<u8>(), 0..4_u8), 1..5)
        ) {
            for mut bytes in valid() {
                for (at, value, change) in &changes {
                    let at = usize::from(*at) % bytes.len().max(1);
                    match change {
                        _ if bytes.is_empty() => {}
                        0 => bytes[at] = *value,
                        1 => bytes.truncate(at),
                        2 => bytes.insert(at, *value),
                        _ => drop(bytes.remove(at)),
                    }
                }
                READERS.iter().for_each(|(_, read)| read(&bytes));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            READERS.iter().for_each(|(_, read)| read(&bytes));
        }
    }
}
