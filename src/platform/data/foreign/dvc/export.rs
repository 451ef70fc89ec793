//! The way back: a version as objects of a DVC 3 cache and a `*.dvc` file.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::listing;
use crate::base::{Sink, Unit, yaml_scalar};
use crate::infrastructure::durable;
use crate::infrastructure::store::worktree::{CheckoutOptions, checkout};
use crate::infrastructure::store::{Local, Node, NodeKind};
use crate::platform::data::DataError;
use crate::platform::data::foreign::checksum::{md5_hex, md5_of};

/// What was written.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// DVC's id, with `.dir` behind it for a directory.
    pub md5: String,
    /// Files in the version.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Objects that the cache did not have.
    pub objects: u64,
}

/// Where a version goes.
pub struct Target<'a> {
    /// The DVC repository.
    pub dvc: &'a Path,
    /// Its cache.
    pub cache: &'a Path,
    /// A folder of our own on the cache's disk, emptied before and after.
    pub gathered: &'a Path,
}

/// Puts the version `root` into the cache and writes the `*.dvc` file of `data`, a path in the work tree.
pub fn export(
    root: &Node,
    data: &Path,
    target: &Target<'_>,
    store: &Local,
    sink: &dyn Sink,
) -> Result<Exported, DataError> {
    begin(target.dvc)?;
    remove(target.gathered)?;
    let place = target.gathered.join("data");
    fs::create_dir_all(target.gathered).map_err(DataError::io("make", target.gathered))?;
    checkout(root, &place, store, None, CheckoutOptions::default(), sink)?;
    let mut exported = Exported { md5: String::new(), files: 0, bytes: 0, objects: 0 };
    let mut lines = String::from("outs:\n- md5: ");
    if root.kind == NodeKind::Directory {
        let mut files = Vec::new();
        below(&place, "", &mut files)?;
        files.iter().try_for_each(|path| follow(&place.join(path)))?;
        let mut entries = Vec::with_capacity(files.len());
        let total = files.len() as u64;
        for path in files {
            let md5 = put(&place.join(&path), target.cache, &mut exported)?;
            entries.push((path, md5));
            sink.progress("exporting", exported.files, Some(total), Unit::Files);
        }
        let list = listing::write(entries);
        exported.md5 = format!("{}.dir", md5_hex(&list));
        let object = object(target.cache, &exported.md5)?;
        if !object.exists() {
            durable::replace(&object, &list).map_err(DataError::io("write", &object))?;
            exported.objects += 1;
        }
        lines.push_str(&format!(
            "{}\n  size: {}\n  nfiles: {}\n",
            exported.md5, exported.bytes, exported.files
        ));
    } else {
        exported.md5 = put(&place, target.cache, &mut exported)?;
        lines.push_str(&format!("{}\n  size: {}\n", exported.md5, exported.bytes));
        if root.kind == NodeKind::Executable {
            lines.push_str("  isexec: true\n");
        }
    }
    remove(target.gathered)?;
    // All objects at once, before a file names them.
    durable::sync_disk(target.cache).map_err(DataError::io("sync", target.cache))?;
    let name = data.file_name().unwrap_or_default().to_string_lossy();
    lines.push_str(&format!("  hash: md5\n  path: {}\n", yaml_scalar(&name)));
    let file = data.with_file_name(format!("{name}.dvc"));
    durable::replace(&file, lines.as_bytes()).map_err(DataError::io("write", &file))?;
    Ok(exported)
}

/// Makes the folder a DVC repository if it is none: what `dvc init` needs and no more.
fn begin(dvc: &Path) -> Result<(), DataError> {
    let folder = dvc.join(".dvc");
    fs::create_dir_all(&folder).map_err(DataError::io("make", &folder))?;
    for (name, text) in [("config", ""), (".gitignore", "/config.local\n/tmp\n/cache\n")] {
        let file = folder.join(name);
        if !file.exists() {
            durable::replace(&file, text.as_bytes()).map_err(DataError::io("write", &file))?;
        }
    }
    Ok(())
}

/// Moves a file into the cache, read-only as DVC has them; returns its MD5.
fn put(file: &Path, cache: &Path, exported: &mut Exported) -> Result<String, DataError> {
    let length = fs::metadata(file).map_err(DataError::io("read", file))?.len();
    let md5 = md5_of(file).map_err(DataError::io("read", file))?;
    let object = object(cache, &md5)?;
    if !object.exists() {
        durable::set_aside(file, &object).map_err(DataError::io("write", &object))?;
        let mut permissions = fs::metadata(&object).map_err(DataError::io("read", &object))?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&object, permissions).map_err(DataError::io("write", &object))?;
        exported.objects += 1;
    }
    exported.files += 1;
    exported.bytes += length;
    Ok(md5)
}

/// Makes a file of a link, as DVC does when it adds one.
fn follow(file: &Path) -> Result<(), DataError> {
    if !file.symlink_metadata().map_err(DataError::io("read", file))?.is_symlink() {
        return Ok(());
    }
    if !file.is_file() {
        return Err(DataError::Malformed {
            path: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            format: "DVC data",
            detail: "it is a link to a folder or to nothing, which DVC does not have".to_owned(),
        });
    }
    let bytes = fs::read(file).map_err(DataError::io("read", file))?;
    fs::remove_file(file).and_then(|()| fs::write(file, bytes)).map_err(DataError::io("write", file))
}

/// Where an object lies; makes its folder.
fn object(cache: &Path, md5: &str) -> Result<std::path::PathBuf, DataError> {
    let (first, rest) = md5.split_at(2);
    let folder = cache.join("files/md5").join(first);
    fs::create_dir_all(&folder).map_err(DataError::io("make", &folder))?;
    Ok(folder.join(rest))
}

/// Paths of files and links below a folder.
fn below(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<(), DataError> {
    for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let entry = entry.map_err(DataError::io("read", folder))?;
        let name = entry.file_name().into_string().map_err(|name| DataError::Malformed {
            path: name.to_string_lossy().into_owned(),
            format: "DVC data",
            detail: "DVC's listings hold Unicode names alone".to_owned(),
        })?;
        let path = format!("{prefix}{name}");
        match entry.file_type().map_err(DataError::io("read", folder))?.is_dir() {
            true => below(&entry.path(), &format!("{path}/"), files)?,
            false => files.push(path),
        }
    }
    files.sort();
    Ok(())
}

fn remove(folder: &Path) -> Result<(), DataError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DataError::io("remove", folder)(error)),
        _ => Ok(()),
    }
}
