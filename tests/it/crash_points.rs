//! Every point at which a command changes a file: killed there, or the operation fails there. What was acknowledged stays,
//! what is visible is whole, the user's files are as they were, and the same command run again succeeds.

use std::fs;
use std::path::Path;

use mlp::base::{Entry, Id, Verdict};
use mlp::infrastructure::store::{Ledger, LedgerHome, Local};

use super::support::faulted::{Case, Checked, Team, git, version};
use super::support::files::{Files, read, read_data, same};
use super::support::lifecycle::{FLOOR, ID, Lab};
use super::support::{mlp, ok, refused, rounds};

/// What a folder of data may hold after a checkout that was stopped.
fn of_either(found: &Files, old: &Files, new: &Files, when: &str) {
    for (path, bytes) in found {
        let whole = old.get(path) == Some(bytes) || new.get(path) == Some(bytes);
        assert!(whole, "{when}: {} is of neither version", path.display());
    }
}

/// Ada adds the second version; beside her is a work tree at the first.
pub(crate) struct Add {
    pub(crate) team: Team,
    pub(crate) case: Case,
}

impl Add {
    fn new() -> Self {
        Self::of(Team::new())
    }

    pub(crate) fn of(team: Team) -> Self {
        team.add(1);
        let (ada, tree) = (team.dir("ada"), team.tree_as("tree", "v1"));
        super::support::files::write(&ada.join("data/set"), &version(2));
        // Both have a file of git settings, made by the first command.
        ok(&tree, &["data", "status"]);
        let case = Case::new(team.root(), &ada, &["data", "add", "set"]);
        Self { team, case }
    }

    /// All that must hold after the add was stopped; `done` if it had said that all is well.
    pub(crate) fn check(&self, when: &str, done: bool) {
        let (ada, tree) = (self.team.dir("ada"), self.team.dir("tree"));
        same(&read(&ada.join("data/set")), &version(2), when);
        ok(&tree, &["data", "checkout", "set"]);
        same(&read(&tree.join("data/set")), &version(1), when);
        let committed = fs::read(tree.join("data/set.mlp")).expect("reads");
        let visible = fs::read(ada.join("data/set.mlp")).expect("reads") != committed;
        assert!(visible || !done, "{when}: acknowledged, and the pointer is the old one");
        let checked_out = || {
            fs::copy(ada.join("data/set.mlp"), tree.join("data/set.mlp")).expect("copies");
            ok(&tree, &["data", "checkout", "set"]);
            same(&read(&tree.join("data/set")), &version(2), when);
        };
        if visible {
            checked_out();
        }
        self.case.ok();
        let told = ok(&ada, &["data", "status", "--json"]);
        assert!(told.contains("\"state\":\"clean\""), "{when}: {told}");
        checked_out();
    }
}

#[test]
fn an_add_killed_at_any_point_loses_nothing() {
    let add = Add::new();
    let points = add.case.killed_everywhere(|when| add.check(when, false));
    assert!(points > 20, "{points}");
}

#[test]
fn the_first_add_of_all_killed_at_any_point_is_done_again() {
    let team = Team::new();
    let ada = team.dir("ada");
    ok(&ada, &["data", "status"]);
    let case = Case::new(team.root(), &ada, &["data", "add", "set"]);
    let points = case.killed_everywhere(|when| {
        same(&read(&ada.join("data/set")), &version(1), when);
        case.ok();
        fs::remove_dir_all(ada.join("data/set")).expect("removes");
        ok(&ada, &["data", "checkout"]);
        same(&read(&ada.join("data/set")), &version(1), when);
    });
    assert!(points > 25, "{points}");
}

/// Ada pushes the second version; Ben and Cleo have clones at the first and the second, without data.
pub(crate) struct Push {
    pub(crate) team: Team,
    pub(crate) case: Case,
    /// Whether the first version had been pushed.
    first: bool,
}

impl Push {
    fn new(first: bool) -> Self {
        Self::of(Team::new(), first)
    }

    pub(crate) fn of(team: Team, first: bool) -> Self {
        team.add(1);
        let ada = team.dir("ada");
        if first {
            ok(&ada, &["data", "push"]);
        }
        team.add(2);
        ok(&team.clone_as("ben", "v1"), &["data", "status"]);
        ok(&team.clone_as("cleo", "v2"), &["data", "status"]);
        let case = Case::new(team.root(), &ada, &["data", "push"]);
        Self { team, case, first }
    }

    fn pulls(&self, who: &str, number: u32, when: &str) {
        let dir = self.team.dir(who);
        ok(&dir, &["data", "pull"]);
        same(&read(&dir.join("data/set")), &version(number), when);
    }

    pub(crate) fn check(&self, when: &str, done: bool) {
        let far = self.team.dir("far");
        if self.first {
            self.pulls("ben", 1, when);
        }
        let pins = read(&far.join("pins")).len();
        assert!(!done || pins == 1 + usize::from(self.first), "{when}: acknowledged, and {pins} pins");
        if pins == 1 + usize::from(self.first) {
            // A pin says that all it names is there.
            self.pulls("cleo", 2, when);
        }
        self.case.ok();
        self.pulls("cleo", 2, when);
    }
}

#[test]
fn a_push_killed_at_any_point_leaves_no_pin_of_what_is_not_there() {
    let push = Push::new(true);
    let points = push.case.killed_everywhere(|when| push.check(when, false));
    assert!(points > 20, "{points}");
}

#[test]
fn the_first_push_killed_at_any_point_is_done_again() {
    let push = Push::new(false);
    let points = push.case.killed_everywhere(|when| push.check(when, false));
    assert!(points > 30, "{points}");
}

/// Ben, who has the first version, pulls the second.
fn pull() -> (Team, Case) {
    pull_of(Team::new())
}

pub(crate) fn pull_of(team: Team) -> (Team, Case) {
    team.add(1);
    let ada = team.dir("ada");
    ok(&ada, &["data", "push"]);
    let ben = team.clone_as("ben", "v1");
    ok(&ben, &["data", "pull"]);
    team.add(2);
    ok(&ada, &["data", "push"]);
    git(&ben, &["fetch", "-q", "--tags"]);
    git(&ben, &["checkout", "-q", "v2"]);
    let case = Case::new(team.root(), &ben, &["data", "pull"]);
    (team, case)
}

pub(crate) fn pulled(case: &Case, ben: &Path, when: &str, done: bool) {
    let data = ben.join("data/set");
    of_either(&read_data(&data), &version(1), &version(2), when);
    if done {
        same(&read_data(&data), &version(2), when);
    }
    case.ok();
    same(&read_data(&data), &version(2), when);
    let told = ok(ben, &["data", "status", "--json"]);
    assert!(told.contains("\"state\":\"clean\""), "{when}: {told}");
}

#[test]
fn a_pull_killed_at_any_point_shows_whole_files_and_is_done_again() {
    let (team, case) = pull();
    let points = case.killed_everywhere(|when| pulled(&case, &team.dir("ben"), when, false));
    assert!(points > 30, "{points}");
}

#[test]
fn a_checkout_killed_at_any_point_shows_whole_files_and_is_done_again() {
    let team = Team::with_versions(2);
    let ada = team.dir("ada");
    git(&ada, &["checkout", "-q", "v1"]);
    let case = Case::new(team.root(), &ada, &["data", "checkout"]);
    let points = case.killed_everywhere(|when| {
        let data = ada.join("data/set");
        of_either(&read_data(&data), &version(1), &version(2), when);
        // Nobody takes what it has not written yet for removals.
        let status = json(&ada, &["data", "status"])["datasets"][0].clone();
        match status["state"].as_str() {
            Some("clean") => same(&read_data(&data), &version(1), when),
            Some("modified") => assert!(status["holds"].is_string(), "{when}: {status}"),
            Some("unfinished") => {
                assert!(refused(&ada, &["data", "add"], 2).contains("data::unfinished"), "{when}");
            }
            _ => panic!("{when}: {status}"),
        }
        case.ok();
        same(&read_data(&data), &version(1), when);
        assert_eq!(json(&ada, &["data", "status"])["datasets"][0]["state"], "clean", "{when}");
    });
    assert!(points > 15, "{points}");
}

fn json(dir: &Path, args: &[&str]) -> serde_json::Value {
    let text = ok(dir, &[args, &["--json"]].concat());
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON")
}

/// Two versions are added, and no commit names the second any more.
fn forgotten(pushed: bool) -> Team {
    let team = Team::new();
    let ada = team.dir("ada");
    for number in 1..=2 {
        team.add(number);
        if pushed {
            ok(&ada, &["data", "push"]);
        }
    }
    git(&ada, &["tag", "-d", "v2"]);
    git(&ada, &["reset", "-q", "--hard", "v1"]);
    git(&ada, &["reflog", "expire", "--expire=all", "--expire-unreachable=all", "--all"]);
    team
}

#[test]
fn a_collection_killed_at_any_point_takes_nothing_that_is_needed() {
    let team = forgotten(false);
    let ada = team.dir("ada");
    // A day old: younger packs are left alone.
    for path in read(&ada.join(".git/mlp/store")).into_keys().filter(|path| path.starts_with("packs")) {
        let file =
            fs::File::options().write(true).open(ada.join(".git/mlp/store").join(path)).expect("opens");
        let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 24 * 3600);
        file.set_modified(yesterday).expect("sets the time");
    }
    let case = Case::new(team.root(), &ada, &["store", "gc", "--yes"]);
    let points = case.killed_everywhere(|when| {
        let data = ada.join("data/set");
        fs::remove_dir_all(&data).expect("removes");
        ok(&ada, &["data", "checkout"]);
        same(&read(&data), &version(1), when);
        case.ok();
        ok(&ada, &["store", "fsck", "--full"]);
        // What was freed can be stored again.
        super::support::files::write(&data, &version(2));
        ok(&ada, &["data", "add", "set"]);
        ok(&ada, &["store", "fsck", "--full"]);
    });
    assert!(points > 3, "{points}");
}

/// The id by which a store is confirmed.
fn store_id(far: &Path) -> String {
    let marker: serde_json::Value =
        serde_json::from_slice(&fs::read(far.join("mlpstore.json")).expect("reads")).expect("is JSON");
    marker["id"].as_str().expect("an id").to_owned()
}

/// Ben collects on the remote, and the second version goes; Cleo has a clone at the first, without data.
pub(crate) struct Collection {
    team: Team,
    pub(crate) case: Case,
    packs: usize,
}

impl Collection {
    pub(crate) fn new() -> Self {
        let team = forgotten(true);
        let (ben, far) = (team.clone_as("ben", "v1"), team.dir("far"));
        for clone in [&ben, &team.clone_as("cleo", "v1")] {
            ok(clone, &["data", "status"]);
        }
        let id = store_id(&far);
        let gc =
            ["store", "gc", "--store", "origin", "--retire-after", "0", "--now", "--yes", "--confirm", &id];
        let case = Case::new(team.root(), &ben, &gc);
        let packs = read(&far.join("packs")).len();
        Self { team, case, packs }
    }

    pub(crate) fn check(&self, when: &str) {
        let [ada, ben, cleo] = ["ada", "ben", "cleo"].map(|name| self.team.dir(name));
        ok(&cleo, &["data", "pull"]);
        same(&read(&cleo.join("data/set")), &version(1), when);
        self.case.ok();
        ok(&ben, &["store", "fsck", "--store", "origin", "--full"]);
        assert!(read(&self.team.dir("far/packs")).len() < self.packs, "{when}: nothing was freed");
        // Ada, who has the second version still, can send it again.
        super::support::files::write(&ada.join("data/set"), &version(2));
        ok(&ada, &["data", "add", "set"]);
        ok(&ada, &["data", "push"]);
        ok(&ben, &["store", "fsck", "--store", "origin", "--full"]);
    }
}

#[test]
fn a_collection_of_a_remote_killed_at_any_point_takes_nothing_that_is_needed() {
    let collection = Collection::new();
    let points = collection.case.killed_everywhere(|when| collection.check(when));
    assert!(points > 10, "{points}");
}

#[test]
fn joining_indexes_killed_at_any_point_loses_none() {
    let team = Team::new();
    let ada = team.dir("ada");
    for number in 1..=3 {
        team.add(number);
        ok(&ada, &["data", "push"]);
    }
    ok(&team.clone_as("ben", "v3"), &["data", "status"]);
    let case = Case::new(team.root(), &ada, &["store", "compact", "--store", "origin"]);
    let points = case.killed_everywhere(|when| {
        let ben = team.dir("ben");
        ok(&ben, &["data", "pull"]);
        same(&read(&ben.join("data/set")), &version(3), when);
        case.ok();
        ok(&ada, &["store", "fsck", "--store", "origin", "--full"]);
    });
    assert!(points > 5, "{points}");
}

fn entries(store: &Path) -> Vec<Entry> {
    let home = LedgerHome::Local(store.to_owned());
    let project: Id = ID.parse().expect("is an identifier");
    Ledger { home: &home, project, model: "digits".parse().expect("is a name") }
        .entries()
        .expect("the ledger is one chain")
}

#[test]
fn a_promotion_killed_at_any_point_is_in_the_ledger_with_its_evidence_or_not_at_all() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    lab.version(96);
    let before = entries(&lab.path().join(".git/mlp/store")).len();
    let case = Case::new(lab.path(), lab.path(), &["promote", "digits", "--to", "staging"]);
    let points = case.killed_everywhere(|when| {
        let store = lab.path().join(".git/mlp/store");
        let found = entries(&store);
        assert!(found.len() == before || found.len() == before + 1, "{when}: {} entries", found.len());
        let local = Local::open(&store).expect("opens");
        for id in found.last().into_iter().flat_map(|entry| &entry.evidence) {
            assert!(local.record::<Verdict>(id).is_ok() || local.any_record(id).is_ok(), "{when}: {id}");
        }
        case.ok();
        assert_eq!(entries(&store).len(), before + 1, "{when}");
        assert!(ok(lab.path(), &["model", "ls"]).contains("staging"), "{when}");
    });
    assert!(points > 10, "{points}");
}

#[test]
fn a_failed_sync_is_told_and_nothing_relies_on_it() {
    let add = Add::new();
    // All of them are of what the command promises: none may be passed over.
    assert!(
        add.case.failed_everywhere("fsync", "EIO", |when, done| {
            assert!(!done, "{when}: acknowledged");
            add.check(when, false);
        }) > 5
    );
    let push = Push::new(true);
    assert!(
        push.case.failed_everywhere("fsync", "EIO", |when, done| {
            assert!(!done, "{when}: acknowledged");
            push.check(when, false);
        }) > 5
    );
}

#[test]
fn an_operation_that_fails_anywhere_is_told_or_did_not_matter() {
    let all = ["EIO", "EROFS", "EACCES", "EXDEV", "EMFILE", "ENOSPC"];
    let errors = &all[..rounds(1, 6) as usize];
    let points = ["open", "write", "rename", "link", "unlink", "mkdir"];
    let (add, push, (team, pull)) = (Add::new(), Push::new(true), pull());
    for error in errors {
        for point in points {
            add.case.failed_everywhere(point, error, |when, done| add.check(when, done));
            push.case.failed_everywhere(point, error, |when, done| push.check(when, done));
            pull.failed_everywhere(point, error, |when, done| pulled(&pull, &team.dir("ben"), when, done));
        }
    }
}

#[test]
fn a_disk_that_is_full_from_any_point_on_is_named_and_costs_nothing() {
    let (add, push, (team, pull)) = (Add::new(), Push::new(true), pull());
    let ben = team.dir("ben");
    let cases: [Checked; 3] = [
        (&add.case, &|when, done| add.check(when, done)),
        (&push.case, &|when, done| push.check(when, done)),
        (&pull, &|when, done| pulled(&pull, &ben, when, done)),
    ];
    for (case, check) in cases {
        let points = case.points("write");
        for number in 1..=points {
            case.restore();
            let output = case.run(&format!("write:{number}+:ENOSPC"));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let when = format!("full from write {number} of {points} on: {said}");
            assert_eq!(output.status.code(), Some(3), "{when}");
            assert!(said.contains("free some space") && said.contains("cannot write `/"), "{when}");
            check(&when, false);
        }
    }
}

#[test]
fn a_fault_that_is_misspelt_is_never_passed_over() {
    let team = Team::new();
    let output = mlp(&team.dir("ada")).args(["data", "add"]).env("MLP_FAULT", "write:one:EIO").output();
    let output = output.expect("starts");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("MLP_FAULT makes no sense"), "{output:?}");
}
