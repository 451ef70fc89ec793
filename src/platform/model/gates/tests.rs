use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use indexmap::IndexMap;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::base::{
    Approval, CommandOutput, Cost, Entry, EntryKind, Estimate, Evaluation, ExpectationOutcome, Expectations,
    GitState, Id, JobState, Leakage, Near, Record, Reproduction, Run, RunEnd, Slice, Subject, ThenNow, Usage,
};
use crate::infrastructure::keys::{NAMESPACE_APPROVAL, Signers, sign};
use crate::infrastructure::store::Local;
use crate::platform::data::NearGuard;
use crate::platform::model::{
    Card, DataRule, History, Need, Origin, Separation, StageSpec, Version, Waiver, judge as judge_all,
};
use crate::platform::run::publish;

fn name(text: &str) -> Name {
    text.parse().expect("is a name")
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn time(text: &str) -> Time {
    text.parse().expect("is a time")
}

mod documents;
mod provenance;
mod rehearsed;
mod rejudged;
mod waived;

const NOW: &str = "2026-06-01T12:00:00Z";

/// A store, a ledger and rules with one stage-and-gate set, to be filled by each test.
struct World {
    folder: TempDir,
    store: Local,
    rules: Rules,
    entries: Vec<Entry>,
    origin: Origin,
}

impl World {
    /// Stages candidate, staging and production; `gate` stands in staging.
    fn new(gate: serde_json::Value) -> Self {
        let folder = TempDir::new().expect("makes a folder");
        let store = Local::open(&folder.path().join("store")).expect("opens");
        let gate: GateSpec = serde_json::from_value(gate).expect("is a gate");
        let mut stages: IndexMap<Name, StageSpec> =
            ["candidate", "staging", "production"].map(|stage| (name(stage), StageSpec::default())).into();
        stages[1].gates.insert(name("it"), gate);
        let rule = DataRule {
            path: "data/mnist".into(),
            settings: digest("settings"),
            expectations: 1,
            overlap: 0,
            near: None,
            card: None,
            licence: None,
        };
        let rules = Rules {
            source: "main".into(),
            commit: "a".repeat(40),
            stages,
            roles: BTreeMap::from([
                (name("model"), vec!["max".into(), "eva".into()]),
                (name("service"), vec!["sam".into()]),
            ]),
            signers: Signers::default(),
            signers_path: ".mlp/allowed_signers".into(),
            separation: Separation::AuthorNotApprover,
            waivers: Vec::new(),
            data: BTreeMap::from([
                (name("mnist"), rule.clone()),
                (name("other"), DataRule { path: "data/other".into(), ..rule }),
            ]),
            dataset: Some(name("mnist")),
            card: None,
            files: BTreeMap::new(),
            licence: None,
        };
        let origin = Origin { author: Some("Ada <ada@example.org>".into()), ..Origin::default() };
        Self { folder, store, rules, entries: Vec::new(), origin }
    }

    fn entry(
        &mut self,
        kind: EntryKind,
        version: u64,
        stage: Option<&str>,
        run: Option<Digest>,
        evidence: Vec<Digest>,
    ) {
        let entry = Entry {
            schema: Entry::SCHEMA.into(),
            seq: self.entries.len() as u64 + 1,
            prev: self.entries.last().map(Entry::digest),
            op: Id::new(),
            time: time("2026-05-01T00:00:00Z"),
            actor: "Ada <ada@example.org>".into(),
            kind,
            subject: Subject {
                model: name("digits"),
                version,
                tree: digest(&format!("tree {version}")),
                run,
                stage: stage.map(name),
                commit: None,
                reason: None,
            },
            evidence,
            signature: None,
        };
        self.entries.push(entry);
    }

    /// Registers the next version, made by a run on `mnist` with this git state.
    fn version(&mut self, git: GitState) -> u64 {
        self.version_of(git, |_| ())
    }

    /// The same, with whatever else is to be in the record of the run.
    fn version_of(&mut self, git: GitState, change: impl FnOnce(&mut Run)) -> u64 {
        let number = self.entries.iter().filter(|entry| entry.kind == EntryKind::Register).count() as u64 + 1;
        let now = time(NOW);
        let mut run = Run {
            run: Id::new(),
            name: name("digits"),
            task: "model".into(),
            plan: digest("plan"),
            sweep: None,
            git,
            data: BTreeMap::from([("mnist".to_owned(), digest("data"))]),
            config: json!({}),
            dataset: None,
            seed: None,
            device: "cpu".into(),
            binary: digest("binary"),
            host: "here".into(),
            end: RunEnd {
                state: JobState::Succeeded,
                cause: None,
                code: Some(0),
                signal: None,
                reason: None,
                started: now,
                ended: now,
                seconds: None,
                cpu_seconds: None,
                attempts: 1,
                usage: None,
            },
            cost: None,
            metrics: BTreeMap::new(),
            output: None,
            outputs: BTreeMap::from([("model".to_owned(), digest(&format!("tree {number}")))]),
        };
        change(&mut run);
        let record = Record::new("Ada <ada@example.org>", vec![], run);
        let id = publish(&self.store, &record, "digits", &[]).expect("publishes");
        self.entry(EntryKind::Register, number, None, Some(id), vec![]);
        number
    }

    fn clean_version(&mut self) -> u64 {
        self.version(GitState { commit: Some("c".repeat(40)), branch: None, dirty: None })
    }

    /// Files an evaluation; `answers` are (key, right).
    fn evaluation(
        &self,
        version: u64,
        estimate: [f64; 3],
        answers: &[(&str, bool)],
        data: &str,
        at: &str,
    ) -> Digest {
        let lines: Vec<String> = answers
            .iter()
            .map(|(key, right)| {
                json!({"key": key, "label": if *right { "1" } else { "2" }, "truth": "1"}).to_string()
            })
            .collect();
        let [value, lower, upper] = estimate;
        let metrics = BTreeMap::from([("accuracy".to_owned(), Estimate { value, lower, upper })]);
        let slice = |by: &str, value: &str, estimate: f64| Slice {
            by: by.into(),
            value: value.into(),
            examples: 10,
            metrics: BTreeMap::from([(
                "accuracy".into(),
                Estimate { value: estimate, lower: 0.0, upper: 1.0 },
            )]),
        };
        let body = Evaluation {
            model: digest(&format!("tree {version}")),
            data: name("mnist"),
            tree: digest(data),
            settings: digest("settings"),
            part: "test".into(),
            examples: answers.len() as u64,
            metrics,
            slices: vec![
                slice("label", "1", 0.99),
                slice("label", "7", 0.91),
                slice(Slice::CORRUPTION, "rotate 1", 0.8),
                slice(Slice::CORRUPTION, "rotate 5", 0.4),
            ],
            confusion: None,
            per_class: vec![],
            calibration: vec![],
            predictions: self.store.put(lines.join("\n").as_bytes()).expect("stores"),
        };
        let mut record = Record::new("Ada <ada@example.org>", vec![], body);
        record.time = Some(time(at));
        publish(&self.store, &record, "mnist", &[]).expect("publishes")
    }

    fn history(&self) -> History {
        History::replay(&name("digits"), &self.entries).expect("replays")
    }

    /// The judgement of the gate about the newest version, for staging.
    fn judge(&self) -> Judgement {
        self.judge_for("staging", NOW)
    }

    fn judge_for(&self, target: &str, at: &str) -> Judgement {
        let history = self.history();
        let version: &Version = history.newest().expect("is registered");
        let candidate =
            Candidate::load(&self.store, &history, version, |_, _| self.origin.clone()).expect("loads");
        let evidence = Evidence::collect(&self.store).expect("collects");
        let mut all = judge_all(&self.rules, &candidate, &evidence, &name(target), time(at)).expect("judges");
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn key(&self, principal: &str) -> PathBuf {
        let path = self.folder.path().join(principal);
        if !path.exists() {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
            assert!(made.expect("ssh-keygen starts").success());
        }
        path
    }

    fn signer(&mut self, principal: &str, options: &str) {
        let public =
            std::fs::read_to_string(format!("{}.pub", self.key(principal).display())).expect("reads");
        self.rules.signers.0.push_str(&format!("{principal} {options} {public}"));
    }

    /// Files an approval of `version`'s `tree` signed by `key`, in the name of `principal`.
    fn approve(&mut self, principal: &str, key: &str, version: u64, tree: &str, stage: &str) {
        let body = Approval {
            model: name("digits"),
            version,
            tree: digest(tree),
            stage: name(stage),
            principal: principal.into(),
            comment: None,
        };
        let mut record = Record::new(principal, vec![], body);
        record.signature =
            Some(sign(&record.signed_bytes(), NAMESPACE_APPROVAL, &self.key(key)).expect("signs"));
        let id = publish(&self.store, &record, "digits", &[]).expect("publishes");
        self.entry(EntryKind::Approve, version, Some(stage), None, vec![id]);
    }
}

fn value(judgement: &Judgement) -> VerdictValue {
    judgement.verdict.verdict
}

use VerdictValue::{Fail, Pass, Unknown};

const TEN: [(&str, bool); 4] = [("a", true), ("b", true), ("c", true), ("d", false)];

#[test]
fn a_metric_is_held_against_the_bound_that_is_asked() {
    for (rule, verdict) in [
        (json!({"name": "accuracy", "min": 0.9}), Pass),
        (json!({"name": "accuracy", "min": 0.95}), Pass),
        (json!({"name": "accuracy", "min": 0.951}), Fail),
        (json!({"name": "accuracy", "min": 0.94, "bound": "lower-95"}), Fail),
        (json!({"name": "accuracy", "max": 0.96, "bound": "upper-95"}), Fail),
        (json!({"name": "accuracy", "min": 0.93, "max": 0.98}), Pass),
        (json!({"name": "accuracy"}), Unknown),
        (json!({"name": "acuracy", "min": 0.1}), Unknown),
        (json!({"name": "accuracy", "min": 0.1, "on": "val"}), Unknown),
    ] {
        let mut world = World::new(json!({"metric": rule}));
        let version = world.clean_version();
        let id = world.evaluation(version, [0.95, 0.93, 0.97], &TEN, "data", NOW);
        let found = world.judge();
        assert_eq!(value(&found), verdict, "{rule} {found:?}");
        if verdict != Unknown {
            assert_eq!(found.evidence, [id]);
            assert_eq!(found.verdict.observed, "0.9500 (0.9300 to 0.9700, 4 examples)");
        }
        assert_eq!(found.verdict.next.is_some(), verdict != Pass);
    }
}

#[test]
fn where_only_the_bound_fails_more_examples_are_asked_for() {
    for (min, next) in [(0.94, "add examples to the test part"), (0.96, "mlp train")] {
        let mut world = World::new(json!({"metric": {"name": "accuracy", "min": min, "bound": "lower-95"}}));
        let version = world.clean_version();
        world.evaluation(version, [0.95, 0.93, 0.97], &TEN, "data", NOW);
        let found = world.judge();
        assert!(found.verdict.next.as_deref().is_some_and(|text| text.starts_with(next)), "{found:?}");
    }
}

#[test]
fn a_value_that_is_no_number_meets_no_bound() {
    let mut world = World::new(json!({"metric": {"name": "accuracy", "max": 1.0}}));
    let version = world.clean_version();
    world.evaluation(version, [0.9, 0.9, 0.9], &TEN, "data", NOW);
    let record_is_read = value(&world.judge());
    assert_eq!(record_is_read, Pass);
    let gate = crate::platform::model::MetricGate {
        name: "accuracy".into(),
        on: "test".into(),
        min: None,
        max: Some(1.0),
        bound: crate::platform::model::Bound::Value,
    };
    assert!(!metric::meets(&gate, f64::NAN));
}

#[test]
fn missing_evidence_is_unknown_and_names_what_would_make_it() {
    let mut world = World::new(json!({"metric": {"name": "accuracy", "min": 0.9}}));
    let version = world.clean_version();
    let found = world.judge();
    assert_eq!(value(&found), Unknown);
    assert!(matches!(&found.need, Some(Need::Evaluation { part, version: 1, .. }) if part == "test"));
    assert_eq!(found.verdict.next.as_deref(), Some("mlp gate check digits@1 --to staging"));
    world.evaluation(version, [1.0, 1.0, 1.0], &TEN, "other data", NOW);
    let stray = world.judge();
    assert_eq!(
        (value(&stray), stray.verdict.reason.as_deref()),
        (Unknown, Some("there is an evaluation on other data"))
    );
}

#[test]
fn the_newest_evaluation_counts() {
    let mut world = World::new(json!({"metric": {"name": "accuracy", "min": 0.9}}));
    let version = world.clean_version();
    world.evaluation(version, [0.95, 0.9, 0.99], &TEN, "data", "2026-05-02T00:00:00Z");
    world.evaluation(version, [0.80, 0.7, 0.90], &TEN, "data", "2026-05-03T00:00:00Z");
    world.evaluation(version, [0.99, 0.9, 1.00], &TEN, "data", "2026-05-01T00:00:00Z");
    assert_eq!(value(&world.judge()), Fail);
}

#[test]
fn a_metric_that_must_be_asked_for_says_where() {
    for (name, reason) in [
        ("mean_corruption_error", "`evaluate: {corruptions: …}` of the model makes it"),
        ("top_7_accuracy", "`evaluate: {metrics: [top_7_accuracy]}` of the model asks for it"),
    ] {
        let mut world = World::new(json!({"metric": {"name": name, "min": 0.1}}));
        let version = world.clean_version();
        world.evaluation(version, [0.95, 0.9, 1.0], &TEN, "data", NOW);
        let found = world.judge();
        assert_eq!((value(&found), found.verdict.reason.as_deref()), (Unknown, Some(reason)));
    }
}

#[test]
fn the_worst_slice_decides() {
    for (min, verdict) in [(0.9, Pass), (0.92, Fail)] {
        let mut world = World::new(json!({"slices": {"metric": "accuracy", "min": min}}));
        let version = world.clean_version();
        world.evaluation(version, [0.95, 0.9, 1.0], &TEN, "data", NOW);
        let found = world.judge();
        assert_eq!(value(&found), verdict);
        assert!(found.verdict.observed.contains("label 7: 0.9100"), "{}", found.verdict.observed);
    }
}

#[test]
fn corrupted_inputs_are_slices_that_are_asked_for_by_name() {
    for (rule, verdict, seen) in [
        (json!({"by": "corruption", "min": 0.4}), Pass, "worst of 2 is corruption rotate 5: 0.4000"),
        (json!({"by": "corruption", "min": 0.5}), Fail, "1 of 2 below"),
        (json!({"by": "label", "min": 0.9}), Pass, "worst of 2 is label 7"),
        (json!({"by": "city", "min": 0.1}), Unknown, "no slices by city"),
    ] {
        let mut rule = rule;
        rule["metric"] = "accuracy".into();
        let mut world = World::new(json!({"slices": rule}));
        let version = world.clean_version();
        world.evaluation(version, [0.95, 0.9, 1.0], &TEN, "data", NOW);
        let found = world.judge();
        assert_eq!(value(&found), verdict);
        assert!(found.verdict.observed.contains(seen), "{}", found.verdict.observed);
    }
}

/// `n` examples of which the first `right` are answered rightly, from `start` on.
fn answers(n: usize, right: impl Fn(usize) -> bool) -> Vec<(String, bool)> {
    (0..n).map(|i| (format!("{i:04x}"), right(i))).collect()
}

fn compare(require: &str, candidate: impl Fn(usize) -> bool, live: impl Fn(usize) -> bool) -> Judgement {
    let mut world =
        World::new(json!({"compare": {"to": "production", "metric": "accuracy", "require": require}}));
    for right in [&live as &dyn Fn(usize) -> bool, &candidate] {
        let version = world.clean_version();
        if version == 1 {
            world.entry(EntryKind::Promote, 1, Some("production"), None, vec![]);
        }
        let list = answers(100, right);
        let list: Vec<(&str, bool)> = list.iter().map(|(key, right)| (key.as_str(), *right)).collect();
        world.evaluation(version, [0.9, 0.8, 1.0], &list, "data", NOW);
    }
    world.judge()
}

#[test]
fn a_comparison_is_mcnemars_test_on_the_same_examples() {
    // 10 only the candidate, 2 only the live one: p = 0.0386.
    let better = |i: usize| !(10..12).contains(&i);
    let worse = |i: usize| i >= 10;
    let found = compare("better", better, worse);
    assert_eq!(value(&found), Pass, "{found:?}");
    assert_eq!(
        found.verdict.observed,
        "0.9800 against 0.9000 of version 1: 10 only this one, 2 only the live one, p = 0.0386"
    );
    // Both evaluations, and the predictions that they keep.
    assert_eq!(found.evidence.len(), 4);
    assert_eq!(value(&compare("not_worse", better, worse)), Pass);
    assert_eq!(value(&compare("not_worse", worse, better)), Fail);
    assert_eq!(value(&compare("better", worse, better)), Fail);
    // One example of difference says nothing.
    let almost = |i: usize| i != 3;
    assert_eq!(value(&compare("not_worse", almost, |_| true)), Pass);
    assert_eq!(value(&compare("better", |_| true, almost)), Fail);
}

#[test]
fn with_nothing_live_a_comparison_passes_and_says_so() {
    let mut world = World::new(json!({"compare": {"to": "production", "metric": "accuracy"}}));
    world.clean_version();
    let found = world.judge();
    assert_eq!((value(&found), found.verdict.reason.as_deref()), (Pass, Some("nothing live")));
}

#[test]
fn a_comparison_with_a_stage_that_is_not_there_never_passes() {
    let mut world = World::new(json!({"compare": {"to": "prodution", "metric": "accuracy"}}));
    world.clean_version();
    assert_eq!(value(&world.judge()), Unknown);
}

#[test]
fn predictions_that_do_not_fit_their_evaluation_are_named() {
    let mut world = World::new(json!({"compare": {"to": "production", "metric": "accuracy"}}));
    world.clean_version();
    world.entry(EntryKind::Promote, 1, Some("production"), None, vec![]);
    world.clean_version();
    let id = world.evaluation(1, [0.9, 0.8, 1.0], &TEN, "data", NOW);
    world.evaluation(2, [0.9, 0.8, 1.0], &TEN, "data", NOW);
    let mut record = world.store.record::<Evaluation>(&id).expect("reads");
    record.body.examples = 5;
    record.time = Some(time("2026-06-02T00:00:00Z"));
    publish(&world.store, &record, "mnist", &[]).expect("publishes");
    let history = world.history();
    let version = history.newest().expect("is there");
    let candidate =
        Candidate::load(&world.store, &history, version, |_, _| Origin::default()).expect("loads");
    let evidence = Evidence::collect(&world.store).expect("collects");
    let result = judge_all(&world.rules, &candidate, &evidence, &name("staging"), time(NOW));
    let Err(ModelError::Evidence { id, why }) = result else { panic!("{result:?}") };
    assert_eq!((id, why.as_str()), (record.body.predictions, "4 predictions for 5 examples"));
}

#[test]
fn code_must_be_committed_when_the_run_begins() {
    let commit = Some("abcdef0123456789".to_owned());
    for (git, verdict) in [
        (GitState { commit: commit.clone(), branch: None, dirty: None }, Pass),
        (GitState { commit, branch: None, dirty: Some(digest("edits")) }, Fail),
        (GitState::default(), Fail),
    ] {
        let mut world = World::new(json!({"code": "committed"}));
        world.version(git);
        assert_eq!(value(&world.judge()), verdict);
    }
}

/// A run that had 2 GPUs of one priced host for an hour and a half.
fn spent(run: &mut Run) {
    let usage = Usage { hours: 1.5, gpu_hours: 3.0, gpu_kwh: Some(0.9), cpu_kwh: None, attempts: 1 };
    run.cost = Some(Cost::of(&usage, Some(0.5), Some(0.1), "EUR"));
    run.end.usage = Some(usage);
}

#[test]
fn a_budget_is_held_against_what_the_run_used() {
    let judged = |budget: serde_json::Value, change: &dyn Fn(&mut Run)| {
        let mut world = World::new(json!({ "budget": budget }));
        let git = GitState { commit: Some("c0ffee".into()), branch: None, dirty: None };
        world.version_of(git, change);
        world.judge()
    };
    let all = json!({ "gpu_hours": 3.0, "hours": 2, "cost": 2, "currency": "EUR", "kwh": 1 });
    let passed = judged(all.clone(), &spent);
    assert_eq!(value(&passed), VerdictValue::Pass);
    assert_eq!(passed.verdict.wanted, "at most 3 GPU hours, 2 hours, 2 EUR, 1 kWh");
    assert_eq!(passed.verdict.observed, "3.00 GPU hours, 1.50 hours, 1.65 EUR, 0.90 kWh");
    for (budget, observed) in [
        (json!({ "gpu_hours": 2.9 }), "3.00 GPU hours"),
        (json!({ "hours": 1 }), "1.50 hours"),
        (json!({ "cost": 1.5 }), "1.65 EUR"),
        (json!({ "kwh": 0.5, "hours": 5 }), "1.50 hours, 0.90 kWh"),
    ] {
        let failed = judged(budget, &spent);
        assert_eq!(value(&failed), VerdictValue::Fail);
        assert_eq!(failed.verdict.observed, observed);
        assert!(failed.verdict.next.is_some_and(|next| next.starts_with("mlp train ")));
    }
    type Change<'a> = &'a dyn Fn(&mut Run);
    let unknown: [(Change<'_>, &str); 5] = [
        (&|_| (), "the run does not tell what it used"),
        (&|run| (spent(run), run.cost = None).0, "its host has no price"),
        (
            &|run| (spent(run), run.cost.as_mut().expect("is there").currency = "USD".into()).0,
            "another currency",
        ),
        (&|run| (spent(run), run.end.usage.as_mut().expect("is there").gpu_kwh = None).0, "nobody measured"),
        (&|run| (spent(run), run.end.attempts = 2).0, "what 1 of its 2 attempts used is known"),
    ];
    for (change, why) in unknown {
        let open = judged(all.clone(), change);
        assert_eq!(value(&open), VerdictValue::Unknown, "{why}");
        assert!(
            open.verdict.reason.as_ref().is_some_and(|reason| reason.contains(why)),
            "{:?}",
            open.verdict
        );
        assert!(open.verdict.next.is_some_and(|next| next.contains("--force")));
    }
    // Too much already, whatever the other attempt used.
    let failed = judged(json!({ "gpu_hours": 2 }), &|run| (spent(run), run.end.attempts = 2).0);
    assert_eq!(value(&failed), VerdictValue::Fail);
}

#[test]
fn expectations_must_all_be_met_on_the_data_of_the_run() {
    let file = |world: &World, tree: &str, met: bool, count: usize| {
        let outcome =
            ExpectationOutcome { expectation: "rows: {min: 10}".into(), met, observed: "7 rows".into() };
        let body = Expectations { data: name("mnist"), tree: digest(tree), outcomes: vec![outcome; count] };
        publish(&world.store, &Record::new("Ada", vec![], body), "mnist", &[]).expect("publishes");
    };
    for (tree, met, count, verdict) in [
        ("data", true, 1, Pass),
        ("data", false, 1, Fail),
        ("data", true, 2, Unknown),
        ("elsewhere", true, 1, Unknown),
    ] {
        let mut world = World::new(json!({"expectations": "mnist"}));
        world.clean_version();
        file(&world, tree, met, count);
        let found = world.judge();
        assert_eq!(value(&found), verdict, "{found:?}");
        assert_eq!(found.need.is_some(), verdict == Unknown);
    }
}

#[test]
fn overlap_may_not_exceed_the_guard() {
    for (overlap, allowed, verdict) in [(0, 0, Pass), (3, 2, Fail), (2, 2, Pass)] {
        let mut world = World::new(json!({"leakage": "mnist"}));
        world.clean_version();
        assert_eq!(value(&world.judge()), Unknown);
        let body = Leakage {
            data: name("mnist"),
            tree: digest("data"),
            settings: digest("settings"),
            overlap,
            examples: 100,
            samples: vec![],
            near: None,
        };
        publish(&world.store, &Record::new("Ada", vec![], body), "mnist", &[]).expect("publishes");
        world.rules.data.get_mut("mnist").expect("is there").overlap = allowed;
        assert_eq!(value(&world.judge()), verdict);
    }
}

#[test]
fn images_may_not_be_nearer_than_the_guard_says() {
    for (distance, found, verdict) in [(12, 0, Pass), (12, 3, Fail), (12, 2, Pass), (8, 0, Unknown)] {
        let mut world = World::new(json!({"leakage": "mnist"}));
        world.clean_version();
        world.rules.data.get_mut("mnist").expect("is there").near = Some(NearGuard { distance: 12, max: 2 });
        let mut body = Leakage {
            data: name("mnist"),
            tree: digest("data"),
            settings: digest("settings"),
            overlap: 0,
            examples: 100,
            samples: vec![],
            near: None,
        };
        publish(&world.store, &Record::new("Ada", vec![], body.clone()), "mnist", &[]).expect("publishes");
        assert_eq!(value(&world.judge()), Unknown, "nobody has looked at near images");
        body.near = Some(Near { distance, found, samples: vec![] });
        publish(&world.store, &Record::new("Ada", vec![], body), "mnist", &[]).expect("publishes");
        let judged = world.judge();
        assert_eq!(value(&judged), verdict, "{judged:?}");
        assert_eq!(judged.need.is_some(), verdict == Unknown);
    }
}

#[test]
fn gates_about_the_data_of_another_model_do_not_block() {
    let mut world = World::new(json!({"expectations": "other"}));
    world.clean_version();
    assert_eq!(value(&world.judge()), Pass);
    // A model whose own data the run did not use is another matter.
    world.rules.dataset = Some(name("other"));
    assert_eq!(value(&world.judge()), Unknown);
}

#[test]
fn a_card_needs_its_sections_and_no_placeholders() {
    let card = |text: Option<&str>| {
        let mut world = World::new(json!({"model_card": {"fields": ["intended_use", "limits"]}}));
        world.clean_version();
        world.rules.card = Some(Card {
            path: "docs/card.md".into(),
            text: text.map(str::to_owned),
            digest: text.map(digest),
        });
        world.judge()
    };
    let complete = card(Some("# Card\n## Intended use\nReading.\n## Limits\nBlur.\n"));
    assert_eq!((value(&complete), complete.evidence.len()), (Pass, 1));
    let missing = card(Some("## Intended use\nReading.\n## Limits\n"));
    assert_eq!((value(&missing), missing.verdict.observed.as_str()), (Fail, "docs/card.md has no limits"));
    let unfinished = card(Some("## Intended use\nTODO\n## Limits\nBlur.\n"));
    assert_eq!(unfinished.verdict.observed, "placeholder `TODO` on line 2");
    assert_eq!(value(&card(None)), Fail);
}

#[test]
fn a_command_passes_by_its_newest_answer_about_these_files() {
    let mut world = World::new(json!({"command": "scripts/check.sh"}));
    let version = world.clean_version();
    assert!(matches!(world.judge().need, Some(Need::Command { .. })));
    for (code, at, verdict) in [(1, "2026-05-02T00:00:00Z", Fail), (0, "2026-05-03T00:00:00Z", Pass)] {
        let body = CommandOutput {
            model: name("digits"),
            tree: digest(&format!("tree {version}")),
            command: "scripts/check.sh".into(),
            git: GitState::default(),
            code,
            output: "first\nlast line\n".into(),
        };
        let mut record = Record::new("Ada", vec![], body);
        record.time = Some(time(at));
        publish(&world.store, &record, "digits", &[]).expect("publishes");
        let found = world.judge();
        assert_eq!((value(&found), found.verdict.observed), (verdict, format!("exit {code}: last line")));
    }
}

fn approvals(also: bool) -> World {
    let gate = match also {
        true => json!({"approvals": {"role": "model", "also": {"role": "service"}}}),
        false => json!({"approvals": {"role": "model"}}),
    };
    let mut world = World::new(gate);
    world.clean_version();
    for principal in ["max", "sam", "eva"] {
        world.signer(principal, "");
    }
    world
}

#[test]
fn a_signed_approval_by_the_role_opens_the_gate() {
    let mut world = approvals(false);
    assert_eq!(value(&world.judge()), Fail);
    world.approve("max", "max", 1, "tree 1", "staging");
    assert_eq!(value(&world.judge()), Pass);
}

#[test]
fn two_groups_need_two_people() {
    let mut world = approvals(true);
    world.rules.roles.insert(name("service"), vec!["max".into(), "sam".into()]);
    world.approve("max", "max", 1, "tree 1", "production");
    let one = world.judge();
    assert_eq!((value(&one), one.verdict.observed.as_str()), (Fail, "1 of 2: max"));
    world.approve("max", "max", 1, "tree 1", "production");
    assert_eq!(value(&world.judge()), Fail, "one person counts once");
    world.approve("sam", "sam", 1, "tree 1", "production");
    assert_eq!(value(&world.judge()), Pass);
}

#[test]
fn approvals_that_do_not_hold_are_refused_by_name() {
    let refused = |arrange: &dyn Fn(&mut World), why: &str| {
        let mut world = approvals(false);
        arrange(&mut world);
        let found = world.judge();
        assert_eq!(value(&found), Fail, "{why}");
        let reason = found.verdict.reason.unwrap_or_default();
        assert!(reason.contains(why), "`{reason}` should say `{why}`");
    };
    refused(&|world| world.approve("sam", "sam", 1, "tree 1", "staging"), "may sign: max, eva");
    refused(&|world| world.approve("max", "max", 1, "tree 0", "staging"), "by max is for other files");
    refused(&|world| world.approve("max", "max", 1, "tree 1", "candidate"), "by max is for candidate");
    refused(&|world| world.approve("max", "sam", 1, "tree 1", "staging"), "by max does not verify");
    refused(&|world| world.approve("max", "stranger", 1, "tree 1", "staging"), "by max does not verify");
    refused(
        &|world| {
            world.rules.signers = Signers::default();
            world.signer("max", "valid-before=\"20260430\"");
            world.approve("max", "max", 1, "tree 1", "staging");
        },
        "by max does not verify",
    );
}

#[test]
fn whoever_trained_the_model_does_not_approve_it() {
    let mut world = approvals(false);
    world.signer("ada@example.org", "");
    world.rules.roles.insert(name("model"), vec!["ada@example.org".into()]);
    world.approve("ada@example.org", "ada@example.org", 1, "tree 1", "staging");
    let found = world.judge();
    assert_eq!(value(&found), Fail);
    assert!(found.verdict.reason.unwrap_or_default().contains("is by an author of the model"));
    world.rules.separation = Separation::None;
    assert_eq!(value(&world.judge()), Pass);
}

#[test]
fn nobody_approves_where_who_made_the_version_cannot_be_told() {
    let world = || {
        let mut world = approvals(false);
        world.approve("max", "max", 1, "tree 1", "staging");
        world
    };
    assert_eq!(value(&world().judge()), Pass);
    let unknown = |world: &World, observed: &str, next: &str| {
        let found = world.judge();
        assert_eq!(value(&found), Unknown);
        assert!(found.verdict.observed.contains(observed), "{found:?}");
        assert_eq!(found.verdict.next.as_deref(), Some(next));
    };
    let mut elsewhere = world();
    elsewhere.origin = Origin::default();
    unknown(
        &elsewhere,
        "the commit cccccccccccc of the run is not here",
        "git fetch origin  # after a `git push` where it was trained",
    );
    elsewhere.origin.shallow = true;
    unknown(&elsewhere, "the commit cccccccccccc of the run is not here", "git fetch --unshallow origin");
    elsewhere.rules.separation = Separation::None;
    assert_eq!(value(&elsewhere.judge()), Pass, "authors approve there");
    let mut collected = world();
    collected.entries[0].subject.run = Some(digest("collected"));
    let last = collected.entries[0].digest();
    collected.entries[1].prev = Some(last);
    let next = "mlp data push  # where it was trained: with `stores:` in mlp.yaml its records get here";
    unknown(&collected, "the record of the version's run is not here", next);
}

#[test]
fn a_waiver_opens_a_closed_gate_until_its_day_ends() {
    let mut world = World::new(json!({"code": "committed"}));
    world.version(GitState::default());
    world.rules.waivers.push(Waiver {
        gate: name("it"),
        stage: name("staging"),
        reason: "a trial".into(),
        signer: "max".into(),
        until: "2026-06-01".into(),
    });
    let open = world.judge_for("staging", "2026-06-01T23:59:59Z");
    assert_eq!(
        (value(&open), open.verdict.reason.as_deref()),
        (Pass, Some("waived until 2026-06-01 by max: a trial"))
    );
    let expired = world.judge_for("staging", "2026-06-02T00:00:00Z");
    assert_eq!(value(&expired), Fail);
    assert_eq!(expired.verdict.reason.as_deref(), Some("the waiver by max expired on 2026-06-01"));
    world.rules.waivers[0].until = "soon".into();
    assert_eq!(value(&world.judge()), Fail);
    world.rules.waivers[0].until = "2026-06-01".into();
    world.signer("sam", "");
    assert_eq!(value(&world.judge()), Fail, "a waiver by nobody known is void");
}

#[test]
fn a_promotion_is_judged_by_the_gates_of_all_earlier_stages() {
    let mut world = World::new(json!({"code": "committed"}));
    world.clean_version();
    assert_eq!(value(&world.judge_for("production", NOW)), Pass);
    let history = world.history();
    let version = history.newest().expect("is there");
    let candidate =
        Candidate::load(&world.store, &history, version, |_, _| Origin::default()).expect("loads");
    let evidence = Evidence::collect(&world.store).expect("collects");
    let none = judge_all(&world.rules, &candidate, &evidence, &name("candidate"), time(NOW)).expect("judges");
    assert!(none.is_empty());
}

#[test]
fn the_same_evidence_gives_the_same_verdict_bytes() {
    let mut world = World::new(json!({"metric": {"name": "accuracy", "min": 0.9}}));
    let version = world.clean_version();
    world.evaluation(version, [0.95, 0.93, 0.97], &TEN, "data", NOW);
    let bytes = || {
        let found = world.judge();
        Record::timeless(found.evidence, found.verdict).to_bytes()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn a_run_record_that_made_other_files_is_refused() {
    let mut world = World::new(json!({"code": "committed"}));
    world.clean_version();
    world.entries[0].subject.tree = digest("forged");
    let history = world.history();
    let version = history.newest().expect("is there");
    let result = Candidate::load(&world.store, &history, version, |_, _| Origin::default());
    assert!(matches!(result, Err(ModelError::Evidence { .. })));
}

#[test]
fn a_model_trained_again_opens_the_gate_by_its_weights_or_within_the_tolerance() {
    let file = |world: &World, identical: bool, moved: f64, at: &str| {
        let metrics =
            BTreeMap::from([("val.accuracy".to_owned(), ThenNow { then: 0.95, now: 0.95 - moved })]);
        let device = ThenNow { then: "cpu a".to_owned(), now: "cpu b".to_owned() };
        let changed =
            if identical { BTreeMap::new() } else { BTreeMap::from([("device".to_owned(), device)]) };
        let run = world.history().newest().and_then(|version| version.run).expect("a run");
        let (model, again) = (digest("tree 1"), digest("again"));
        let body = Reproduction { model, run, again, identical, changed, metrics };
        let record = Record { time: Some(time(at)), ..Record::new("Ada <ada@example.org>", vec![], body) };
        publish(&world.store, &record, "digits", &[]).expect("publishes");
    };
    let world = |tolerance: f64| {
        let mut world = World::new(json!({"reproduce": {"tolerance": tolerance}}));
        world.clean_version();
        world
    };
    let exact = world(0.0);
    let found = exact.judge();
    assert_eq!((value(&found), found.verdict.next.as_deref()), (Unknown, Some("mlp reproduce digits@1")));
    file(&exact, false, 0.0, "2026-05-02T00:00:00Z");
    let found = exact.judge();
    assert_eq!(value(&found), Fail, "the same metrics are not the same weights");
    assert_eq!(found.verdict.reason.as_deref(), Some("with another device"));
    file(&exact, true, 0.0, "2026-05-03T00:00:00Z");
    assert_eq!(value(&exact.judge()), Pass, "the newest answer counts");

    let loose = world(0.01);
    file(&loose, false, 0.02, "2026-05-02T00:00:00Z");
    assert_eq!(value(&loose.judge()), Fail);
    file(&loose, false, 0.005, "2026-05-03T00:00:00Z");
    let found = loose.judge();
    assert_eq!(
        (value(&found), found.verdict.observed.as_str()),
        (Pass, "diverged: val.accuracy moved by 0.005000")
    );
}
