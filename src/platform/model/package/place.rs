//! A folder that becomes a package at once: it is made beside its place, checked, and takes it in one step.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{PackageError, PackedFile, STAMP, Stamp};
use crate::base::{Digest, Hasher, hex};
use crate::infrastructure::durable;

/// Bytes that a stamp may have.
const LARGEST_STAMP: u64 = 4 << 20;

/// What became of a folder, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It holds the package since now; what it held before, if it held one.
    Written(Option<Box<Stamp>>),
    /// It held the package already.
    Already,
}

/// What stands at a place.
enum Found {
    Nothing,
    Package(Box<Stamp>),
}

/// What would become of `folder` if it were to hold the package of `stamp`. Nothing is written.
///
/// `wanted` are the digests that the files must have, where they are known: a folder that holds them already stays. With `force` a
/// package that somebody changed, or that is of something else, is replaced.
///
/// # Errors
/// [`PackageError::Occupied`] for a folder that holds anything but a package; [`PackageError::Another`] for a package of another
/// project, model or format; [`PackageError::Altered`] for a package whose files are not those of its stamp.
pub fn look(
    folder: &Path,
    stamp: &Stamp,
    wanted: Option<&BTreeMap<String, Digest>>,
    force: bool,
) -> Result<Placed, PackageError> {
    let Found::Package(found) = find(folder)? else { return Ok(Placed::Written(None)) };
    if !force && !found.is_kin(stamp) {
        return Err(PackageError::Another { path: folder.to_owned(), holds: found.shown() });
    }
    match intact(folder, &found)? {
        Ok(files) if found.head() == stamp.head() && wanted.is_some_and(|wanted| holds(&files, wanted)) => {
            Ok(Placed::Already)
        }
        Err(detail) if !force => Err(PackageError::Altered { path: folder.to_owned(), detail }),
        _ => Ok(Placed::Written(Some(found))),
    }
}

/// Makes `folder` the package that `build` writes into an empty folder, with its stamp. Whoever looks sees the old folder or the new
/// one, never a part (but for systems that cannot exchange two folders: there is a moment without either).
///
/// `wanted` and `force` as for [`look`]; what is written is held against `wanted`.
///
/// # Errors
/// Those of [`look`] and of `build`. In each case the folder is as it was.
pub fn place(
    folder: &Path,
    stamp: &Stamp,
    wanted: Option<&BTreeMap<String, Digest>>,
    force: bool,
    build: impl FnOnce(&Path) -> Result<(), PackageError>,
) -> Result<Placed, PackageError> {
    let placed = look(folder, stamp, wanted, force)?;
    if placed == Placed::Already {
        return Ok(placed);
    }
    let parent = durable::folder_of(folder);
    durable::make_folders(parent).map_err(PackageError::io("make", parent))?;
    let making = tempfile::Builder::new().prefix(durable::TEMPORARY).tempdir_in(parent);
    let making = making.map_err(PackageError::io("make a folder in", parent))?;
    let new = making.path().join("new");
    fs::create_dir(&new).map_err(PackageError::io("make", &new))?;
    build(&new)?;
    let files = contents(&new)?;
    if let Some(wanted) = wanted
        && !holds(&files, wanted)
    {
        let detail = "what was written is not what was read; is the disk sound?".to_owned();
        return Err(PackageError::Altered { path: new, detail });
    }
    let bytes = Stamp { files, ..stamp.clone() }.to_bytes();
    create(&new.join(STAMP), |out| out.write_all(&bytes).map_err(PackageError::io("write", &new)))?;
    durable::sync_disk(&new).map_err(PackageError::io("write", &new))?;
    exchange(&new, folder).map_err(PackageError::io("put a package at", folder))?;
    durable::sync_folder(parent).map_err(PackageError::io("write", parent))?;
    Ok(placed)
}

/// What stands at `folder`.
fn find(folder: &Path) -> Result<Found, PackageError> {
    let occupied = || PackageError::Occupied { path: folder.to_owned() };
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(PackageError::io("read", folder)(error)),
        Ok(found) if !found.is_dir() => return Err(occupied()),
        Ok(_) => {}
    }
    let mut entries = fs::read_dir(folder).map_err(PackageError::io("read", folder))?;
    if entries.next().is_none() {
        return Ok(Found::Nothing);
    }
    let path = folder.join(STAMP);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    let mut bytes = Vec::new();
    if is_file {
        let file = File::open(&path).map_err(PackageError::io("read", &path))?;
        file.take(LARGEST_STAMP).read_to_end(&mut bytes).map_err(PackageError::io("read", &path))?;
    }
    match serde_json::from_slice::<Stamp>(&bytes) {
        Ok(stamp) if stamp.schema == Stamp::SCHEMA => Ok(Found::Package(Box::new(stamp))),
        _ => Err(occupied()),
    }
}

/// The files below a folder, or the first difference between it and its stamp.
fn intact(
    folder: &Path,
    stamp: &Stamp,
) -> Result<Result<BTreeMap<String, PackedFile>, String>, PackageError> {
    let found = match contents(folder) {
        Err(PackageError::Altered { detail, .. }) => return Ok(Err(detail)),
        found => found?,
    };
    for (path, file) in &stamp.files {
        match found.get(path) {
            None => return Ok(Err(format!("`{}` is missing", path.escape_debug()))),
            Some(there) if there != file => {
                return Ok(Err(format!("`{}` has other bytes", path.escape_debug())));
            }
            Some(_) => {}
        }
    }
    let added = found.keys().find(|path| !stamp.files.contains_key(*path));
    let added = added.map(|path| format!("`{}` was added", path.escape_debug()));
    Ok(added.map_or(Ok(found), Err))
}

fn holds(found: &BTreeMap<String, PackedFile>, wanted: &BTreeMap<String, Digest>) -> bool {
    found.iter().map(|(path, file)| (path, &file.digest)).eq(wanted)
}

/// The files below `folder` but its stamp, hashed. What is neither file nor folder is an alteration.
fn contents(folder: &Path) -> Result<BTreeMap<String, PackedFile>, PackageError> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).map_err(PackageError::io("read", &at))? {
            let path = entry.map_err(PackageError::io("read", &at))?.path();
            let kind = fs::symlink_metadata(&path).map_err(PackageError::io("read", &path))?;
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                if name != STAMP {
                    found.insert(name, hash(&path)?);
                }
            } else {
                let detail = format!("`{}` is a link or a device", name.escape_debug());
                return Err(PackageError::Altered { path: folder.to_owned(), detail });
            }
        }
    }
    Ok(found)
}

fn hash(path: &Path) -> Result<PackedFile, PackageError> {
    let io = |error| PackageError::io("read", path)(error);
    let mut file = File::open(path).map_err(io)?;
    let (mut blake3, mut sha256, mut size) = (Hasher::new(), Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(io)?;
        if read == 0 {
            break;
        }
        blake3.update(&buffer[..read]);
        sha256.update(&buffer[..read]);
        size += read as u64;
    }
    Ok(PackedFile { size, digest: blake3.finish(), sha256: hex(&sha256.finalize()) })
}

/// A new file at `path` with what `fill` writes, on the disk; missing folders are made.
pub(super) fn create(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    let io = |error| PackageError::io("write", path)(error);
    fs::create_dir_all(durable::folder_of(path)).map_err(io)?;
    let mut out = BufWriter::new(File::create_new(path).map_err(io)?);
    fill(&mut out)?;
    out.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all()).map_err(io)
}

/// Puts the folder `new` at `place`; what was there is at `new` then, or gone.
fn exchange(new: &Path, place: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(place).is_err() {
        return durable::set_aside(new, place);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
            // The file system cannot.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            done => return Ok(done?),
        }
    }
    let old = new.with_file_name("old");
    durable::set_aside(place, &old)?;
    durable::set_aside(new, place).inspect_err(|_| {
        let _ = durable::set_aside(&old, place);
    })
}
