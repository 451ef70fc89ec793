//! What this clone remembers of a ledger, beside the local store, so that whoever puts another store in its place is noticed too.
//!
//! `<store>.heads/<project>/<model>` names the last entry that was seen (a later look must find it again) and the one up to which the
//! signatures were found good. `<model>.log` beside it holds the entries in one file, for who reads thousands of them; at `<model>.lock`
//! writers wait in line.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Ledger, LedgerHome};
use crate::base::{Digest, Entry, Id};
use crate::infrastructure::durable;
use crate::infrastructure::store::{StoreError, sealed};

/// The version written into `schema`.
const SCHEMA: &str = "mlp/ledger-head/1";
/// So many entries that are not in the log are read one by one.
const LOOSE: usize = 256;

/// A place in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the entry.
    pub seq: u64,
    /// Its digest, which stands for all entries before it.
    pub entry: Digest,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct File {
    schema: String,
    seen: Head,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verified: Option<Verified>,
}

/// Up to where the signatures were found good, by which signers.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Verified {
    until: Head,
    /// Digest of the signers' file.
    signers: Digest,
}

/// The memory of one ledger.
pub(super) struct Memory {
    path: PathBuf,
}

impl Memory {
    /// The memory of the ledger `key` (`ledger/<project>/<model>`) of the local store in `store`.
    pub(super) fn new(store: &Path, key: &str) -> Self {
        let mut name = store.file_name().unwrap_or_default().to_owned();
        name.push(".heads");
        let key = key.strip_prefix("ledger/").unwrap_or(key);
        Self { path: store.with_file_name(name).join(key) }
    }

    fn read(&self) -> Option<File> {
        let bytes = fs::read(&self.path).ok()?;
        let file: File = serde_json::from_str(sealed::open(&bytes).ok()?).ok()?;
        (file.schema == SCHEMA).then_some(file)
    }

    /// The last entry that was seen.
    pub(super) fn seen(&self) -> Option<Head> {
        Some(self.read()?.seen)
    }

    /// A memory that cannot be written is none: it is no reason not to read.
    fn write(&self, seen: Head, verified: Option<Verified>) {
        let file = File { schema: SCHEMA.to_owned(), seen, verified };
        let bytes = sealed::seal(&serde_json::to_vec(&file).unwrap_or_default());
        let _ = durable::replace_through(self.folder(), &self.path, &bytes);
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// What is wrong with `entries` if `seen`, known before they were read, was the last entry then.
    pub(super) fn compare(seen: Option<Head>, entries: &[Entry]) -> Result<(), String> {
        let Some(seen) = seen else { return Ok(()) };
        match entries.get(seen.seq as usize - 1) {
            None => Err(format!("it has {} entries and had {}", entries.len(), seen.seq)),
            Some(there) if there.digest() != seen.entry => {
                Err(format!("entry {} is not the one it had", seen.seq))
            }
            Some(_) => Ok(()),
        }
    }

    /// Takes `entry`, which was read or appended, for the last one.
    pub(super) fn saw(&self, entry: &Entry) {
        let known = self.read();
        if known.as_ref().is_none_or(|known| known.seen.seq < entry.seq) {
            self.write(Head::of(entry), known.and_then(|known| known.verified));
        }
    }

    /// Forgets what it knew, and takes the last of `entries` for the last one.
    pub(super) fn reset(&self, entries: &[Entry]) {
        let log = self.log_path();
        let _ = (fs::remove_file(&self.path), fs::remove_file(log));
        if let Some(last) = entries.last() {
            self.write(Head::of(last), None);
        }
    }

    /// Waits until no other process of this clone holds the line of this ledger; held until the answer is dropped. None where there
    /// are no locks.
    fn line(&self) -> Option<fs::File> {
        let path = self.path.with_extension("lock");
        durable::make_folders(self.folder()).ok()?;
        let file = fs::File::options().write(true).create(true).truncate(false).open(path).ok()?;
        file.lock().ok()?;
        Some(file)
    }

    /// A folder for what a ledger was before it was accepted as it is.
    pub(super) fn former(&self) -> PathBuf {
        self.path.with_extension(format!("before-{}", Id::new()))
    }

    fn log_path(&self) -> PathBuf {
        self.path.with_extension("log")
    }

    /// The entries of the log, as far as it is whole and begins what this clone has seen; else none.
    pub(super) fn log(&self) -> Vec<Entry> {
        let read = || {
            let text = fs::read_to_string(self.log_path()).ok()?;
            let (lines, digest) = text.strip_suffix('\n')?.rsplit_once('\n')?;
            if digest.parse() != Ok(Digest::of(lines.as_bytes())) {
                return None;
            }
            lines.lines().map(|line| serde_json::from_str(line).ok()).collect::<Option<Vec<Entry>>>()
        };
        read().unwrap_or_default()
    }

    /// Writes the log anew if many of `entries`, which were verified, are not among its first `logged`.
    pub(super) fn keep_log(&self, entries: &[Entry], logged: usize) {
        if entries.len() < logged + LOOSE {
            return;
        }
        let mut text = Vec::new();
        for entry in entries {
            text.extend(entry.to_bytes());
            text.push(b'\n');
        }
        text.pop();
        let _ = durable::replace_through(self.folder(), &self.log_path(), &sealed::seal(&text));
    }
}

impl Head {
    /// The place of `entry`.
    pub fn of(entry: &Entry) -> Self {
        Self { seq: entry.seq, entry: entry.digest() }
    }
}

impl Ledger<'_> {
    /// Up to which entry this clone found all signatures good by the signers with this digest.
    pub fn verified(&self, signers: Digest) -> Option<Head> {
        let verified = self.memory().read()?.verified?;
        (verified.signers == signers).then_some(verified.until)
    }

    /// Remembers that all signatures up to `until` are good by the signers with this digest.
    pub fn remember_verified(&self, until: Head, signers: Digest) {
        let memory = self.memory();
        if let Some(known) = memory.read() {
            memory.write(known.seen, Some(Verified { until, signers }));
        }
    }

    /// Waits in line with the other processes of this clone that write to this ledger; the line moves on when the answer is dropped.
    pub fn line(&self) -> Option<fs::File> {
        self.memory().line()
    }

    /// Remembers the last of `entries`, which were verified and are what this clone has seen, or more.
    pub fn remember(&self, entries: &[Entry]) {
        if let Some(last) = entries.last() {
            self.memory().saw(last);
        }
    }

    /// The last entry that this clone has seen. Others of this clone may append at any moment: ask before reading what is compared with it.
    pub fn remembered(&self) -> Option<Head> {
        self.memory().seen()
    }

    pub(super) fn rolled_back(&self, detail: String) -> StoreError {
        let place = match self.home {
            LedgerHome::Local(_) => "in this clone".to_owned(),
            LedgerHome::Remote { remote, .. } => format!("on `{}`", remote.name),
            LedgerHome::Git { origin, .. } => format!("on `git remote {origin}`"),
        };
        StoreError::LedgerRolledBack { place, model: self.model.to_string(), detail }
    }
}
