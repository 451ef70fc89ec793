//! Stores on a real S3 server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mlp::base::{Diagnose, Digest, Entry, EntryKind, Exit, Id, Null, Subject, Time};
use mlp::infrastructure::store::{
    Appended, Ledger, LedgerHome, Local, Node, NodeKind, Pin, PinKind, Remote, StoreError, Tree, fetch, push,
};

use crate::support::http_server::{Reply, Request, Server};
use crate::support::proxy::{Fate, Proxy};
use crate::support::s3::{address, open, open_with, url};

pub(crate) fn local(folder: &Path, name: &str) -> Local {
    Local::open(&folder.join(name)).expect("opens")
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Stores and pins a folder of three files, the last of 3 MiB.
pub(crate) fn dataset(local: &Local, seed: u64) -> Digest {
    let mut writer = local.writer().expect("writes");
    let contents = [("a", noise(seed, 1000)), ("b", noise(2, 2000)), ("c", noise(3, 3 << 20))];
    let nodes: Vec<Node> = contents
        .iter()
        .map(|(name, bytes)| Node {
            name: name.as_bytes().to_vec(),
            kind: NodeKind::File,
            size: bytes.len() as u64,
            id: writer.blob(bytes).expect("adds"),
        })
        .collect();
    let root = writer.tree(&Tree { nodes }).expect("adds");
    writer.finish().expect("finishes");
    local.put_pin(&Pin { roots: vec![root], ..Pin::new(PinKind::Data, "set") }).expect("pins");
    root
}

pub(crate) fn contents(local: &Local, root: &Digest) -> Vec<Vec<u8>> {
    let nodes = local.tree(root).expect("reads").nodes;
    nodes.iter().map(|node| local.read(&node.id).expect("reads")).collect()
}

pub(crate) fn entry(seq: u64, prev: Option<&Entry>, actor: &str) -> Entry {
    Entry {
        schema: Entry::SCHEMA.to_owned(),
        seq,
        prev: prev.map(Entry::digest),
        op: Id::new(),
        time: Time::now(),
        actor: actor.to_owned(),
        kind: EntryKind::Register,
        subject: Subject {
            model: "digits".parse().expect("a name"),
            version: seq,
            tree: Digest::of(b"tree"),
            run: None,
            stage: None,
            commit: None,
            reason: None,
        },
        evidence: vec![],
        signature: None,
    }
}

pub(crate) fn home(remote: Remote, folder: &Path, name: &str) -> LedgerHome {
    LedgerHome::Remote { remote, cache: folder.join(name) }
}

pub(crate) fn ledger(home: &LedgerHome) -> Ledger<'_> {
    let project = "01jd3q0000000000000000000a".parse().expect("an id");
    Ledger { home, project, model: "digits".parse().expect("a name") }
}

#[test]
fn data_pushed_to_s3_arrive_whole_in_an_empty_clone_within_the_budget() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let proxy = Proxy::start(|_, _| Fate::Pass);
    let (remote, project) = (open(&url(), proxy.address), Id::new());
    let ada = local(folder.path(), "ada");
    let pushes = |local: &Local| {
        let sent = push(local, &remote, project, &local.pins().expect("reads"), &Null).expect("pushes");
        let seen = proxy.take();
        assert_eq!(sent.requests, seen.len() as u64, "what is counted is what is sent: {seen:?}");
        seen.iter().filter(|line| line.starts_with("PUT")).count()
    };

    let root = dataset(&ada, 1);
    assert_eq!(pushes(&ada), 5, "marker, data, trees, index, pin");
    let seen_by_nothing = push(&ada, &remote, project, &ada.pins().expect("reads"), &Null).expect("pushes");
    assert_eq!((seen_by_nothing.requests, proxy.take().len()), (2, 2), "pins, indexes");
    let changed = dataset(&ada, 99);
    assert_eq!(pushes(&ada), 4, "data, trees, index, pin");

    let ben = local(folder.path(), "ben");
    let got = fetch(&ben, &remote, &[root, changed], &[], &Null).expect("fetches");
    let seen = proxy.take();
    assert_eq!(got.requests, seen.len() as u64, "{seen:?}");
    assert!(seen.len() <= 10, "{seen:?}");
    assert_eq!(contents(&ben, &root), contents(&ada, &root));
    assert_eq!(contents(&ben, &changed), contents(&ada, &changed));
}

#[test]
fn a_bit_flipped_on_the_way_to_s3_is_refused_and_nothing_rests_on_it() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let flips = AtomicU64::new(1);
    let proxy = Proxy::start(move |method, path| {
        let hit = method == "PUT" && path.contains("/packs/") && flips.swap(0, Ordering::Relaxed) == 1;
        if hit { Fate::Flipped } else { Fate::Pass }
    });
    let (remote, project) = (open(&url(), proxy.address), Id::new());
    let ada = local(folder.path(), "ada");
    let root = dataset(&ada, 1);
    let send = || push(&ada, &remote, project, &ada.pins().expect("reads"), &Null);
    send().expect_err("the service refuses the pack");
    assert!(
        proxy.take().iter().all(|line| !line.contains("/pins/") || line.starts_with("GET")),
        "no pin was written"
    );
    send().expect("pushes");
    let ben = local(folder.path(), "ben");
    fetch(&ben, &remote, &[root], &[], &Null).expect("fetches");
    assert_eq!(contents(&ben, &root), contents(&ada, &root));
}

#[test]
fn of_eight_writers_on_s3_one_wins_each_number_and_nothing_is_lost() {
    const EACH: usize = 4;
    let folder = tempfile::tempdir().expect("makes a folder");
    let url = url();
    let homes: Vec<LedgerHome> =
        (0..8).map(|n| home(open(&url, address()), folder.path(), &format!("clone-{n}"))).collect();
    std::thread::scope(|scope| {
        for (writer, home) in homes.iter().enumerate() {
            scope.spawn(move || {
                let ledger = ledger(home);
                let mut done = 0;
                while done < EACH {
                    let entries = ledger.entries().expect("reads");
                    let next = entry(entries.len() as u64 + 1, entries.last(), &writer.to_string());
                    done += usize::from(ledger.append(&next).expect("appends") == Appended::Yes);
                }
            });
        }
    });
    let reader = home(open(&url, address()), folder.path(), "reader");
    let entries = ledger(&reader).entries().expect("one chain without gaps");
    assert_eq!(entries.len(), 8 * EACH);
    for writer in 0..8 {
        assert_eq!(entries.iter().filter(|entry| entry.actor == writer.to_string()).count(), EACH);
    }
    assert_eq!(reader.models(ledger(&reader).project).expect("lists").len(), 1);
}

#[test]
fn an_append_whose_answer_is_lost_is_recognised_as_a_success() {
    let folder = tempfile::tempdir().expect("makes a folder");
    for fate in [Fate::Lost, Fate::Failed] {
        let entries_sent = AtomicU64::new(0);
        let proxy = Proxy::start(move |method, path| {
            // Every other answer to a new entry gets lost.
            let entry = method == "PUT" && path.contains("/ledger/");
            match entry && entries_sent.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                true => fate,
                false => Fate::Pass,
            }
        });
        let url = url();
        let ada = home(open(&url, proxy.address), folder.path(), &format!("ada-{fate:?}"));
        for seq in 1..=4 {
            let entries = ledger(&ada).entries().expect("reads");
            let next = entry(seq, entries.last(), "ada");
            assert_eq!(ledger(&ada).append(&next).expect("appends"), Appended::Yes, "{fate:?} {seq}");
        }
        // Somebody else's entry is a defeat, answered or not.
        let ben = home(open(&url, proxy.address), folder.path(), &format!("ben-{fate:?}"));
        let entries = ledger(&ben).entries().expect("reads");
        assert_eq!(entries.len(), 4);
        let (won, lost) = (entry(5, entries.last(), "ada"), entry(5, entries.last(), "ben"));
        assert_eq!(ledger(&ada).append(&won).expect("appends"), Appended::Yes);
        assert_eq!(ledger(&ben).append(&lost).expect("answers"), Appended::Lost);
        assert_eq!(ledger(&ben).entries().expect("reads").last().map(|entry| entry.op), Some(won.op));
    }
}

#[test]
fn wrong_credentials_are_named_as_the_cause() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let remote = open_with(&url(), address(), &|_| Some("wrong".to_owned()));
    let ada = local(folder.path(), "ada");
    dataset(&ada, 1);
    let error = push(&ada, &remote, Id::new(), &ada.pins().expect("reads"), &Null).expect_err("refused");
    assert!(matches!(error, StoreError::Credentials { .. }), "{error}");
    assert_eq!(error.exit(), Exit::World);
    assert!(error.hint().is_some_and(|hint| hint.contains("MLP_STORE_S3_ACCESS_KEY_ID")));
}

#[test]
fn a_clock_that_is_an_hour_wrong_is_named_as_the_cause() {
    let project = crate::support::project::Project::new(&format!(
        "stores: {{s3: {{url: \"{}\", endpoint: \"http://{}\"}}}}\ndata: {{a: {{path: data/a, format: csv, target: y}}}}\n",
        url(),
        address()
    ));
    project.write("data/a", "x,y\n1,2\n");
    crate::support::ok(project.path(), &["data", "add", "a"]);
    for skew in ["-1h", "+1h"] {
        let output = std::process::Command::new("faketime")
            .args(["-f", skew, env!("CARGO_BIN_EXE_mlp"), "data", "push"])
            .current_dir(project.path())
            .envs(crate::support::s3::CREDENTIALS)
            .output()
            .expect("faketime starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("the clock of this machine"), "{said}");
    }
}

/// A server that stores and returns objects and ignores every condition, as some S3 services do.
fn careless() -> Server {
    let objects: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    Server::start(move |request: &Request| {
        let mut objects = objects.lock().expect("no panic");
        match request.method.as_str() {
            "PUT" => {
                objects.insert(request.path.clone(), request.body.clone());
                Reply::new(200, "").header("etag", "\"0\"")
            }
            "DELETE" => Reply::new(204, ""),
            _ => match objects.get(request.path.split('?').next().unwrap_or_default()) {
                Some(bytes) => Reply::new(200, bytes.clone()),
                None => Reply::new(404, "<Error><Code>NoSuchKey</Code></Error>"),
            },
        }
    })
}

#[test]
fn a_service_that_ignores_conditions_is_refused_for_ledgers() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let server = careless();
    let remote = open("s3://careless", server.address);
    let home = home(remote, folder.path(), "ada");
    let error = ledger(&home).append(&entry(1, None, "ada")).expect_err("refused");
    assert_eq!(error.code(), "store::no-create-if-absent", "{error}");
    let entries = server.seen().iter().filter(|request| request.path.contains("/ledger/")).count();
    assert_eq!(entries, 0, "no entry was tried");
}
