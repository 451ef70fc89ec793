//! `mlp reproduce`: training again from a record.

use mlp::base::{Digest, Record, Reproduction, Run};
use mlp::infrastructure::store::Local;
use mlp::platform::run::publish;
use serde_json::Value;

use super::support::hosts::Hosts;
use super::support::project::Project;
use super::support::{ok, refused, run};

fn project() -> Project {
    let project = Project::new(
        "data:\n  points: {path: data/points.csv, format: csv, target: class}\n\
         models:\n  sides: {data: points, network: [{linear: 8}, batch_norm, relu, {dropout: 0.2}, output], \
         train: {epochs: 3, batch_size: 16}}\n",
    );
    project.write("data/points.csv", &points(7));
    ok(project.path(), &["data", "add", "points"]);
    commit(&project);
    project
}

fn points(seed: u32) -> String {
    let line = |n: u32| {
        let (x, y) = (n.wrapping_mul(7919 + seed) % 97, n.wrapping_mul(104_729) % 89);
        format!("{x},{y},{}\n", if x > y { "right" } else { "left" })
    };
    "x,y,class\n".to_owned() + &(0..200).map(line).collect::<String>()
}

fn commit(project: &Project) {
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "Change"]);
}

fn store(project: &Project) -> Local {
    Local::open(&project.path().join(".git/mlp/store")).expect("opens")
}

fn record(project: &Project, run: &Value) -> (Digest, Record<Run>) {
    let id: Digest = run["record"].as_str().expect("a record").parse().expect("a digest");
    (id, store(project).record(&id).expect("reads"))
}

#[test]
fn a_version_is_trained_again_to_the_same_weights_whatever_the_threads_and_mlp_yaml_say() {
    let project = project();
    let first = project.json(&["train", "sides", "--threads", "1"], 0)["runs"][0].clone();
    ok(project.path(), &["model", "register", "sides"]);

    let text = ok(project.path(), &["reproduce", "sides@1", "--dry-run"]);
    assert!(text.contains("the same weights are to be expected") && text.contains("seed 0"), "{text}");
    let text = ok(project.path(), &["reproduce", "sides", "--threads", "2"]);
    assert!(text.contains("sides@1 trained again as run") && text.contains(": identical"), "{text}");

    // The project went on: other settings, other data, another name for the file.
    let yaml = project
        .read("mlp.yaml")
        .replace("epochs: 3", "epochs: 1, seed: 5")
        .replace("{linear: 8}", "{linear: 4}");
    project.write(
        "mlp.yaml",
        &yaml.replace("points.csv, format: csv", "points.csv, format: csv, split: {val: 0.3}"),
    );
    project.write("data/points.csv", &points(9));
    ok(project.path(), &["data", "add", "points"]);
    commit(&project);
    let again = project.json(&["reproduce", "sides@1", "--threads", "3"], 0);
    assert_eq!((&again["outcome"], &again["model"]), (&"identical".into(), &"sides@1".into()), "{again}");
    assert_eq!(again["run"]["task"], "reproduction");
    assert!(!project.job().join("in").exists(), "the data of then were laid out for a while");

    // The answer is kept as evidence, and the run that gave it is no news of the model's.
    let id: Digest = again["record"].as_str().expect("a record").parse().expect("a digest");
    let kept: Record<Reproduction> = store(&project).record(&id).expect("is kept");
    assert!(kept.body.identical && kept.body.changed.is_empty(), "{kept:?}");
    assert_eq!(kept.body.run.to_string(), first["record"].as_str().expect("a record"));
    assert_eq!(kept.body.metrics["train.loss"].then, kept.body.metrics["train.loss"].now);
    let text = ok(project.path(), &["model", "show", "sides"]);
    assert_eq!(text.matches("reproduced").count(), 2, "{text}");
    assert!(text.contains("identical, 2"), "{text}");
    let text = ok(project.path(), &["model", "register", "sides"]);
    assert!(text.contains("was registered before"), "{text}");
    let text = ok(project.path(), &["runs", "ls"]);
    assert!(text.contains("sides (again)"), "{text}");
    let reproduction = again["run"]["run"].as_str().expect("a run");
    let text = refused(project.path(), &["reproduce", "--run", reproduction], 2);
    assert!(text.contains("run::not-reproducible") && text.contains("reproduction"), "{text}");
}

#[test]
fn what_was_not_the_same_is_named_where_weights_diverge() {
    let project = project();
    let trained = project.json(&["train", "sides"], 0)["runs"][0].clone();
    let (_, honest) = record(&project, &trained);
    let other = project.json(&["train", "sides", "--seed", "9"], 0)["runs"][0].clone();
    let (_, other) = record(&project, &other);

    // A run on another machine by another mlp, which made other weights.
    let mut foreign = honest.clone();
    foreign.body.run = mlp::base::Id::new();
    foreign.body.binary = Digest::of(b"another mlp");
    foreign.body.device = "cpu z80".to_owned();
    foreign.body.outputs.clone_from(&other.body.outputs);
    let metric = foreign.body.metrics.get_mut("train.loss").expect("is there");
    *metric += 0.25;
    publish(&store(&project), &foreign, "sides", &[]).expect("publishes");
    let id = foreign.body.run.to_string();
    let text = ok(project.path(), &["reproduce", "--run", &id, "--dry-run"]);
    assert!(text.contains("cpu z80") && text.contains("binary"), "{text}");
    let output = run(project.path(), &["reproduce", "--run", &id], 1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in ["diverged", "binary", "device", "cpu z80", "train.loss moved most, by 0.25"] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    let again = project.json(&["reproduce", "--run", &id, "--tolerance", "0.3"], 0);
    assert_eq!(again["outcome"], "within_tolerance", "{again}");
    assert_eq!(again["reproduction"]["changed"]["device"]["then"], "cpu z80");
    let again = project.json(&["reproduce", "--run", &id, "--tolerance", "0.2"], 1);
    assert_eq!(again["outcome"], "diverged");

    // Somebody says of other files that this training makes them.
    let mut forged = honest.clone();
    forged.body.run = mlp::base::Id::new();
    forged.body.outputs.clone_from(&other.body.outputs);
    publish(&store(&project), &forged, "sides", &[]).expect("publishes");
    let output = run(project.path(), &["reproduce", "--run", &forged.body.run.to_string()], 1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("the files are not what this training makes"), "{text}");

    // Or changes a setting of the record.
    let mut changed = honest;
    changed.body.run = mlp::base::Id::new();
    changed.body.config["config"]["model"]["train"]["epochs"] = 2.into();
    publish(&store(&project), &changed, "sides", &[]).expect("publishes");
    let found = project.json(&["reproduce", "--run", &changed.body.run.to_string()], 1);
    assert_eq!(found["reproduction"]["changed"]["plan"]["then"], changed.body.plan.to_string(), "{found}");
}

#[test]
fn a_fine_tuned_model_is_trained_again_from_the_version_that_it_began_with() {
    let project = Project::new(
        "data:\n  points: {path: data/points.csv, format: csv, target: class}\n\
         models:\n  \
         base: {data: points, network: [{linear: 8}, relu, output], train: {epochs: 1, batch_size: 16}}\n  \
         tuned: {data: points, network: [{linear: 8}, relu, output], \
         train: {epochs: 1, batch_size: 16, init: {from: base}}}\n  \
         filed: {data: points, network: [{linear: 8}, relu, output], \
         train: {epochs: 1, batch_size: 16, init: {from: weights/base.safetensors}}}\n",
    );
    project.write("data/points.csv", &points(7));
    ok(project.path(), &["data", "add", "points"]);
    commit(&project);
    let base = project.json(&["train", "base"], 0)["runs"][0].clone();
    ok(project.path(), &["model", "register", "base"]);
    let id = base["run"].as_str().expect("an id");
    let bytes = run(project.path(), &["runs", "show", id, "--file", "model/model.safetensors"], 0).stdout;
    std::fs::create_dir(project.path().join("weights")).expect("makes a folder");
    let file = project.path().join("weights/base.safetensors");
    std::fs::write(&file, bytes).expect("writes");
    project.json(&["train", "tuned", "filed"], 0);
    ok(project.path(), &["model", "register", "tuned"]);
    ok(project.path(), &["model", "register", "filed"]);

    // The newest version of what it began with is another one now, and the file is gone.
    project.json(&["train", "base", "--seed", "3"], 0);
    ok(project.path(), &["model", "register", "base"]);
    std::fs::remove_file(file).expect("removes");
    for model in ["tuned", "filed"] {
        assert_eq!(project.json(&["reproduce", model], 0)["outcome"], "identical", "{model}");
    }
}

#[test]
fn what_cannot_be_done_again_is_said() {
    let project = project();
    let text = refused(project.path(), &["reproduce", "sides"], 2);
    assert!(text.contains("mlp"), "{text}");
    let text = refused(project.path(), &["reproduce", "sidse"], 2);
    assert!(text.contains("sides"), "{text}");
    refused(project.path(), &["reproduce"], 2);
    refused(project.path(), &["reproduce", "sides", "--tolerance", "-1"], 2);

    // The data are neither in the work tree nor in the store.
    let trained = project.json(&["train", "sides"], 0)["runs"][0].clone();
    let (_, mut gone) = record(&project, &trained);
    gone.body.run = mlp::base::Id::new();
    gone.body.data.insert("points".to_owned(), Digest::of(b"gone"));
    publish(&store(&project), &gone, "sides", &[]).expect("publishes");
    let text = refused(project.path(), &["reproduce", "--run", &gone.body.run.to_string()], 3);
    assert!(text.contains("run::gone") && text.contains("`points`") && text.contains("push"), "{text}");

    // A step has a program of its own.
    let steps = "steps:\n  greet: {run: \"echo hello\"}\n";
    project.write("mlp.yaml", &(project.read("mlp.yaml") + steps));
    ok(project.path(), &["run", "greet"]);
    let text = refused(project.path(), &["reproduce", "--run", "greet"], 2);
    assert!(text.contains("mlp run --force greet"), "{text}");
}

#[test]
fn another_clone_fetches_what_it_needs_and_trains_the_same() {
    let project = project();
    let shared = tempfile::TempDir::new().expect("makes a folder");
    let stores = format!("stores:\n  main: {{url: \"fs://{}\"}}\n", shared.path().join("store").display());
    project.write("mlp.yaml", &(project.read("mlp.yaml") + &stores));
    commit(&project);
    project.json(&["train", "sides"], 0);
    ok(project.path(), &["model", "register", "sides"]);
    ok(project.path(), &["data", "push"]);

    let clone = shared.path().join("clone");
    project.git(&["clone", "-q", ".", clone.to_str().expect("is text")]);
    let output = run(&clone, &["reproduce", "sides@1"], 0);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains("fetching points b3:") && text.contains(": identical"), "{text}");
}

#[test]
fn a_version_is_trained_again_on_a_host_also_without_its_data_here() {
    let (hosts, project) = (Hosts::new(), project());
    hosts.of(&project, &["h1"]);
    project.json(&["train", "sides"], 0);
    ok(project.path(), &["model", "register", "sides"]);
    project.write("data/points.csv", &points(9));
    let again = project.json(&["reproduce", "sides@1", "--on", "h1"], 0);
    assert_eq!(again["outcome"], "identical", "{again}");
    std::fs::remove_file(project.path().join("data/points.csv")).expect("removes");
    let again = project.json(&["reproduce", "sides@1", "--on", "h1"], 0);
    assert_eq!(again["outcome"], "identical", "{again}");
    assert_eq!(std::fs::read_dir(hosts.root("h1").join("jobs")).expect("lists").count(), 2);
    let text = ok(project.path(), &["reproduce", "--run", "latest"]);
    assert!(text.contains(": identical"), "the newest training is meant, and no reproduction: {text}");
    let said = refused(project.path(), &["reproduce", "sides@1", "--on", "h2"], 2);
    assert!(said.contains("h2"), "{said}");
}
