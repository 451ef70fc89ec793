//! Ledgers: per model an append-only, hash-chained sequence of entries, made by create-if-absent.
//!
//! An entry is the object or file `ledger/<project id>/<16 hex digits of the model name's BLAKE3>/<20-digit number>`.
//! Two processes that append at once get one winner; the other judges again on top of the winner's entry.

mod all;
mod bucket;
mod chain;
mod folder;
mod memory;
mod news;
mod refs;
mod shared;

use std::path::PathBuf;

pub(super) use self::all::{Chain, chains, chains_there, copied, put, put_there, was_seen};
use self::bucket::Bucket;
use self::folder::Folder;
pub use self::memory::Head;
use self::memory::Memory;
use self::refs::Refs;
use self::shared::Shared;
use super::{Remote, StoreError};
use crate::base::{Digest, Entry, Id, Name};
use crate::infrastructure::git::Repo;

/// Reads an entry as anybody may have written it, for the fuzzers.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn read(bytes: &[u8]) {
    drop(chain::decode(bytes));
}

/// Where a project's ledgers live.
pub enum LedgerHome {
    /// In the local store, whose folder this is: no remote is configured.
    Local(PathBuf),
    /// On the project's first store, with a local copy as cache.
    Remote {
        /// The first of `stores:`.
        remote: Remote,
        /// The folder of the local store, which holds a copy.
        cache: PathBuf,
    },
    /// In refs of a shared git repository, with a local copy as cache: for stores that cannot hold ledgers.
    Git {
        /// This clone.
        repo: Repo,
        /// The name of its git remote.
        origin: String,
        /// The first of `stores:`, which holds the data.
        store: Remote,
        /// The folder of the local store, which holds a copy.
        cache: PathBuf,
    },
}

/// One model's ledger.
pub struct Ledger<'a> {
    /// Where it lives.
    pub home: &'a LedgerHome,
    /// The project.
    pub project: Id,
    /// The model.
    pub model: Name,
}

/// How much of a shared ledger is held against the copy of this clone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// The last entry, which names all before it.
    Last,
    /// Each entry: what others will read may have been changed in the middle.
    All,
}

/// What an append came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entry stands.
    Yes,
    /// Another entry has that number: judge again on top of it.
    Lost,
}

impl LedgerHome {
    /// The store where the data are that ledgers speak of, if there is one.
    pub fn store(&self) -> Option<&Remote> {
        match self {
            Self::Local(_) => None,
            Self::Remote { remote: store, .. } | Self::Git { store, .. } => Some(store),
        }
    }

    /// The copies that this clone has of the ledgers of `project`, as a home for who only looks; none if it has none.
    pub fn copy(&self, project: Id) -> Option<Self> {
        let (Self::Local(store) | Self::Remote { cache: store, .. } | Self::Git { cache: store, .. }) = self;
        let has_some = store.join("ledger").join(project.to_string()).is_dir();
        has_some.then(|| Self::Local(store.clone()))
    }

    /// Names of the models that have a ledger here, sorted. Asks the remote, if the home is one.
    pub fn models(&self, project: Id) -> Result<Vec<Name>, StoreError> {
        let mut models = match self {
            Self::Local(store) => folder::models(store, project)?,
            Self::Remote { remote, cache } => bucket::models(remote, cache, project)?,
            Self::Git { repo, origin, store, cache } => {
                let mut models = refs::models(repo, origin, project)?;
                // Those that have not moved to git yet.
                models.extend(bucket::models(store, cache, project)?);
                models
            }
        };
        models.sort_unstable();
        models.dedup();
        Ok(models)
    }
}

/// The stored bytes of an entry, as anybody may have left them.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    /// The number that its name gives it.
    pub seq: u64,
    /// Its file, key or commit, for messages.
    pub place: String,
    /// What is there, or why it cannot be read.
    pub bytes: Result<Vec<u8>, String>,
}

impl StoredEntry {
    /// What is at `place`: the bytes, or what is wrong with them.
    fn of(seq: u64, place: String, read: Result<Vec<u8>, StoreError>) -> Result<Self, StoreError> {
        let bytes = match read {
            Err(StoreError::LedgerDamaged { detail, .. }) => Err(detail),
            read => Ok(read?),
        };
        Ok(Self { seq, place, bytes })
    }

    /// The entry, if the bytes are one, whatever its place in the chain; else what is wrong.
    pub fn decode(&self) -> Result<Entry, String> {
        chain::decode(self.bytes.as_ref().map_err(String::clone)?)
    }
}

impl Ledger<'_> {
    /// All entries in order, verified: numbers without gaps, each naming the digest of the one before, and none less than this
    /// clone has seen.
    ///
    /// From a remote only what is not in the local copy is read. Entries made here before the remote became the home
    /// are published.
    ///
    /// # Errors
    /// [`StoreError::LedgerRolledBack`] if it has fewer entries than it had, or others.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        self.compared(Care::Last)
    }

    /// The same for who builds on it: on a remote each entry must be what this clone has, for others know no more than
    /// what they read there.
    ///
    /// # Errors
    /// [`StoreError::LedgerDamaged`] if one is not.
    pub fn whole(&self) -> Result<Vec<Entry>, StoreError> {
        self.compared(Care::All)
    }

    fn compared(&self, care: Care) -> Result<Vec<Entry>, StoreError> {
        let seen = self.remembered();
        let entries = self.read(Vec::new(), care)?;
        Memory::compare(seen, &entries).map_err(|detail| self.rolled_back(detail))?;
        self.remember(&entries);
        Ok(entries)
    }

    /// The entries for who only looks, with what is wrong if it is not the ledger that this clone saw, or if one of them is damaged:
    /// then those before it. Thousands of old ones come
    /// from a log of this clone: the last of them is compared, and tells for all.
    pub fn look(&self) -> Result<(Vec<Entry>, Option<StoreError>), StoreError> {
        let memory = self.memory();
        let seen = memory.seen();
        let log = memory.log();
        let logged = log.len();
        let entries = match self.read(log, Care::Last) {
            Err(error @ StoreError::LedgerRolledBack { .. }) => return Ok((self.there()?, Some(error))),
            Err(error @ StoreError::LedgerDamaged { .. }) => return Ok((self.sound()?, Some(error))),
            read => read?,
        };
        if let Err(detail) = Memory::compare(seen, &entries) {
            return Ok((entries, Some(self.rolled_back(detail))));
        }
        self.remember(&entries);
        memory.keep_log(&entries, logged);
        Ok((entries, None))
    }

    /// Takes the ledger as it is now, whatever this clone has seen before. Returns where the copy of the former one was put, if
    /// there was a copy.
    pub fn accept(&self) -> Result<Option<PathBuf>, StoreError> {
        // What is damaged is not accepted.
        self.there()?;
        let memory = self.memory();
        let kept = self.on(|_| Ok(None), |shared| shared.forget(&memory.former()))?;
        memory.reset(&self.read(Vec::new(), Care::Last)?);
        Ok(kept)
    }

    /// Everything that is stored as an entry, in the order of the numbers and without any check.
    pub fn stored(&self) -> Result<Vec<StoredEntry>, StoreError> {
        self.on(|folder| folder.stored(), |shared| shared.stored())
    }

    /// Makes `entry` the entry `entry.seq`, if there is none yet. A lost answer is recognised by `entry.op`.
    pub fn append(&self, entry: &Entry) -> Result<Appended, StoreError> {
        let appended = self.on(|folder| folder.append(entry), |shared| shared.append(entry))?;
        if appended == Appended::Yes {
            self.memory().saw(entry);
        }
        Ok(appended)
    }

    /// The entries as they are now, the first of them as `known` has them.
    fn read(&self, known: Vec<Entry>, care: Care) -> Result<Vec<Entry>, StoreError> {
        // Only one of the two is called.
        let known = std::cell::Cell::new(known);
        self.on(|folder| folder.entries_after(known.take()), |shared| shared.synchronise(known.take(), care))
    }

    /// The entries as they are now where others see them.
    fn there(&self) -> Result<Vec<Entry>, StoreError> {
        self.on(|folder| folder.entries(), |shared| shared.there())
    }

    /// The entries as they are now where others see them, up to the first that is damaged.
    fn sound(&self) -> Result<Vec<Entry>, StoreError> {
        let mut verifier = chain::Verifier::new(&self.model);
        Ok(self.stored()?.iter().map_while(|stored| verifier.take(stored).ok()).collect())
    }

    fn on<T>(
        &self,
        local: impl FnOnce(&Folder) -> Result<T, StoreError>,
        shared: impl FnOnce(&Shared<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.home {
            LedgerHome::Local(store) => local(&self.folder(store)),
            LedgerHome::Remote { remote, cache } => {
                let far = Bucket::new(remote, cache, self.key(), &self.model);
                shared(&Shared::new(&far, cache, self.key(), &self.model))
            }
            LedgerHome::Git { repo, origin, store, cache } => {
                let bucket = Bucket::new(store, cache, self.key(), &self.model);
                let far = Refs::new(repo, origin, cache, self.key(), &bucket)?;
                shared(&Shared::new(&far, cache, self.key(), &self.model))
            }
        }
    }

    fn folder(&self, store: &std::path::Path) -> Folder {
        Folder::new(store, &self.key(), &self.model)
    }

    fn memory(&self) -> Memory {
        let (LedgerHome::Local(store)
        | LedgerHome::Remote { cache: store, .. }
        | LedgerHome::Git { cache: store, .. }) = self.home;
        Memory::new(store, &self.key())
    }

    /// The folder of this ledger in a store.
    fn key(&self) -> String {
        format!("ledger/{}/{}", self.project, hash(&self.model))
    }
}

/// The part of a key that stands for a model: its name is a user's string and may not be in a key.
fn hash(model: &Name) -> String {
    Digest::of(model.as_str().as_bytes()).hex()[..16].to_owned()
}

/// The key of entry `seq` below the folder of a ledger: twenty digits, so that names sort as numbers.
fn number(seq: u64) -> String {
    format!("{seq:020}")
}

/// The number in the name of an entry.
fn parse_number(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten()
}

/// How many entries a ledger has; fails at a gap. A listing that runs while entries are made may miss one and show the
/// next, so that an entry that seems to be missing is looked for before anybody is alarmed.
fn count(
    model: &Name,
    list: impl Fn() -> Result<Vec<String>, StoreError>,
    is_there: impl Fn(u64) -> Result<bool, StoreError>,
    place: impl Fn(u64) -> String,
) -> Result<u64, StoreError> {
    loop {
        let mut numbers: Vec<u64> = list()?.iter().filter_map(|name| parse_number(name)).collect();
        numbers.sort_unstable();
        let Some((_, missing)) = numbers.iter().zip(1..).find(|(found, expected)| **found != *expected)
        else {
            return Ok(numbers.len() as u64);
        };
        if !is_there(missing)? {
            let detail = "it is missing, and later entries are there".to_owned();
            return Err(chain::damaged(model, missing, &place(missing), detail));
        }
    }
}

#[cfg(test)]
mod tests;
