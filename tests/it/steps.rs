//! `mlp run`: steps in any language, their order and their cache.

use serde_json::Value;

use super::support::project::Project;
use super::support::{ok, refused, run};

fn outcomes(report: &Value) -> Vec<(String, String)> {
    let steps = report["steps"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    steps.iter().map(|step| (text(&step["name"]), text(&step["outcome"]))).collect()
}

fn outcome(project: &Project, args: &[&str]) -> String {
    let report = project.json(&[&["run"], args].concat(), 0);
    outcomes(&report)
        .into_iter()
        .map(|(name, outcome)| format!("{name} {outcome}"))
        .collect::<Vec<_>>()
        .join(", ")
}

const COUNT: &str = "\
steps:
  count:
    run: sh count.sh
    in: [words.txt]
    out: [made/count.txt]
    params: {unit: w}
    env: [COUNT_LOCALE]
";

fn counting() -> Project {
    let project = Project::new(COUNT);
    project.write("words.txt", "one two three\n");
    project.write("count.sh", "mkdir -p made && wc -w < words.txt > made/count.txt\n");
    project
}

#[test]
fn a_step_runs_once_until_something_it_depends_on_changes() {
    let project = counting();
    assert_eq!(outcome(&project, &[]), "count run");
    assert_eq!(project.read("made/count.txt").trim(), "3");
    project.write("README.md", "words about it\n");
    assert_eq!(outcome(&project, &[]), "count cached");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "begin"]);
    assert_eq!(outcome(&project, &[]), "count cached");

    project.write("words.txt", "one two\n");
    let report = project.json(&["run"], 0);
    assert_eq!(report["steps"][0]["outcome"], "run");
    assert_eq!(report["steps"][0]["reason"], "input words.txt changed");
    assert_eq!(project.read("made/count.txt").trim(), "2");

    project.write("mlp.yaml", &project.read("mlp.yaml").replace("unit: w", "unit: words"));
    assert_eq!(project.json(&["run"], 0)["steps"][0]["reason"], "parameters changed");
    project.write("count.sh", "mkdir -p made && wc -w < words.txt > made/count.txt # faster\n");
    assert_eq!(project.json(&["run"], 0)["steps"][0]["reason"], "code changed");
    let output = super::support::mlp(project.path())
        .args(["run", "--json"])
        .env("COUNT_LOCALE", "de")
        .output()
        .expect("mlp starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains("variable COUNT_LOCALE changed"));
}

#[test]
fn going_back_to_what_was_done_before_restores_it() {
    let project = counting();
    outcome(&project, &[]);
    project.write("words.txt", "one\n");
    assert_eq!(outcome(&project, &[]), "count run");
    project.write("words.txt", "one two three\n");
    assert_eq!(outcome(&project, &[]), "count restored");
    assert_eq!(project.read("made/count.txt").trim(), "3");
}

#[test]
fn outputs_that_are_missing_or_changed_are_put_back() {
    let project = counting();
    outcome(&project, &[]);
    std::fs::remove_dir_all(project.path().join("made")).expect("removes");
    assert_eq!(outcome(&project, &[]), "count restored");
    assert_eq!(project.read("made/count.txt").trim(), "3");
    project.write("made/count.txt", "4711\n");
    assert_eq!(outcome(&project, &[]), "count restored");
    assert_eq!(project.read("made/count.txt").trim(), "3");
    assert_eq!(outcome(&project, &["--force"]), "count run");
}

#[test]
fn a_dry_run_starts_nothing() {
    let project = counting();
    let text = ok(project.path(), &["run", "--dry-run"]);
    assert!(text.contains("count would run (not run before)"), "{text}");
    assert!(!project.path().join("made").exists());
    outcome(&project, &[]);
    assert!(ok(project.path(), &["run", "--dry-run"]).contains("count cached"));
}

const CHAIN: &str = "\
steps:
  last: {run: 'cp made/a made/b', in: [made/a], out: [made/b]}
  first: {run: 'exit 7', out: [made/a]}
  apart: {run: 'mkdir -p made && echo x > made/x', out: [made/x]}
";

#[test]
fn what_needs_a_failed_step_is_not_started() {
    let project = Project::new(CHAIN);
    let report = project.json(&["run"], 1);
    let all = outcomes(&report);
    assert!(all.contains(&("first".into(), "failed".into())), "{all:?}");
    assert!(all.contains(&("last".into(), "skipped".into())), "{all:?}");
    let show = project.json(&["runs", "show", "first"], 0);
    assert_eq!(show["record"]["body"]["end"]["code"], 7);
    assert_eq!(show["record"]["body"]["end"]["state"], "failed");
    assert_eq!(outcome(&project, &["apart"]), "apart run");
}

#[test]
fn steps_that_do_not_need_each_other_run_at_the_same_time() {
    // Each waits for the other: one after the other they would never end.
    let wait = |own: &str, other: &str| {
        format!(
            "mkdir -p made; touch made/{own}; n=0; until [ -e made/{other} ]; do n=$((n+1)); [ $n -lt 400 ] || exit 1; sleep 0.05; done"
        )
    };
    let project = Project::new(&format!(
        "steps:\n  a: {{run: '{}', out: [made/a]}}\n  b: {{run: '{}', out: [made/b]}}\n",
        wait("a", "b"),
        wait("b", "a")
    ));
    let report = project.json(&["run", "--jobs", "2"], 0);
    assert!(outcomes(&report).iter().all(|(_, outcome)| outcome == "run"), "{report}");
}

#[test]
fn a_step_that_does_not_make_its_output_fails() {
    let project = Project::new("steps: {a: {run: 'true', out: [made/a]}}\n");
    let output = run(project.path(), &["run"], 1);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("did not make `made/a`"), "{text}");
}

#[test]
fn a_circle_and_paths_outside_are_refused() {
    let project = Project::new(
        "steps:\n  a: {run: 'true', in: [y], out: [x]}\n  b: {run: 'true', in: [x], out: [y]}\n",
    );
    let text = refused(project.path(), &["run"], 2);
    assert!(text.contains("in a circle: a -> b -> a"), "{text}");
    let project = Project::new("steps: {a: {run: 'true', in: [../secret]}}\n");
    refused(project.path(), &["run"], 2);
    let project = Project::new("steps: {prepare: {run: 'true'}}\n");
    let text = refused(project.path(), &["run", "prepair"], 2);
    assert!(text.contains("did you mean `prepare`?"), "{text}");
}

#[test]
fn any_program_speaks_in_events_and_its_other_words_are_kept() {
    let project = Project::new("steps: {talk: {run: 'sh talk.sh', params: {rate: 0.5, name: 'ä b'}}}\n");
    project.write(
        "talk.sh",
        "cat \"$MLP_PARAMS\" > \"$MLP_OUT/params.json\"\n\
         echo '{\"event\": \"metric\", \"name\": \"score\", \"value\": 0.25}' >> \"$MLP_EVENTS\"\n\
         echo 'not json' >> \"$MLP_EVENTS\"\n\
         echo '{\"event\": \"metric\", \"name\": \"score\", \"value\": 0.5}' >> \"$MLP_EVENTS\"\n\
         printf '{\"event\": \"metric\", \"name\": \"last\", \"value\": 1}' >> \"$MLP_EVENTS\"\n\
         echo attempt $MLP_ATTEMPT\n",
    );
    let output = run(project.path(), &["run"], 0);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(talk.contains("not json") && talk.contains("attempt 1"), "{talk}");
    let show = project.json(&["runs", "show"], 0);
    assert_eq!(show["run"]["metrics"]["score"], 0.5);
    assert_eq!(show["run"]["metrics"]["last"], 1.0);
    let params: Value =
        serde_json::from_slice(&std::fs::read(project.job().join("out/params.json")).expect("reads"))
            .expect("JSON");
    assert_eq!(params, serde_json::json!({"rate": 0.5, "name": "ä b"}));
}

/// A file of `examples/steps/`.
#[test]
fn a_metric_told_many_times_in_an_epoch_has_one_place_in_its_line() {
    let line = r#"{\"event\":\"metric\",\"name\":\"loss\",\"value\":0.$n,\"epoch\":$e}"#;
    let many = r#"{\"event\":\"metric\",\"name\":\"m$n\",\"value\":1,\"epoch\":3}"#;
    let project = Project::new(&format!(
        "steps:\n  work:\n    run: |\n      for e in 1 2; do for n in 1 2 3 4 5 6 7 8 9; do echo \"{line}\" >> $MLP_EVENTS; done; done\n      \
         for n in $(seq 20); do echo \"{many}\" >> $MLP_EVENTS; done\n"
    ));
    let output = run(project.path(), &["run", "work"], 0);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("epoch  1  loss 0.9000\n"), "{said}");
    assert!(said.contains("m12 1.0000  and 8 more\n"), "{said}");
    let record = project.json(&["runs", "show"], 0)["record"].clone();
    assert_eq!(record["body"]["metrics"].as_object().expect("metrics").len(), 21);
}

fn example(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/steps").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_about_events_shows_the_examples_as_they_are_run_here() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/reference/events.md")).expect("reads");
    for (language, name) in [("python", "train.py"), ("sh", "train.sh")] {
        assert!(
            page.contains(&format!("```{language}\n{}```\n", example(name))),
            "{name} differs from the page"
        );
    }
}

#[test]
fn the_examples_in_python_and_shell_are_followed_measured_and_kept() {
    let manifest = example("mlp.yaml");
    let steps = manifest.find("steps:\n").expect("has steps");
    let project = Project::new(&manifest[steps..]);
    project.write(".gitignore", &example(".gitignore"));
    project.write("train.py", &example("train.py"));
    project.write("train.sh", &example("train.sh"));
    let output = run(project.path(), &["run", "--json", "--jobs", "1"], 0);
    let followed: Vec<Value> = String::from_utf8(output.stdout)
        .expect("is UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    for (step, task) in [("python", "training"), ("shell", "fitting")] {
        let done: Vec<u64> = followed
            .iter()
            .filter(|event| event["event"] == "progress")
            .filter(|event| event["task"].as_str().is_some_and(|text| text.ends_with(task)))
            .filter_map(|event| event["done"].as_u64())
            .collect();
        assert_eq!(done, (1..=10).collect::<Vec<u64>>(), "{step}");
    }
    let python = project.json(&["runs", "show", "python"], 0);
    assert!(python["run"]["metrics"]["val.accuracy"].as_f64() > Some(0.7), "{python}");
    assert!(python["run"]["metrics"]["train.loss"].as_f64() < Some(0.5), "{python}");
    assert_eq!(
        (&python["files"][0]["path"], &python["files"][0]["kind"]),
        (&"val.csv".into(), &"predictions".into())
    );
    let shell = project.json(&["runs", "show", "shell"], 0);
    assert!(
        shell["run"]["metrics"]["slope"].as_f64().is_some_and(|slope| (slope - 2.0).abs() < 0.01),
        "{shell}"
    );
    let shown = ok(project.path(), &["runs", "show", "python"]);
    for part in ["metric", "val.accuracy", "val.csv (", ", predictions)", "loss ", "epoch 10"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let kept = ok(project.path(), &["runs", "show", "python", "--file", "val.csv"]);
    assert_eq!(kept.lines().count(), 40, "{kept}");
    let said = refused(project.path(), &["runs", "show", "python", "--file", "vall.csv"], 2);
    assert!(said.contains("did you mean `val.csv`?"), "{said}");
    assert_eq!(outcome(&project, &[]), "python cached, shell cached");
}

#[test]
fn the_example_in_python_goes_on_from_its_checkpoint() {
    let project =
        Project::new("steps: {python: {run: python3 train.py, params: {epochs: 4, rate: 0.5, seed: 1}}}\n");
    // It fails once, at its third epoch.
    let broken =
        "    if epoch == 3 and os.environ[\"MLP_ATTEMPT\"] == \"1\": raise SystemExit(7)\n    errors = [";
    project.write("train.py", &example("train.py").replace("    errors = [", broken));
    run(project.path(), &["run"], 1);
    let resumed = project.json(&["runs", "resume", "python"], 0);
    assert_eq!(resumed["run"]["state"], "succeeded", "{resumed}");
    let events = ok(project.path(), &["runs", "logs", "python", "--events"]);
    let epochs: Vec<u64> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("is JSON"))
        .filter(|event| event["event"] == "metric" && event["name"] == "train.loss")
        .filter_map(|event| event["epoch"].as_u64())
        .collect();
    assert_eq!(epochs, [1, 2, 3, 4]);
}
