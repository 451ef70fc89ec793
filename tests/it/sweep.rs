//! `mlp sweep`: grids, chance, halving and outside optimisers, here, on hosts and in a queue.

use serde_json::Value;

use super::support::hosts::Hosts;
use super::support::project::{Project, signal, wait_for};
use super::support::slurm::Slurm;
use super::support::{mlp, ok, refused};

/// A table of two classes, added as a version, and a small network.
fn project(epochs: u32) -> Project {
    let project = Project::new(&format!(
        "data:\n  points: {{path: data/points.csv, format: csv, target: class, split: {{val: 0.3, test: 0.2}}}}\n\
         models:\n  small:\n    data: points\n    input: {{shape: [2]}}\n    \
         network: [{{linear: 8}}, relu, {{linear: 2}}]\n    \
         train: {{epochs: {epochs}, batch_size: 16, seed: 3, optimizer: {{adamw: {{lr: 0.01}}}}}}\n"
    ));
    let mut text = "x,y,class\n".to_owned();
    for n in 0..300_u32 {
        let noise = |seed: u32| f64::from(n.wrapping_mul(seed) % 97) / 97.0;
        let (x, y) = (f64::from(n % 2) * 0.7 + noise(7919), noise(104_729));
        text += &format!("{x:.4},{y:.4},{}\n", ["red", "green"][n as usize % 2]);
    }
    project.write("data/points.csv", &text);
    ok(project.path(), &["data", "add", "points"]);
    project
}

const LR: &str = "train.optimizer.adamw.lr=[0.0001, 0.03, 0.003]";
const ASHA: [&str; 10] = [
    "sweep",
    "--random",
    "9",
    "--seed",
    "5",
    "--asha",
    "--first",
    "50",
    "--over",
    "train.optimizer.adamw.lr={log: [1e-5, 0.1]}",
];

fn trials(report: &Value) -> &[Value] {
    report["trials"].as_array().map_or_else(|| panic!("no trials in {report}"), Vec::as_slice)
}

fn states(report: &Value) -> Vec<&str> {
    trials(report).iter().map(|trial| trial["state"].as_str().unwrap_or_default()).collect()
}

fn runs(project: &Project) -> usize {
    project.json(&["runs", "ls"], 0)["runs"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_grid_finds_the_best_and_is_not_trained_twice() {
    let project = project(4);
    let args = ["sweep", "--grid", "--over", LR, "--metric", "val.loss", "--set", "train.batch_size=8"];
    let dry = project.json(&[&args[..], &["--dry-run"]].concat(), 0);
    assert_eq!((states(&dry), runs(&project)), (vec!["waiting"; 3], 0));
    let report = project.json(&args, 0);
    assert_eq!(states(&report), ["done"; 3]);
    let values: Vec<f64> =
        trials(&report).iter().map(|trial| trial["value"].as_f64().expect("a value")).collect();
    assert!(values.is_sorted(), "the least loss is the first: {values:?}");
    assert_eq!(report["best"]["settings"]["train.optimizer.adamw.lr"], 0.03, "{report}");
    assert_eq!(ok(project.path(), &["runs", "ls"]).matches("small (trial)").count(), 3);
    let again = project.json(&args, 0);
    assert_eq!((again["best"]["run"].clone(), runs(&project)), (report["best"]["run"].clone(), 3));
    let text = ok(project.path(), &args);
    assert!(
        text.contains("--set 'train.batch_size=8' --set 'train.optimizer.adamw.lr=0.03'")
            && text.contains("mlp promote small --run "),
        "{text}"
    );
    // The same training by its settings is the same plan.
    let trained =
        project.json(&["train", "--set", "train.batch_size=8", "--set", "train.optimizer.adamw.lr=0.03"], 0);
    assert_eq!(
        (&trained["runs"][0]["cached"], &trained["runs"][0]["run"]),
        (&Value::Bool(true), &report["best"]["run"])
    );
}

#[test]
fn the_best_run_is_promoted_and_the_last_trial_is_not_taken_for_it() {
    let project = project(2);
    project.write("mlp.yaml", &format!("{}stages: {{staging: {{gates: {{}}}}}}\n", project.read("mlp.yaml")));
    project.git(&["add", "-A"]);
    project.git(&["commit", "-q", "-m", "all"]);
    let report = project
        .json(&["sweep", "--grid", "--over", LR, "--metric", "val.loss", "--set", "train.batch_size=8"], 0);
    let said = refused(project.path(), &["model", "register", "small"], 2);
    assert!(said.contains("no finished run"), "{said}");
    let best = report["best"]["run"].as_str().expect("a run");
    let said =
        refused(project.path(), &["promote", "small", "--run", best, "--to", "staging", "--dry-run"], 2);
    assert!(said.contains("mlp model register small --run"), "{said}");
    let promoted = project.json(&["promote", "small", "--run", best, "--to", "staging"], 0);
    assert_eq!(
        (&promoted["version"], &promoted["promoted"]),
        (&Value::from(1), &Value::Bool(true)),
        "{promoted}"
    );
    let shown = project.json(&["model", "show", "small@staging"], 0);
    assert!(shown.to_string().contains(best), "{shown}");
    let said = refused(project.path(), &["promote", "small@1", "--run", best, "--to", "staging"], 2);
    assert!(said.contains("name the model alone"), "{said}");
}

#[test]
fn halving_trains_few_to_the_end_and_those_to_the_weights_of_an_unbroken_run() {
    let project = project(1500);
    let report = project.json(&ASHA, 0);
    // How many a fast machine trains to the end before it is told to stop depends on the machine; the library's tests count.
    assert!(states(&report).contains(&"paused"), "{report}");
    let best = &report["best"];
    assert!(best["epochs"] == 1500, "{best}");
    let found = project.json(&["runs", "show", best["run"].as_str().expect("a run")], 0).to_string();
    let setting = format!("train.optimizer.adamw.lr={}", best["settings"]["train.optimizer.adamw.lr"]);
    let whole = project.json(&["train", "--set", &setting, "--force"], 0)["runs"][0].clone();
    let model = whole["outputs"]["model"].as_str().expect("a model");
    assert!(found.contains(model), "{found}\n{whole}");
    let before = runs(&project);
    let again = project.json(&ASHA, 0);
    assert_eq!((&again["best"]["value"], &again["best"]["settings"]), (&best["value"], &best["settings"]));
    assert_eq!(runs(&project), before);
}

#[test]
fn an_interrupted_sweep_goes_on_by_the_same_command() {
    let project = project(800);
    let args = ["sweep", "--grid", "--over", LR, "--parallel", "2", "--json"];
    let client = project.start(&args);
    let events = project.job().join("events.jsonl");
    wait_for("an epoch", || std::fs::read_to_string(&events).ok().filter(|text| text.contains("val.loss")));
    signal("INT", i64::from(client.id()));
    let output = client.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let first: Value = last(&output.stdout);
    assert_eq!(
        (first["ended"].as_str(), states(&first).contains(&"paused")),
        (Some("interrupted"), true),
        "{first}"
    );
    let report = project.json(&args[..6], 0);
    assert_eq!((states(&report), runs(&project)), (vec!["done"; 3], 3));
    let paused = trials(&first).iter().find(|trial| trial["state"] == "paused").expect("one was paused");
    assert!(trials(&report).iter().any(|trial| trial["run"] == paused["run"]), "it went on: {report}");
}

fn last(stdout: &[u8]) -> Value {
    let text = String::from_utf8_lossy(stdout);
    serde_json::from_str(text.lines().last().expect("a report")).expect("JSON")
}

#[test]
fn a_spent_budget_stops_with_checkpoints_and_a_failure_does_not_stop_the_others() {
    let project = project(100_000);
    let args = ["sweep", "--grid", "--over", "train.seed=[1, 2]", "--budget", "1s"];
    let report = project.json(&args, 1);
    assert_eq!(
        (report["ended"].as_str(), states(&report)),
        (Some("budget"), vec!["paused", "waiting"]),
        "{report}"
    );
    // Both who evaluates and who registers what was stopped hears how it is finished.
    let paused = trials(&report).iter().find(|trial| trial["run"].is_string()).expect("one was begun");
    let run = paused["run"].as_str().expect("a run");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "Begin"]);
    for args in [["eval", "--run", run].as_slice(), &["model", "register", "small", "--run", run]] {
        let said = refused(project.path(), args, 2);
        assert!(said.contains("mlp runs resume"), "{said}");
    }
    // What is left of it is less than the first command had.
    assert_eq!(project.json(&args, 1)["ended"], "budget");
    // Rates that are too high end in no number; they are only one trial of the grid.
    let set = ["--set", "train.epochs=3"];
    let args = ["sweep", "--grid", "--over", "train.optimizer={sgd: {lr: 0.01}}"];
    let said = refused(project.path(), &[&args[..], &set].concat(), 2);
    assert!(said.contains("run::space"), "{said}");
    let args = ["sweep", "--grid", "--over", "train.optimizer=[{sgd: {lr: 1.0e30}}, {sgd: {lr: 0.01}}]"];
    let report = project.json(&[&args[..], &set].concat(), 0);
    assert_eq!(states(&report), ["done", "failed"], "{report}");
    assert!(trials(&report)[1]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{report}");
}

#[test]
fn what_cannot_be_tried_is_said_before_anything_is_trained() {
    let project = project(2);
    let refuse = |args: &[&str], part: &str| {
        let said = refused(project.path(), &[&["sweep"], args].concat(), 2);
        assert!(said.contains(part), "{args:?}: {said}");
    };
    refuse(&["--over", LR], "--grid");
    refuse(&["--grid", "--over", "train.epoch=[1]"], "did you mean `train.epochs`?");
    refuse(&["--grid", "--over", "network.0.linear=[0]"], "needs at least one output");
    refuse(&["--grid", "--over", "train.seed={uniform: [1, 2]}"], "list of values");
    refuse(&["--random", "3", "--asha", "--over", "train.epochs=[1, 2]"], "same number");
    refuse(&["--grid", "--over", LR, "--metric", "accuracy"], "val.accuracy");
    refuse(&["--grid", "--over", LR, "--budget", "soon"], "soon");
    refuse(&["--grid", "--over", LR, "--metric", "val.rmse"], "do not tell it");
    refuse(&["--grid", "--over", LR, "--set", "train.optimizer.adamw.lr=0.1"], "one value for all trials");
    refuse(&["--grid"], "--over");
    let one_cycle = "train.schedule={one_cycle: {max_lr: 0.01}}";
    refuse(&["--grid", "--over", LR, "--set", one_cycle], "try `train.schedule.one_cycle.max_lr`");
    refuse(&["--ask", "cat", "--dry-run"], "--ask");
    refuse(&["other", "--grid", "--over", LR], "other");
    assert_eq!(runs(&project), 0);
}

/// Hill climbing in Python: doubles or halves the rate, keeps what was better, and stops what looks bad after an epoch.
const OPTIMISER: &str = r#"
import json, sys
rate, best, tried = 0.001, None, 0
proposed = {}
for line in sys.stdin:
    message = json.loads(line)
    if "ask" in message:
        tried += 1
        answer = {"done": True}
        if tried <= 4:
            proposed[message["ask"]["trial"]] = rate * 4 ** tried
            answer = {"set": {"train.optimizer.adamw.lr": rate * 4 ** tried}, "reports": True}
            if tried == 2:
                answer = {"set": {"train.optimizer.adam.lr": 1}}
        print(json.dumps(answer), flush=True)
    elif "report" in message:
        print(json.dumps({"stop": message["report"]["trial"] == 3}), flush=True)
    else:
        with open("told", "a") as told:
            told.write(json.dumps(message["tell"]) + "\n")
"#;

#[test]
fn an_optimiser_proposes_is_told_and_stops() {
    let project = project(300);
    project.write("made/optimise.py", OPTIMISER);
    let args = ["sweep", "--ask", "python3 made/optimise.py"];
    let report = project.json(&args, 0);
    let state = |number: u64| {
        let found = trials(&report).iter().find(|trial| trial["trial"] == number);
        found.unwrap_or_else(|| panic!("no trial {number} in {report}"))["state"].as_str()
    };
    assert_eq!(
        [1, 2, 3, 4].map(state),
        [Some("done"), Some("failed"), Some("stopped"), Some("done")],
        "{report}"
    );
    let told = project.read("told");
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(told.contains("\"value\"") && told.contains("adam"), "{told}");
    assert_eq!(runs(&project), 3);
    let again = project.json(&args, 0);
    assert_eq!(
        (&again["best"]["run"], runs(&project)),
        (&report["best"]["run"], 3),
        "what is known is not trained again"
    );
    // One that ends before its time leaves what it came to.
    let early = r#"read a; echo '{"set":{"train.epochs":1}}'; read t"#;
    let output = mlp(project.path()).args(["sweep", "--ask", early]).output().expect("mlp starts");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), shown.contains("best: trial 1")), (Some(2), true), "{shown}");
    let said = refused(project.path(), &["sweep", "--ask", "echo nonsense"], 2);
    assert!(said.contains("nonsense") && said.contains("run::optimiser"), "{said}");
}

#[test]
fn trials_are_trained_on_several_hosts_to_the_same_values() {
    let (hosts, project) = (Hosts::new(), project(3));
    hosts.of(&project, &["h1", "h2"]);
    let here = project.json(&["sweep", "--grid", "--over", LR], 0);
    let there = project.json(&["sweep", "--grid", "--over", LR, "--on", "h1,h2"], 0);
    assert_eq!(there["best"]["run"], here["best"]["run"], "the plan is the same, so that nothing is trained");
    let args = ["sweep", "--grid", "--over", "train.seed=[11, 12, 13, 14]"];
    let there = project.json(&[&args[..], &["--on", "h1,h2"]].concat(), 0);
    assert_eq!(states(&there), ["done"; 4]);
    let jobs = |host: &str| std::fs::read_dir(hosts.root(host).join("jobs")).map_or(0, Iterator::count);
    assert!(
        jobs("h1") > 0 && jobs("h2") > 0 && jobs("h1") + jobs("h2") == 4,
        "{} {}",
        jobs("h1"),
        jobs("h2")
    );
    let said = refused(project.path(), &[&args[..], &["--on", "h1", "--detach"]].concat(), 2);
    assert!(said.contains("only a queue"), "{said}");
}

#[test]
fn twenty_trials_are_an_array_of_which_three_are_at_work() {
    let slurm = Slurm::new();
    let project = project(3);
    let hosts = Hosts::of_slurm(&slurm);
    hosts.of(&project, &["hpc"]);
    hosts.config_with(project.path(), &["hpc"], ", slurm: {partition: main}");
    let over = format!("train.seed={:?}", (1..=20).collect::<Vec<_>>());
    let args = ["sweep", "--grid", "--over", &over, "--on", "hpc", "--parallel", "3"];
    let client = mlp(project.path()).args(args).args(["--detach", "--json"]).output().expect("mlp starts");
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    assert_eq!(last(&client.stdout)["ended"], "detached");
    // One array, which never has more than three tasks at work.
    let most = std::cell::Cell::new(0);
    wait_for("the array", || {
        let queue = slurm.ask("squeue", &["-h", "-r", "-o", "%F %T"]);
        let of = |state: &str| queue.lines().filter(|line| line.ends_with(state)).count();
        let arrays: std::collections::BTreeSet<&str> =
            queue.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(arrays.len() <= 1, "{queue}");
        most.set(most.get().max(of("RUNNING")));
        queue.trim().is_empty().then_some(())
    });
    assert!((1..=3).contains(&most.get()), "{most:?}");
    let report = project.json(&args, 0);
    assert_eq!((states(&report), runs(&project)), (vec!["done"; 20], 20));
    // The last task has the number of the array for its own: it is asked for by the other one.
    let here = project.json(&["train", "--seed", "20", "--force"], 0)["runs"][0].clone();
    let twentieth =
        trials(&report).iter().find(|trial| trial["settings"]["train.seed"] == 20).expect("the last");
    let there = project.json(&["runs", "show", twentieth["run"].as_str().expect("a run")], 0).to_string();
    assert!(there.contains(here["outputs"]["model"].as_str().expect("a model")), "{there}");
}
