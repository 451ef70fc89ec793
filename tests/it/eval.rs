//! `mlp eval`: from data and a training run to evidence.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::hosts::Hosts;
use crate::support::project::Project;
use crate::support::serving::{SIDE, git, image};
use crate::support::{mlp, ok, refused};

const MANIFEST: &str = "\
mlp: 1
project: {name: stripes, id: 01jd3q0000000000000000000a, profile: research}
data:
  stripes: {path: data/stripes, format: idx}
models:
  stripes:
    data: stripes
    input: {shape: [1, 8, 8]}
    network: [flatten, {linear: 16}, relu, {linear: 3}]
    train: {epochs: 10, batch_size: 16, optimizer: {adamw: {lr: 0.01}}}
    evaluate: {metrics: [accuracy, ece, top_2_accuracy], slices: {by: label}}
stages:
  production: {}
";

/// Images and labels of `count` examples as the two IDX files of a part.
fn part(folder: &Path, part: &str, count: usize, from: usize) {
    let mut images = vec![0, 0, 8, 3];
    for length in [count, SIDE, SIDE] {
        images.extend((length as u32).to_be_bytes());
    }
    let mut labels = vec![0, 0, 8, 1];
    labels.extend((count as u32).to_be_bytes());
    for index in 0..count {
        images.extend(image(index % 3, from + index));
        labels.push((index % 3) as u8);
    }
    std::fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).expect("writes images");
    std::fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).expect("writes labels");
}

/// A project whose data are added and committed.
fn project() -> TempDir {
    let folder = TempDir::new().expect("makes a folder");
    let data = folder.path().join("data/stripes");
    std::fs::create_dir_all(&data).expect("makes the dataset's folder");
    part(&data, "train", 240, 0);
    part(&data, "t10k", 60, 5000);
    std::fs::write(folder.path().join("mlp.yaml"), MANIFEST).expect("writes the project file");
    std::fs::write(folder.path().join(".gitignore"), ".test-gitconfig\n/data/stripes/\n").expect("writes");
    git(folder.path(), &["init", "-q", "-b", "main"]);
    ok(folder.path(), &["data", "add", "stripes"]);
    git(folder.path(), &["add", "-A"]);
    git(
        folder.path(),
        &["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "begin"],
    );
    folder
}

fn eval(folder: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["eval", "--json"], arguments].concat();
    serde_json::from_str(&ok(folder, &arguments)).expect("is one JSON document")
}

#[test]
fn a_run_is_evaluated_once_and_every_prediction_is_kept() {
    let folder = project();
    let folder = folder.path();
    let nothing = refused(folder, &["eval"], 2);
    assert!(nothing.contains("mlp train stripes"), "{nothing}");
    ok(folder, &["train", "stripes"]);

    let first = eval(folder, &[]);
    assert_eq!(first["schema"], "mlp/eval/1");
    assert_eq!(
        (&first["part"], &first["examples"], &first["reused"]),
        (&"test".into(), &60.into(), &false.into())
    );
    let accuracy = &first["metrics"]["accuracy"];
    let number = |key: &str| accuracy[key].as_f64().expect("a number");
    assert!(number("lower") <= number("value") && number("value") <= number("upper"), "{accuracy}");
    assert!(number("value") > 0.9 && number("lower") < 1.0, "{accuracy}");
    assert_eq!(first["slices"].as_array().expect("slices").len(), 3);
    let counts = first["confusion"]["counts"].as_array().expect("a confusion matrix");
    let sum = |row: &Value| row.as_array().expect("a row").iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(counts.iter().map(sum).collect::<Vec<_>>(), [20, 20, 20]);

    // What is told of each class and of each confidence adds up to the same answers.
    for name in
        ["balanced_accuracy", "macro_recall", "weighted_f1", "micro_f1", "mcc", "auc", "brier", "log_loss"]
    {
        let estimate = &first["metrics"][name];
        let [lower, value, upper] =
            ["lower", "value", "upper"].map(|key| estimate[key].as_f64().expect(name));
        assert!(lower <= value && value <= upper, "{name}: {estimate}");
    }
    assert_eq!(first["metrics"]["top_2_accuracy"]["value"], 1.0, "the truth is always among the first two");
    let classes = first["per_class"].as_array().expect("classes");
    assert!(classes.iter().all(|class| class["support"] == 20 && class["metrics"]["recall"].is_object()));
    let bins = first["calibration"].as_array().expect("bins");
    assert_eq!(bins.iter().filter_map(|bin| bin["examples"].as_u64()).sum::<u64>(), 60);
    let right: f64 = bins
        .iter()
        .filter_map(|bin| Some(bin["examples"].as_f64()? * bin["accuracy"]["value"].as_f64()?))
        .sum();
    assert!((right / 60.0 - number("value")).abs() < 1e-9, "{bins:?}");

    let store = mlp::infrastructure::store::Local::open(&folder.join(".git/mlp/store")).expect("opens");
    let digest = first["predictions"].as_str().and_then(|text| text.parse().ok()).expect("a digest");
    let lines = String::from_utf8(store.read(&digest).expect("the predictions are kept")).expect("is text");
    let predictions: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(predictions.len(), 60);
    let right = predictions.iter().filter(|prediction| prediction["label"] == prediction["truth"]).count();
    assert!((right as f64 / 60.0 - number("value")).abs() < 1e-9);
    assert!(predictions.iter().all(|prediction| prediction["key"].is_string()));

    let again = eval(folder, &["stripes"]);
    assert_eq!((&again["reused"], &again["evaluation"]), (&true.into(), &first["evaluation"]));
    let forced = eval(folder, &["stripes", "--force"]);
    assert_eq!(forced["reused"], false);
    assert_eq!(forced["predictions"], first["predictions"]);
    let by_run = eval(folder, &["--run", "latest"]);
    assert_eq!(by_run["evaluation"], forced["evaluation"]);
    assert_eq!(eval(folder, &["--part", "val"])["part"], "val");

    // Every run of these files has the picture beside it; the same numbers give the same bytes.
    let beside = first["pictures"][0].as_str().expect("a picture");
    let (jobs, own) = (folder.join(".git/mlp/jobs"), folder.join("confusion.svg"));
    assert!(Path::new(beside).starts_with(&jobs) && beside.ends_with("/evaluation-test.svg"), "{beside}");
    let drawn = std::fs::read(beside).expect("is there");
    ok(folder, &["eval", "stripes", "--plot", "confusion.svg"]);
    assert_eq!(std::fs::read(&own).expect("is there"), drawn);
    assert!(String::from_utf8(drawn).expect("is text").starts_with("<svg "));

    let text = ok(folder, &["eval", "stripes"]);
    for word in [
        "accuracy",
        "95 % INTERVAL",
        "WORST BY LABEL",
        "Confusion matrix",
        "Reliability",
        "SUPPORT",
        "60 examples",
    ] {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
}

#[test]
fn corrupted_inputs_are_judged_when_asked_for_and_the_same_each_time() {
    let folder = project();
    let folder = folder.path();
    ok(folder, &["train", "stripes"]);
    let plain = eval(folder, &["stripes"]);
    assert!(plain["metrics"]["mean_corruption_error"].is_null());
    let first = eval(folder, &["stripes", "--corruptions"]);
    assert_eq!(first["reused"], false, "the first evaluation has no corruptions");
    let slices = |report: &Value| -> Vec<Value> {
        let all = report["slices"].as_array().expect("slices").iter();
        all.filter(|slice| slice["by"] == "corruption").cloned().collect()
    };
    let corrupted = slices(&first);
    assert_eq!(corrupted.len(), 9 * 5);
    assert_eq!((&corrupted[2]["value"], &corrupted[2]["examples"]), (&"gaussian_noise 3".into(), &60.into()));
    let accuracy = |slice: &Value| slice["metrics"]["accuracy"]["value"].as_f64().expect("a number");
    let error = &first["metrics"]["mean_corruption_error"];
    let mean = corrupted.iter().map(|slice| 1.0 - accuracy(slice)).sum::<f64>() / 45.0;
    assert!((error["value"].as_f64().expect("a number") - mean).abs() < 1e-9, "{error}");
    assert!(error["lower"].as_f64() <= Some(mean) && error["upper"].as_f64() >= Some(mean), "{error}");
    let worst = corrupted.iter().map(accuracy).fold(1.0, f64::min);
    assert!(worst < accuracy(&plain), "some corruption must hurt, but the worst is {worst}");
    // What is found without them stays as it was.
    assert_eq!(first["metrics"]["accuracy"], plain["metrics"]["accuracy"]);
    assert_eq!(first["predictions"], plain["predictions"]);
    assert_eq!(eval(folder, &["stripes", "--corruptions"])["reused"], true);
    let forced = eval(folder, &["stripes", "--corruptions", "--force"]);
    assert_eq!(slices(&forced), corrupted);
    let text = ok(folder, &["eval", "stripes", "--corruptions"]);
    assert!(
        text.contains("Robustness") && text.contains("pixelate") && text.contains("SEVERITY 1"),
        "{text}"
    );
    // The model's own choice.
    let chosen = MANIFEST.replace("slices: {by: label}", "slices: {by: label}, corruptions: [rotate]");
    std::fs::write(folder.join("mlp.yaml"), chosen).expect("writes the project file");
    let chosen = eval(folder, &["stripes", "--force"]);
    assert_eq!(slices(&chosen), corrupted[40..]);
    let wrong = MANIFEST.replace("slices: {by: label}", "corruptions: [missing]");
    std::fs::write(folder.join("mlp.yaml"), wrong).expect("writes the project file");
    let error = refused(folder, &["eval", "stripes"], 2);
    assert!(
        error.contains("`evaluate.corruptions` cannot be `missing`") && error.contains("rotate"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_evaluated_is_named() {
    let folder = project();
    let folder = folder.path();
    for (arguments, word) in [
        (["eval", "stripe"].as_slice(), "did you mean `stripes`?"),
        (&["eval", "stripes@production"], "model::nothing-live"),
        (&["eval", "--run", "zzz"], "run::unknown"),
        (&["eval", "stripes", "--part", "all"], "possible values"),
        (&["eval", "stripes", "--plot", "picture.png"], "write `picture.svg`"),
    ] {
        let error = refused(folder, arguments, 2);
        assert!(error.contains(word), "{arguments:?}: {error}");
    }
    ok(folder, &["train", "stripes", "--folds", "2", "--set", "train.epochs=1"]);
    let error = refused(folder, &["eval", "--run", "latest"], 2);
    assert!(error.contains("run::no-model") && error.contains("its task is `fold`"), "{error}");
    ok(folder, &["train", "stripes"]);
    let other = MANIFEST.replace("metrics: [accuracy, ece,", "metrics: [rmse, accuracy,");
    std::fs::write(folder.join("mlp.yaml"), other).expect("writes the project file");
    let output = mlp(folder).args(["eval", "stripes"]).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("`rmse`, which `evaluate.metrics` asks for"), "{said}");
    std::fs::write(folder.join("mlp.yaml"), MANIFEST).expect("writes the project file");
    part(&folder.join("data/stripes"), "t10k", 30, 9000);
    let error = refused(folder, &["eval", "stripes"], 2);
    assert!(error.contains("data::modified") && error.contains("mlp data add stripes"), "{error}");
    let output = mlp(folder).args(["eval", "stripes", "--json"]).output().expect("starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains("data::modified"));
}

#[test]
fn texts_are_judged_with_tokens_missing_and_in_the_wrong_order() {
    let project = Project::new(
        "data:\n  words: {path: data/words, format: text, length: 24}\n\
         models:\n  letters: {data: words, network: [{embedding: {tokens: 257, size: 8, padding: 0}}, global_avg_pool, output], \
         train: {epochs: 20, batch_size: 16, optimizer: {adamw: {lr: 0.05}}}}\n",
    );
    let lines = |word: &str| (0..60).map(|n| format!("{word} {} {word}\n", n * 37 % 100)).collect::<String>();
    project.write("data/words/bees.txt", &lines("bumble"));
    project.write("data/words/cats.txt", &lines("tomcat"));
    ok(project.path(), &["data", "add", "words"]);
    ok(project.path(), &["train", "letters"]);
    let report = project.json(&["eval", "letters", "--corruptions"], 0);
    let slices = report["slices"].as_array().expect("slices");
    let values: Vec<&str> = slices.iter().filter_map(|slice| slice["value"].as_str()).collect();
    assert_eq!(values.len(), 10, "{values:?}");
    assert_eq!((values[0], values[9]), ("token_drop 1", "token_swap 5"));
    assert!(report["metrics"]["mean_corruption_error"]["value"].is_number());
    let again = project.json(&["eval", "letters", "--corruptions", "--force"], 0);
    assert_eq!(again["slices"], report["slices"]);
    let text = refused(project.path(), &["train", "letters", "--set", "evaluate.corruptions=[rotated]"], 2);
    assert!(text.contains("rotate"), "{text}");
}

/// A model of a small table and a host to judge it on, trained here.
fn trained(hosts: &Hosts) -> Project {
    let project = Project::new(
        "data:\n  points: {path: data/points.csv, format: csv, target: class, split: {test: 0.2}}\n\
         models:\n  sides: {data: points, network: [{linear: 8}, relu, output], \
         train: {epochs: 2, batch_size: 16}, evaluate: {slices: {by: label}}}\n",
    );
    let line = |n: u32| {
        let (x, y) = (n.wrapping_mul(7919) % 97, n.wrapping_mul(104_729) % 89);
        format!("{x},{y},{}\n", if x > y { "right" } else { "left" })
    };
    project.write("data/points.csv", &("x,y,class\n".to_owned() + &(0..300).map(line).collect::<String>()));
    ok(project.path(), &["data", "add", "points"]);
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "Points"]);
    hosts.of(&project, &["h1"]);
    ok(project.path(), &["train", "sides"]);
    project
}

#[test]
fn a_host_gives_the_answer_that_this_machine_gives() {
    let hosts = Hosts::new();
    let project = trained(&hosts);
    let folder = project.path();
    ok(folder, &["model", "register", "sides"]);
    let plan = project.json(&["eval", "sides@1", "--dry-run"], 0);
    assert_eq!((&plan["schema"], &plan["done"]), (&"mlp/eval-plan/1".into(), &Value::Null), "{plan}");
    let there = project.json(&["eval", "sides@1", "--on", "h1"], 0);
    let here = project.json(&["eval", "sides@1", "--force"], 0);
    for answer in ["predictions", "metrics", "slices", "per_class", "confusion", "calibration", "examples"] {
        assert_eq!(there[answer], here[answer], "{answer}");
    }
    assert_ne!(there["evaluation"], here["evaluation"], "where it came from is told too");
    // Each is found again without a host, and a host's by its run where it was not filed.
    assert_eq!(project.json(&["eval", "sides@1", "--on", "h1"], 0)["reused"], true);
    let text = ok(folder, &["eval", "sides@1", "--on", "h1", "--part", "val", "--detach"]);
    assert!(text.contains("mlp runs attach"), "{text}");
    let text = ok(folder, &["eval", "sides@1", "--on", "h1", "--part", "val"]);
    assert!(text.contains("sides@1 on val of points"), "{text}");
    let text = ok(folder, &["runs", "ls"]);
    assert_eq!(text.matches("sides (evaluation)").count(), 2, "{text}");
    let newest = project.json(&["eval", "sides", "--dry-run"], 0);
    assert_eq!(newest["files"], plan["files"], "an evaluation is no newer training: {newest}");

    let said = refused(folder, &["eval", "sides", "--on", "test"], 2);
    assert!(said.contains("`--part test`"), "{said}");
    let said = refused(folder, &["eval", "sides", "--on", "h9"], 2);
    assert!(said.contains("h9") && said.contains("h1"), "{said}");
    let said = refused(folder, &["eval", "sides", "--detach"], 2);
    assert!(said.contains("--on"), "{said}");
}

#[test]
fn what_a_host_says_of_something_else_is_no_answer() {
    let hosts = Hosts::new();
    let project = trained(&hosts);
    let folder = project.path();
    project.json(&["eval", "sides", "--on", "h1"], 0);
    // The run of the next evaluation is there before it is asked for, with the answer to the one before.
    ok(folder, &["eval", "sides", "--on", "h1", "--part", "val", "--detach"]);
    let id = project.job();
    let id = id.file_name().expect("a name").to_string_lossy().into_owned();
    ok(folder, &["runs", "attach", &id]);
    let store = mlp::infrastructure::store::Local::open(&folder.join(".git/mlp/store")).expect("opens");
    let (_, record) = mlp::platform::run::runs(&store)
        .expect("lists")
        .into_iter()
        .find(|(_, record)| record.body.run.to_string() == id)
        .expect("is recorded");
    let (_, other) = mlp::platform::run::runs(&store)
        .expect("lists")
        .into_iter()
        .find(|(_, other)| other.body.task == "evaluation" && other.body.run != record.body.run)
        .expect("is recorded");
    let mut forged = record;
    forged.body.run = mlp::base::Id::new();
    forged.body.output = other.body.output;
    mlp::platform::run::publish(&store, &forged, "sides", &[]).expect("publishes");
    let said = refused(folder, &["eval", "sides", "--on", "h1", "--part", "val"], 3);
    assert!(said.contains("run::no-answer") && said.contains("another question"), "{said}");
    let answer = project.json(&["eval", "sides", "--on", "h1", "--part", "val", "--force"], 0);
    assert_eq!(answer["part"], "val");
}
