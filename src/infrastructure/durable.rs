//! Files that appear under their name whole and on the disk, or not at all: a temporary file, fsync, rename or `link(2)`,
//! fsync of the folder. All that the other modules write to keep goes through here, or passes the same fault points.

pub(crate) mod fault;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use self::fault::{Point, pass, pass_to};

/// Beginning of the names that mlp uses beside data while it writes; what is called so is never taken for data.
pub(crate) const TEMPORARY: &str = ".mlptmp.";

/// Whether a write waits for the disk. A probe need not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// File and folder are on the disk when the call returns.
    Disk,
    /// The kernel has them.
    Cache,
}

/// Makes or replaces the file at `path`, whose folder must be there: after a crash there is the old or the new file, never
/// a part; when the call returns it is the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, |out| out.write_all(bytes))
}

/// As [`replace`], with what `fill` writes.
pub(crate) fn replace_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<()> {
    replace_if(path, fill, || true).map(drop)
}

/// As [`replace_with`], if `still` says yes when all is written, just before the file gets its name; what it said.
pub(crate) fn replace_if(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
    still: impl FnOnce() -> bool,
) -> io::Result<bool> {
    let folder = folder_of(path);
    let mut file = temporary(folder)?;
    pass(Point::Write, file.path())?;
    let mut out = BufWriter::new(file.as_file_mut());
    fill(&mut out)?;
    out.flush()?;
    drop(out);
    sync_file(&file)?;
    if !still() {
        return Ok(false);
    }
    take_name(file, path)?;
    sync_folder(folder)?;
    Ok(true)
}

/// Does `what` again for as long as it fails because the disk is full, at most for `limit`: for the few bytes that say how
/// something ended.
pub(crate) fn when_there_is_room<T>(
    limit: Duration,
    mut what: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match what() {
            Err(error) if is_full(&error) && begun.elapsed() < limit => {
                std::thread::sleep(Duration::from_millis(100));
            }
            done => return done,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// As [`replace`], through a temporary file in `scratch`, which must be on the same file system: for folders whose files
/// others list or tidy. Missing folders are made.
pub(crate) fn replace_through(scratch: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    make_folders(folder)?;
    persist(filled(scratch, bytes)?, path)?;
    sync_folder(folder)
}

/// Creates `path` with `bytes` if nothing is there; returns whether it was created.
///
/// Of several writers, in whatever process, exactly one gets `true`; readers see nothing or all of its bytes. The
/// temporary file lies in `scratch`, which must be on the same file system; missing folders are made.
pub(crate) fn create(scratch: &Path, path: &Path, bytes: &[u8], sync: Sync) -> io::Result<bool> {
    make_folders(folder_of(path))?;
    link(filled(scratch, bytes)?, path, sync)
}

/// Gives a temporary file its name if nothing has that name; returns whether it got it.
pub(crate) fn link(file: NamedTempFile, path: &Path, sync: Sync) -> io::Result<bool> {
    if sync == Sync::Disk {
        sync_file(&file)?;
    }
    pass_to(Point::Link, file.path(), path)?;
    let created = match fs::hard_link(file.path(), path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    };
    pass(Point::Unlink, file.path())?;
    drop(file);
    if sync == Sync::Disk {
        // Also where another writer won: what the caller is about to rely on must be as durable as its own.
        sync_folder(folder_of(path))?;
    }
    created
}

/// Makes the bytes of a temporary file durable and gives it its name, which is durable after [`sync_folder`] only: for
/// many files of one folder.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    sync_file(&file)?;
    take_name(file, path)
}

fn sync_file(file: &NamedTempFile) -> io::Result<()> {
    pass(Point::Fsync, file.path())?;
    file.as_file().sync_all()
}

fn take_name(file: NamedTempFile, path: &Path) -> io::Result<()> {
    pass_to(Point::Rename, file.path(), path)?;
    file.persist(path)?;
    Ok(())
}

/// Puts all that was written to the disk of `folder` there: one call for many files.
pub(crate) fn sync_disk(folder: &Path) -> io::Result<()> {
    pass(Point::Fsync, folder)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(folder)?)?;
    #[cfg(all(unix, not(target_os = "linux")))]
    rustix::fs::sync();
    Ok(())
}

/// Renames durably, within a folder, what is on the disk already.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    set_aside(from, to)?;
    sync_folder(folder_of(to))
}

/// Renames what need not survive a crash under its new name: damaged files, on their way out of the way.
pub(crate) fn set_aside(from: &Path, to: &Path) -> io::Result<()> {
    pass_to(Point::Rename, from, to)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the content is on the disk, or not worth it, says the caller"
    )]
    fs::rename(from, to)
}

/// Removes a file; whether it was there.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    pass(Point::Unlink, path)?;
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A temporary file in `folder`, with the mode of an ordinary new file.
pub(crate) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    pass(Point::Open, folder)?;
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
    builder.tempfile_in(folder)
}

fn filled(scratch: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    make_folders(scratch)?;
    let mut file = temporary(scratch)?;
    write(&mut file, bytes)?;
    Ok(file)
}

/// Writes the bytes of a temporary file.
pub(crate) fn write(file: &mut NamedTempFile, bytes: &[u8]) -> io::Result<()> {
    pass(Point::Write, file.path())?;
    file.write_all(bytes)
}

/// Makes a folder and those above it, each durable in its parent.
pub(crate) fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folders(parent)?;
        pass(Point::Mkdir, folder)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(parent)?,
        }
    } else {
        fs::create_dir_all(folder)?;
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    pass(Point::Fsync, folder)?;
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}

/// The folder of `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
    fn a_full_disk_is_waited_for_and_nothing_else_is() {
        let tries = |limit: u64, errors: &[i32]| {
            let mut errors = errors.iter();
            let mut tries = 0;
            let done = when_there_is_room(Duration::from_millis(limit), || {
                tries += 1;
                errors.next().map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(*error)))
            });
            (done.is_ok(), tries)
        };
        let (full, broken) = (rustix::io::Errno::NOSPC.raw_os_error(), rustix::io::Errno::IO.raw_os_error());
        assert_eq!(tries(60_000, &[full, full]), (true, 3));
        assert_eq!(tries(60_000, &[full, broken]), (false, 2));
        assert_eq!(tries(0, &[full]), (false, 1));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("hint");
        replace(&path, b"one").expect("writes");
        replace(&path, b"two").expect("writes");
        assert_eq!(fs::read(&path).expect("reads"), b"two");
        let scratch = folder.path().join("tmp");
        replace_through(&scratch, &path, b"three").expect("writes");
        assert_eq!(fs::read(&path).expect("reads"), b"three");
        assert!(!replace_if(&path, |out| out.write_all(b"four"), || false).expect("writes"));
        assert_eq!(fs::read(&path).expect("reads"), b"three");
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 2, "`hint` and `tmp`");
        assert_eq!(fs::read_dir(scratch).expect("lists").count(), 0);
    }
}
