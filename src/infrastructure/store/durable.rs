//! Making files that appear whole or not at all: a temporary file, fsync, `link(2)`, fsync of the directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::base::Id;

/// Whether a write waits for the disk. A probe need not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// File and directory are on the disk when the call returns.
    Disk,
    /// The kernel has them.
    Cache,
}

/// Creates `path` with `bytes` if nothing is there; returns whether it was created.
///
/// Of several writers, in whatever process, exactly one gets `true`; readers see nothing or all of its bytes. The
/// temporary file lies in `scratch`, which must be on the same file system; missing folders are made.
pub(super) fn create(scratch: &Path, path: &Path, bytes: &[u8], sync: Sync) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folders(folder)?;
    fs::create_dir_all(scratch)?;
    let temporary = scratch.join(Id::new().to_string());
    let created = fill(&temporary, bytes, sync).and_then(|()| match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    let _ = fs::remove_file(&temporary);
    if sync == Sync::Disk {
        // Also where another writer won: what the caller is about to rely on must be as durable as its own.
        sync_folder(folder)?;
    }
    created
}

/// Replaces `path` with `bytes`, whole or not at all. For hints and caches; whatever states a fact is created, never
/// replaced.
pub(super) fn replace(scratch: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folders(folder)?;
    fs::create_dir_all(scratch)?;
    let temporary = scratch.join(Id::new().to_string());
    #[expect(clippy::disallowed_methods, reason = "file and folder are synced here")]
    fill(&temporary, bytes, Sync::Disk)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    sync_folder(folder)
}

fn fill(temporary: &Path, bytes: &[u8], sync: Sync) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(temporary)?;
    file.write_all(bytes)?;
    if sync == Sync::Disk { file.sync_all() } else { Ok(()) }
}

/// Makes a folder and those above it, each durable in its parent.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folders(parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(parent)?,
        }
    } else {
        fs::create_dir_all(folder)?;
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_eight_writers_exactly_one_creates_the_file_and_its_bytes_are_whole() {
        let folder = tempfile::tempdir().expect("makes a folder");
        for round in 0..20 {
            let path = folder.path().join(format!("a/b/{round}"));
            let winners: Vec<usize> = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..8)
                    .map(|writer| {
                        let (folder, path) = (folder.path(), &path);
                        scope.spawn(move || {
                            let bytes = vec![writer as u8; 5000];
                            create(&folder.join("tmp"), path, &bytes, Sync::Cache).expect("creates")
                        })
                    })
                    .collect();
                let outcomes = writers.into_iter().map(|writer| writer.join().expect("no panic"));
                outcomes.enumerate().filter(|(_, won)| *won).map(|(writer, _)| writer).collect()
            });
            assert_eq!(winners.len(), 1, "round {round}");
            assert_eq!(fs::read(&path).expect("reads"), vec![winners[0] as u8; 5000]);
        }
        assert_eq!(fs::read_dir(folder.path().join("tmp")).expect("lists").count(), 0);
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("hint");
        replace(folder.path(), &path, b"one").expect("writes");
        replace(folder.path(), &path, b"two").expect("writes");
        assert_eq!(fs::read(&path).expect("reads"), b"two");
    }
}
