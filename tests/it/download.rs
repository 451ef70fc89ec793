//! Downloads from a server on loopback that behaves, breaks off, lies or fails.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlp::base::{Diagnose, Exit, Null};
use mlp::infrastructure::store::Local;
use mlp::infrastructure::store::worktree::snapshot;
use mlp::platform::data::{DataError, DataSpec, Dataset, Download, DownloadOptions, Outcome, download};
use sha2::{Digest, Sha256};

use crate::support::http_server::{Reply, Server};

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"download").finalize_xof().fill(&mut bytes);
    bytes
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn dataset(root: &Path, sources: serde_json::Value) -> Dataset {
    let spec = serde_json::json!({"path": "data/set", "format": "idx", "source": sources});
    let spec: DataSpec = serde_json::from_value(spec).expect("a spec");
    Dataset::new(&"set".parse().expect("a name"), &spec, root)
}

/// Downloads one file with the SHA-256 of `content`.
fn get(root: &Path, url: &str, content: &[u8]) -> Result<Download, DataError> {
    let sources = serde_json::json!([{"url": url, "sha256": sha256(content)}]);
    download(&dataset(root, sources), DownloadOptions::default(), &Null).map(|mut done| done.remove(0))
}

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("data/set")).expect("lists");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_once_and_is_kept() {
    let (root, content) = (tempfile::tempdir().expect("makes a folder"), noise(300_000));
    let body = content.clone();
    let server = Server::start(move |request| Reply::ranged(request, &body));
    let done = get(root.path(), &server.url("files/a.bin"), &content).expect("downloads");
    assert_eq!((done.outcome, done.bytes), (Outcome::Downloaded, Some(300_000)));
    assert_eq!(fs::read(root.path().join("data/set/a.bin")).expect("reads"), content);
    let again = get(root.path(), &server.url("files/a.bin"), &content).expect("keeps");
    assert_eq!(again.outcome, Outcome::Kept);
    assert_eq!(server.seen().len(), 1);
    assert_eq!(names(root.path()), ["a.bin"]);
}

#[test]
fn a_connection_that_breaks_is_continued_where_it_broke() {
    let (root, content) = (tempfile::tempdir().expect("makes a folder"), noise(500_000));
    let body = content.clone();
    let server = Server::start(move |request| Reply::ranged(request, &body).cut(200_000));
    get(root.path(), &server.url("a.bin"), &content).expect("downloads");
    assert_eq!(fs::read(root.path().join("data/set/a.bin")).expect("reads"), content);
    let ranges: Vec<Option<String>> =
        server.seen().iter().map(|request| request.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=200000-".to_owned()), Some("bytes=400000-".to_owned())]);
}

#[test]
fn a_part_of_an_earlier_attempt_is_continued_and_a_wrong_one_is_not_believed() {
    let (root, content) = (tempfile::tempdir().expect("makes a folder"), noise(1000));
    let body = content.clone();
    let server = Server::start(move |request| Reply::ranged(request, &body));
    let part = root.path().join("data/set/.mlptmp.a.bin.part");
    fs::create_dir_all(root.path().join("data/set")).expect("makes a folder");

    fs::write(&part, &content[..600]).expect("writes");
    get(root.path(), &server.url("a.bin"), &content).expect("downloads");
    assert_eq!(server.seen()[0].headers["range"], "bytes=600-");

    for wrong in [vec![7; 600], vec![7; 1000], vec![7; 5000]] {
        fs::remove_file(root.path().join("data/set/a.bin")).expect("removes");
        fs::write(&part, &wrong).expect("writes");
        get(root.path(), &server.url("a.bin"), &content).expect("begins again");
        assert_eq!(fs::read(root.path().join("data/set/a.bin")).expect("reads"), content);
    }
    assert_eq!(names(root.path()), ["a.bin"]);
}

#[test]
fn a_server_without_ranges_is_asked_for_the_whole_file_again() {
    let (root, content) = (tempfile::tempdir().expect("makes a folder"), noise(100_000));
    let (body, count) = (content.clone(), AtomicUsize::new(0));
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::new(200, body.clone()).cut(50_000),
        _ => Reply::new(200, body.clone()),
    });
    get(root.path(), &server.url("a.bin"), &content).expect("downloads");
    assert_eq!(fs::read(root.path().join("data/set/a.bin")).expect("reads"), content);
}

#[test]
fn a_file_with_another_hash_does_not_get_its_name() {
    let (root, content) = (tempfile::tempdir().expect("makes a folder"), noise(1000));
    let server = Server::start(|request| Reply::ranged(request, b"something else"));
    let error = get(root.path(), &server.url("a.bin"), &content).expect_err("refused");
    assert_eq!((error.code(), error.exit()), ("data::wrong-hash", Exit::No));
    let found = sha256(b"something else");
    assert!(error.to_string().contains(&found) && error.to_string().contains(&sha256(&content)), "{error}");
    let aside = format!(".mlptmp.a.bin.wrong-{}", &found[..8]);
    assert!(error.hint().is_some_and(|hint| hint.contains(&aside)));
    assert_eq!(names(root.path()), [aside]);
}

#[test]
fn what_a_server_answers_is_told() {
    let root = tempfile::tempdir().expect("makes a folder");
    let server = Server::start(|request| match request.path.as_str() {
        "/busy" => Reply::new(503, ""),
        "/round" => Reply::new(302, "").header("location", "/round"),
        "/away" => Reply::new(302, "").header("location", "file:///etc/passwd"),
        "/nothing" => Reply::new(200, "x".repeat(10)).cut(0),
        _ => Reply::new(404, "no"),
    });
    for (path, word) in
        [("gone", "404"), ("busy", "503"), ("round", "redirect"), ("away", "redirect"), ("nothing", "")]
    {
        let error = get(root.path(), &server.url(path), b"never").expect_err(path);
        assert_eq!((error.code(), error.exit()), ("data::download", Exit::World), "{error}");
        assert!(error.to_string().contains(word) && error.to_string().contains(path), "{error}");
    }
    let error = get(root.path(), "http://127.0.0.1:9/x", b"never").expect_err("nobody there");
    assert_eq!(error.code(), "data::download", "{error}");
}

#[test]
fn a_redirect_is_followed_and_the_name_is_the_one_asked_for() {
    let (root, content) = (tempfile::tempdir().expect("makes a folder"), noise(1000));
    let body = content.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/a.bin" => Reply::new(302, "").header("location", "/mirror/other-name"),
        _ => Reply::ranged(request, &body),
    });
    get(root.path(), &server.url("a.bin"), &content).expect("downloads");
    assert_eq!(names(root.path()), ["a.bin"]);
}

#[test]
fn a_file_that_is_there_and_differs_is_replaced_only_by_force() {
    let (root, content) = (tempfile::tempdir().expect("makes a folder"), noise(1000));
    let body = content.clone();
    let server = Server::start(move |request| Reply::ranged(request, &body));
    let path = root.path().join("data/set/a.bin");
    fs::create_dir_all(root.path().join("data/set")).expect("makes a folder");
    fs::write(&path, b"edited").expect("writes");
    let error = get(root.path(), &server.url("a.bin"), &content).expect_err("refused");
    assert_eq!((error.code(), error.exit()), ("data::differs", Exit::No));
    assert_eq!(fs::read(&path).expect("reads"), b"edited");
    let sources = serde_json::json!([{"url": server.url("a.bin"), "sha256": sha256(&content)}]);
    let options = DownloadOptions { force: true, dry_run: false };
    download(&dataset(root.path(), sources), options, &Null).expect("replaces");
    assert_eq!(fs::read(&path).expect("reads"), content);
}

#[test]
fn a_dry_run_sends_and_writes_nothing() {
    let root = tempfile::tempdir().expect("makes a folder");
    let server = Server::start(|_| Reply::new(200, "x"));
    let sources = serde_json::json!([
        {"url": server.url("a.bin"), "file": "sub/b.bin"},
        {"digits": {"train": 10, "test": 10}}
    ]);
    let options = DownloadOptions { force: false, dry_run: true };
    let done = download(&dataset(root.path(), sources), options, &Null).expect("plans");
    assert_eq!(done[0].path, root.path().join("data/set/sub/b.bin"));
    assert_eq!((done[0].outcome, done[1].outcome), (Outcome::Downloaded, Outcome::Rendered));
    assert!(server.seen().is_empty());
    assert_eq!(fs::read_dir(root.path()).expect("lists").count(), 0);
}

#[test]
fn what_has_not_arrived_whole_or_right_is_no_data() {
    let (root, content) = (tempfile::tempdir().expect("makes a folder"), noise(1000));
    let body = content.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/whole" => Reply::ranged(request, &body),
        // Some bytes, and then only failures.
        "/torn" if !request.headers.contains_key("range") => Reply::new(200, body.clone()).cut(600),
        "/torn" => Reply::new(503, ""),
        _ => Reply::new(200, "something else"),
    });
    get(root.path(), &server.url("whole"), &content).expect("downloads");
    assert_eq!(get(root.path(), &server.url("torn"), &content).expect_err("torn").code(), "data::download");
    assert_eq!(
        get(root.path(), &server.url("wrong"), &content).expect_err("wrong").code(),
        "data::wrong-hash"
    );
    assert_eq!(names(root.path()).len(), 3, "{:?}", names(root.path()));
    let folder = root.path().join("data/set");
    let store = Local::open(&root.path().join("store")).expect("opens the store");
    let taken = snapshot(&folder, &store, None, &Null).expect("stores the folder").root;
    let held: Vec<String> = store
        .tree(&taken.id)
        .expect("reads")
        .nodes
        .iter()
        .map(|node| String::from_utf8_lossy(&node.name).into_owned())
        .collect();
    assert_eq!(held, ["whole"]);
}
