//! Temporary files of checkouts that were killed.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};

use super::stat::Stat;
use crate::base::Id;
use crate::infrastructure::durable::TEMPORARY;

/// Whatever is older than this was left.
const OLD: Duration = Duration::from_secs(24 * 3600);
/// A file that its writer has not locked yet is younger than this.
const YOUNG: Duration = Duration::from_secs(60);

/// Says that a process writes this temporary file: the kernel takes the lock back when the process ends, however it does.
pub(super) fn claim(file: &File) {
    // Where there are no locks the file's age decides.
    let _ = rustix::fs::flock(file, FlockOperation::NonBlockingLockShared);
}

/// Removes the temporary file `name` of an open folder if a checkout left it there. What cannot be removed now will be another time.
pub(super) fn remove(dir: &OwnedFd, name: &[u8]) {
    let id = name.strip_prefix(TEMPORARY.as_bytes()).and_then(|id| std::str::from_utf8(id).ok());
    // Other commands name theirs differently, and may go on from them.
    if id.is_none_or(|id| id.parse::<Id>().is_err()) {
        return;
    }
    let Ok(stat) = rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { return };
    let stat = Stat::of(&stat);
    let written = UNIX_EPOCH + Duration::from_nanos(u64::try_from(stat.mtime).unwrap_or(0));
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    let is_left =
        age >= OLD || (age >= YOUNG && stat.file_type() == FileType::RegularFile && is_unclaimed(dir, name));
    if is_left {
        let _ = rustix::fs::unlinkat(dir.as_fd(), name, AtFlags::empty());
    }
}

fn is_unclaimed(dir: &OwnedFd, name: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty())
        .is_ok_and(|file| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok())
}
