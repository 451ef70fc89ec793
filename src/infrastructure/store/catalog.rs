//! All indexes of the local store together, and what was set aside because it is damaged.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::StoreError;
use super::files;
use super::mapped::Bytes;
use super::pack_index::{Location, PackIndex};
use crate::base::Digest;

/// The store's indexes as they were when they were listed.
#[derive(Default)]
pub(super) struct Catalog {
    /// In the order of their file names.
    pub(super) indexes: Vec<Arc<PackIndex>>,
    /// Places that are treated as absent: whole packs (none), or objects at an offset.
    set_aside: HashSet<(Digest, Option<u32>)>,
}

impl Catalog {
    /// Reads the folders `index` and `bad` below `root`, keeping the indexes that `known` has open already.
    ///
    /// # Errors
    /// A damaged index is moved to `bad/` and named.
    pub(super) fn load(root: &Path, known: &Self) -> Result<Self, StoreError> {
        let dir = root.join("index");
        // A merge (`Local::merge_indexes`) may remove a file between listing and opening: then list again.
        'list: loop {
            let mut indexes = Vec::new();
            for name in names(&dir)? {
                let Ok(id) = Digest::from_hex(&name) else { continue };
                if let Some(open) = known.indexes.iter().find(|index| index.id() == id) {
                    indexes.push(Arc::clone(open));
                    continue;
                }
                let path = dir.join(&name);
                let Some(bytes) = Bytes::map(&path)? else { continue 'list };
                let place = path.display().to_string();
                let index = PackIndex::take(bytes, &place).and_then(|index| {
                    let renamed =
                        || StoreError::damaged(format!("index `{place}`"), "it is not the index of its name");
                    if index.id() == id { Ok(index) } else { Err(renamed()) }
                });
                match index {
                    Ok(index) => indexes.push(Arc::new(index)),
                    Err(error) => {
                        files::set_aside(&path, &root.join("bad").join(&name))?;
                        return Err(error);
                    }
                }
            }
            return Ok(Self { indexes, set_aside: set_aside(&root.join("bad"))? });
        }
    }

    /// Where `id` lies; none if it is not here or damaged everywhere.
    pub(super) fn find(&self, id: &Digest) -> Option<Location> {
        self.indexes.iter().find_map(|index| {
            if self.set_aside.is_empty() {
                return index.find(id);
            }
            index.find_all(id).find(|location| !self.is_set_aside(location))
        })
    }

    /// Ids of all packs listed, those set aside as a whole left out.
    pub(super) fn packs(&self) -> Vec<Digest> {
        let mut packs = self
            .indexes
            .iter()
            .flat_map(|index| index.packs())
            .filter(|pack| !self.set_aside.contains(&(**pack, None)))
            .copied()
            .collect::<Vec<_>>();
        packs.sort_unstable();
        packs.dedup();
        packs
    }

    /// Whether anything of a pack was set aside.
    pub(super) fn is_damaged(&self, pack: &Digest) -> bool {
        self.set_aside.iter().any(|(damaged, _)| damaged == pack)
    }

    fn is_set_aside(&self, location: &Location) -> bool {
        self.set_aside.contains(&(location.pack, None))
            || self.set_aside.contains(&(location.pack, Some(location.entry.offset)))
    }
}

/// The name in `bad/` of a damaged object, or of a whole pack.
pub(super) fn bad_name(pack: &Digest, offset: Option<u32>) -> String {
    match offset {
        Some(offset) => format!("{}.{offset}", pack.hex()),
        None => format!("{}.pack", pack.hex()),
    }
}

fn set_aside(bad: &Path) -> Result<HashSet<(Digest, Option<u32>)>, StoreError> {
    Ok(names(bad)?
        .iter()
        .filter_map(|name| {
            let (pack, place) = name.split_once('.')?;
            let offset = if place == "pack" { None } else { Some(place.parse().ok()?) };
            Some((Digest::from_hex(pack).ok()?, offset))
        })
        .collect())
}

/// Sorted names in `dir`; nothing if there is no such folder. Names that are not Unicode are none of ours.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", dir))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
