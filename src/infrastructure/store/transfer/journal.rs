//! The journal of a push: one file per pack that has arrived, `spool/<remote>/<pack>`, which holds the pack's index. A
//! push that is run again after a crash sends none of these packs again.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::base::Digest;
use crate::infrastructure::durable;
use crate::infrastructure::store::pack::PackEntry;
use crate::infrastructure::store::pack_index::PackIndex;
use crate::infrastructure::store::{Local, Remote, StoreError};

/// A pack that no index lists is kept by a remote's garbage collection for a week; an older note is not believed.
const BELIEVED: Duration = Duration::from_secs(3 * 24 * 3600);

/// Packs that arrived on a remote and that no index object lists yet.
pub(super) struct Journal {
    folder: PathBuf,
    scratch: PathBuf,
    /// The packs with what they hold.
    pub(super) packs: Vec<(Digest, Vec<PackEntry>)>,
}

impl Journal {
    /// What an earlier push has left.
    pub(super) fn read(local: &Local, remote: &Remote) -> Result<Self, StoreError> {
        let cache = remote.cache(local.root());
        let folder = local.root().join("spool").join(cache.file_name().unwrap_or_default());
        let mut packs = Vec::new();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            other => Some(other.map_err(StoreError::io("list", &folder))?),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(StoreError::io("list", &folder))?;
            let path = entry.path();
            let age = entry.metadata().and_then(|metadata| metadata.modified());
            let old =
                age.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > BELIEVED));
            let pack = entry.file_name().to_str().and_then(|name| Digest::from_hex(name).ok());
            // A note that cannot be read costs sending the pack again, nothing more.
            let index = pack.filter(|_| !old).and_then(|_| fs::read(&path).ok());
            let index = index.and_then(|bytes| PackIndex::parse(bytes, &path.display().to_string()).ok());
            match (pack, index) {
                (Some(pack), Some(index)) => {
                    let entries = (0..index.len()).map(|position| index.get(position).entry).collect();
                    packs.push((pack, entries));
                }
                _ => drop(durable::remove(&path)),
            }
        }
        Ok(Self { folder, scratch: local.root().join("tmp"), packs })
    }

    /// Forgets packs that a collection has doomed.
    pub(super) fn forget(&mut self, doomed: &HashSet<Digest>) {
        let folder = &self.folder;
        self.packs.retain(|(pack, _)| {
            let stays = !doomed.contains(pack);
            if !stays {
                let _ = fs::remove_file(folder.join(pack.hex()));
            }
            stays
        });
    }

    /// Notes durably that a pack has arrived.
    pub(super) fn arrived(&mut self, pack: Digest, entries: Vec<PackEntry>) -> Result<(), StoreError> {
        let path = self.folder.join(pack.hex());
        self.packs.push((pack, entries));
        let index = PackIndex::encode(&self.packs[self.packs.len() - 1..]);
        durable::replace_through(&self.scratch, &path, &index).map_err(StoreError::io("write", path))
    }

    /// Forgets the packs: an index object on the remote lists them now.
    pub(super) fn listed(self) {
        for (pack, _) in self.packs {
            let _ = durable::remove(&self.folder.join(pack.hex()));
        }
    }
}
