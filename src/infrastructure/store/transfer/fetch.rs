//! Getting.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::index::RemoteIndex;
use super::parallel::parallel;
use super::{Transfer, fanned, records};
use crate::base::{Digest, Sink, Unit};
use crate::infrastructure::store::closure::references;
use crate::infrastructure::store::codec::decode_object;
use crate::infrastructure::store::pack::PackEntry;
use crate::infrastructure::store::worktree::space;
use crate::infrastructure::store::{Local, Location, ObjectKind, Remote, StoreError};

/// Requests under way at once. Each holds up to [`SPAN`] of memory.
const DOWNLOADS: usize = 16;
/// Bytes that are read and thrown away rather than sending another request.
const GAP: u64 = 128 << 10;
/// Bytes of one request, at most (one object may be larger).
const SPAN: u64 = 4 << 20;
/// Bytes after which what has arrived is made durable, so that a broken fetch goes on from there.
const COMMIT: u64 = 256 << 20;

/// Stores an object from its stored bytes.
type Keep<'a> = dyn FnMut(&PackEntry, &[u8]) -> Result<(), StoreError> + 'a;
/// Takes an object from its stored bytes; the last argument names the pack.
pub(in crate::infrastructure::store) type Take<'a> =
    dyn FnMut(&Location, &[u8], &str) -> Result<(), StoreError> + 'a;

/// Makes the closure of the trees and blobs `roots` present here, and the `records` with the records they rest on.
///
/// Every object is verified before it is stored. Damaged bytes are asked for once more, then it is an error that names
/// the pack. Trees become visible after all that they name.
pub fn fetch(
    local: &Local,
    remote: &Remote,
    roots: &[Digest],
    records: &[Digest],
    sink: &dyn Sink,
) -> Result<Transfer, StoreError> {
    let before = remote.requests();
    let mut transfer = Transfer::default();
    remote.expect(local.root())?;
    if !roots.is_empty() {
        let mut index = None;
        let mut trees = local.writer()?;
        let data = walk(local, remote, roots, &mut index, &mut transfer, sink, &mut |entry, stored| {
            trees.object(entry, stored)
        })?;
        fetch_data(local, remote, data, &mut transfer, sink)?;
        trees.finish()?;
    }
    if let Some(error) = records::fetch_records(local, remote, records, &mut transfer)?.into_values().next() {
        return Err(error);
    }
    Ok(transfer.since(remote, before))
}

/// Walks the trees level by level, getting those that are not here; returns the data objects that are not here.
fn walk(
    local: &Local,
    remote: &Remote,
    roots: &[Digest],
    index: &mut Option<RemoteIndex>,
    transfer: &mut Transfer,
    sink: &dyn Sink,
    keep: &mut Keep,
) -> Result<Vec<Location>, StoreError> {
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let mut data = Vec::new();
    let mut trees = 0;
    let mut level: Vec<Digest> = roots.to_vec();
    while !level.is_empty() {
        let mut below = Vec::new();
        let mut absent = Vec::new();
        for id in level.into_iter().filter(|id| seen.insert(*id)) {
            match local.locate(&id)?.map(|here| here.entry.kind.is_metadata().then(|| local.object(&id))) {
                Some(None) => continue,
                Some(Some(Ok((kind, bytes)))) => {
                    below.extend(ids(kind, &bytes)?);
                    continue;
                }
                // A damaged tree is fetched again.
                Some(Some(Err(StoreError::Damaged { .. }))) | None => {}
                Some(Some(Err(error))) => return Err(error),
            }
            let index = match index {
                Some(index) => index,
                None => index.insert(RemoteIndex::read(local, remote)?),
            };
            let there = index
                .find(&id)?
                .ok_or_else(|| StoreError::NotOnRemote { store: remote.name.to_string(), id })?;
            match there.entry.kind.is_metadata() {
                true => absent.push(there),
                false => data.push(there),
            }
        }
        get(remote, absent, transfer, &mut |location, stored, place| {
            let bytes = decode_object(&location.entry, stored, place)?;
            keep(&location.entry, stored)?;
            below.extend(ids(location.entry.kind, &bytes)?);
            trees += 1;
            sink.progress("fetching trees", trees, None, Unit::Items);
            Ok(())
        })?;
        level = below;
    }
    Ok(data)
}

fn fetch_data(
    local: &Local,
    remote: &Remote,
    data: Vec<Location>,
    transfer: &mut Transfer,
    sink: &dyn Sink,
) -> Result<(), StoreError> {
    let total: u64 = data.iter().map(|location| u64::from(location.entry.stored)).sum();
    space::check(local.root(), total)?;
    let (mut done, mut uncommitted) = (0, 0);
    let mut writer = Some(local.writer()?.in_line());
    get(remote, data, transfer, &mut |location, stored, _| {
        let open = match &mut writer {
            Some(writer) => writer,
            none => none.insert(local.writer()?.in_line()),
        };
        open.object(&location.entry, stored)?;
        done += u64::from(location.entry.stored);
        uncommitted += u64::from(location.entry.stored);
        if uncommitted >= COMMIT {
            uncommitted = 0;
            writer.take().map_or(Ok(()), |writer| writer.finish())?;
        }
        sink.progress("fetching", done, Some(total), Unit::Bytes);
        Ok(())
    })?;
    writer.map_or(Ok(()), |writer| writer.finish())
}

/// Gets objects in few requests and gives each, as it is stored, to `take`, which verifies it; the last argument names
/// the pack. What `take` finds damaged is asked for once more.
pub(in crate::infrastructure::store) fn get(
    remote: &Remote,
    objects: Vec<Location>,
    transfer: &mut Transfer,
    take: &mut Take,
) -> Result<(), StoreError> {
    let spans = spans(objects).into_iter().map(Ok);
    let read = |span: Span| match remote.range(&span.key(), span.range.clone()) {
        // An index that lies about one object must not stand in the way of the others.
        Err(StoreError::Damaged { .. }) if span.objects.len() > 1 => Ok((span, Vec::new())),
        Err(error) => Err(error),
        Ok(bytes) => Ok((span, bytes)),
    };
    parallel(DOWNLOADS, spans, read, |(span, bytes)| {
        transfer.moved(bytes.len());
        let place = remote.place(&span.key());
        for location in &span.objects {
            let start = (u64::from(location.entry.offset) - span.range.start) as usize;
            let taken = match bytes.get(start..start + location.entry.stored as usize) {
                Some(stored) => take(location, stored, &place),
                None => Err(StoreError::damaged(&place, "shorter than its index says")),
            };
            match taken {
                Err(StoreError::Damaged { .. }) => {
                    let stored = remote.range(&span.key(), range(&location.entry))?;
                    transfer.moved(stored.len());
                    decode_object(&location.entry, &stored, &place)?;
                    take(location, &stored, &place)?;
                }
                other => other?,
            }
        }
        Ok(())
    })
}

/// Neighbouring objects of one pack that are read with one request.
pub(super) struct Span {
    pub(super) pack: Digest,
    pub(super) range: Range<u64>,
    pub(super) objects: Vec<Location>,
}

impl Span {
    pub(super) fn key(&self) -> String {
        fanned("packs", &self.pack.hex())
    }
}

pub(super) fn spans(objects: Vec<Location>) -> Vec<Span> {
    let mut packs: BTreeMap<Digest, Vec<Location>> = BTreeMap::new();
    for location in objects {
        packs.entry(location.pack).or_default().push(location);
    }
    let mut spans: Vec<Span> = Vec::new();
    for (pack, mut objects) in packs {
        objects.sort_by_key(|location| location.entry.offset);
        for location in objects {
            let range = range(&location.entry);
            match spans.last_mut().filter(|span| {
                span.pack == pack
                    && range.start <= span.range.end + GAP
                    && range.end.max(span.range.end) - span.range.start <= SPAN
            }) {
                Some(span) => {
                    span.range.end = span.range.end.max(range.end);
                    span.objects.push(location);
                }
                None => spans.push(Span { pack, range, objects: vec![location] }),
            }
        }
    }
    spans
}

fn range(entry: &PackEntry) -> Range<u64> {
    let start = u64::from(entry.offset);
    start..start + u64::from(entry.stored)
}

fn ids(kind: ObjectKind, bytes: &[u8]) -> Result<impl Iterator<Item = Digest>, StoreError> {
    Ok(references(kind, bytes)?.into_iter().map(|(_, id)| id))
}
