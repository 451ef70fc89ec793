use super::*;
use crate::base::{Id, Subject};

fn name(text: &str) -> Name {
    text.parse().expect("is a name")
}

fn tree(version: u64) -> Digest {
    Digest::of(format!("tree {version}").as_bytes())
}

/// A ledger made of (kind, version, stage), one entry a day from 1 May 2026 on.
fn ledger(steps: &[(EntryKind, u64, &str)]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, (kind, version, stage)) in steps.iter().enumerate() {
        let entry = Entry {
            schema: Entry::SCHEMA.into(),
            seq: index as u64 + 1,
            prev: entries.last().map(Entry::digest),
            op: Id::new(),
            time: format!("2026-05-{:02}T12:00:00Z", index + 1).parse().expect("is a time"),
            actor: "Ada <ada@example.org>".into(),
            kind: *kind,
            subject: Subject {
                model: name("digits"),
                version: *version,
                tree: tree(*version),
                run: None,
                stage: (!stage.is_empty()).then(|| name(stage)),
                commit: None,
                reason: None,
            },
            evidence: vec![],
            signature: None,
        };
        entries.push(entry);
    }
    entries
}

fn replay(steps: &[(EntryKind, u64, &str)]) -> Result<History, ModelError> {
    History::replay(&name("digits"), ledger(steps))
}

use EntryKind::{Approve, Promote, Register, Retire, Rollback};

fn number(version: Option<&Version>) -> Option<u64> {
    version.map(|version| version.number)
}

#[test]
fn promotions_stack_up_and_rollbacks_take_them_off() {
    let mut steps = vec![
        (Register, 1, ""),
        (Promote, 1, "production"),
        (Register, 2, ""),
        (Promote, 2, "production"),
        (Register, 3, ""),
        (Promote, 3, "production"),
    ];
    let production = name("production");
    let check = |steps: &[(EntryKind, u64, &str)], live, previous| {
        let history = replay(steps).expect("replays");
        assert_eq!(
            (number(history.live(&production)), number(history.previous(&production))),
            (live, previous)
        );
    };
    check(&steps, Some(3), Some(2));
    steps.push((Rollback, 2, "production"));
    check(&steps, Some(2), Some(1));
    steps.push((Rollback, 1, "production"));
    check(&steps, Some(1), None);
    steps.push((Promote, 3, "production"));
    check(&steps, Some(3), Some(1));
    steps.push((Promote, 3, "production"));
    check(&steps, Some(3), Some(1));
}

#[test]
fn stages_are_independent_and_the_past_can_be_asked() {
    let history = replay(&[
        (Register, 1, ""),
        (Promote, 1, "staging"),
        (Promote, 1, "production"),
        (Register, 2, ""),
        (Promote, 2, "staging"),
    ])
    .expect("replays");
    let live: Vec<(&str, u64)> =
        history.stages().map(|(stage, version)| (stage.as_str(), version.number)).collect();
    assert_eq!(live, [("staging", 2), ("production", 1)]);
    let then = history.at("2026-05-03T23:59:59Z".parse().expect("is a time")).expect("replays");
    assert_eq!(number(then.live(&name("staging"))), Some(1));
    assert_eq!(then.versions().len(), 1);
    let before = history.at("2026-04-30T00:00:00Z".parse().expect("is a time")).expect("replays");
    assert!(before.newest().is_none());
}

#[test]
fn selectors_find_versions_and_name_what_is_near() {
    let history =
        replay(&[(Register, 1, ""), (Register, 2, ""), (Promote, 1, "production")]).expect("replays");
    assert_eq!(history.select(&Selector::Newest).expect("is there").number, 2);
    assert_eq!(history.select(&Selector::Version(1)).expect("is there").number, 1);
    assert_eq!(history.select(&Selector::Stage(name("production"))).expect("is there").number, 1);
    assert!(matches!(history.select(&Selector::Version(3)), Err(ModelError::NoVersion { newest: 2, .. })));
    assert!(matches!(history.select(&Selector::Version(0)), Err(ModelError::NoVersion { .. })));
    let near = history.select(&Selector::Stage(name("prodution")));
    assert!(matches!(near, Err(ModelError::NothingLive { near: Some(near), .. }) if near == "production"));
    let empty = replay(&[]).expect("replays");
    assert!(matches!(empty.select(&Selector::Newest), Err(ModelError::NothingRegistered { .. })));
}

#[test]
fn sequences_that_no_correct_writer_makes_are_refused() {
    for (steps, why) in [
        (&[(Register, 2, "")][..], "the next version is 1"),
        (&[(Register, 1, ""), (Register, 1, "")], "the next version is 2"),
        (&[(Promote, 1, "staging")], "no version 1"),
        (&[(Register, 1, ""), (Promote, 1, "")], "names no stage"),
        (&[(Register, 1, ""), (Approve, 1, "")], "names no stage"),
        (&[(Register, 1, ""), (Rollback, 1, "staging")], "was not the one before"),
        (&[(Register, 1, ""), (Promote, 1, "staging"), (Rollback, 1, "staging")], "was not the one before"),
        (&[(Register, 1, ""), (Promote, 1, "staging"), (Retire, 1, "")], "is live"),
        (&[(Register, 1, ""), (Retire, 1, ""), (Promote, 1, "staging")], "was retired"),
    ] {
        match replay(steps) {
            Err(ModelError::Ledger { why: found, .. }) => assert!(found.contains(why), "{found} / {why}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn forged_entries_are_refused() {
    let good = ledger(&[(Register, 1, ""), (Register, 2, ""), (Promote, 2, "staging")]);
    let refused = |forge: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = good.clone();
        forge(&mut entries);
        assert!(History::replay(&name("digits"), &entries).is_err());
    };
    refused(&|entries| entries[2].subject.tree = tree(1));
    refused(&|entries| entries[0].actor = "Eve".into());
    refused(&|entries| drop(entries.remove(1)));
    refused(&|entries| entries.swap(0, 1));
    refused(&|entries| entries[0].subject.model = name("other"));
    refused(&|entries| entries[2].schema = "mlp/ledger/9".into());
    refused(&|entries| entries[2].time = "2026-05-01T00:00:00Z".parse().expect("is a time"));
    History::replay(&name("digits"), &good).expect("the unforged one replays");
}
