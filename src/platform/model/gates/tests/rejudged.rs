//! Verdicts that are judged again, where evidence is missing or damaged.

use serde_json::json;

use super::*;
use crate::base::Failure;
use crate::infrastructure::store::StoreError;
use crate::platform::model::{Recomputed, judge_with, recompute};

/// Judges the gate, records the verdict in a promotion, and returns what judging it again after `change` comes to.
fn again(
    world: &mut World,
    change: impl FnOnce(&World),
    get: &dyn Fn(Digest) -> Result<(), Failure>,
) -> Result<Vec<Recomputed>, Failure> {
    let verdict = publish(&world.store, &world.judge().record(), "digits", &[]).expect("publishes");
    change(world);
    let history = world.history();
    let version = history.newest().expect("is registered");
    let number = version.number;
    world.entry(EntryKind::Promote, number, Some("staging"), None, vec![verdict]);
    let candidate =
        Candidate::load(&world.store, &history, version, |_, _| world.origin.clone()).expect("loads");
    recompute(&world.store, &world.rules, &candidate, world.entries.last().expect("is there"), get)
}

/// The only file below the world's folder whose name begins with the digest.
fn file(world: &World, id: Digest) -> PathBuf {
    let mut folders = vec![world.folder.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("lists") {
            let path = entry.expect("lists").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "").contains(&id.hex()[2..]) {
                return path;
            }
        }
    }
    panic!("{id} is not there");
}

#[test]
fn evidence_that_is_damaged_is_named_and_what_is_missing_makes_another_verdict() {
    let floor = || {
        let mut world = World::new(json!({"metric": {"name": "accuracy", "min": 0.9}}));
        let version = world.clean_version();
        let id = world.evaluation(version, [0.95, 0.93, 0.97], &TEN, "data", NOW);
        (world, id)
    };
    let nothing = |_| Ok(());
    let (mut world, _) = floor();
    let same = again(&mut world, |_| (), &nothing).expect("judges");
    assert_eq!(same[0].difference, None);

    let (mut world, id) = floor();
    let gone = |world: &World| std::fs::remove_file(file(world, id)).expect("removes");
    let missing = again(&mut world, gone, &nothing).expect("what is missing is no error");
    assert!(missing[0].difference.is_some());

    let (mut world, id) = floor();
    let broken = |world: &World| std::fs::write(file(world, id), b"{}").expect("writes");
    let error = again(&mut world, broken, &nothing).expect_err("what is damaged is named");
    assert!(format!("{error:?}").starts_with("store::damaged: record "), "{error:?}");
}

/// Files an evaluation again, later and with other predictions.
fn refile(world: &World, evaluation: Digest, predictions: Digest) {
    let mut body = world.store.record::<Evaluation>(&evaluation).expect("reads").body;
    body.predictions = predictions;
    let mut record = Record::new("Ada <ada@example.org>", vec![], body);
    record.time = Some(time("2026-06-02T00:00:00Z"));
    publish(&world.store, &record, "mnist", &[]).expect("publishes");
}

#[test]
fn predictions_that_nobody_has_any_more_do_not_end_the_judgement() {
    for (error, ends) in [
        (StoreError::NotOnRemote { store: "far".into(), id: digest("x") }, false),
        (StoreError::Missing(digest("x")), false),
        (StoreError::damaged("pack `p`".to_owned(), "cut off"), true),
    ] {
        let mut world = World::new(json!({"compare": {"to": "production", "metric": "accuracy"}}));
        for _ in 0..2 {
            let version = world.clean_version();
            let filed = world.evaluation(version, [0.95, 0.93, 0.97], &TEN, "data", NOW);
            refile(&world, filed, digest("collected"));
        }
        world.entry(EntryKind::Promote, 1, Some("production"), None, vec![]);
        assert_eq!(value(&world.judge()), Unknown);
        let error = std::cell::RefCell::new(Some(Failure::from(error)));
        let get = |_| Err(error.borrow_mut().take().expect("is asked for once"));
        let found = again(&mut world, |_| (), &get);
        assert_eq!(found.is_err(), ends, "{found:?}");
    }
}

#[test]
fn what_several_gates_need_is_made_once() {
    let mut world = World::new(json!({"metric": {"name": "accuracy", "min": 0.9}}));
    for (at, part) in [("other", "val"), ("again", "test"), ("more", "val")] {
        let gate = json!({"metric": {"name": "accuracy", "on": part, "min": 0.8}});
        world.rules.stages[1].gates.insert(name(at), serde_json::from_value(gate).expect("is a gate"));
    }
    world.clean_version();
    let history = world.history();
    let version = history.newest().expect("is registered");
    let candidate =
        Candidate::load(&world.store, &history, version, |_, _| world.origin.clone()).expect("loads");
    let mut made = Vec::new();
    let mut produce = |_: &Candidate<'_>, need: &Need| {
        made.push(need.clone());
        Ok(())
    };
    judge_with(&world.store, &world.rules, &candidate, &name("staging"), &mut produce).expect("judges");
    assert_eq!(made.len(), 2, "{made:?}");
}

#[test]
fn predictions_that_do_not_read_are_the_same_error_for_both_tests() {
    for test in ["mcnemar", "bootstrap"] {
        let gate = json!({"compare": {"to": "production", "metric": "accuracy", "test": test}});
        let mut world = World::new(gate);
        let mut newest = None;
        for _ in 0..2 {
            let version = world.clean_version();
            newest = Some(world.evaluation(version, [0.95, 0.93, 0.97], &TEN, "data", NOW));
        }
        world.entry(EntryKind::Promote, 1, Some("production"), None, vec![]);
        let (store, history) = (&world.store, world.history());
        refile(&world, newest.expect("is filed"), store.put(b"{\"key\": 1}\n").expect("stores"));
        let version = history.newest().expect("is registered");
        let candidate =
            Candidate::load(store, &history, version, |_, _| world.origin.clone()).expect("loads");
        let evidence = Evidence::collect(store).expect("collects");
        let error = judge_all(&world.rules, &candidate, &evidence, &name("staging"), time(NOW))
            .expect_err("is not usable");
        assert!(error.to_string().contains("is not usable: line 1 is no prediction"), "{error}");
    }
}
