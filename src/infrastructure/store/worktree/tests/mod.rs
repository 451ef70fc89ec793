//! Snapshots, checkouts and comparisons of real folders.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::base::{Digest, Null};
use crate::infrastructure::store::{Local, Node, NodeKind, StoreError, Tree};

mod cached;
mod checked_out;
mod hostile;
mod looked_at;
mod parts;

/// A throw-away data folder with a store and a stat cache.
struct World {
    dir: tempfile::TempDir,
    store: Local,
    cache: StatCache,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("makes a folder");
        let store = Local::open(&dir.path().join("state/store")).expect("opens");
        let cache = StatCache::at(dir.path().join("state/index"));
        fs::create_dir(dir.path().join("data")).expect("makes a folder");
        Self { dir, store, cache }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("data").join(name)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("makes folders");
        fs::write(path, bytes).expect("writes");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("reads")
    }

    fn snapshot(&self) -> Snapshot {
        snapshot(&self.data(), &self.store, Some(&self.cache), &Null).expect("takes a snapshot")
    }

    fn checkout(&self, root: &Node, force: bool) -> Checkout {
        checkout(
            root,
            &self.data(),
            &self.store,
            Some(&self.cache),
            CheckoutOptions { force, kept: None },
            &Null,
        )
        .expect("checks out")
    }

    fn status(&self, root: &Node) -> Vec<String> {
        let changes = status(root, &self.data(), &self.store, &self.cache, &Null).expect("compares");
        changes.iter().map(describe).collect()
    }

    /// Makes all files old enough to be believed by the stat cache.
    fn age(&self) {
        fn touch(path: &Path) {
            if path.is_dir() {
                fs::read_dir(path).expect("lists").for_each(|entry| touch(&entry.expect("lists").path()));
            } else if !path.is_symlink() {
                let file = fs::File::open(path).expect("opens");
                let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
                file.set_modified(long_ago).expect("sets the time");
            }
        }
        touch(&self.data());
    }

    /// All files of the data folder with content, mode and target.
    fn listing(&self) -> Vec<(String, String)> {
        fn walk(root: &Path, path: &Path, out: &mut Vec<(String, String)>) {
            for entry in fs::read_dir(path).expect("lists") {
                let path = entry.expect("lists").path();
                let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
                if path.is_symlink() {
                    out.push((name, format!("-> {}", fs::read_link(&path).expect("reads").display())));
                } else if path.is_dir() {
                    out.push((name, "folder".to_owned()));
                    walk(root, &path, out);
                } else {
                    let executable = fs::metadata(&path).expect("stats").permissions().mode() & 0o100 != 0;
                    let id = Digest::of(&fs::read(&path).expect("reads")).short();
                    out.push((name, format!("{id} {executable}")));
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.data(), &self.data(), &mut all);
        all.sort();
        all
    }
}

/// `+ path`, `- path` or `~ path`.
fn describe(change: &Change) -> String {
    let sign = match (&change.old, &change.new) {
        (None, _) => "+",
        (_, None) => "-",
        _ => "~",
    };
    format!("{sign} {}", String::from_utf8_lossy(&change.path))
}

/// A folder with everything a dataset may hold.
fn varied(world: &World) {
    world.write("a.txt", "text ".repeat(100));
    world.write("empty", "");
    world.write("train/7/x.png", b"\x89PNG data");
    world.write("train/8/y.png", b"\x89PNG other");
    world.write("deep/er/and/deeper/file", "deep");
    world.write(
        "long.bin",
        (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>(),
    );
    world.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(world.path("run.sh"), fs::Permissions::from_mode(0o755)).expect("sets the mode");
    fs::create_dir(world.path("nothing here")).expect("makes a folder");
    symlink("../a.txt", world.path("train/link")).expect("links");
}
