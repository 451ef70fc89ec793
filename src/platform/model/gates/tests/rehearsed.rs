//! Gates about what mlp itself saw the model do: how long it takes, what it answers when served, going back from it.

use serde_json::json;

use super::*;
use crate::base::{Comparison, Drill, Latency, Shadow, Smoke, Timing};

fn times(p95_ms: f64) -> Latency {
    Latency { p50: 0.001, p95: p95_ms / 1000.0, p99: 0.1 }
}

#[test]
fn a_latency_counts_of_the_device_that_is_asked_for() {
    let file = |world: &World, device: &str, p95: f64, at: &str| {
        let body = Timing {
            model: digest("tree 1"),
            device: device.into(),
            host: "here".into(),
            predictions: 200,
            latency: times(p95),
        };
        let record = Record { time: Some(time(at)), ..Record::new("Ada", vec![], body) };
        publish(&world.store, &record, "digits", &[]).expect("publishes");
    };
    let mut world = World::new(json!({"latency": {"p95_ms": 5.0, "device": "avx512"}}));
    world.clean_version();
    let none = world.judge();
    assert_eq!((value(&none), &none.need), (Unknown, &Some(Need::Latency)));
    let next = "mlp gate check digits@1 --to staging  # on a machine whose device is `avx512`";
    assert_eq!(none.verdict.next.as_deref(), Some(next));
    file(&world, "cpu x86-64 avx2 8 threads", 1.0, "2026-05-02T00:00:00Z");
    assert_eq!(value(&world.judge()), Unknown, "another device says nothing");
    file(&world, "cpu x86-64 avx512 2 threads", 6.0, "2026-05-03T00:00:00Z");
    let slow = world.judge();
    assert_eq!((value(&slow), &slow.need), (Fail, &Some(Need::Latency)), "it is measured again");
    assert_eq!(
        slow.verdict.observed,
        "6.000 ms (median 1.000), 200 predictions on cpu x86-64 avx512 2 threads (here)"
    );
    file(&world, "cpu x86-64 avx512 2 threads", 5.0, "2026-05-04T00:00:00Z");
    assert_eq!(value(&world.judge()), Pass);
}

#[test]
fn a_server_must_give_the_golden_answers() {
    let line = r#"{"request": {"instances": [[1]]}, "answer": {"predictions": [{"label": "3"}]}}"#;
    let judged = |body: &dyn Fn(&mut Smoke)| {
        let mut world =
            World::new(json!({"serve": {"golden": "golden.jsonl", "max_abs_diff": 0.01, "p95_ms": 20.0}}));
        world.clean_version();
        let page =
            Card { path: "golden.jsonl".into(), text: Some(line.into()), digest: Some(digest("lines")) };
        world.rules.files.insert("golden.jsonl".into(), page);
        assert!(matches!(world.judge().need, Some(Need::Smoke { golden }) if golden == "golden.jsonl"));
        let mut smoke = Smoke {
            model: digest("tree 1"),
            golden: digest("lines"),
            requests: 3,
            wrong: 0,
            first_wrong: None,
            max_abs_diff: 0.001,
            latency: times(2.0),
            device: "cpu".into(),
            host: "here".into(),
        };
        body(&mut smoke);
        publish(&world.store, &Record::new("Ada", vec![], smoke), "digits", &[]).expect("publishes");
        world.judge()
    };
    let right = judged(&|_| ());
    assert_eq!((value(&right), right.evidence.len()), (Pass, 2));
    assert_eq!(right.verdict.observed, "3 answers, numbers within 1.0e-3, 95 % within 2.00 ms on cpu");
    assert_eq!(value(&judged(&|smoke| smoke.max_abs_diff = 0.02)), Fail);
    assert_eq!(value(&judged(&|smoke| smoke.max_abs_diff = f64::MAX)), Fail);
    assert_eq!(value(&judged(&|smoke| smoke.latency = times(21.0))), Fail);
    let wrong = judged(&|smoke| (smoke.wrong, smoke.first_wrong) = (1, Some("line 2: no".into())));
    assert_eq!(
        (value(&wrong), wrong.verdict.observed.as_str()),
        (Fail, "1 of 3 answers are wrong: line 2: no")
    );
    assert_eq!(value(&judged(&|smoke| smoke.golden = digest("other lines"))), Unknown);
    assert_eq!(value(&judged(&|smoke| smoke.model = digest("tree 0"))), Unknown);

    let mut none = World::new(json!({"serve": {"golden": "golden.jsonl"}}));
    none.clean_version();
    let found = none.judge();
    assert_eq!((value(&found), found.verdict.observed.as_str()), (Fail, "`golden.jsonl` is not on main"));

    // One that is none is the finding of its gate alone.
    let page = |text: &str| Card {
        path: "golden.jsonl".into(),
        text: Some(text.into()),
        digest: Some(digest(text)),
    };
    none.rules.files.insert("golden.jsonl".into(), page("{\"request\": {}}\n"));
    let found = none.judge();
    assert_eq!((value(&found), &found.need), (Fail, &None));
    assert!(found.verdict.observed.starts_with("`golden.jsonl` is no golden file: line 1: "), "{found:?}");
    assert!(found.verdict.next.is_some_and(|next| next.starts_with("edit golden.jsonl, then git add")));
}

#[test]
fn going_back_must_have_been_rehearsed_to_what_is_live() {
    let world = |gate: serde_json::Value| {
        let mut world = World::new(json!({ "rollback_drill": gate }));
        world.clean_version();
        world
    };
    let file = |world: &World, to: &str, seconds: f64| {
        let body = Drill {
            model: name("digits"),
            stage: name("production"),
            from: digest("tree 2"),
            to: digest(to),
            seconds,
            host: "here".into(),
        };
        let record = Record { time: Some(time("2026-05-30T12:00:00Z")), ..Record::new("Ada", vec![], body) };
        publish(&world.store, &record, "digits", &[]).expect("publishes");
    };
    let gate = json!({"stage": "production", "max_seconds": 2.0, "max_days": 3});
    let first = world(gate.clone());
    assert_eq!(first.judge().verdict.reason.as_deref(), Some("nothing live"));

    let mut next = world(gate.clone());
    next.entry(EntryKind::Promote, 1, Some("production"), None, vec![]);
    assert_eq!(next.judge().verdict.reason.as_deref(), Some("these are the live files"));
    next.clean_version();
    let open = next.judge();
    assert_eq!((value(&open), open.need), (Unknown, None));
    assert_eq!(open.verdict.next.as_deref(), Some("mlp rollback digits@2 --stage production --drill"));
    file(&next, "tree 0", 1.0);
    assert_eq!(value(&next.judge()), Unknown, "to another version");
    file(&next, "tree 1", 1.0);
    assert_eq!(next.judge().verdict.observed, "back to version 1 in 1.00 s on here");
    assert_eq!(value(&next.judge()), Pass);
    assert_eq!(value(&next.judge_for("staging", "2026-06-02T12:00:01Z")), Fail, "too long ago");

    let mut slow = world(gate);
    slow.entry(EntryKind::Promote, 1, Some("production"), None, vec![]);
    slow.clean_version();
    file(&slow, "tree 1", 2.5);
    assert_eq!(value(&slow.judge()), Fail);
}

#[test]
fn the_bootstrap_compares_metrics_of_numbers() {
    let judged = |require: &str, own: f64, live: f64| {
        let mut world = World::new(
            json!({"compare": {"to": "production", "metric": "rmse", "test": "bootstrap", "require": require}}),
        );
        for (version, error) in [(1, live), (2, own)] {
            world.clean_version();
            if version == 1 {
                world.entry(EntryKind::Promote, 1, Some("production"), None, vec![]);
            }
            let id = world.evaluation(version, [0.9, 0.8, 1.0], &TEN, "data", NOW);
            let mut record = world.store.record::<Evaluation>(&id).expect("reads");
            let line = |i: usize| {
                // Errors of both models vary together from example to example.
                let value = i as f64 + error * (1.0 + (i % 3) as f64);
                json!({"key": i.to_string(), "value": value, "truth": i.to_string()}).to_string()
            };
            let lines: Vec<String> = (0..60).map(line).collect();
            record.body.predictions = world.store.put(lines.join("\n").as_bytes()).expect("stores");
            record.body.examples = 60;
            record.time = Some(time("2026-06-01T12:00:01Z"));
            publish(&world.store, &record, "mnist", &[]).expect("publishes");
        }
        world.judge_for("staging", "2026-06-01T13:00:00Z")
    };
    let better = judged("better", 1.0, 1.5);
    assert_eq!(value(&better), Pass, "{better:?}");
    assert!(
        better.verdict.observed.starts_with("2.1602 against 3.2404 of version 1: better by 1.0801 ("),
        "{better:?}"
    );
    assert_eq!(better.evidence.len(), 4);
    assert_eq!(value(&judged("not_worse", 1.5, 1.0)), Fail);
    assert_eq!(value(&judged("better", 1.0, 1.0)), Fail, "the same is not better");
    assert_eq!(value(&judged("not_worse", 1.0, 1.0)), Pass);
}

#[test]
fn the_bootstrap_says_why_it_cannot_compare() {
    let mut world =
        World::new(json!({"compare": {"to": "production", "metric": "auc", "test": "bootstrap"}}));
    world.clean_version();
    world.entry(EntryKind::Promote, 1, Some("production"), None, vec![]);
    world.clean_version();
    for version in [1, 2] {
        world.evaluation(version, [0.9, 0.8, 1.0], &TEN, "data", NOW);
    }
    let found = world.judge();
    assert_eq!(value(&found), Unknown);
    assert_eq!(found.verdict.observed, "a stored prediction has no number, or no truth");
}

#[test]
fn a_shadow_counts_of_the_files_that_are_live() {
    let judged = |gate: serde_json::Value, change: &dyn Fn(&mut Shadow)| {
        let mut world = World::new(json!({ "shadow": gate }));
        world.clean_version();
        assert_eq!(world.judge().verdict.reason.as_deref(), Some("nothing live"));
        world.entry(EntryKind::Promote, 1, Some("staging"), None, vec![]);
        assert_eq!(world.judge().verdict.reason.as_deref(), Some("these are the live files"));
        world.clean_version();
        let open = world.judge();
        assert_eq!(open.verdict.next.as_deref(), Some("mlp serve digits@staging --shadow digits@2"));
        let mut body = Shadow {
            model: name("digits"),
            version: 2,
            tree: digest("tree 2"),
            live_version: 1,
            live: digest("tree 1"),
            session: Id::new(),
            started: time(NOW),
            ended: time(NOW),
            comparison: Comparison {
                requests: 1000,
                agreements: 980,
                disagreements: 20,
                largest_difference: 0.4,
                latency: Some(times(4.0)),
                live_latency: Some(times(2.0)),
                ..Comparison::default()
            },
            dropped: 0,
        };
        change(&mut body);
        publish(&world.store, &Record::new("Ada", vec![], body), "digits", &[]).expect("publishes");
        world.judge()
    };
    let passed = judged(json!({}), &|_| ());
    assert_eq!(
        (value(&passed), passed.verdict.observed.as_str()),
        (Pass, "1000 requests, 0.0200 in disagreement with version 1, 0 failed, 2.00 times its latency")
    );
    assert_eq!(value(&judged(json!({"max_disagreement": 0.01}), &|_| ())), Fail);
    assert_eq!(value(&judged(json!({"max_latency_ratio": 1.5}), &|_| ())), Fail);
    assert_eq!(value(&judged(json!({"max_latency_ratio": 3}), &|body| body.comparison.latency = None)), Fail);
    assert_eq!(value(&judged(json!({}), &|body| body.comparison.failures = 1)), Fail);
    assert_eq!(value(&judged(json!({}), &|body| body.live = digest("tree 0"))), Unknown);
    let few = judged(json!({"requests": 2000}), &|_| ());
    assert_eq!((value(&few), few.verdict.reason.as_deref()), (Unknown, Some("2000 are asked for")));
}
