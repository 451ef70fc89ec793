//! Formats stay readable: `tests/corpus/format-1` was written once, by the first version, and every later one reads it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::support::faulted::{copy, git};
use super::support::files::{Files, read, same, write};
use super::support::lifecycle::{FLOOR, Lab};
use super::support::{ok, run};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/format-1")
}

/// What the corpus holds: a directory that is cut into ranges, a file that is cut into chunks, each codec, odd names.
fn content(version: u32) -> Files {
    let lines: String = (0..100_000).map(|line| format!("line {:06}\n", line * version)).collect();
    let numbers: Vec<u8> =
        (0..20_000_u32).flat_map(|at| (1.0 + (at * version) as f32 / 7e6).to_le_bytes()).collect();
    let mut files: Files = (0..2100).map(|at| (format!("many/{at:04}").into(), Vec::new())).collect();
    files.insert("long.txt".into(), lines.into_bytes());
    files.insert("weights.npy".into(), numbers);
    files.insert("short.txt".into(), format!("version {version}\n").into_bytes());
    files.insert("names/ä ö\u{301} 😀.txt".into(), b"NFC, NFD and beyond\n".to_vec());
    files.insert("same/a.txt".into(), b"the same in all versions\n".to_vec());
    files
}

/// Writes the corpus, if it is not there and `MLP_BLESS` is set. It is never written again: that is what it is for.
fn make() {
    if corpus().exists() || std::env::var_os("MLP_BLESS").is_none() {
        return;
    }
    let far = tempfile::tempdir().expect("makes a folder");
    let rest = format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n{FLOOR}", far.path().join("far").display());
    let lab = Lab::new(&rest);
    let to = corpus();
    fs::create_dir_all(to.join("pointers")).expect("makes folders");
    for number in [1, 2] {
        write(&lab.path().join("data/set"), &content(number));
        if number == 2 {
            use std::os::unix::fs::{PermissionsExt, symlink};
            fs::set_permissions(lab.path().join("data/set/short.txt"), fs::Permissions::from_mode(0o755))
                .expect("changes the mode");
            symlink("same/a.txt", lab.path().join("data/set/link")).expect("links");
        }
        ok(lab.path(), &["data", "add", "data/set"]);
        lab.git(&["add", "-A"]);
        lab.git(&["commit", "-qm", "version"]);
        ok(lab.path(), &["data", "push"]);
        fs::copy(lab.path().join("data/set.mlp"), to.join(format!("pointers/v{number}.mlp")))
            .expect("copies");
    }
    lab.version(95);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    lab.version(96);
    ok(lab.path(), &["promote", "digits", "--to", "production"]);
    copy(&lab.path().join(".git/mlp/store"), &to.join("store"));
    copy(&far.path().join("far"), &to.join("remote"));
    for folder in ["remotes", "spool", "tmp"] {
        let _ = fs::remove_dir_all(to.join("store").join(folder));
        let _ = fs::remove_dir_all(to.join("remote").join(folder));
    }
    fs::copy(lab.path().join(".git/mlp/index"), to.join("stat-cache")).expect("copies");
    let manifest = fs::read_to_string(lab.path().join("mlp.yaml")).expect("reads");
    fs::write(to.join("mlp.yaml"), manifest.replace(&rest, FLOOR)).expect("writes");
}

/// A project beside a copy of the corpus' remote; with its local store, or with `stores:` that names the remote.
fn project(local: bool) -> TempDir {
    make();
    let folder = tempfile::tempdir().expect("makes a folder");
    let (root, far) = (folder.path().join("project"), folder.path().join("far"));
    fs::create_dir_all(root.join("data")).expect("makes folders");
    let mut manifest = fs::read_to_string(corpus().join("mlp.yaml")).expect("the corpus is there");
    if !local {
        manifest.push_str(&format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n", far.display()));
    }
    fs::write(root.join("mlp.yaml"), manifest).expect("writes");
    git(&root, &["init", "-q", "-b", "main"]);
    if local {
        fs::create_dir_all(root.join(".git/mlp")).expect("makes a folder");
        copy(&corpus().join("store"), &root.join(".git/mlp/store"));
    }
    copy(&corpus().join("remote"), &far);
    for number in [1, 2] {
        fs::copy(corpus().join(format!("pointers/v{number}.mlp")), root.join("data/set.mlp"))
            .expect("copies");
        git(&root, &["add", "-A"]);
        git(&root, &["commit", "-qm", "version"]);
    }
    folder
}

fn json(root: &Path, args: &[&str]) -> Value {
    let output = run(root, &[args, &["--json"]].concat(), 0);
    serde_json::from_slice(&output.stdout).expect("is JSON")
}

/// The versions of the dataset, and what is told of runs and models.
fn all_is_read(root: &Path, get: &str) {
    for (number, revision) in [(1, "HEAD~1"), (2, "HEAD")] {
        git(root, &["checkout", "-q", "--detach", &format!("main{}", &revision[4..])]);
        ok(root, &["data", get, "data/set"]);
        let mut found = read(&root.join("data/set"));
        if number == 2 {
            assert_eq!(
                found.remove(Path::new("link")).as_deref(),
                Some(b"the same in all versions\n".as_slice())
            );
            use std::os::unix::fs::PermissionsExt;
            let mode = root.join("data/set/short.txt").metadata().expect("is there").permissions().mode();
            assert_eq!(mode & 0o100, 0o100);
        }
        same(&found, &content(number), revision);
        assert_eq!(json(root, &["data", "status", "data/set"])["datasets"][0]["state"], "clean");
    }
    let models = json(root, &["model", "ls"]);
    let live = models["models"][0]["live"].as_array().expect("is a list").clone();
    let live: Vec<_> = live.iter().map(|live| (live["stage"].as_str(), live["version"].as_u64())).collect();
    assert_eq!(live, [(Some("staging"), Some(1)), (Some("production"), Some(2))], "{models}");
    let history = json(root, &["model", "history", "digits"]);
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(4), "{history}");
    assert_eq!(json(root, &["runs", "ls"])["runs"].as_array().map(Vec::len), Some(2));
    let runs = json(root, &["runs", "ls"]);
    let name = runs["runs"][0]["run"].as_str().expect("an identifier");
    assert_eq!(json(root, &["runs", "show", name])["run"]["run"], name);
    assert!(ok(root, &["model", "show", "digits"]).contains("digits"));
}

#[test]
fn a_local_store_of_format_1_is_read() {
    let folder = project(true);
    all_is_read(&folder.path().join("project"), "checkout");
}

#[test]
fn a_remote_of_format_1_is_read_and_written() {
    let folder = project(false);
    let root = folder.path().join("project");
    ok(&root, &["data", "fetch"]);
    all_is_read(&root, "pull");
    fs::write(root.join("data/set/short.txt"), "version 3\n").expect("writes");
    ok(&root, &["data", "add", "data/set"]);
    assert!(json(&root, &["data", "push", "data/set"])["objects"].as_u64().is_some_and(|sent| sent < 6));
}

#[test]
fn what_is_written_now_is_what_format_1_was() {
    let folder = project(true);
    let root = folder.path().join("project");
    // The same content has the same ids, to the last pointer line.
    write(&root.join("data/set"), &content(1));
    fs::remove_file(root.join("data/set.mlp")).expect("removes");
    ok(&root, &["data", "add", "data/set"]);
    let wanted = fs::read_to_string(corpus().join("pointers/v1.mlp")).expect("reads");
    assert_eq!(fs::read_to_string(root.join("data/set.mlp")).expect("reads"), wanted);
}
