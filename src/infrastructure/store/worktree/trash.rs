//! Where a forced checkout puts what the user had changed: `<state>/trash/<ulid>/<path below the destination>`, for seven days.
//! `<ulid>.from` beside it holds the destination, so that it can be put back.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::super::catalog::names;
use super::super::{Local, StoreError, files};
use super::scan::{open_folder, path_buf};
use crate::base::{Id, Time};
use crate::infrastructure::durable::fault::{self, Point};

const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

/// The trash of one checkout.
pub(super) struct Trash {
    id: Id,
    dir: PathBuf,
    /// The destination of the checkout.
    from: Vec<u8>,
}

/// What one command put into the trash.
#[derive(Clone, Debug)]
pub struct Trashed {
    /// Names it; its time is when it happened.
    pub id: Id,
    /// The folder that the files were in.
    pub from: PathBuf,
    /// The files, below that folder, with their sizes.
    pub files: Vec<(PathBuf, u64)>,
}

/// All that is in the trash, the oldest first.
pub fn trashed(store: &Local) -> Result<Vec<Trashed>, StoreError> {
    let trash = folder(store);
    let mut all = Vec::new();
    for name in names(&trash)? {
        let Ok(id) = name.parse::<Id>() else { continue };
        // Without this file it was put there by an older version, which did not say.
        let Some(from) = files::read_if_there(&trash.join(format!("{name}.from")))? else { continue };
        let dir = trash.join(&name);
        let mut found = Trashed { id, from: path_buf(&from), files: Vec::new() };
        collect(&dir, &dir, &mut found.files)?;
        if !found.files.is_empty() {
            all.push(found);
        }
    }
    all.sort_by_key(|trashed| trashed.id);
    Ok(all)
}

/// Puts back what `trashed` holds, or only the file or folder `path` of it. What stands in the way goes to the trash. Returns the files
/// put back, and the id of what was in the way, if anything was.
pub fn restore(
    store: &Local,
    trashed: &Trashed,
    path: Option<&Path>,
) -> Result<(Vec<PathBuf>, Option<Id>), StoreError> {
    let dir = folder(store).join(trashed.id.to_string());
    let aside = Trash::beside(store, trashed.from.as_os_str().as_bytes());
    let mut done = Vec::new();
    for (file, _) in trashed.files.iter().filter(|(file, _)| path.is_none_or(|path| file.starts_with(path))) {
        let to = trashed.from.join(file);
        let parent = files::parent(&to);
        // A file where a folder was stands in the way, too.
        let is_in_the_way = |path: &Path| match path.symlink_metadata() {
            Ok(found) => path == trashed.from.join(file) || !found.is_dir(),
            Err(_) => false,
        };
        let mut ways: Vec<&Path> =
            file.ancestors().filter(|way| is_in_the_way(&trashed.from.join(way))).collect();
        ways.retain(|way| !way.as_os_str().is_empty());
        for way in ways.into_iter().rev() {
            let path = trashed.from.join(way);
            let open = open_folder(files::parent(&path).as_os_str().as_bytes(), false)?;
            let name = way.file_name().unwrap_or_default().as_bytes();
            aside.take(&open, name, path.as_os_str().as_bytes(), way.as_os_str().as_bytes())?;
        }
        files::make_dir(&parent)?;
        // The same move the other way round.
        let from = dir.join(file);
        let open = open_folder(files::parent(&from).as_os_str().as_bytes(), false)?;
        move_to(&open, from.file_name().unwrap_or_default().as_bytes(), &from, &to)?;
        done.push(to);
    }
    Ok((done, aside.used()))
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<(PathBuf, u64)>) -> Result<(), StoreError> {
    for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
        let path = entry.map_err(StoreError::io("list", dir))?.path();
        let stat = path.symlink_metadata().map_err(StoreError::io("read", &path))?;
        if stat.is_dir() {
            collect(root, &path, found)?;
        } else {
            found.push((path.strip_prefix(root).unwrap_or(&path).to_owned(), stat.len()));
        }
    }
    found.sort();
    Ok(())
}

fn folder(store: &Local) -> PathBuf {
    files::parent(store.root()).join("trash")
}

impl Trash {
    /// A new folder in the trash beside the store (made when something is put into it). Older ones than a week are removed.
    pub(super) fn beside(store: &Local, from: &[u8]) -> Self {
        let trash = folder(store);
        remove_old(&trash);
        let id = Id::new();
        Self { id, dir: trash.join(id.to_string()), from: from.to_vec() }
    }

    /// Its id, if something was put into it.
    pub(super) fn used(&self) -> Option<Id> {
        self.dir.exists().then_some(self.id)
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
        if !self.dir.exists() {
            files::make_dir(&self.dir)?;
            files::replace(&self.dir.with_extension("from"), &self.from)?;
        }
        files::make_dir(&files::parent(&to))?;
        fault::pass_to(Point::Rename, &path_buf(path), &to)
            .map_err(StoreError::io("move to the trash", path_buf(path)))?;
        move_to(dir, name, &path_buf(path), &to)
    }
}

/// Moves `name` of an open folder to `to`, also to another file system. `path` is for messages.
fn move_to(dir: &OwnedFd, name: &[u8], path: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |error: Errno| StoreError::io("move", path)(error.into());
    match rustix::fs::renameat(dir, name, CWD, to) {
        Ok(()) => return Ok(()),
        Err(Errno::XDEV) => {}
        Err(error) => return Err(failed(error)),
    }
    // Another file system: copy, then remove.
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
        let target = rustix::fs::readlinkat(dir, name, Vec::new()).map_err(failed)?;
        rustix::fs::symlinkat(target.as_c_str(), CWD, to).map_err(failed)?;
    } else {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut from = File::from(rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(failed)?);
        let mut file = File::create_new(to).map_err(StoreError::io("write", to))?;
        std::io::copy(&mut from, &mut file).map_err(StoreError::io("write", to))?;
        file.sync_all().map_err(StoreError::io("write", to))?;
    }
    rustix::fs::unlinkat(dir, name, AtFlags::empty()).map_err(failed)
}

/// Housekeeping: what cannot be removed now will be another time.
fn remove_old(trash: &Path) {
    let now = Time::now().as_ms();
    for name in names(trash).unwrap_or_default() {
        let Ok(id) = name.parse::<Id>() else { continue };
        if now.saturating_sub(id.timestamp_ms() as i64) > KEPT_MS {
            let _ = fs::remove_dir_all(trash.join(&name));
            let _ = fs::remove_file(trash.join(format!("{name}.from")));
        }
    }
}
