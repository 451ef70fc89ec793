//! The files of a model version with the digests that other tools ask for.

use std::io::Write;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::pickle::{holds_pickle, is_called_pickle, is_pickle};
use crate::base::{Digest, Hasher, hex};
use crate::infrastructure::store::{Local, NodeKind, StoreError};
use crate::platform::model::ModelError;

/// Files of one version at most, and folders: what has more is none of a model.
const MOST: usize = 10_000;

/// A file of a model version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelFile {
    /// Its path in the folder, `/`-separated.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of its bytes: its id in the store.
    pub id: Digest,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// The files of the tree `id`, sorted by path. Every byte is read and verified.
///
/// # Errors
/// [`ModelError::Files`] for a symbolic link, [`StoreError`] for what is missing or damaged.
pub fn stored_files(store: &Local, id: &Digest) -> Result<Vec<ModelFile>, ModelError> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), *id)];
    let mut seen = 0;
    while let Some((prefix, id)) = folders.pop() {
        seen += 1;
        for node in store.tree(&id)?.nodes {
            let path = format!("{prefix}{}", String::from_utf8_lossy(&node.name));
            match node.kind {
                NodeKind::Directory => folders.push((format!("{path}/"), node.id)),
                NodeKind::Link => return Err(link(path)),
                NodeKind::File | NodeKind::Executable => {
                    let mut sums = Sums::default();
                    let size = store.copy(&node.id, &mut sums)?;
                    files.push(sums.file(path, size));
                }
            }
            if files.len() + folders.len() + seen > MOST {
                return Err(too_many(prefix));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Paths and ids of the files of the tree `id`, sorted; no file is read. None if it holds links or more files than a model has.
pub fn listed_files(store: &Local, id: &Digest) -> Result<Option<Vec<(String, Digest)>>, StoreError> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), *id)];
    let mut seen = 0;
    while let Some((prefix, id)) = folders.pop() {
        seen += 1;
        for node in store.tree(&id)?.nodes {
            let path = format!("{prefix}{}", String::from_utf8_lossy(&node.name));
            match node.kind {
                NodeKind::Directory => folders.push((format!("{path}/"), node.id)),
                NodeKind::Link => return Ok(None),
                NodeKind::File | NodeKind::Executable => files.push((path, node.id)),
            }
        }
        if files.len() + folders.len() + seen > MOST {
            return Ok(None);
        }
    }
    files.sort();
    Ok(Some(files))
}

/// The files below `folder`, sorted by path, without the plain files at its top that are called as one of `except`.
///
/// # Errors
/// [`ModelError::Files`] for symbolic links and whatever else is no plain file.
pub fn folder_files(folder: &Path, except: &[&str]) -> Result<Vec<ModelFile>, ModelError> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    let mut seen = 0;
    while let Some(prefix) = folders.pop() {
        seen += 1;
        let here = folder.join(&prefix);
        for entry in std::fs::read_dir(&here).map_err(StoreError::io("list", &here))? {
            let entry = entry.map_err(StoreError::io("list", &here))?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                let path = entry.path().display().to_string();
                return Err(ModelError::Files { path, why: "its name is not UTF-8".to_owned() });
            };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(StoreError::io("look at", entry.path()))?;
            // A folder or link of that name is none of what mlp writes.
            if prefix.is_empty() && kind.is_file() && except.contains(&name.as_str()) {
                continue;
            }
            if kind.is_symlink() {
                return Err(link(path));
            } else if kind.is_dir() {
                folders.push(format!("{path}/"));
            } else if kind.is_file() {
                let mut sums = Sums::default();
                let mut file =
                    std::fs::File::open(entry.path()).map_err(StoreError::io("read", entry.path()))?;
                let size =
                    std::io::copy(&mut file, &mut sums).map_err(StoreError::io("read", entry.path()))?;
                files.push(sums.file(path, size));
            } else {
                return Err(ModelError::Files { path, why: "it is no plain file".to_owned() });
            }
            if files.len() + folders.len() + seen > MOST {
                return Err(too_many(prefix));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn too_many(path: String) -> ModelError {
    ModelError::Files { path, why: format!("more than {MOST} files and folders") }
}

fn link(path: String) -> ModelError {
    ModelError::Files { path, why: "it is a symbolic link, which may lead anywhere".to_owned() }
}

/// Both digests of what is written.
#[derive(Default)]
struct Sums(Hasher, Sha256);

impl Sums {
    fn file(self, path: String, size: u64) -> ModelFile {
        ModelFile { path, size, id: self.0.finish(), sha256: hex(self.1.finalize().as_slice()) }
    }
}

impl Write for Sums {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        self.1.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is wrong with a file that holds weights, by its name and its bytes: a pickle runs code where it is loaded.
pub fn weights_problem(path: &str, bytes: &[u8]) -> Option<String> {
    if is_pickle(bytes) || holds_pickle(bytes) {
        return Some("it is a pickle, which runs code when it is loaded".to_owned());
    }
    if is_called_pickle(path.as_bytes()) {
        return Some("it is called as a pickle, which runs code when it is loaded".to_owned());
    }
    if path.ends_with(".safetensors")
        && let Err(error) = safetensors::SafeTensors::deserialize(bytes)
    {
        return Some(format!("its header does not describe its bytes: {error}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infrastructure::store::{Node, Tree};

    #[test]
    fn folders_are_listed_with_both_digests_and_links_are_refused() {
        let folder = tempfile::tempdir().expect("makes a folder");
        std::fs::create_dir(folder.path().join("sub")).expect("makes");
        std::fs::write(folder.path().join("sub/a"), "x\n").expect("writes");
        std::fs::write(folder.path().join("b"), "hi\n").expect("writes");
        std::fs::write(folder.path().join("model.sig"), "{}").expect("writes");
        let files = folder_files(folder.path(), &["model.sig"]).expect("lists");
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["b", "sub/a"]);
        assert_eq!(files[0].sha256, "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4");
        assert_eq!((files[0].id, files[0].size), (Digest::of(b"hi\n"), 3));
        std::fs::create_dir(folder.path().join("mlp-model.json")).expect("makes");
        std::fs::write(folder.path().join("mlp-model.json/hidden"), "").expect("writes");
        let files = folder_files(folder.path(), &["model.sig", "mlp-model.json"]).expect("lists");
        assert!(files.iter().any(|file| file.path == "mlp-model.json/hidden"), "{files:?}");
        #[cfg(unix)]
        {
            std::fs::remove_file(folder.path().join("model.sig")).expect("removes");
            std::os::unix::fs::symlink("/etc/passwd", folder.path().join("model.sig")).expect("links");
            let error = folder_files(folder.path(), &["model.sig"]).expect_err("a link");
            assert!(error.to_string().contains("model.sig"), "{error}");
            std::fs::remove_file(folder.path().join("model.sig")).expect("removes");
            std::os::unix::fs::symlink("/etc/passwd", folder.path().join("sub/link")).expect("links");
            let error = folder_files(folder.path(), &[]).expect_err("a link");
            assert!(error.to_string().contains("sub/link"), "{error}");
        }
    }

    #[test]
    fn folders_without_end_are_not_visited() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let store = Local::open(folder.path()).expect("opens");
        let mut writer = store.writer().expect("writes");
        let mut id = writer.tree(&Tree { nodes: Vec::new() }).expect("adds");
        // Thirty levels of two equal folders each: a billion paths.
        for _ in 0..30 {
            let node = |name: &[u8]| Node { name: name.to_vec(), kind: NodeKind::Directory, size: 0, id };
            id = writer.tree(&Tree { nodes: vec![node(b"a"), node(b"b")] }).expect("adds");
        }
        writer.finish().expect("finishes");
        let error = stored_files(&store, &id).expect_err("too many");
        assert!(error.to_string().contains("files and folders"), "{error}");
        assert_eq!(listed_files(&store, &id).expect("looks"), None);
    }

    #[test]
    fn pickles_and_headers_that_lie_are_named() {
        let problem = |bytes: &[u8]| weights_problem("model.safetensors", bytes).unwrap_or_default();
        assert!(problem(b"\x80\x04\x95\x10").contains("pickle"));
        assert!(problem(b"PK\x03\x04xxxxarchive/data.pklxxxx").contains("pickle"));
        let file = |header: &str, data: &[u8]| {
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
        };
        let good = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        assert_eq!(problem(&file(good, &[0; 4])), "");
        for (header, data) in [
            (good, &[0; 3][..]),
            (good, &[0; 5]),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, &[0; 4]),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, &[0; 8]),
            (r#"{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]}}"#, &[0; 4]),
            ("{", &[]),
        ] {
            assert!(problem(&file(header, data)).contains("header"), "{header}");
        }
        let mut long = file(good, &[0; 4]);
        long[7] = 0xff;
        assert!(problem(&long).contains("header"));
        assert_eq!(weights_problem("model.json", b"{}"), None);
        for path in ["a.pkl", "sub/b.PT", "c.joblib"] {
            assert!(
                weights_problem(path, b"{}").is_some_and(|why| why.contains("called as a pickle")),
                "{path}"
            );
        }
    }
}
