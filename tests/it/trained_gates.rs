//! Gates about how a model came to be, on a model that is really trained: inputs, seeds, the paired bootstrap, a time for each
//! prediction; and their verdicts judged again in a fresh clone.

use std::process::Command;

use serde_json::Value;

use crate::support::ok;
use crate::support::project::Project;

const STAGES: &str = "stages:
  candidate: {}
  staging:
    gates:
      pinned: {inputs: pinned}
      seeds: {seed: {count: 2, metric: val.accuracy, spread: 0.9}}
      calibrated: {calibration: {max: 1}}
      fair: {groups: {metric: accuracy, max_difference: 1, min_examples: 5}}
      small: {size: {max: 1MiB}}
      quick: {latency: {p95_ms: 10000}}
      no_loss: {compare: {to: staging, metric: log_loss, test: bootstrap, alpha: 0.001}}
";

fn commit(project: &Project) {
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "Change"]);
}

/// The gates of staging by name.
fn gates(checked: &Value) -> std::collections::BTreeMap<String, Value> {
    let list = checked["gates"].as_array().expect("is a list");
    list.iter().map(|gate| (gate["gate"].as_str().expect("is text").to_owned(), gate.clone())).collect()
}

#[test]
fn a_trained_model_passes_them_and_a_clone_judges_the_same() {
    let project = Project::of_points(2);
    let beside = tempfile::tempdir().expect("makes a folder");
    let yaml = project.read("mlp.yaml").replace(
        "    input: {shape: [2]}",
        "    input: {shape: [2]}\n    evaluate: {metrics: [accuracy, ece], slices: {by: label}}",
    );
    let store = format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n", beside.path().join("far").display());
    project.write("mlp.yaml", &format!("{yaml}{store}{STAGES}"));
    commit(&project);
    ok(project.path(), &["train", "small"]);
    ok(project.path(), &["model", "register", "small"]);
    let first = project.json(&["gate", "check", "small@1", "--to", "staging"], 1);
    let closed: Vec<String> = gates(&first)
        .into_iter()
        .filter(|(_, gate)| gate["verdict"] != "pass")
        .map(|(name, gate)| format!("{name}: {}", gate["next"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(closed, ["seeds: mlp train small --set train.seed=4"], "{first}");
    assert_eq!(gates(&first)["pinned"]["observed"], "1 of 1 pinned");
    // The one thing that is missing is what the command makes.
    ok(project.path(), &["train", "small", "--set", "train.seed=4"]);
    ok(project.path(), &["promote", "small@1", "--to", "staging"]);

    // The next version is held against the first by a metric that McNemar's test knows nothing of.
    ok(project.path(), &["model", "register", "small"]);
    let second = project.json(&["gate", "check", "small@2", "--to", "staging"], 0);
    let compared = gates(&second)["no_loss"]["observed"].as_str().unwrap_or_default().to_owned();
    assert!(compared.contains("of version 1: better by") && compared.contains("resamples"), "{compared}");
    ok(project.path(), &["promote", "small@2", "--to", "staging"]);
    ok(project.path(), &["gate", "verify", "small@2"]);

    let clone = beside.path().join("clone");
    let cloned = Command::new("git").args(["clone", "-q"]).arg(project.path()).arg(&clone).status();
    assert!(cloned.expect("git starts").success());
    for version in ["small@1", "small@2"] {
        let text = ok(&clone, &["gate", "verify", version]);
        assert!(text.contains("10 verdicts judged again, every byte the same"), "{text}");
    }
}

#[test]
fn data_that_the_commit_does_not_know_are_not_pinned() {
    let project = Project::of_points(1);
    let yaml = project.read("mlp.yaml");
    project.write("mlp.yaml", &format!("{yaml}{STAGES}"));
    commit(&project);
    // Another version, added but not committed.
    let table = project.read("data/points.csv") + "0.5,0.5,red\n";
    project.write("data/points.csv", &table);
    ok(project.path(), &["data", "add", "points"]);
    ok(project.path(), &["train", "small"]);
    ok(project.path(), &["model", "register", "small"]);
    let checked = project.json(&["gate", "check", "small", "--to", "staging", "--no-evaluate"], 1);
    let pinned = gates(&checked)["pinned"].clone();
    assert_eq!(pinned["verdict"], "fail", "{pinned}");
    assert!(pinned["observed"].as_str().is_some_and(|text| text.contains("the commit has b3:")), "{pinned}");
    let next = pinned["next"].as_str().unwrap_or_default();
    assert!(next.starts_with("mlp data add points && git add -A && git commit"), "{next}");
}
