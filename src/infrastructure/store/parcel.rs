//! Objects on their way to another store through a pipe: what is lacking there is asked for by id, and what comes is verified.
//!
//! ```text
//! per object: kind u8, codec u8, stored u32, length u32, id 32 B | stored bytes
//! ```
//! Numbers are little-endian, as in a pack's header.

use super::wire::Fields;
use super::{Local, ObjectKind, PackEntry, StoreError, Writer};
use crate::base::Digest;

/// What an object takes in a parcel besides its bytes.
const HEADER: usize = 42;

impl Local {
    /// Every object that `roots` rest on, parents before their children, with its bytes in a parcel.
    pub fn rested_on(&self, roots: &[Digest]) -> Result<Vec<(Digest, u64)>, StoreError> {
        let mut objects = Vec::new();
        self.closure(roots, &mut |location| {
            objects.push((location.entry.id, u64::from(location.entry.stored) + HEADER as u64));
            Ok(())
        })?;
        Ok(objects)
    }

    /// Those of `ids` that are not here.
    pub fn lacking(&self, ids: impl IntoIterator<Item = Digest>) -> Result<Vec<Digest>, StoreError> {
        let mut lacking = Vec::new();
        for id in ids {
            if self.locate(&id)?.is_none() {
                lacking.push(id);
            }
        }
        Ok(lacking)
    }

    /// The objects `ids`, all of which are here, as a parcel.
    pub fn parcel(&self, ids: &[Digest]) -> Result<Vec<u8>, StoreError> {
        let mut parcel = Vec::new();
        for id in ids {
            let Some(location) = self.locate(id)? else { return Err(self.absent(id)?) };
            let stored = self.stored(&location)?;
            parcel.extend_from_slice(&[location.entry.kind as u8, location.entry.codec]);
            parcel.extend_from_slice(&(stored.len() as u32).to_le_bytes());
            parcel.extend_from_slice(&location.entry.length.to_le_bytes());
            parcel.extend_from_slice(id.as_bytes());
            parcel.extend_from_slice(&stored);
        }
        Ok(parcel)
    }
}

impl Writer<'_> {
    /// Takes the objects of a parcel, each verified against its id. Nothing is visible before the writer has finished.
    pub fn take(&mut self, parcel: &[u8]) -> Result<(), StoreError> {
        let mut fields = Fields(parcel);
        while !fields.is_empty() {
            let damaged =
                || StoreError::damaged("a parcel of objects".to_owned(), "it ends too early".to_owned());
            let (entry, stored) = object(&mut fields).ok_or_else(damaged)?;
            self.object(&entry, stored)?;
        }
        Ok(())
    }
}

fn object<'a>(fields: &mut Fields<'a>) -> Option<(PackEntry, &'a [u8])> {
    let kind = ObjectKind::from_byte(fields.byte()?)?;
    let codec = fields.byte()?;
    let (stored, length) = (fields.u32()?, fields.u32()?);
    let id = fields.digest()?;
    let bytes = fields.take(stored as usize)?;
    Some((PackEntry { id, kind, codec, offset: 0, stored, length }, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infrastructure::store::{Node, NodeKind, Tree};

    fn store() -> (tempfile::TempDir, Local) {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Local::open(&dir.path().join("store")).expect("opens");
        (dir, store)
    }

    /// A folder of two files, one of them long enough to be cut.
    fn folder(store: &Local) -> Digest {
        let mut writer = store.writer().expect("writes");
        let long: Vec<u8> = (0..3_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let files = [("long", long.as_slice()), ("short", b"words")];
        let nodes = files.map(|(name, bytes)| Node {
            name: name.into(),
            kind: NodeKind::File,
            size: bytes.len() as u64,
            id: writer.blob(bytes).expect("writes"),
        });
        let id = writer.tree(&Tree { nodes: nodes.into() }).expect("writes");
        writer.finish().expect("writes");
        id
    }

    #[test]
    fn what_is_lacking_goes_over_in_parcels_and_nothing_goes_twice() {
        let ((_a, here), (_b, there)) = (store(), store());
        let root = folder(&here);
        let objects = here.rested_on(&[root]).expect("is complete");
        let lacking = there.lacking(objects.iter().map(|(id, _)| *id)).expect("looks");
        assert_eq!(lacking.len(), objects.len());
        let mut writer = there.writer().expect("writes");
        for ids in lacking.chunks(2) {
            let parcel = here.parcel(ids).expect("is here");
            let told: u64 = objects.iter().filter(|(id, _)| ids.contains(id)).map(|(_, bytes)| bytes).sum();
            assert_eq!(parcel.len() as u64, told);
            writer.take(&parcel).expect("is whole");
        }
        writer.finish().expect("writes");
        assert!(there.is_complete(&[root]).expect("looks"));
        assert!(there.lacking(objects.iter().map(|(id, _)| *id)).expect("looks").is_empty());
    }

    #[test]
    fn a_parcel_that_was_changed_or_cut_is_refused() {
        let ((_a, here), (_b, there)) = (store(), store());
        let root = folder(&here);
        let ids: Vec<Digest> =
            here.rested_on(&[root]).expect("looks").into_iter().map(|(id, _)| id).collect();
        let parcel = here.parcel(&ids).expect("is here");
        for end in [1, HEADER - 1, HEADER, parcel.len() - 1] {
            assert!(there.writer().expect("writes").take(&parcel[..end]).is_err(), "{end}");
        }
        for at in (0..parcel.len()).step_by(parcel.len() / 97) {
            let mut changed = parcel.clone();
            changed[at] ^= 1;
            let taken = there.writer().expect("writes").take(&changed);
            // What is stored raw under the name of another kind of the same bytes would be another object.
            assert!(taken.is_err(), "{at}");
        }
    }
}
