//! A server follows its stage: promotions and rollbacks take over without a dropped request, what does not verify does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::http::{get, post_json};
use crate::support::project::wait_for;
use crate::support::serving::{Other, Project, Server, git, image};
use crate::support::{mlp, ok};
use mlp::base::{Digest, EntryKind, Id, Name, RecordKind, Time};
use mlp::infrastructure::git::Repo;
use mlp::infrastructure::store::{Appended, Ledger, LedgerHome, Local, Pin, PinKind, Remote, StoreSpec};

const SWAPS: &str = "mlp_swaps_total{model=\"stripes\"}";
const BROKEN: &str = "mlp_ledger_broken{model=\"stripes\"}";
const STALE: &str = "mlp_stale{model=\"stripes\"}";

fn asked(server: &Server) -> Value {
    post_json(server.address, "/predict", &json!({"instances": [image(1, 5)]}).to_string()).json()
}

fn wait_for_version(server: &Server, version: u64) {
    wait_for(&format!("version {version}"), || (asked(server)["version"] == version).then_some(()));
}

#[test]
fn a_promotion_and_a_rollback_take_over_while_the_server_runs() {
    let project = Project::new(true);
    let second = project.register(2, Other::Same);
    let server = project.serve("stripes@production");
    assert_eq!(asked(&server)["version"], 1);
    project.promote(2, second);
    wait_for_version(&server, 2);
    let answer = get(server.address, "/v2/models/stripes/versions/2");
    assert_eq!(answer.json()["parameters"]["digest"], second.to_string());
    assert_eq!(answer.header("x-mlp-digest"), Some(second.to_string().as_str()));
    assert_eq!(get(server.address, "/v2/models/stripes/versions/1").refusal(404).1, "unknown-version");
    project.append(EntryKind::Rollback, 1, project.tree, Some("production"));
    wait_for_version(&server, 1);
    assert_eq!(server.metric(SWAPS), Some(2.0));
    assert_eq!(server.metric(STALE), None);
}

#[test]
fn a_version_named_by_its_number_is_not_exchanged() {
    let project = Project::new(true);
    let second = project.register(2, Other::Same);
    let (pinned, following) = (project.serve("stripes@1"), project.serve("stripes@production"));
    project.promote(2, second);
    wait_for_version(&following, 2);
    assert_eq!(asked(&pinned)["version"], 1);
}

#[test]
fn no_request_is_dropped_while_versions_are_exchanged() {
    let project = Project::new(true);
    let second = project.register(2, Other::Same);
    let server = project.serve("stripes@production");
    let url = format!("http://{}/predict", server.address);
    let trees = [project.tree.to_string(), second.to_string()];
    let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = reqwest::Client::new();
    let tasks: Vec<_> = (0..8)
        .map(|index| {
            let (client, url, trees) = (client.clone(), url.clone(), trees.clone());
            let (done, count) = (Arc::clone(&done), Arc::clone(&count));
            runtime.spawn(async move {
                let mut seen = [0u64; 2];
                while !done.load(Ordering::Relaxed) {
                    let body = json!({"instances": [image(index % 3, index)]}).to_string();
                    let sent = client.post(&url).header("content-type", "application/json").body(body);
                    let answer = sent.send().await.expect("no connection is broken");
                    assert_eq!(answer.status(), 200);
                    let digest = answer.headers()["x-mlp-digest"].to_str().expect("is text").to_owned();
                    let version = answer.headers()["x-mlp-version"].to_str().expect("is text").to_owned();
                    let text = answer.text().await.expect("no answer is cut off");
                    let json: Value = serde_json::from_str(&text).expect("is JSON");
                    // One version gave all of an answer.
                    let which = trees.iter().position(|tree| *tree == digest).expect("a known version");
                    assert_eq!(version, (which + 1).to_string());
                    assert_eq!(json["digest"], digest);
                    assert_eq!(json["version"], which + 1);
                    seen[which] += 1;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        })
        .collect();
    let mut swaps = 0.0;
    while swaps < 6.0 || count.load(Ordering::Relaxed) < 3000 {
        let version = 2 - (swaps as u64 % 2);
        project.promote(version, if version == 2 { second } else { project.tree });
        swaps += 1.0;
        wait_for("a swap", || (server.metric(SWAPS) == Some(swaps)).then_some(()));
        assert!(tasks.iter().all(|task| !task.is_finished()), "a request failed");
    }
    done.store(true, Ordering::Relaxed);
    let seen = tasks.into_iter().map(|task| runtime.block_on(task).expect("no request failed"));
    let total = seen.fold([0, 0], |total, seen| [total[0] + seen[0], total[1] + seen[1]]);
    assert!(total.iter().all(|count| *count > 0), "{total:?}");
}

#[test]
fn what_does_not_verify_does_not_take_over() {
    let project = Project::new(true);
    let server = project.serve("stripes@production");
    // A version whose bytes nobody has.
    let absent = mlp::base::Digest::of(b"never stored");
    project.append(EntryKind::Register, 2, absent, None);
    project.promote(2, absent);
    wait_for("the warning", || (server.metric(STALE) == Some(1.0)).then_some(()));
    assert_eq!(asked(&server)["version"], 1);
    // A folder that is no model.
    let nonsense = project.put(&[("model.json", b"{}".to_vec()), ("model.safetensors", b"x".to_vec())]);
    project.append(EntryKind::Register, 3, nonsense, None);
    project.promote(3, nonsense);
    // One that verifies ends the trouble.
    let fourth = project.register(4, Other::Same);
    project.promote(4, fourth);
    wait_for_version(&server, 4);
    wait_for("the end of the warning", || (server.metric(STALE) == Some(0.0)).then_some(()));
    assert_eq!(server.metric(SWAPS), Some(1.0));
}

#[test]
fn a_ledger_that_is_changed_while_the_server_runs_is_not_followed() {
    let project = Project::new(true);
    let second = project.register(2, Other::Same);
    let server = project.serve("stripes@production");
    project.promote(2, second);
    wait_for_version(&server, 2);
    let entries = entries(&project.store());
    // The next promotion is right, but what it follows was rewritten.
    project.promote(1, project.tree);
    wait_for_version(&server, 1);
    project.promote(2, second);
    wait_for_version(&server, 2);
    let text = std::fs::read_to_string(&entries[0]).expect("reads");
    std::fs::remove_file(&entries[0]).expect("removes");
    std::fs::write(&entries[0], text.replacen("ada@", "bob@", 1)).expect("writes");
    let next = entries[0].with_file_name(format!("{:020}", 7));
    std::fs::write(&next, b"{}").expect("writes");
    wait_for("the warning", || (server.metric(STALE) == Some(1.0)).then_some(()));
    assert_eq!(asked(&server)["version"], 2);
}

#[test]
fn a_ledger_that_is_cut_or_damaged_is_told_of_once_and_the_version_goes_on() {
    let project = Project::new(true);
    project.settings("follow_s: 1");
    let told = project.path().join("told");
    let file = std::fs::File::create(&told).expect("makes");
    let mut command = mlp(project.path());
    command.args(["serve", "stripes@production", "--port", "0", "--json"]);
    let server = Server::start(command.stderr(file));
    wait_for("the gauge", || (server.metric(BROKEN) == Some(0.0)).then_some(()));
    let entries = entries(&project.store());
    let warnings = || {
        let text = std::fs::read_to_string(&told).expect("reads");
        text.lines().filter(|line| line.contains("is not what it was")).count()
    };
    // What is there may not be written to. A look in between finds it broken as well.
    let put = |path: &Path, bytes: &[u8]| {
        let _ = std::fs::remove_file(path);
        std::fs::write(path, bytes).expect("writes");
    };
    let cut = || std::fs::remove_file(&entries[1]).expect("removes");
    let damaged = || put(&entries[0], b"{}");
    for (index, change) in [(1, &cut as &dyn Fn()), (0, &damaged)] {
        let bytes = std::fs::read(&entries[index]).expect("reads");
        let before = warnings();
        change();
        wait_for("the gauge", || (server.metric(BROKEN) == Some(1.0)).then_some(()));
        // Another two looks tell nothing more.
        std::thread::sleep(std::time::Duration::from_millis(2500));
        assert_eq!((warnings() - before, asked(&server)["version"].as_u64()), (1, Some(1)));
        put(&entries[index], &bytes);
        wait_for("the end of it", || (server.metric(BROKEN) == Some(0.0)).then_some(()));
    }
    assert_eq!(server.metric(STALE), None);
}

/// The files of the entries of the ledger in the folder of a store, in order.
fn entries(store: &Path) -> Vec<PathBuf> {
    let mut entries = Vec::new();
    let mut folders = vec![store.join("ledger")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("lists") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { entries.push(path) }
        }
    }
    entries.sort();
    entries
}

/// A project whose store is elsewhere, with two versions there; where its ledger lives for another machine, whose folder is below this
/// one; and the tree of the second version.
fn elsewhere(folder: &Path, git_refs: bool) -> (Project, LedgerHome, Digest) {
    let (far, bare, other) = (folder.join("far"), folder.join("bare.git"), folder.join("other"));
    let project = Project::new(true);
    let second = project.register(2, Other::Same);
    let ledger = if git_refs { ", ledger: git" } else { "" };
    let text = std::fs::read_to_string(project.path().join("mlp.yaml")).expect("reads");
    let text = text.replace("serve: {", "serve: {follow_s: 1, ");
    let stores = format!("stores: {{origin: {{url: \"fs://{}\"{ledger}}}}}\n", far.display());
    project.write("mlp.yaml", (text + &stores).as_bytes());
    let path = |path: &Path| path.to_str().expect("is text").to_owned();
    git(folder, &["init", "-q", "--bare", "-b", "main", &path(&bare)]);
    git(project.path(), &["remote", "add", "origin", &path(&bare)]);
    git(project.path(), &["push", "-q", "origin", "main"]);
    git(project.path(), &["fetch", "-q", "origin"]);
    let store = Local::open(&project.store()).expect("opens");
    let kind = PinKind::Record(RecordKind::Run);
    let pin = Pin { roots: vec![project.tree, second], ..Pin::new(kind, "stripes") };
    store.put_pin(&pin).expect("pins");
    ok(project.path(), &["data", "push"]);
    git(folder, &["clone", "-q", &path(&bare), &path(&other)]);
    let cache = other.join(".git/mlp/store");
    Local::open(&cache).expect("opens");
    let spec = StoreSpec::new(format!("fs://{}", far.display()));
    let remote = Remote::open(&"origin".parse().expect("a name"), &spec).expect("opens");
    let home = match git_refs {
        true => {
            let repo = Repo::discover(&other).expect("a repository");
            LedgerHome::Git { repo, origin: "origin".to_owned(), store: remote, cache }
        }
        false => LedgerHome::Remote { remote, cache },
    };
    (project, home, second)
}

/// What another machine promotes takes over.
fn is_followed(git_refs: bool) {
    let folder = tempfile::tempdir().expect("makes a folder");
    let (project, home, second) = elsewhere(folder.path(), git_refs);
    let server = project.serve("stripes@production");
    assert_eq!(asked(&server)["version"], 1);
    let model: Name = "stripes".parse().expect("a name");
    let id = "01jd3q0000000000000000000a".parse().expect("an id");
    let ledger = Ledger { home: &home, project: id, model };
    let entries = ledger.entries().expect("reads");
    let last = entries.last().expect("has some");
    let mut entry = entries[1].clone();
    assert_eq!(entry.kind, EntryKind::Promote);
    (entry.seq, entry.prev, entry.op) = (last.seq + 1, Some(last.digest()), Id::new());
    (entry.time, entry.subject.version, entry.subject.tree) = (Time::now(), 2, second);
    assert_eq!(ledger.append(&entry).expect("appends"), Appended::Yes);
    wait_for_version(&server, 2);
    assert_eq!((server.metric(SWAPS), server.metric(BROKEN)), (Some(1.0), Some(0.0)));
}

#[test]
fn a_ledger_in_a_store_is_followed() {
    is_followed(false);
}

#[test]
fn a_ledger_in_references_of_git_is_followed() {
    is_followed(true);
}

#[test]
fn an_entry_that_is_changed_in_the_store_is_told_of() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let (project, _, _) = elsewhere(folder.path(), false);
    let server = project.serve("stripes@production");
    let broken = |is: f64| wait_for("the gauge", || (server.metric(BROKEN) == Some(is)).then_some(()));
    broken(0.0);
    let first = entries(&folder.path().join("far")).swap_remove(0);
    let good = std::fs::read(&first).expect("reads");
    std::fs::write(&first, b"{}").expect("edits");
    broken(1.0);
    assert_eq!(asked(&server)["version"], 1, "what answered goes on answering");
    std::fs::write(&first, good).expect("restores");
    broken(0.0);
}
