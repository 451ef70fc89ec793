//! Ledgers in refs of a shared git repository (`ledger: git`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use mlp::base::{Diagnose, Digest, Entry, EntryKind, Id, Name, Subject, Time};
use mlp::infrastructure::git::Repo;
use mlp::infrastructure::store::{Appended, Ledger, LedgerHome, Local, Remote, StoreSpec};

use crate::support::lifecycle::{FLOOR, Lab};
use crate::support::team::{Team, git, text};
use crate::support::{ok, refused, rounds, run};

const PROJECT: &str = "01jd3q0000000000000000000f";

fn entry(seq: u64, prev: Option<&Entry>, actor: &str) -> Entry {
    Entry {
        schema: Entry::SCHEMA.to_owned(),
        seq,
        prev: prev.map(Entry::digest),
        op: Id::new(),
        time: Time::now(),
        actor: actor.to_owned(),
        kind: EntryKind::Register,
        subject: Subject {
            model: model(),
            version: seq,
            tree: Digest::of(b"tree"),
            run: None,
            stage: None,
            commit: None,
            reason: None,
        },
        evidence: vec![Digest::of(b"evidence")],
        signature: None,
    }
}

fn model() -> Name {
    "digits".parse().expect("a name")
}

/// The folder of the local store of a clone, made.
fn cache(clone: &Path) -> PathBuf {
    let folder = Repo::discover(clone).expect("a repository").state_dir().join("store");
    Local::open(&folder).expect("opens");
    folder
}

fn store(team: &Team) -> Remote {
    let spec = StoreSpec { url: format!("fs://{}", team.dir("far").display()), ..StoreSpec::default() };
    Remote::open(&"dav".parse().expect("a name"), &spec).expect("opens")
}

fn in_git(team: &Team, clone: &Path) -> LedgerHome {
    let repo = Repo::discover(clone).expect("a repository");
    LedgerHome::Git { repo, origin: "origin".to_owned(), store: store(team), cache: cache(clone) }
}

fn on_store(team: &Team, clone: &Path) -> LedgerHome {
    LedgerHome::Remote { remote: store(team), cache: cache(clone) }
}

fn ledger(home: &LedgerHome) -> Ledger<'_> {
    Ledger { home, project: PROJECT.parse().expect("an id"), model: model() }
}

fn grow(home: &LedgerHome, count: u64, actor: &str) -> Vec<Entry> {
    let ledger = ledger(home);
    for _ in 0..count {
        let entries = ledger.entries().expect("reads");
        let next = entry(entries.len() as u64 + 1, entries.last(), actor);
        assert_eq!(ledger.append(&next).expect("appends"), Appended::Yes);
    }
    ledger.entries().expect("reads")
}

fn code(home: &LedgerHome) -> &'static str {
    ledger(home).entries().expect_err("is refused").code()
}

/// The ref, as the bare repository has it.
fn reference() -> String {
    format!("refs/mlp/ledger/{PROJECT}/{}", &Digest::of(b"digits").hex()[..16])
}

#[test]
fn entries_come_back_in_every_clone_and_one_that_does_not_follow_is_lost() {
    let team = Team::empty();
    let [ada, ben] = ["ada", "ben"].map(|name| team.clone_as(name));
    let home = in_git(&team, &ada);
    assert!(ledger(&home).entries().expect("none yet").is_empty());
    assert!(home.models(ledger(&home).project).expect("lists").is_empty());
    let entries = grow(&home, 3, "ada");
    let other = in_git(&team, &ben);
    assert_eq!(other.models(ledger(&other).project).expect("lists"), [model()]);
    assert_eq!(ledger(&other).entries().expect("reads"), entries);
    for wrong in
        [entry(2, entries.first(), "eve"), entry(3, entries.first(), "eve"), entry(5, entries.last(), "eve")]
    {
        assert_eq!(ledger(&other).append(&wrong).expect("answers"), Appended::Lost, "entry {}", wrong.seq);
    }
    // The same operation twice is one success.
    let fourth = entry(4, entries.last(), "ben");
    for _ in 0..2 {
        assert_eq!(ledger(&other).append(&fourth).expect("appends"), Appended::Yes);
    }
    assert_eq!(ledger(&home).entries().expect("reads").len(), 4);
    // What people see with git alone: a commit per entry, the newest first.
    let log = git(&team.dir("origin.git"), &["log", "--format=%s", &reference()]);
    assert_eq!(log, "register digits 4\nregister digits 3\nregister digits 2\nregister digits 1\n");
}

#[test]
fn of_eight_racing_clones_one_wins_each_number_and_nothing_is_lost() {
    let team = Team::empty();
    let homes: Vec<LedgerHome> =
        (0..8).map(|n| in_git(&team, &team.clone_as(&format!("clone-{n}")))).collect();
    let mut last: Option<Entry> = None;
    let rounds = u64::from(rounds(2, 20));
    for seq in 1..=rounds {
        let (start, before) = (Barrier::new(homes.len()), last.clone());
        let race = |writer: usize, home: &LedgerHome| {
            let mine = entry(seq, before.as_ref(), &writer.to_string());
            start.wait();
            let outcome = ledger(home).append(&mine).expect("appends or loses");
            (mine, outcome)
        };
        let race = &race;
        let tried: Vec<(Entry, Appended)> = std::thread::scope(|scope| {
            let threads: Vec<_> = homes
                .iter()
                .enumerate()
                .map(|(writer, home)| scope.spawn(move || race(writer, home)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let winners: Vec<&Entry> =
            tried.iter().filter(|(_, outcome)| *outcome == Appended::Yes).map(|(entry, _)| entry).collect();
        assert_eq!(winners.len(), 1, "round {seq}");
        last = winners.first().map(|entry| (*entry).clone());
        assert_eq!(ledger(&homes[0]).entries().expect("one chain").last(), last.as_ref());
    }
    assert_eq!(ledger(&homes[7]).entries().expect("one chain").len() as u64, rounds);
}

#[test]
fn an_entry_whose_answer_was_lost_is_known_as_ones_own() {
    let team = Team::empty();
    let ada = team.clone_as("ada");
    // The ref has moved when this runs; the process that would tell so is killed.
    let hook = team.dir("origin.git").join("hooks/post-update");
    fs::create_dir_all(hook.parent().expect("a folder")).expect("makes");
    fs::write(&hook, "#!/bin/sh\nkill -9 $PPID\n").expect("writes");
    std::process::Command::new("chmod").arg("+x").arg(&hook).status().expect("chmod starts");
    let home = in_git(&team, &ada);
    assert_eq!(grow(&home, 2, "ada").len(), 2);
}

#[test]
fn a_ledger_that_was_rolled_back_or_removed_is_found_by_who_saw_more() {
    let team = Team::empty();
    let [ada, ben] = ["ada", "ben"].map(|name| team.clone_as(name));
    let home = in_git(&team, &ada);
    grow(&home, 3, "ada");
    let bare = team.dir("origin.git");
    let tip = git(&bare, &["rev-parse", &reference()]);
    git(&bare, &["update-ref", &reference(), &format!("{}~1", tip.trim())]);
    assert_eq!(code(&home), "store::ledger-rolled-back");
    git(&bare, &["update-ref", "-d", &reference()]);
    assert_eq!(code(&home), "store::ledger-rolled-back");
    // Another chain of the same length.
    grow(&in_git(&team, &ben), 3, "eve");
    assert_eq!(code(&home), "store::ledger-rolled-back");
    git(&bare, &["update-ref", &reference(), tip.trim()]);
    assert_eq!(ledger(&home).entries().expect("is back").len(), 3);
}

#[test]
fn entries_made_before_are_published_at_once_and_two_histories_are_a_fork() {
    let team = Team::empty();
    let [ada, ben, cy] = ["ada", "ben", "cy"].map(|name| team.clone_as(name));
    let entries = grow(&LedgerHome::Local(cache(&ada)), 3, "ada");
    grow(&LedgerHome::Local(cache(&ben)), 2, "ben");
    assert_eq!(ledger(&in_git(&team, &ada)).entries().expect("publishes"), entries);
    assert_eq!(code(&in_git(&team, &ben)), "store::ledger-forked");
    assert_eq!(ledger(&in_git(&team, &cy)).entries().expect("reads"), entries);
}

#[test]
fn a_ledger_that_moves_from_the_store_to_git_is_closed_there_and_stays_one() {
    let team = Team::empty();
    let [ada, ben, cy] = ["ada", "ben", "cy"].map(|name| team.clone_as(name));
    grow(&on_store(&team, &ada), 2, "ada");
    let entries = grow(&on_store(&team, &ben), 1, "ben");
    // Cy never saw the ledger; its `mlp.yaml` says git first.
    let moved = in_git(&team, &cy);
    assert_eq!(moved.models(ledger(&moved).project).expect("lists"), [model()]);
    assert_eq!(ledger(&moved).entries().expect("moves"), entries);
    // Who still believes in the store is told, and can neither read nor append there.
    assert_eq!(code(&on_store(&team, &ada)), "store::ledger-moved");
    let stale = entry(4, entries.last(), "ben");
    let error = ledger(&on_store(&team, &ben)).append(&stale).expect_err("is closed");
    assert_eq!(error.code(), "store::ledger-moved");
    let grown = grow(&in_git(&team, &ben), 1, "ben");
    assert_eq!(ledger(&in_git(&team, &ada)).entries().expect("reads"), grown);
    assert_eq!(grown.len(), 4);
}

#[test]
fn a_move_that_broke_off_after_closing_is_finished_by_anybody() {
    let team = Team::empty();
    let [ada, ben] = ["ada", "ben"].map(|name| team.clone_as(name));
    let entries = grow(&on_store(&team, &ada), 2, "ada");
    // Git refuses: the store's ledger is closed, and nothing is in git.
    let bare = team.dir("origin.git");
    git(&bare, &["config", "receive.hideRefs", "refs/mlp"]);
    assert_eq!(code(&in_git(&team, &ada)), "git::network");
    assert_eq!(code(&on_store(&team, &ada)), "store::ledger-moved");
    git(&bare, &["config", "--unset", "receive.hideRefs"]);
    assert_eq!(ledger(&in_git(&team, &ben)).entries().expect("finishes"), entries);
    assert_eq!(ledger(&in_git(&team, &ada)).entries().expect("reads"), entries);
}

#[test]
fn promote_rollback_and_status_work_over_a_bare_git_remote() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let path = |name: &str| scratch.path().join(name);
    let stores = format!("stores:\n  dav: {{url: \"fs://{}\", ledger: git}}\n", path("far").display());
    let lab = Lab::new(&format!("{FLOOR}{stores}"));
    let said = refused(lab.path(), &["status"], 2);
    assert!(said.contains("git::no-remote") && said.contains("git remote add origin"), "{said}");

    let bare = path("origin.git");
    lab.git(&["init", "-q", "--bare", "-b", "main", bare.to_str().expect("is text")]);
    lab.git(&["remote", "add", "origin", bare.to_str().expect("is text")]);
    lab.git(&["push", "-q", "-u", "origin", "main"]);
    lab.version(95);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    lab.version(96);
    ok(lab.path(), &["promote", "digits@2", "--to", "staging"]);
    run(lab.path(), &["rollback", "digits", "--stage", "staging", "--reason", "worse in use"], 0);
    let log = lab.git(&["ls-remote", "origin", "refs/mlp/*"]);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(!path("far").join("ledger").join("01jd3q0000000000000000000b").exists() || closed(&path("far")));

    // A colleague sees the same, and goes on.
    let ben = path("ben");
    lab.git(&["clone", "-q", bare.to_str().expect("is text"), ben.to_str().expect("is text")]);
    let told = text(&run(&ben, &["model", "ls", "--json"], 0).stdout);
    let listed: serde_json::Value = serde_json::from_str(&told).expect("is JSON");
    assert_eq!(listed["models"][0]["live"][0]["version"], 1, "{listed}");
    ok(&ben, &["status"]);
    ok(lab.path(), &["promote", "digits@2", "--to", "staging"]);
    run(&ben, &["rollback", "digits", "--stage", "staging", "--reason", "worse still"], 0);
    let told = lab.json(&["model", "ls"], 0);
    assert_eq!(told["models"][0]["live"][0]["version"], 1, "{told}");
}

/// Whether all that the store has of ledgers is the note that they are in git.
fn closed(far: &Path) -> bool {
    let mut folders = vec![far.join("ledger")];
    while let Some(folder) = folders.pop() {
        for found in fs::read_dir(folder).expect("lists").flatten() {
            match found.path().is_dir() {
                true => folders.push(found.path()),
                false if fs::read_to_string(found.path()).is_ok_and(|text| text.contains("ledger-moved")) => {
                }
                false => return false,
            }
        }
    }
    true
}
