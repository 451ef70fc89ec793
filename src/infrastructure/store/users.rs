//! Who uses the local store: processes that read or write it, or the one that collects in it. A lock of the kernel on
//! `<store>/lock`, given back when a process ends, however it does.

use std::fs::File;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::{Local, StoreError};

/// How long a collection waits until it is alone.
const PATIENCE: Duration = Duration::from_secs(10);

impl Local {
    /// Notes that this process uses the store, for as long as the answer lives. Nothing where the store cannot be written: then
    /// nobody collects in it either.
    pub(super) fn using(&self) -> Option<File> {
        let file = self.lock_file().ok()?;
        rustix::fs::flock(&file, FlockOperation::LockShared).ok()?;
        Some(file)
    }

    /// Waits until no other process uses the store and keeps others waiting for as long as the answer lives.
    pub(super) fn alone(&self) -> Result<File, StoreError> {
        let path = self.root().join("lock");
        let failed = |error| StoreError::io("lock", &path)(error);
        // This process's own use must not stand in its way, nor that of the rest of what it does.
        let file = match self.user() {
            Some(own) => own.try_clone().map_err(failed)?,
            None => self.lock_file().map_err(failed)?,
        };
        let start = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::InUse(path)),
                Err(error) => return Err(failed(error.into())),
            }
        }
    }

    fn lock_file(&self) -> std::io::Result<File> {
        let path = self.root().join("lock");
        match File::options().read(true).write(true).create(true).truncate(false).open(&path) {
            // Reading is enough for a lock.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => File::open(&path),
            opened => opened,
        }
    }
}
