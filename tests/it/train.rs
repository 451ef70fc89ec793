//! `mlp train`: plans, trains, stops and goes on, bit for bit.

use std::process::Child;

use mlp::base::Null;
use mlp::infrastructure::store::Local;
use mlp::infrastructure::store::worktree::{StatCache, snapshot};
use mlp::platform::data::Pointer;
use serde_json::Value;

use super::support::project::{Project, signal, wait_for};
use super::support::{ok, refused};

/// A table of three classes that a small network learns, added as a version. `epochs` decides how long training takes.
fn project(epochs: u32) -> Project {
    let project = Project::new(&format!(
        "data:\n  points: {{path: data/points.csv, format: csv, target: class, split: {{val: 0.2, test: 0.2}}}}\n\
         models:\n  small:\n    data: points\n    input: {{shape: [2]}}\n    \
         network: [{{linear: 32}}, relu, {{dropout: 0.2}}, {{linear: 3}}]\n    \
         train: {{epochs: {epochs}, batch_size: 8, seed: 3, optimizer: {{adamw: {{lr: 0.01}}}}}}\n"
    ));
    let mut text = "x,y,class\n".to_owned();
    for n in 0..300_u32 {
        let class = n % 3;
        let noise = |seed: u32| f64::from(n.wrapping_mul(seed) % 97) / 97.0;
        let (x, y) = (f64::from(class) + noise(7919), f64::from(class * class) - noise(104_729));
        text += &format!("{x:.4},{y:.4},{}\n", ["red", "green", "blue"][class as usize]);
    }
    project.write("data/points.csv", &text);
    let table = project.path().join("data/points.csv");
    let state = project.path().join(".git/mlp");
    let store = Local::open(&state.join("store")).expect("opens the store");
    let cache = StatCache { path: state.join("index") };
    let root = snapshot(&table, &store, Some(&cache), &Null).expect("stores the table").root;
    Pointer::new(&root, None).write(&Pointer::beside(&table)).expect("writes the pointer");
    project
}

fn model(report: &Value) -> String {
    report["outputs"]["model"].as_str().unwrap_or_else(|| panic!("no model in {report}")).to_owned()
}

#[test]
fn a_model_is_trained_once_and_then_offered() {
    let project = project(4);
    let text = ok(project.path(), &["train", "--dry-run"]);
    assert!(text.contains("linear") && text.contains("points") && text.contains("195"), "{text}");
    let first = project.json(&["train"], 0)["runs"][0].clone();
    assert_eq!((first["state"].as_str(), first["cached"].as_bool()), (Some("succeeded"), Some(false)));
    assert!(first["metrics"]["val.accuracy"].as_f64() > Some(0.4), "{first}");
    let again = project.json(&["train"], 0)["runs"][0].clone();
    assert_eq!((again["run"].clone(), again["cached"].as_bool()), (first["run"].clone(), Some(true)));
    assert!(ok(project.path(), &["train"]).contains("already done"));
    assert!(ok(project.path(), &["train", "--dry-run"]).contains("already done"));
    let forced = project.json(&["train", "--force"], 0)["runs"][0].clone();
    assert_ne!(forced["run"], first["run"]);
    assert_eq!(model(&forced), model(&first), "the same plan gives the same bits");
    let other = project.json(&["train", "--seed", "4"], 0)["runs"][0].clone();
    assert_ne!(model(&other), model(&first));
}

#[test]
fn the_number_of_threads_changes_neither_plan_nor_weights() {
    let project = project(2);
    let one = project.json(&["train", "--threads", "1"], 0)["runs"][0].clone();
    let two = project.json(&["train", "--threads", "2", "--force"], 0)["runs"][0].clone();
    assert_eq!((one["plan"].clone(), model(&one)), (two["plan"].clone(), model(&two)));
}

#[test]
fn the_end_of_a_training_shows_its_curve() {
    let project = project(3);
    let text = ok(project.path(), &["train"]);
    assert!(text.contains("succeeded") && text.contains("loss") && text.contains("epoch 3"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(ok(project.path(), &["runs", "logs"]).contains("epoch  3"));
}

#[test]
fn the_curves_are_drawn_beside_the_model_and_the_same_each_time() {
    let project = project(3);
    let first = project.json(&["train"], 0)["runs"][0].clone();
    let show = project.json(&["runs", "show"], 0);
    let names: Vec<&str> =
        show["files"].as_array().expect("files").iter().filter_map(|file| file["path"].as_str()).collect();
    assert_eq!(names, ["curves.svg", "model/model.json", "model/model.safetensors", "model/sketches.json"]);
    assert_eq!(show["files"][0]["kind"], "plot");
    let drawn = ok(project.path(), &["runs", "show", "--file", "curves.svg"]);
    assert!(drawn.starts_with("<svg ") && drawn.contains("accuracy") && drawn.contains("epoch"), "{drawn}");
    let forced = project.json(&["train", "--force"], 0)["runs"][0].clone();
    assert_ne!(forced["run"], first["run"]);
    assert_eq!(ok(project.path(), &["runs", "show", "--file", "curves.svg"]), drawn);
    assert_eq!(model(&forced), model(&first), "a picture is no part of the model");
}

/// What `mlp ARGS` writes to a terminal of 60 columns.
#[cfg(target_os = "linux")]
fn in_a_terminal(project: &Project, args: &str) -> std::process::Child {
    let command = format!("stty cols 60 rows 24; exec {} {args}", env!("CARGO_BIN_EXE_mlp"));
    std::process::Command::new("script")
        .args(["-qefc", &command, "/dev/null"])
        .current_dir(project.path())
        .env("TERM", "xterm-256color")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("script (util-linux) starts")
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_shows_curves_speed_time_left_memory_and_checkpoint() {
    // How long the training must be for the view to know the time left depends on the machine.
    let in_time = |epochs: u32| {
        let project = project(epochs);
        let output = in_a_terminal(&project, "train").wait_with_output().expect("ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        (text.contains(" left") || epochs > 9 * LONG).then_some((project, text))
    };
    let (project, text) = [LONG, 3 * LONG, 10 * LONG].into_iter().find_map(in_time).expect("the last always");
    for part in ["% of all", " left", "samples/s", "memory ", "checkpoint ", "cpu ", "loss      train", "▁"]
    {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    // What stays on the screen fits it; the view itself is redrawn in place, without line ends.
    let plain = console::strip_ansi_codes(&text).into_owned();
    let stays = |line: &&str| line.starts_with("epoch ") || line.contains('┤') || line.contains('└');
    let staying: Vec<&str> = plain.split(['\n', '\r']).filter(stays).collect();
    assert!(staying.len() > 300, "{staying:?}");
    for line in staying {
        assert!(console::measure_text_width(line) <= 60, "{line}");
    }
    // In a pipe there are plain lines.
    let output = super::support::run(project.path(), &["train", "--force", "--set", "train.epochs=2"], 0);
    let piped = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        piped.contains("epoch  2  train.loss") && !piped.contains('\u{1b}') && !piped.contains("% of all"),
        "{piped}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_leaves_the_terminal_as_it_was() {
    let project = project(100 * LONG);
    let child = in_a_terminal(&project, "train");
    let events = project.job().join("events.jsonl");
    wait_for("some epochs", || {
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        (text.matches("\"val.loss\"").count() >= 50).then_some(())
    });
    let mlp = std::process::Command::new("pgrep")
        .args(["-P", &child.id().to_string()])
        .output()
        .expect("pgrep starts");
    let mlp = String::from_utf8_lossy(&mlp.stdout).trim().parse().expect("one process");
    signal("INT", mlp);
    let output = child.wait_with_output().expect("ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("stopping; Ctrl-C again ends it at once"), "{text}");
    let end = text.rfind("cancelled in").unwrap_or_else(|| panic!("{text}"));
    assert!(!text[end..].contains("% of all"), "the view is gone when the answer stands there: {text}");
    assert!(!text.contains("\u{1b}[?25l") || text.contains("\u{1b}[?25h"), "the cursor is there again");
}

#[test]
fn settings_that_do_not_fit_are_refused_before_anything_starts() {
    let project = project(2);
    let text = refused(project.path(), &["train", "--set", "train.epoch=3"], 2);
    assert!(text.contains("did you mean `train.epochs`?"), "{text}");
    refused(project.path(), &["train", "--set", "train.epochs=lots"], 2);
    let text = refused(project.path(), &["train", "smal"], 2);
    assert!(text.contains("did you mean `small`?"), "{text}");
    let text = refused(project.path(), &["train", "--set", "network.3.linear=0"], 2);
    assert!(text.contains("linear"), "{text}");
    assert!(!project.path().join(".git/mlp/jobs").exists());
    let text = ok(project.path(), &["train", "--set", "train.epochs=1", "--dry-run"]);
    assert!(text.contains("epochs 1"), "{text}");
}

#[test]
fn data_that_changed_must_be_added_first() {
    let project = project(2);
    project.write("data/points.csv", "x,y,class\n1,2,red\n");
    let text = refused(project.path(), &["train"], 2);
    assert!(text.contains("mlp data add"), "{text}");
}

#[test]
fn a_detached_training_ends_by_itself_and_is_recorded() {
    let project = project(3);
    let report = project.json(&["train", "--detach"], 0)["runs"][0].clone();
    assert_eq!(report["state"], "running");
    let ended = project.wait_for_state("succeeded");
    assert_eq!(ended["run"], report["run"]);
    let text = ok(project.path(), &["runs", "attach"]);
    assert!(text.contains("succeeded"), "{text}");
}

#[test]
fn a_detached_training_that_ended_unwatched_is_registered_promoted_and_shown() {
    for args in [&["model", "register", "small"][..], &["promote", "small", "--to", "candidate"], &["status"]]
    {
        let project = project(3);
        project.git(&["add", "-A"]);
        project.git(&["commit", "-qm", "begin"]);
        project.json(&["train", "small", "--detach"], 0);
        project.job_file("exit.json");
        let report = project.json(args, 0);
        assert!(project.job().join("recorded").exists(), "{args:?}: {report}");
        match args[0] {
            "model" => assert_eq!((&report["version"], &report["new"]), (&1.into(), &true.into())),
            "promote" => assert_eq!((&report["version"], &report["promoted"]), (&1.into(), &true.into())),
            _ => assert!(report["models"][0]["run"].is_string(), "{report}"),
        }
    }
}

const LONG: u32 = 400;

fn after_some_epochs(project: &Project, args: &[&str]) -> Child {
    let child = project.start(args);
    let events = project.job().join("events.jsonl");
    wait_for("some epochs", || {
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        (text.matches("\"val.loss\"").count() >= 5).then_some(())
    });
    child
}

/// A training that `stop` ended with this exit code after some epochs. How many epochs it must have for that not to come too
/// late depends on the machine, and on what else it does.
fn stopped(code: i32, stop: impl Fn(&Project, &Child)) -> Project {
    for epochs in [LONG, 4 * LONG, 16 * LONG] {
        let project = project(epochs);
        let mut child = project.start(&["train"]);
        let events = project.job().join("events.jsonl");
        wait_for("some epochs", || {
            let text = std::fs::read_to_string(&events).unwrap_or_default();
            (text.matches("\"val.loss\"").count() >= 5).then_some(())
        });
        stop(&project, &child);
        match child.wait().expect("ends").code() {
            Some(0) => {}
            found => {
                assert_eq!(found, Some(code));
                return project;
            }
        }
    }
    panic!("the training was faster each time");
}

/// Kills the process that a file of the job names, if it still lives.
fn kill(project: &Project, file: &str, process: &str) {
    // The supervisor notes its worker after it has started it.
    let pid = wait_for(process, || project.job_file(file)[process]["pid"].as_i64());
    let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).output();
}

fn unbroken(project: &Project) -> String {
    model(&project.json(&["train", "--force"], 0)["runs"][0])
}

#[test]
fn ctrl_c_stops_with_a_checkpoint_and_resume_ends_with_the_same_weights() {
    let project = stopped(130, |_, child| signal("INT", i64::from(child.id())));
    let stopped = project.json(&["runs", "show"], 0);
    assert_eq!(stopped["run"]["state"], "cancelled", "{stopped}");
    let resumed = project.json(&["runs", "resume"], 0);
    assert_eq!(resumed["run"]["state"], "succeeded");
    assert_eq!(resumed["run"]["run"], stopped["run"]["run"]);
    assert_eq!(model(&resumed["run"]), unbroken(&project));
}

#[test]
fn a_killed_training_goes_on_from_its_last_checkpoint_to_the_same_weights() {
    let project = stopped(1, |project, _| kill(project, "state.json", "worker"));
    let resumed = project.json(&["runs", "resume", "latest"], 0);
    assert_eq!(resumed["run"]["state"], "succeeded");
    assert_eq!(model(&resumed["run"]), unbroken(&project));
}

#[test]
fn a_training_whose_supervisor_and_worker_are_killed_is_lost_and_goes_on() {
    let project = stopped(3, |project, _| {
        kill(project, "sup.json", "process");
        kill(project, "state.json", "worker");
    });
    let resumed = project.json(&["runs", "resume", "latest"], 0);
    assert_eq!(model(&resumed["run"]), unbroken(&project));
}

#[test]
fn folds_are_trained_once_each_and_judged_by_the_model_that_did_not_see_them() {
    let project = project(3);
    let plans = project.json(&["train", "--folds", "3", "--dry-run"], 0)["plans"].clone();
    let plans = plans.as_array().expect("plans");
    assert_eq!((plans.len(), &plans[1]["fold"]), (3, &serde_json::json!({"number": 2, "of": 3})));
    let first = project.json(&["train", "--folds", "3"], 0);
    let runs = first["runs"].as_array().expect("runs");
    assert!(runs.iter().all(|run| run["task"] == "fold" && run["state"] == "succeeded"), "{first}");
    let plan = |report: &Value| report["plan"].as_str().expect("a plan").to_owned();
    assert_eq!(runs.iter().map(plan).collect::<Vec<_>>(), plans.iter().map(plan).collect::<Vec<_>>());
    let folds = &first["folds"][0];
    assert_eq!((&folds["model"], &folds["folds"]), (&"small".into(), &3.into()));
    let accuracy = &folds["metrics"]["accuracy"];
    let values: Vec<f64> =
        accuracy["values"].as_array().expect("values").iter().filter_map(Value::as_f64).collect();
    let mean = values.iter().sum::<f64>() / 3.0;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let number = |key: &str| accuracy[key].as_f64().expect("a number");
    assert!((number("mean") - mean).abs() < 1e-12 && (number("std") - (squares / 2.0).sqrt()).abs() < 1e-12);
    // What training measured on the fold it left out is what was evaluated.
    for (run, value) in runs.iter().zip(&values) {
        assert!((run["metrics"]["val.accuracy"].as_f64().expect("a number") - value).abs() < 1e-9, "{run}");
    }
    // What was trained on folds is nobody's model.
    let error = refused(project.path(), &["eval", "small"], 2);
    assert!(error.contains("mlp train small"), "{error}");
    refused(project.path(), &["model", "register", "small"], 2);
    // No example is in two folds, nor in the test; together they are all the rest.
    let store = Local::open(&project.path().join(".git/mlp/store")).expect("opens the store");
    let keys = |id: &Value| -> Vec<String> {
        let id = id.as_str().expect("a digest").parse().expect("a digest");
        let record = store.record::<mlp::base::Evaluation>(&id).expect("an evaluation");
        let lines = store.read(&record.body.predictions).expect("predictions");
        let key = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("is JSON");
            line["key"].as_str().expect("a key").to_owned()
        };
        String::from_utf8(lines).expect("is text").lines().map(key).collect()
    };
    let mut parts: Vec<Vec<String>> =
        folds["evaluations"].as_array().expect("evaluations").iter().map(keys).collect();
    project.json(&["train"], 0);
    parts.push(keys(&project.json(&["eval", "small"], 0)["evaluation"]));
    assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 300);
    let mut owners = std::collections::BTreeMap::new();
    for (part, key) in
        parts.iter().enumerate().flat_map(|(part, keys)| keys.iter().map(move |key| (part, key)))
    {
        assert_eq!(*owners.entry(key).or_insert(part), part, "{key} is in two parts");
    }

    let again = project.json(&["train", "--folds", "3"], 0);
    assert!(again["runs"].as_array().expect("runs").iter().all(|run| run["cached"] == true), "{again}");
    assert_eq!(again["folds"], first["folds"]);
    let text = ok(project.path(), &["train", "--folds", "3"]);
    assert!(text.contains("small over 3 folds") && text.contains("DEVIATION"), "{text}");
    assert!(ok(project.path(), &["runs", "ls"]).contains("small 2/3"));
    // Another number of folds is another question.
    let other = project.json(&["train", "--folds", "2", "--dry-run"], 0);
    assert!(other["plans"].as_array().expect("plans").iter().all(|plan| plan["done"].is_null()), "{other}");
    assert!(refused(project.path(), &["train", "--folds", "1"], 2).contains("2..=100"));
}

#[test]
fn a_fold_that_was_stopped_is_resumed_and_the_others_follow() {
    let project = project(LONG);
    let mut child = after_some_epochs(&project, &["train", "--folds", "2"]);
    signal("INT", i64::from(child.id()));
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let stopped = project.json(&["runs", "show"], 0)["run"].clone();
    assert_eq!((&stopped["state"], &stopped["task"]), (&"cancelled".into(), &"fold".into()));
    let resumed = project.json(&["runs", "resume"], 0)["run"].clone();
    assert_eq!((&resumed["state"], &resumed["run"]), (&"succeeded".into(), &stopped["run"]));
    let all = project.json(&["train", "--folds", "2"], 0);
    assert_eq!((&all["runs"][0]["run"], &all["runs"][0]["cached"]), (&stopped["run"], &true.into()));
    assert_eq!(all["runs"][1]["cached"], false);
    // The fold was not forgotten on the way: the same numbers as without a break.
    let unbroken = project.json(&["train", "--folds", "2", "--force"], 0);
    assert_eq!(unbroken["folds"][0]["metrics"], all["folds"][0]["metrics"]);
    assert_eq!(unbroken["runs"][0]["metrics"]["val.loss"], resumed["metrics"]["val.loss"]);
}
