//! What some roots need: a walk over trees and recipes, here or on a remote, that goes on where something is missing or damaged.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::super::closure::references;
use super::super::codec::decode_object;
use super::super::transfer::fetch::get;
use super::super::transfer::index::RemoteIndex;
use super::super::transfer::{Transfer, fanned};
use super::super::writer::DigestHash;
use super::super::{Local, Location, ObjectKind, Remote, StoreError};
use crate::base::{Digest, Sink, Unit};

/// A set of ids.
pub(super) type Ids = HashSet<Digest, BuildHasherDefault<DigestHash>>;

/// What a walk found.
#[derive(Default)]
pub(super) struct Reach {
    /// All objects that the roots need and that are there, whether sound or not.
    pub(super) live: Ids,
    /// Objects that are needed and not there.
    pub(super) missing: Vec<Digest>,
    /// Trees and recipes that are there and cannot be read, with what was found.
    pub(super) damaged: Vec<(Digest, String)>,
}

/// Walks the local store.
pub(super) fn here(local: &Local, roots: &[Digest], sink: &dyn Sink) -> Result<Reach, StoreError> {
    let mut reach = Reach::default();
    let mut todo = roots.to_vec();
    while let Some(id) = todo.pop() {
        if reach.live.contains(&id) {
            continue;
        }
        let Some(location) = local.locate(&id)? else {
            reach.missing.push(id);
            continue;
        };
        reach.live.insert(id);
        if !location.entry.kind.is_metadata() {
            continue;
        }
        match local.object(&id).and_then(|(kind, bytes)| references(kind, &bytes)) {
            Ok(children) => todo.extend(children.into_iter().map(|(_, child)| child)),
            Err(StoreError::Damaged { detail, .. }) => reach.damaged.push((id, detail)),
            Err(StoreError::Missing(_)) => reach.missing.push(id),
            Err(error) => return Err(error),
        }
        if reach.live.len().is_multiple_of(4096) {
            sink.progress("walking trees", reach.live.len() as u64, None, Unit::Items);
        }
    }
    reach.missing.sort_unstable();
    reach.missing.dedup();
    Ok(reach)
}

/// Walks a remote level by level. Trees that are here too are read here; the others are read there and not kept.
pub(super) fn there(
    local: &Local,
    remote: &Remote,
    index: &RemoteIndex,
    roots: &[Digest],
    sink: &dyn Sink,
) -> Result<Reach, StoreError> {
    let mut reach = Reach::default();
    let mut absent = Ids::default();
    let mut level = roots.to_vec();
    while !level.is_empty() {
        let (mut below, mut wanted) = (Vec::new(), Vec::new());
        for id in level {
            if reach.live.contains(&id) || absent.contains(&id) {
                continue;
            }
            let Some(location) = index.find(&id)? else {
                absent.insert(id);
                continue;
            };
            reach.live.insert(id);
            if location.entry.kind.is_metadata() {
                match known(local, &location)? {
                    Some(children) => below.extend(children),
                    None => wanted.push(location),
                }
            }
        }
        read(remote, wanted, &mut below, &mut reach)?;
        sink.progress("walking trees", reach.live.len() as u64, None, Unit::Items);
        level = below;
    }
    reach.missing = absent.into_iter().collect();
    reach.missing.sort_unstable();
    Ok(reach)
}

/// Reads trees and recipes of a remote; where one of them cannot be read, the others one by one.
fn read(
    remote: &Remote,
    wanted: Vec<Location>,
    below: &mut Vec<Digest>,
    reach: &mut Reach,
) -> Result<(), StoreError> {
    let mut read = |locations: Vec<Location>| {
        get(remote, locations, &mut Transfer::default(), &mut |location, stored, place| {
            let bytes = decode_object(&location.entry, stored, place)?;
            below.extend(references(location.entry.kind, &bytes)?.into_iter().map(|(_, child)| child));
            Ok(())
        })
    };
    if wanted.is_empty() || read(wanted.clone()).is_ok() {
        return Ok(());
    }
    for location in wanted {
        match read(vec![location]) {
            Ok(()) => {}
            Err(StoreError::Damaged { detail, .. }) => reach.damaged.push((location.entry.id, detail)),
            // Its pack is gone.
            Err(StoreError::Remote { detail, .. })
                if !remote.has(&fanned("packs", &location.pack.hex()))? =>
            {
                reach.damaged.push((location.entry.id, detail));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a tree or recipe names, if a sound copy of it is here.
fn known(local: &Local, location: &Location) -> Result<Option<Vec<Digest>>, StoreError> {
    let id = location.entry.id;
    if local.locate(&id)?.is_none_or(|here| here.entry.kind != location.entry.kind) {
        return Ok(None);
    }
    match local.object(&id) {
        Ok((kind, bytes)) => {
            // The same file may be cut differently here: its chunks there are others.
            if kind == ObjectKind::Recipe {
                return Ok(None);
            }
            Ok(Some(references(kind, &bytes)?.into_iter().map(|(_, child)| child).collect()))
        }
        Err(StoreError::Damaged { .. } | StoreError::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
