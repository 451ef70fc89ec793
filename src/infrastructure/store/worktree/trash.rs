//! Where a forced checkout puts what the user had changed: `<state>/trash/<ulid>/<path below the destination>`, for seven days.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::super::catalog::names;
use super::super::{Local, StoreError, files};
use super::scan::path_buf;
use crate::base::{Id, Time};
use crate::infrastructure::durable::fault::{self, Point};

const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

/// The trash of one checkout.
pub(super) struct Trash {
    dir: PathBuf,
}

impl Trash {
    /// A new folder in the trash beside the store (made when something is put into it). Older ones than a week are removed.
    pub(super) fn beside(store: &Local) -> Self {
        let trash = files::parent(store.root()).join("trash");
        remove_old(&trash);
        Self { dir: trash.join(Id::new().to_string()) }
    }

    /// Moves `name` from an open folder into the trash. `path` is its absolute path, `shown` the one below the destination.
    pub(super) fn take(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        path: &[u8],
        shown: &[u8],
    ) -> Result<(), StoreError> {
        let to = self.dir.join(path_buf(shown));
        files::make_dir(&files::parent(&to))?;
        let failed = |error: Errno| StoreError::io("move to the trash", path_buf(path))(error.into());
        fault::pass_to(Point::Rename, &path_buf(path), &to)
            .map_err(StoreError::io("move to the trash", path_buf(path)))?;
        match rustix::fs::renameat(dir, name, CWD, &to) {
            Ok(()) => return Ok(()),
            Err(Errno::XDEV) => {}
            Err(error) => return Err(failed(error)),
        }
        // Another file system: copy, then remove.
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
            let target = rustix::fs::readlinkat(dir, name, Vec::new()).map_err(failed)?;
            rustix::fs::symlinkat(target.as_c_str(), CWD, &to).map_err(failed)?;
        } else {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut from = File::from(rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(failed)?);
            let mut file = File::create_new(&to).map_err(StoreError::io("write", &to))?;
            std::io::copy(&mut from, &mut file).map_err(StoreError::io("write", &to))?;
            file.sync_all().map_err(StoreError::io("write", &to))?;
        }
        rustix::fs::unlinkat(dir, name, AtFlags::empty()).map_err(failed)
    }
}

/// Housekeeping: what cannot be removed now will be another time.
fn remove_old(trash: &Path) {
    let now = Time::now().as_ms();
    for name in names(trash).unwrap_or_default() {
        let Ok(id) = name.parse::<Id>() else { continue };
        if now.saturating_sub(id.timestamp_ms() as i64) > KEPT_MS {
            let _ = fs::remove_dir_all(trash.join(name));
        }
    }
}
