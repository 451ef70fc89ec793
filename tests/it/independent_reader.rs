//! `docs/reference/read_store.py`, which shares no code with mlp, restores what mlp stored: the format is what its page says.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{ok, theirs};

const MANIFEST: &str = "mlp: 1\nproject: {name: apart, id: 01jd3q0000000000000000000f}\n\
                        stores:\n  origin: {url: \"fs://FAR\"}\n\
                        data:\n  set: {path: data/set, format: images}\n";

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A project whose dataset has one of everything that the format knows, added and pushed to the folder `far`.
fn stored() -> TempDir {
    let folder = tempfile::tempdir().expect("makes a folder");
    let root = folder.path();
    let set = root.join("data/set");
    let far = root.join("far");
    let write = |path: &str, bytes: &[u8]| {
        let path = set.join(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("makes folders");
        fs::write(path, bytes).expect("writes");
    };
    let git = Command::new("git").args(["init", "-q", "-b", "main"]).current_dir(root).status();
    assert!(git.expect("git starts").success());
    fs::write(root.join("mlp.yaml"), MANIFEST.replace("FAR", &far.display().to_string())).expect("writes");
    write("small/empty", b"");
    write("small/text.csv", &b"1,2,3\n".repeat(5000));
    write("small/a name with \"quotes\"", b"quoted");
    write("1 quoted in the pointer: too", b"quoted");
    write("tool.sh", b"#!/bin/sh\necho hello\n");
    fs::set_permissions(set.join("tool.sh"), fs::Permissions::from_mode(0o755)).expect("sets the mode");
    fs::create_dir(set.join("nothing")).expect("makes a folder");
    symlink("../tool.sh", set.join("small/link")).expect("links");
    // Cut into chunks: one that does not compress, one whose numbers are grouped by byte.
    write("long.bin", &noise(1, 3 << 20));
    let weights = (0..700_001u32).flat_map(|n| ((n as f32 * 0.7).sin() * 0.05).to_le_bytes());
    write("weights.safetensors", &weights.chain([1, 2, 3]).collect::<Vec<u8>>());
    // More entries than one node holds.
    for n in 0..2500 {
        write(&format!("many/{n:05}.txt"), format!("{n}").as_bytes());
    }
    ok(root, &["data", "add", "set"]);
    ok(root, &["data", "push", "set"]);
    folder
}

fn read(store: &Path, what: &str, out: &Path) -> Output {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    theirs("reader/bin/python")
        .arg(top.join("docs/reference/read_store.py"))
        .args([store.as_os_str(), what.as_ref(), out.as_os_str()])
        .output()
        .expect("python starts")
}

fn restored(store: &Path, what: &str, out: &Path) {
    let output = read(store, what, out);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Everything below `folder`: path, mode of a file, and its bytes or where it points.
fn content(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(dir) = folders.pop() {
        for entry in fs::read_dir(dir).expect("lists") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("is below").to_owned();
            let meta = path.symlink_metadata().expect("is there");
            let executable = u32::from(meta.is_file()) * (meta.permissions().mode() & 0o100);
            let bytes = match meta.is_symlink() {
                true => fs::read_link(&path).expect("reads").into_os_string().into_encoded_bytes(),
                false if meta.is_dir() => Vec::new(),
                false => fs::read(&path).expect("reads"),
            };
            found.push((name, executable, bytes));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_reader_that_shares_no_code_restores_every_kind_of_entry_from_the_local_store_and_from_a_remote() {
    let folder = stored();
    let root = folder.path();
    let wanted = content(&root.join("data/set"));
    let pointer = root.join("data/set.mlp").display().to_string();
    for (store, out) in [(".git/mlp/store", "here"), ("far", "there")] {
        restored(&root.join(store), &pointer, &root.join(out));
        assert_eq!(content(&root.join(out)).len(), wanted.len());
        assert!(content(&root.join(out)) == wanted, "{store}: another content");
    }
    let report: serde_json::Value =
        serde_json::from_str(&ok(root, &["data", "status", "set", "--json"])).expect("a report");
    let id = report["datasets"][0]["id"].as_str().expect("an id");
    restored(&root.join("far"), id, &root.join("by-id"));
    assert!(content(&root.join("by-id")) == wanted, "by id: another content");
    let file = format!("b3:{}", blake3::hash(&noise(1, 3 << 20)).to_hex());
    restored(&root.join("far"), &file, &root.join("one-file"));
    assert!(fs::read(root.join("one-file")).expect("reads") == noise(1, 3 << 20));
}

#[test]
fn the_reader_refuses_a_pack_or_an_index_with_one_flipped_bit() {
    let folder = stored();
    let root = folder.path();
    let far = root.join("far");
    let pointer = root.join("data/set.mlp").display().to_string();
    let mut files: Vec<PathBuf> = content(&far).into_iter().map(|(path, ..)| far.join(path)).collect();
    files.retain(|path| {
        path.is_file() && (path.starts_with(far.join("packs")) || path.starts_with(far.join("index")))
    });
    assert!(files.len() >= 3, "data, trees and an index: {files:?}");
    for (n, path) in files.iter().enumerate() {
        let right = fs::read(path).expect("reads");
        for place in [0, right.len() / 2, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[place] ^= 4;
            fs::write(path, wrong).expect("writes");
            let output = read(&far, &pointer, &root.join(format!("out-{n}-{place}")));
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && text.contains("damaged: "), "{}: {text}", path.display());
        }
        fs::write(path, right).expect("writes");
    }
    restored(&far, &pointer, &root.join("whole-again"));
}
