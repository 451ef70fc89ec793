//! A store in a folder: own code on `std::fs`, for opendal's file service neither syncs folders nor lets exactly one
//! of several writers win.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::infrastructure::durable::{self, Sync};
use crate::infrastructure::store::pack::PACK_LIMIT;

/// The folder of a store.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// The bytes of `key`, if there is such an object; at most `limit` and one more.
    pub(super) fn get(&self, key: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.0.join(key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Some bytes of `key`; fewer if the object ends before.
    pub(super) fn range(&self, key: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.0.join(key))?;
        file.seek(SeekFrom::Start(range.start))?;
        // Reading on without growing: a span has many MiB.
        let mut bytes =
            Vec::with_capacity((range.end.saturating_sub(range.start)).min(PACK_LIMIT as u64) as usize);
        file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Creates `key` durably if it is not there; whether it was created.
    pub(super) fn create(&self, key: &str, bytes: &[u8], sync: Sync) -> io::Result<bool> {
        durable::create(&self.0.join("tmp"), &self.0.join(key), bytes, sync)
    }

    /// Names directly below `prefix` (which ends with `/`); folders end with `/`.
    pub(super) fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.0.join(prefix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Ok(mut name) = entry.file_name().into_string() {
                if entry.file_type()?.is_dir() {
                    name.push('/');
                }
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Removes `key`; one that is not there is not an error.
    pub(super) fn remove(&self, key: &str) -> io::Result<()> {
        durable::remove(&self.0.join(key)).map(drop)
    }

    /// Where `key` lies, for messages.
    pub(super) fn path(&self, key: &str) -> PathBuf {
        Path::new(&self.0).join(key)
    }
}
