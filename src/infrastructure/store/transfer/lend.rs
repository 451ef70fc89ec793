//! Objects that another machine reads from a remote itself, by links that this one signs and that expire. It needs no credentials for it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fetch::{Span, spans};
use super::index::RemoteIndex;
use super::parallel::parallel;
use crate::base::{Digest, Sink, Unit};
use crate::infrastructure::store::pack::PackEntry;
use crate::infrastructure::store::{Local, ObjectKind, Remote, StoreError};

/// Requests under way at once.
const DOWNLOADS: usize = 8;

/// A link to a pack, or the path of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::infrastructure::store) struct Link {
    /// `https://…`, or `file:///…` where the store is a folder.
    pub(in crate::infrastructure::store) url: String,
    /// Headers that were signed with it.
    pub(in crate::infrastructure::store) headers: BTreeMap<String, String>,
}

/// Neighbouring objects of a pack, and where whoever has this may read them for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lent {
    /// The pack.
    pub(in crate::infrastructure::store) link: Link,
    /// The bytes that hold them.
    pub(in crate::infrastructure::store) range: std::ops::Range<u64>,
    objects: Vec<Object>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Object {
    id: Digest,
    kind: u8,
    codec: u8,
    /// In the pack.
    offset: u32,
    stored: u32,
    length: u32,
}

impl Object {
    fn of(entry: &PackEntry) -> Self {
        let PackEntry { id, kind, codec, offset, stored, length } = *entry;
        Self { id, kind: kind as u8, codec, offset, stored, length }
    }

    fn entry(&self) -> Option<PackEntry> {
        let Self { id, kind, codec, offset, stored, length } = *self;
        Some(PackEntry { id, kind: ObjectKind::from_byte(kind)?, codec, offset, stored, length })
    }
}

/// Links to those of the objects `ids` that the remote has, for so long; none where it cannot be read without credentials.
pub fn lend(
    local: &Local,
    remote: &Remote,
    ids: &[Digest],
    valid: Duration,
) -> Result<Vec<Lent>, StoreError> {
    let index = RemoteIndex::read(local, remote)?;
    let mut there = Vec::new();
    for id in ids {
        there.extend(index.find(id)?);
    }
    let mut links: BTreeMap<Digest, Option<Link>> = BTreeMap::new();
    let mut lent = Vec::new();
    for span in spans(there) {
        let link = match links.get(&span.pack) {
            Some(link) => link.clone(),
            None => links.entry(span.pack).or_insert(remote.link(&span.key(), valid)?).clone(),
        };
        let Some(link) = link else { return Ok(Vec::new()) };
        let Span { range, objects, .. } = span;
        let objects = objects.iter().map(|location| Object::of(&location.entry)).collect();
        lent.push(Lent { link, range, objects });
    }
    Ok(lent)
}

/// What was read of what was lent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Borrowed {
    /// Bytes.
    pub bytes: u64,
    /// Why not all of it.
    pub failure: Option<String>,
}

impl Local {
    /// Reads what was lent, each object verified. What comes before a failure stays.
    pub fn borrow(&self, lent: Vec<Lent>, sink: &dyn Sink) -> Result<Borrowed, StoreError> {
        let total = lent.iter().map(|lent| lent.range.end.saturating_sub(lent.range.start)).sum();
        let mut writer = self.writer()?;
        let (mut bytes, mut failure) = (0, None);
        let items = lent.into_iter().map(Ok);
        let read = parallel(
            DOWNLOADS,
            items,
            |lent: Lent| Ok((lent.read(), lent)),
            |(read, lent)| {
                let read = read.map_err(|detail| {
                    failure = Some(detail);
                    StoreError::damaged("what was lent", "it cannot be read")
                })?;
                for object in &lent.objects {
                    let begin = u64::from(object.offset).checked_sub(lent.range.start);
                    let stored = begin.and_then(|begin| {
                        let begin = usize::try_from(begin).ok()?;
                        read.get(begin..begin.checked_add(object.stored as usize)?)
                    });
                    let (Some(entry), Some(stored)) = (object.entry(), stored) else {
                        return Err(StoreError::damaged("what was lent", "it lies outside of its range"));
                    };
                    writer.object(&entry, stored)?;
                }
                bytes += read.len() as u64;
                sink.progress("reading from the store", bytes, Some(total), Unit::Bytes);
                Ok(())
            },
        );
        writer.finish()?;
        Ok(Borrowed { bytes, failure: failure.or(read.err().map(|error| error.to_string())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Id, Null};
    use crate::infrastructure::store::{Pin, PinKind, StoreSpec, push};

    #[test]
    fn a_folder_is_read_by_whoever_sees_it_and_what_is_lent_wrongly_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = |name: &str| Local::open(&dir.path().join(name)).expect("opens");
        let (here, there) = (open("here"), open("there"));
        let mut writer = here.writer().expect("writes");
        let long: Vec<u8> = (0..3_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let root = writer.blob(&long).expect("adds");
        writer.finish().expect("finishes");
        here.put_pin(&Pin { roots: vec![root], ..Pin::new(PinKind::Data, "long") }).expect("pins");
        let spec = StoreSpec::new(dir.path().join("shared").display().to_string());
        let remote = Remote::open(&"shared".parse().expect("a name"), &spec).expect("opens");
        push(&here, &remote, Id::new(), &here.pins().expect("reads"), &Null).expect("pushes");
        let ids: Vec<Digest> =
            here.rested_on(&[root]).expect("is complete").iter().map(|(id, _)| *id).collect();
        let lent = lend(&here, &remote, &ids, Duration::from_secs(60)).expect("lends");
        let mut wrong = lent.clone();
        wrong[0].objects[0].offset += 1;
        let refused = there.borrow(wrong, &Null).expect("answers");
        assert!(refused.failure.is_some(), "{refused:?}");
        let gone = Link { url: "file:///nowhere/at/all".to_owned(), headers: BTreeMap::new() };
        let gone = vec![Lent { link: gone, ..lent[0].clone() }];
        assert!(there.borrow(gone, &Null).expect("answers").failure.is_some());
        let read = there.borrow(lent, &Null).expect("reads");
        assert_eq!((read.failure, there.read(&root).expect("reads")), (None, long));
    }
}
