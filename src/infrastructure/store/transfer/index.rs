//! What a remote holds: its index objects `index/<ulid>-<id>`, copied below `remotes/<remote>/index/` for ever, as they
//! never change.

use std::collections::HashSet;
use std::path::Path;

use super::parallel::parallel;
use crate::base::{Digest, Id};
use crate::infrastructure::durable;
use crate::infrastructure::store::pack::PACK_LIMIT;
use crate::infrastructure::store::pack_index::PackIndex;
use crate::infrastructure::store::{Local, Location, Remote, StoreError};

/// Bytes an index object may have.
const LIMIT: u64 = 256 << 20;

/// An index object that is damaged on the remote: its name below `index/`, and what was found.
pub(in crate::infrastructure::store) type Bad = (String, StoreError);

/// All index objects of a remote.
pub(in crate::infrastructure::store) struct RemoteIndex {
    /// With their names below `index/`; none for what no index object lists yet.
    indexes: Vec<(Option<String>, PackIndex)>,
    doomed: HashSet<Digest>,
    place: String,
}

impl RemoteIndex {
    /// Reads what the copy does not have. One listing, and one request for each index object that is new here.
    pub(in crate::infrastructure::store) fn read(local: &Local, remote: &Remote) -> Result<Self, StoreError> {
        let read = || {
            let (index, bad) = Self::listed(local, remote, false)?;
            bad.into_iter().next().map_or(Ok(index), |(_, error)| Err(error))
        };
        // An index object that was merged into another between listing and reading: list again.
        match read() {
            Err(StoreError::Damaged { .. }) => read(),
            read => read,
        }
    }

    /// Reads all index objects as they are there now. What is damaged there is told by name, and stood in for by the copy, if there is one.
    pub(in crate::infrastructure::store) fn afresh(
        local: &Local,
        remote: &Remote,
    ) -> Result<(Self, Vec<Bad>), StoreError> {
        match Self::listed(local, remote, true)? {
            (_, bad) if !bad.is_empty() => Self::listed(local, remote, true),
            sound => Ok(sound),
        }
    }

    fn listed(local: &Local, remote: &Remote, afresh: bool) -> Result<(Self, Vec<Bad>), StoreError> {
        let folder = remote.cache(local.root()).join("index");
        let names = remote.list("index/")?;
        let named = names.iter().filter_map(|name| Some((name.clone(), parse_name(name)?)));
        let (mut indexes, mut bad, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (name, id) in named {
            match if afresh { None } else { copy(&folder.join(&name), id)? } {
                Some(index) => indexes.push((Some(name), index)),
                None => wanted.push(Ok((name, id))),
            }
        }
        let get = |(name, id): (String, Digest)| {
            let key = format!("index/{name}");
            // Damage on the way is mended by asking once more; damage in the store is not.
            let found = match whole(remote, &key, id) {
                Err(StoreError::Damaged { .. }) => whole(remote, &key, id),
                other => other,
            };
            match found {
                Err(error @ StoreError::Damaged { .. }) => Ok((name, id, Err(error))),
                found => found.map(|found| (name, id, Ok(found))),
            }
        };
        parallel(8, wanted.into_iter(), get, |(name, id, found)| {
            match found {
                Ok((bytes, index)) => {
                    keep(local, remote, &name, &bytes)?;
                    indexes.push((Some(name), index));
                }
                Err(error) => {
                    if let Some(index) = copy(&folder.join(&name), id)? {
                        indexes.push((Some(name.clone()), index));
                    }
                    bad.push((name, error));
                }
            }
            Ok(())
        })?;
        forget_merged(&folder, &names);
        Ok((Self { indexes, doomed: HashSet::new(), place: remote.name.to_string() }, bad))
    }

    /// Adds what is known to be on the remote though no index object of it lists it yet.
    pub(super) fn add(&mut self, index: PackIndex) {
        self.indexes.push((None, index));
    }

    /// From now on packs of this set count only where an object lies nowhere else.
    pub(in crate::infrastructure::store) fn doom(&mut self, packs: HashSet<Digest>) {
        self.doomed = packs;
    }

    /// Where an object lies on the remote.
    pub(in crate::infrastructure::store) fn find(&self, id: &Digest) -> Result<Option<Location>, StoreError> {
        match self.find_kept(id)? {
            None if !self.doomed.is_empty() => self.find_where(id, |_| true),
            kept => Ok(kept),
        }
    }

    /// Whether all of these objects are listed.
    pub(super) fn lists(&self, ids: &[Digest]) -> Result<bool, StoreError> {
        for id in ids {
            if self.find(id)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where an object lies in a pack that will stay.
    pub(in crate::infrastructure::store) fn find_kept(
        &self,
        id: &Digest,
    ) -> Result<Option<Location>, StoreError> {
        self.find_where(id, |pack| !self.doomed.contains(pack))
    }

    /// Its index objects, with their names below `index/`.
    pub(in crate::infrastructure::store) fn objects(&self) -> impl Iterator<Item = (&str, &PackIndex)> {
        self.indexes.iter().filter_map(|(name, index)| Some((name.as_deref()?, index)))
    }

    fn find_where(
        &self,
        id: &Digest,
        wanted: impl Fn(&Digest) -> bool,
    ) -> Result<Option<Location>, StoreError> {
        let mut all = self.indexes.iter().flat_map(|(_, index)| index.find_all(id));
        let Some(found) = all.find(|location| wanted(&location.pack)) else { return Ok(None) };
        let end = u64::from(found.entry.offset) + u64::from(found.entry.stored);
        if end > PACK_LIMIT as u64 || found.entry.length as usize > PACK_LIMIT {
            return Err(StoreError::Damaged {
                what: format!("an index of store `{}`", self.place),
                detail: format!("object `{id}` cannot end at byte {end} of a pack"),
            });
        }
        Ok(Some(found))
    }
}

/// Removes copies of index objects that the remote has no more; what cannot be removed now will be another time.
fn forget_merged(folder: &Path, there: &[String]) {
    for name in crate::infrastructure::store::catalog::names(folder).unwrap_or_default() {
        if there.binary_search(&name).is_err() {
            let _ = std::fs::remove_file(folder.join(name));
        }
    }
}

/// A new name for an index object.
pub(in crate::infrastructure::store) fn new_name(bytes: &[u8]) -> String {
    format!("{}-{}", Id::new(), PackIndex::id_of(bytes).hex())
}

/// Keeps a copy of the index object `name`.
pub(in crate::infrastructure::store) fn keep(
    local: &Local,
    remote: &Remote,
    name: &str,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let path = remote.cache(local.root()).join("index").join(name);
    durable::replace_through(&local.root().join("tmp"), &path, bytes).map_err(StoreError::io("write", path))
}

fn parse_name(name: &str) -> Option<Digest> {
    let (ulid, hex) = name.split_once('-')?;
    ulid.parse::<Id>().ok()?;
    Digest::from_hex(hex).ok()
}

/// The copy of an index object; a damaged one counts as absent, for it can be read again.
fn copy(path: &Path, id: Digest) -> Result<Option<PackIndex>, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let index = PackIndex::parse(bytes, &path.display().to_string());
            Ok(index.ok().filter(|index| index.id() == id))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

fn whole(remote: &Remote, key: &str, id: Digest) -> Result<(Vec<u8>, PackIndex), StoreError> {
    let place = remote.place(key);
    let damaged =
        |detail: &str| StoreError::Damaged { what: format!("index `{place}`"), detail: detail.to_owned() };
    let bytes = remote.get(key, LIMIT)?.ok_or_else(|| damaged("it is listed and cannot be read"))?;
    let index = PackIndex::parse(bytes.clone(), &place)?;
    if index.id() == id { Ok((bytes, index)) } else { Err(damaged("it is not the index of its name")) }
}
