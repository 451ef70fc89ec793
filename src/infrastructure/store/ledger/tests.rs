use std::path::Path;

use super::*;
use crate::base::{EntryKind, Subject, Time};
use crate::infrastructure::store::StoreSpec;

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
            model: "digits".parse().expect("a name"),
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

fn far(url: &str, cache: &Path) -> LedgerHome {
    let spec = StoreSpec::new(url);
    let remote = Remote::open(&"origin".parse().expect("a name"), &spec).expect("opens");
    LedgerHome::Remote { remote, cache: cache.to_owned() }
}

fn ledger(home: &LedgerHome) -> Ledger<'_> {
    let project = "01jd3q0000000000000000000a".parse().expect("an id");
    Ledger { home, project, model: "digits".parse().expect("a name") }
}

/// Appends `count` entries, each on top of what is there.
fn grow(home: &LedgerHome, count: u64, actor: &str) -> Vec<Entry> {
    let ledger = ledger(home);
    for _ in 0..count {
        let entries = ledger.entries().expect("reads");
        let next = entry(entries.len() as u64 + 1, entries.last(), actor);
        assert_eq!(ledger.append(&next).expect("appends"), Appended::Yes);
    }
    ledger.entries().expect("reads")
}

/// The three homes that need no server.
fn homes(name: &str, test: impl Fn(&LedgerHome, &dyn Fn() -> LedgerHome)) {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let path = |part: &str| scratch.path().join(part);
    let local = || LedgerHome::Local(path("local"));
    test(&local(), &local);
    let clones = std::sync::atomic::AtomicU64::new(0);
    let fresh = |url: &str| {
        let clone = clones.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        far(url, &path(&format!("clone-{clone}")))
    };
    let folder = format!("fs://{}", path("far").display());
    test(&fresh(&folder), &|| fresh(&folder));
    let memory = format!("memory://{name}");
    test(&fresh(&memory), &|| fresh(&memory));
}

#[test]
fn entries_come_back_in_order_from_every_home_and_every_clone() {
    homes("order", |home, another| {
        assert!(ledger(home).entries().expect("none yet").is_empty());
        let entries = grow(home, 3, "ada");
        assert_eq!(entries.len(), 3);
        assert_eq!(ledger(&another()).entries().expect("reads"), entries);
        let models = another().models(ledger(home).project).expect("lists");
        assert_eq!(models, ["digits".parse().expect("a name")]);
    });
}

#[test]
fn of_eight_racing_writers_one_wins_each_number_and_nothing_is_lost() {
    homes("race", |_, another| {
        const EACH: usize = 5;
        let clones: Vec<LedgerHome> = (0..8).map(|_| another()).collect();
        std::thread::scope(|scope| {
            for (writer, home) in clones.iter().enumerate() {
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
        let entries = ledger(&another()).entries().expect("one chain without gaps");
        assert_eq!(entries.len(), 8 * EACH);
        for writer in 0..8 {
            assert_eq!(entries.iter().filter(|entry| entry.actor == writer.to_string()).count(), EACH);
        }
    });
}

#[test]
fn an_entry_that_does_not_follow_is_not_appended() {
    homes("follow", |home, _| {
        let entries = grow(home, 2, "ada");
        let ledger = ledger(home);
        for wrong in [
            entry(2, entries.first(), "eve"),
            entry(3, entries.first(), "eve"),
            entry(4, entries.last(), "eve"),
            entry(1, None, "eve"),
        ] {
            assert_eq!(ledger.append(&wrong).expect("answers"), Appended::Lost, "entry {}", wrong.seq);
        }
        assert_eq!(ledger.entries().expect("reads"), entries);
    });
}

#[test]
fn the_same_operation_twice_is_one_success() {
    homes("twice", |home, _| {
        let first = entry(1, None, "ada");
        assert_eq!(ledger(home).append(&first).expect("appends"), Appended::Yes);
        assert_eq!(ledger(home).append(&first).expect("recognises"), Appended::Yes);
        assert_eq!(ledger(home).entries().expect("reads").len(), 1);
    });
}

#[test]
fn a_flipped_byte_anywhere_in_any_entry_is_found_and_named() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let home = LedgerHome::Local(scratch.path().join("store"));
    grow(&home, 3, "ada");
    let ledger = ledger(&home);
    for seq in 1..=3 {
        let path = scratch.path().join("store").join(ledger.key()).join(number(seq));
        let good = std::fs::read(&path).expect("reads");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).expect("damages");
            let error = ledger.entries().expect_err("damaged");
            let StoreError::LedgerDamaged { seq: named, path: place, .. } = error else { panic!("{error}") };
            assert_eq!((named, place), (seq, path.display().to_string()), "byte {at}");
        }
        std::fs::write(&path, &good).expect("mends");
    }
    assert_eq!(ledger.entries().expect("whole again").len(), 3);
}

#[test]
fn who_only_looks_sees_what_comes_before_the_damage() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let url = format!("fs://{}", scratch.path().join("far").display());
    for home in [LedgerHome::Local(scratch.path().join("here")), far(&url, &scratch.path().join("copy"))] {
        let entries = grow(&home, 4, "ada");
        let ledger = ledger(&home);
        assert_eq!(ledger.look().expect("looks").0, entries);
        let place =
            ["here", "far"].map(|place| scratch.path().join(place).join(ledger.key()).join(number(3)));
        let path = place.into_iter().find(|path| path.exists()).expect("is there");
        let mut bytes = std::fs::read(&path).expect("reads");
        bytes[40] ^= 1;
        for (bytes, why) in [(bytes, ""), (vec![b'x'; 300 << 10], "256 KiB")] {
            std::fs::write(&path, bytes).expect("damages");
            // A copy of one's own would do as well.
            let _ = std::fs::remove_dir_all(scratch.path().join("copy"));
            let (sound, error) = ledger.look().expect("looks");
            assert_eq!(sound, entries[..2]);
            let error = error.expect("is named");
            assert!(matches!(error, StoreError::LedgerDamaged { seq: 3, .. }), "{error}");
            let stored = ledger.stored().expect("one by one");
            assert_eq!(stored.len(), 4);
            assert!(
                stored[2]
                    .decode()
                    .is_err_and(|said| why.is_empty() || said.contains("262144") || said.contains(why))
            );
        }
        std::fs::remove_file(&path).expect("removes");
        let _ = std::fs::remove_dir_all(scratch.path().join("copy"));
        assert_eq!(ledger.look().expect("looks").0, entries[..2]);
        let _ = std::fs::remove_dir_all(scratch.path().join("here"));
    }
}

#[test]
fn a_missing_entry_is_found_and_named() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let home = LedgerHome::Local(scratch.path().join("store"));
    grow(&home, 3, "ada");
    std::fs::remove_file(scratch.path().join("store").join(ledger(&home).key()).join(number(2)))
        .expect("removes");
    let error = ledger(&home).entries().expect_err("a gap");
    assert!(matches!(error, StoreError::LedgerDamaged { seq: 2, .. }), "{error}");
}

#[test]
fn a_damaged_entry_on_a_remote_is_found_by_a_clone_that_has_no_copy() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let url = format!("fs://{}", scratch.path().join("far").display());
    grow(&far(&url, &scratch.path().join("a")), 2, "ada");
    let home = far(&url, &scratch.path().join("b"));
    let path = scratch.path().join("far").join(ledger(&home).key()).join(number(1));
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).expect("damages");
    let error = ledger(&home).entries().expect_err("damaged");
    assert!(matches!(error, StoreError::LedgerDamaged { seq: 1, .. }), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[test]
fn a_remote_that_was_rolled_back_or_rewritten_is_noticed() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let url = format!("fs://{}", scratch.path().join("far").display());
    let home = far(&url, &scratch.path().join("a"));
    grow(&home, 3, "ada");
    let folder = scratch.path().join("far").join(ledger(&home).key());
    let last = std::fs::read(folder.join(number(3))).expect("reads");
    std::fs::remove_file(folder.join(number(3))).expect("removes");
    assert!(matches!(ledger(&home).entries(), Err(StoreError::LedgerRolledBack { .. })));
    // A clone without a copy cannot know; what it appends is another third entry.
    grow(&far(&url, &scratch.path().join("b")), 1, "eve");
    assert!(matches!(ledger(&home).entries(), Err(StoreError::LedgerRolledBack { .. })));
    std::fs::write(folder.join(number(3)), last).expect("restores");
    assert_eq!(ledger(&home).entries().expect("as it was").len(), 3);
}

#[test]
fn the_first_store_gets_the_local_ledger_unless_it_forked() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let url = format!("fs://{}", scratch.path().join("far").display());
    let (a, b) = (scratch.path().join("a"), scratch.path().join("b"));
    let entries = grow(&LedgerHome::Local(a.clone()), 2, "ada");
    let fork = grow(&LedgerHome::Local(b.clone()), 1, "eve");
    assert_eq!(ledger(&far(&url, &a)).entries().expect("publishes"), entries);
    assert_eq!(ledger(&far(&url, &scratch.path().join("c"))).entries().expect("reads"), entries);
    let error = ledger(&far(&url, &b)).entries().expect_err("forked");
    assert!(matches!(error, StoreError::LedgerForked { seq: 1, .. }), "{error}");
    assert_eq!(ledger(&LedgerHome::Local(b)).entries().expect("untouched"), fork);
}

#[test]
fn reading_a_ledger_that_did_not_change_costs_two_requests() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let home = far("memory://ledger-budget", &scratch.path().join("store"));
    grow(&home, 4, "ada");
    let LedgerHome::Remote { remote, .. } = &home else { panic!("a remote") };
    let before = remote.requests().total();
    ledger(&home).entries().expect("reads");
    assert_eq!(remote.requests().total() - before, 2);
}

#[test]
fn an_entry_that_was_changed_in_the_middle_is_noticed_by_who_builds_on_it() {
    let scratch = tempfile::tempdir().expect("makes a folder");
    let url = format!("fs://{}", scratch.path().join("far").display());
    let home = far(&url, &scratch.path().join("a"));
    let entries = grow(&home, 4, "ada");
    let ledger = ledger(&home);
    assert_eq!(ledger.whole().expect("as it was"), entries);
    let path = scratch.path().join("far").join(ledger.key()).join(number(2));
    let good = std::fs::read(&path).expect("reads");
    let other = chain::encode(&Entry { actor: "eve".to_owned(), ..entries[1].clone() });
    for bad in [other, b"{}".to_vec(), Vec::new()] {
        std::fs::write(&path, &bad).expect("edits");
        let error = ledger.whole().expect_err("changed");
        let StoreError::LedgerDamaged { seq: 2, path: place, .. } = &error else { panic!("{error}") };
        assert_eq!(*place, path.display().to_string());
        assert_eq!(ledger.entries().expect("the last entry is what it was"), entries);
    }
    std::fs::remove_file(&path).expect("removes");
    assert!(matches!(ledger.whole(), Err(StoreError::LedgerDamaged { seq: 2, .. })));
    std::fs::write(&path, good).expect("restores");
    assert_eq!(ledger.whole().expect("as it was"), entries);
}
