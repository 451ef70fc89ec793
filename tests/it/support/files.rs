//! Folders as values: written, read back, compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files of a folder: their paths below it and their bytes.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Bytes that nothing compresses, the same for the same seed.
pub(crate) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Writes files into a folder, beside what is there.
pub(crate) fn write(folder: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("makes the folder");
        fs::write(path, bytes).expect("writes");
    }
}

/// Makes the folder hold these files and no others.
pub(crate) fn put_back(folder: &Path, files: &Files) {
    fs::remove_dir_all(folder).expect("removes");
    write(folder, files);
}

/// What lies in a folder; nothing if it is not there.
pub(crate) fn read(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("is below").to_owned();
                files.insert(name, fs::read(&path).expect("reads"));
            }
        }
    }
    files
}

/// As [`read`], without the temporary files of commands that were killed.
pub(crate) fn read_data(folder: &Path) -> Files {
    let mut files = read(folder);
    files.retain(|path, _| !path.to_string_lossy().contains(".mlptmp."));
    files
}

/// Fails without printing megabytes.
pub(crate) fn same(found: &Files, wanted: &Files, when: &str) {
    let differing: Vec<_> =
        wanted.keys().chain(found.keys()).filter(|path| found.get(*path) != wanted.get(*path)).collect();
    assert!(differing.is_empty(), "{when}: {} files differ, such as {:?}", differing.len(), differing[0]);
}
