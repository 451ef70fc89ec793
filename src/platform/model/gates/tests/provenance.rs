//! Gates about how a model came to be and what it is: inputs, seeds, calibration, groups, size.

use serde_json::json;

use super::*;

const COMMIT: &str = "cccccccccccccccccccccccccccccccccccccccc";

#[test]
fn what_the_run_read_must_be_a_version_that_git_or_a_record_knows() {
    let judged = |known: Option<&str>, author: Option<&str>| {
        let mut world = World::new(json!({"inputs": "pinned"}));
        world.version(GitState { commit: Some(COMMIT.into()), branch: None, dirty: None });
        world.origin.author = author.map(str::to_owned);
        world.origin.inputs = known.map(|text| ("mnist".to_owned(), digest(text))).into_iter().collect();
        world.judge()
    };
    let author = Some("Ada <ada@example.org>");
    let pinned = judged(Some("data"), author);
    assert_eq!((value(&pinned), pinned.verdict.observed.as_str()), (Pass, "1 of 1 pinned"));
    let moved = judged(Some("other data"), author);
    assert_eq!(value(&moved), Fail);
    assert!(moved.verdict.observed.contains("the commit has b3:"), "{moved:?}");
    let loose = judged(None, author);
    assert_eq!(loose.verdict.observed, "`mnist` is no version that the commit knows");
    assert!(loose.verdict.next.is_some_and(|next| next.starts_with("mlp data add mnist && git add")));
    let shallow = judged(Some("data"), None);
    let next = "git fetch origin  # after a `git push` where it was trained";
    assert_eq!((value(&shallow), shallow.verdict.next.as_deref()), (Unknown, Some(next)));
}

#[test]
fn what_another_run_made_is_pinned_by_its_record() {
    let mut world = World::new(json!({"inputs": "pinned"}));
    world.version_of(GitState { commit: Some(COMMIT.into()), branch: None, dirty: None }, |run| {
        run.name = name("prepare");
        run.outputs.insert("data/mnist".into(), digest("data"));
    });
    world.clean_version();
    world.origin.author = Some("Ada".into());
    let found = world.judge();
    assert_eq!((value(&found), found.evidence.len()), (Pass, 2), "{found:?}");
}

fn trained(world: &mut World, seed: u64, lr: f64, accuracy: f64) {
    let git = GitState { commit: Some(COMMIT.into()), branch: None, dirty: None };
    world.version_of(git, |run| {
        run.seed = Some(seed);
        run.config = json!({"config": {"model": {"train": {"seed": seed, "lr": lr}}}, "seed": seed});
        run.metrics.insert("val.accuracy".into(), accuracy);
    });
}

#[test]
fn a_run_must_name_the_seed_of_its_settings() {
    let mut world = World::new(json!({"seed": {}}));
    trained(&mut world, 7, 0.1, 0.9);
    let found = world.judge();
    assert_eq!((value(&found), found.verdict.observed.as_str()), (Pass, "seed 7"));
    for config in [json!({}), json!({"config": {"model": {"train": {"seed": 8}}}})] {
        let mut world = World::new(json!({"seed": {}}));
        world.version_of(GitState::default(), |run| (run.seed, run.config) = (Some(7), config));
        assert_eq!(value(&world.judge()), Fail);
    }
    let mut step = World::new(json!({"seed": {}}));
    step.version_of(GitState::default(), |run| run.config = json!({"config": {"params": {"seed": 3}}}));
    assert_eq!(step.judge().verdict.observed, "seed 3");
}

#[test]
fn several_seeds_of_the_same_settings_count_and_lie_within_the_spread() {
    let gate = json!({"seed": {"count": 3, "metric": "val.accuracy", "spread": 0.02}});
    let mut world = World::new(gate.clone());
    trained(&mut world, 1, 0.1, 0.90);
    trained(&mut world, 1, 0.1, 0.50);
    trained(&mut world, 5, 0.2, 0.10);
    trained(&mut world, 2, 0.1, 0.91);
    let few = world.judge();
    assert_eq!(value(&few), Unknown, "a seed twice and other settings do not count");
    assert_eq!(few.verdict.observed, "seeds 1, 2");
    assert_eq!(few.verdict.next.as_deref(), Some("mlp train digits --set train.seed=3"));

    // The same seed with other settings is no answer: another time it must be with those of the version.
    let mut moved = World::new(gate.clone());
    trained(&mut moved, 2, 0.2, 0.9);
    trained(&mut moved, 1, 0.1, 0.9);
    let found = moved.judge().verdict;
    assert_eq!(found.reason.as_deref(), Some("of other settings or data: seeds 2"));
    assert_eq!(
        found.next.as_deref(),
        Some("git checkout cccccccccccc && mlp train digits --set train.seed=2")
    );

    let spread = |last: f64| {
        let mut world = World::new(gate.clone());
        trained(&mut world, 1, 0.1, 0.90);
        trained(&mut world, 2, 0.1, 0.91);
        trained(&mut world, 3, 0.1, last);
        world.judge()
    };
    let near = spread(0.915);
    assert_eq!((value(&near), near.evidence.len()), (Pass, 3));
    assert_eq!(near.verdict.observed, "val.accuracy from 0.9000 to 0.9150, seeds 1, 2, 3");
    assert_eq!(value(&spread(0.93)), Fail);
}

#[test]
fn the_error_of_calibration_is_bounded_by_the_upper_end() {
    for (gate, verdict) in [
        (json!({"max": 0.05}), Pass),
        (json!({"max": 0.03}), Fail),
        (json!({"max": 0.03, "bound": "value"}), Pass),
    ] {
        let mut world = World::new(json!({ "calibration": gate }));
        let version = world.clean_version();
        world.evaluation(version, [0.95, 0.9, 1.0], &TEN, "data", NOW);
        let found = world.judge();
        assert_eq!(value(&found), Unknown, "an evaluation without it says nothing");
        let id = found.evidence[0];
        let mut record = world.store.record::<Evaluation>(&id).expect("reads");
        record.body.metrics.insert("ece".into(), Estimate { value: 0.02, lower: 0.01, upper: 0.04 });
        record.time = Some(time("2026-06-01T12:00:01Z"));
        publish(&world.store, &record, "mnist", &[]).expect("publishes");
        let found = world.judge_for("staging", "2026-06-01T13:00:00Z");
        assert_eq!(value(&found), verdict, "{found:?}");
        assert!(found.verdict.wanted.starts_with("expected calibration error on test"));
    }
}

#[test]
fn the_gap_between_the_best_and_the_worst_group_is_bounded() {
    for (gate, verdict, observed) in [
        (json!({"max_difference": 0.1}), Pass, "0.0800 apart: label 7: 0.9100 to label 1: 0.9900"),
        (json!({"max_difference": 0.05}), Fail, "0.0800 apart"),
        (json!({"max_difference": 0.5, "by": "corruption"}), Pass, "0.4000 apart"),
        (json!({"max_difference": 0.1, "by": "city"}), Unknown, "no slices by city"),
        (json!({"max_difference": 0.1, "min_examples": 11}), Unknown, "0 of 2 groups have 11 examples"),
    ] {
        let mut gate = gate;
        gate["metric"] = "accuracy".into();
        if gate.get("min_examples").is_none() {
            gate["min_examples"] = 10.into();
        }
        let mut world = World::new(json!({ "groups": gate }));
        let version = world.clean_version();
        world.evaluation(version, [0.95, 0.9, 1.0], &TEN, "data", NOW);
        let found = world.judge();
        assert_eq!(value(&found), verdict, "{found:?}");
        assert!(found.verdict.observed.contains(observed), "{}", found.verdict.observed);
    }
}

#[test]
fn the_bytes_of_a_model_are_those_of_its_files() {
    let mut world = World::new(json!({"size": {"max": "1KiB"}}));
    let file = |bytes: &[u8], name: &str, world: &World| crate::infrastructure::store::Node {
        name: name.into(),
        kind: crate::infrastructure::store::NodeKind::File,
        size: bytes.len() as u64,
        id: world.store.put(bytes).expect("stores"),
    };
    world.clean_version();
    let missing = world.judge();
    assert_eq!(value(&missing), Unknown);
    assert!(matches!(missing.need, Some(Need::Files { .. })));
    for (bytes, verdict) in [(1000_usize, Pass), (1020, Fail)] {
        let nodes =
            vec![file(b"{}\n12", "model.json", &world), file(&vec![7; bytes], "model.safetensors", &world)];
        let mut writer = world.store.writer().expect("writes");
        let tree = writer.tree(&crate::infrastructure::store::Tree { nodes }).expect("adds");
        writer.finish().expect("finishes");
        world.version_of(GitState::default(), |run| {
            run.outputs.insert("model".into(), tree);
        });
        world.entries.last_mut().expect("is there").subject.tree = tree;
        let found = world.judge();
        assert_eq!((value(&found), found.verdict.observed), (verdict, format!("{} bytes", bytes + 5)));
    }
}
