//! A ledger in the local store: as home, or as copy of the one on a remote.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::chain::{Verifier, damaged, decode, encode};
use super::{Appended, StoredEntry, count, hash, number, parse_number};
use crate::base::{Entry, Id, Name};
use crate::infrastructure::durable::{self, Sync};
use crate::infrastructure::store::StoreError;

/// The entries of one model in a folder.
pub(super) struct Folder {
    scratch: PathBuf,
    folder: PathBuf,
    model: Name,
}

impl Folder {
    /// The ledger `key` (`ledger/<project>/<model>`) below the local store's folder.
    pub(super) fn new(store: &Path, key: &str, model: &Name) -> Self {
        Self { scratch: store.join("tmp"), folder: store.join(key), model: model.clone() }
    }

    /// All entries, verified.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        self.entries_after(Vec::new())
    }

    /// All entries, the first of them as `known` has them if the last of `known` is the one that is here: as each entry names the
    /// one before, the last tells for all.
    pub(super) fn entries_after(&self, mut known: Vec<Entry>) -> Result<Vec<Entry>, StoreError> {
        let place = |seq| self.path(seq).display().to_string();
        let count = count(&self.model, || names(&self.folder), |seq| Ok(self.path(seq).exists()), place)?;
        if let Some(last) = known.last()
            && (last.seq > count || self.read(last.seq)?.is_none_or(|there| there != *last))
        {
            known.clear();
        }
        let mut verifier = Verifier::after(&self.model, known.last());
        for seq in verifier.seq + 1..=count {
            let path = self.path(seq);
            let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
            known.push(verifier.next(&bytes, &path.display().to_string())?);
        }
        Ok(known)
    }

    /// Everything that is stored as an entry.
    pub(super) fn stored(&self) -> Result<Vec<StoredEntry>, StoreError> {
        let mut numbers: Vec<u64> =
            names(&self.folder)?.iter().filter_map(|name| parse_number(name)).collect();
        numbers.sort_unstable();
        let stored = |seq| {
            let path = self.path(seq);
            let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
            Ok(StoredEntry { seq, place: path.display().to_string(), bytes: Ok(bytes) })
        };
        numbers.into_iter().map(stored).collect()
    }

    /// Moves all entries to `place`; whether there were any.
    pub(super) fn move_to(&self, place: &Path) -> Result<bool, StoreError> {
        if !self.folder.exists() {
            return Ok(false);
        }
        durable::make_folders(durable::folder_of(place))
            .map_err(StoreError::io("make the folder of", place))?;
        durable::rename(&self.folder, place).map_err(StoreError::io("move", &self.folder))?;
        Ok(true)
    }

    /// Appends in the ledger's home.
    pub(super) fn append(&self, entry: &Entry) -> Result<Appended, StoreError> {
        if !self.follows(entry)? {
            return Ok(Appended::Lost);
        }
        if self.keep(entry)? || self.holds(entry)? { Ok(Appended::Yes) } else { Ok(Appended::Lost) }
    }

    /// Writes an entry that is known to follow; whether it was not there before.
    pub(super) fn keep(&self, entry: &Entry) -> Result<bool, StoreError> {
        let path = self.path(entry.seq);
        durable::create(&self.scratch, &path, &encode(entry), Sync::Disk)
            .map_err(StoreError::io("write", path))
    }

    /// Whether the entry before `entry` is here and is the one that `entry` names.
    pub(super) fn follows(&self, entry: &Entry) -> Result<bool, StoreError> {
        let Some(before) = entry.seq.checked_sub(1).filter(|seq| *seq > 0) else {
            return Ok(entry.seq == 1 && entry.prev.is_none());
        };
        Ok(self.read(before)?.is_some_and(|before| Some(before.digest()) == entry.prev))
    }

    /// Whether there is an entry `seq`.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.path(seq).exists()
    }

    fn holds(&self, entry: &Entry) -> Result<bool, StoreError> {
        Ok(self.read(entry.seq)?.is_some_and(|there| there.op == entry.op))
    }

    fn read(&self, seq: u64) -> Result<Option<Entry>, StoreError> {
        let path = self.path(seq);
        match fs::read(&path) {
            Ok(bytes) => decode(&bytes)
                .map(Some)
                .map_err(|detail| damaged(&self.model, seq, &path.display().to_string(), detail)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", path)(error)),
        }
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.folder.join(number(seq))
    }
}

/// Models with a ledger in the local store.
pub(super) fn models(store: &Path, project: Id) -> Result<Vec<Name>, StoreError> {
    let folder = store.join("ledger").join(project.to_string());
    let mut models = Vec::new();
    for name in names(&folder)? {
        let path = folder.join(&name).join(number(1));
        match fs::read(&path) {
            Ok(bytes) => models.push(model(&bytes, &name, &path.display().to_string())?),
            // A folder made by a writer that has not got further yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("read", path)(error)),
        }
    }
    Ok(models)
}

/// The model that a first entry is about; it must be the one that the folder's name stands for.
pub(super) fn model(bytes: &[u8], folder: &str, place: &str) -> Result<Name, StoreError> {
    decode(bytes)
        .and_then(|entry| match hash(&entry.subject.model) == folder {
            true => Ok(entry.subject.model),
            false => Err(format!("it is about the model `{}`", entry.subject.model)),
        })
        .map_err(|detail| StoreError::LedgerDamaged {
            model: folder.to_owned(),
            seq: 1,
            path: place.to_owned(),
            detail,
        })
}

fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_, _>>()
            .map_err(StoreError::io("list", folder)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::io("list", folder)(error)),
    }
}
