//! `train.init`: trainings that begin with the tensors of a registered model or of a file.

use std::collections::HashMap;
use std::process::Command;

use candle_core::{Device, Tensor};
use mlp::base::Digest;
use mlp::infrastructure::store::Local;
use serde_json::Value;

use super::support::project::{Project, alive, signal, wait_for};
use super::support::{ok, refused, run};

/// Two tables of the same columns, of three and of four classes, and a model for each of the same body.
fn project(init: &str) -> Project {
    let network = "network: [{linear: 12}, batch_norm, relu, output]";
    let project = Project::new(&format!(
        "data:\n  \
         three: {{path: data/three.csv, format: csv, target: class}}\n  \
         four: {{path: data/four.csv, format: csv, target: class}}\n\
         models:\n  \
         base: {{data: three, {network}, train: {{epochs: 2, batch_size: 16}}}}\n  \
         tuned: {{data: four, {network}, train: {{epochs: 2, batch_size: 16, {init}}}}}\n"
    ));
    for (name, classes) in [("three", 3), ("four", 4)] {
        let mut text = "x,y,class\n".to_owned();
        for n in 0..160_u32 {
            let (x, y) = (n.wrapping_mul(7919) % 97, n.wrapping_mul(104_729) % 89);
            text += &format!("{x},{y},{}\n", ["red", "green", "blue", "black"][((x + y) % classes) as usize]);
        }
        project.write(&format!("data/{name}.csv"), &text);
        ok(project.path(), &["data", "add", name]);
    }
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "Begin"]);
    project
}

const HEADLESS: &str = "init: {from: base@candidate, except: [layers.4]}, freeze: [layers.1, layers.2]";
const OF_FILE: &str = "init: {from: weights/base.safetensors, except: [layers.4]}";

fn train(project: &Project, args: &[&str]) -> Value {
    project.json(&[&["train"], args].concat(), 0)["runs"][0].clone()
}

/// The tensors of the model that a run made.
fn tensors(project: &Project, run_id: &Value) -> HashMap<String, Tensor> {
    candle_core::safetensors::load_buffer(&file(project, run_id), &Device::Cpu).expect("tensors")
}

fn file(project: &Project, run_id: &Value) -> Vec<u8> {
    let id = run_id.as_str().expect("an identifier");
    run(project.path(), &["runs", "show", id, "--file", "model/model.safetensors"], 0).stdout
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|tensor| tensor.to_vec1()).expect("numbers")
}

fn record(project: &Project, run_id: &Value) -> Value {
    project.json(&["runs", "show", run_id.as_str().expect("an identifier")], 0)["record"].clone()
}

#[test]
fn a_model_is_tuned_from_a_registered_one_which_its_record_names() {
    let project = project(HEADLESS);
    let base = train(&project, &["base"]);
    // Nothing is live yet.
    let text = refused(project.path(), &["train", "tuned"], 2);
    assert!(text.contains("candidate"), "{text}");
    ok(project.path(), &["promote", "base", "--to", "candidate"]);
    let text = ok(project.path(), &["train", "tuned", "--dry-run"]);
    assert!(text.contains("begins with base@1"), "{text}");

    let tuned = train(&project, &["tuned"]);
    let (before, after) = (tensors(&project, &base["run"]), tensors(&project, &tuned["run"]));
    assert_eq!(after["layers.4.weight"].dims(), [4, 12]);
    let body: Vec<&String> = after.keys().filter(|name| !name.starts_with("layers.4.")).collect();
    assert_eq!(body.len(), 6, "{body:?}");
    for name in body {
        assert_eq!(values(&after[name]), values(&before[name]), "{name}");
    }

    // The record names the version and its tree, and rests on it.
    let record = record(&project, &tuned["run"]);
    let tree = &base["outputs"]["model"];
    assert_eq!(&record["body"]["data"]["base@1"], tree, "{record}");
    assert_eq!(record["body"]["config"]["config"]["model"]["train"]["init"]["from"], "base@1");
    assert!(record["inputs"].as_array().expect("a list").contains(tree), "{record}");
    let text = ok(project.path(), &["runs", "show", tuned["run"].as_str().expect("an id")]);
    assert!(text.contains("base@1 b3:"), "{text}");
    ok(project.path(), &["model", "register", "tuned"]);
    let text = ok(project.path(), &["model", "show", "tuned"]);
    assert!(
        text.contains("begun with") && text.contains("base@1 b3:") && text.contains("four b3:"),
        "{text}"
    );

    // The same content by another name is the same plan.
    let same = train(&project, &["tuned", "--set", "train.init.from=base@1"]);
    assert_eq!((&same["run"], &same["cached"]), (&tuned["run"], &true.into()));
    let same = train(&project, &["tuned", "--set", "train.init.from=base"]);
    assert_eq!(same["run"], tuned["run"]);

    // The stage moves: another plan.
    train(&project, &["base", "--seed", "9"]);
    ok(project.path(), &["model", "register", "base"]);
    ok(project.path(), &["promote", "base", "--to", "candidate"]);
    let text = ok(project.path(), &["run", "tuned", "--dry-run"]);
    assert!(text.contains("input base@1, input base@2") && text.contains("changed"), "{text}");
    let moved = train(&project, &["tuned"]);
    assert_eq!(moved["cached"], false);
    assert_ne!(moved["outputs"]["model"], tuned["outputs"]["model"]);
    let old = train(&project, &["tuned", "--set", "train.init.from=base@1"]);
    assert_eq!(old["run"], tuned["run"], "the plan of before is still done");
    let forced = train(&project, &["tuned", "--force", "--set", "train.init.from=base@1"]);
    assert_eq!(forced["outputs"]["model"], tuned["outputs"]["model"], "and makes the same bits again");
}

#[test]
fn a_model_is_tuned_from_a_file_whose_content_is_a_part_of_the_plan() {
    let project = project(OF_FILE);
    let base = train(&project, &["base"]);
    let place = project.path().join("weights/base.safetensors");

    let text = refused(project.path(), &["train", "tuned"], 2);
    assert!(text.contains("weights/base.safetensors") && text.contains("mlp data add"), "{text}");
    let text = run(project.path(), &["check"], 0);
    let text = String::from_utf8_lossy(&[text.stdout, text.stderr].concat()).into_owned();
    assert!(text.contains("weights/base.safetensors"), "{text}");

    std::fs::create_dir_all(place.parent().expect("a folder")).expect("makes it");
    std::fs::write(&place, file(&project, &base["run"])).expect("writes");
    let tuned = train(&project, &["tuned"]);
    let before = record(&project, &tuned["run"])["body"]["data"]["weights/base.safetensors"].clone();
    assert!(before.is_string());
    std::fs::write(&place, file(&project, &base["run"])).expect("writes");
    assert_eq!(train(&project, &["tuned"])["cached"], true, "the content is the same");

    let other = train(&project, &["base", "--seed", "4"]);
    std::fs::write(&place, file(&project, &other["run"])).expect("writes");
    let again = train(&project, &["tuned"]);
    assert_eq!(again["cached"], false);
    assert_ne!(again["outputs"]["model"], tuned["outputs"]["model"]);
    assert_ne!(record(&project, &again["run"])["body"]["data"]["weights/base.safetensors"], before);

    // As data it reaches other clones, which are told how.
    ok(project.path(), &["data", "add", "weights/base.safetensors"]);
    std::fs::remove_file(&place).expect("removes");
    let text = refused(project.path(), &["train", "tuned"], 2);
    assert!(text.contains("`mlp data pull weights/base.safetensors`"), "{text}");
    ok(project.path(), &["data", "checkout", "weights/base.safetensors"]);
    assert_eq!(train(&project, &["tuned"])["run"], again["run"]);
}

#[test]
fn a_collection_leaves_what_an_unfinished_run_began_with() {
    let project = project(OF_FILE);
    let base = train(&project, &["base"]);
    let place = project.path().join("weights/base.safetensors");
    std::fs::create_dir_all(place.parent().expect("a folder")).expect("makes it");
    std::fs::write(&place, altered(&file(&project, &base["run"]))).expect("writes");
    let mut child = project.start(&["train", "tuned", "--set", "train.epochs=1000000"]);
    let id: Digest = wait_for("the job", || {
        let id = project.job_file("spec.json")["work"]["weights"]["file"]["id"].clone();
        Some(id.as_str()?.parse().expect("a digest"))
    });
    let events = project.job().join("events.jsonl");
    wait_for("an epoch", || std::fs::read_to_string(&events).ok()?.contains("val.loss").then_some(()));
    std::fs::remove_file(&place).expect("removes");
    let here = || {
        let store = Local::open(&project.path().join(".git/mlp/store")).expect("opens the store");
        store.has(&id).expect("looks")
    };
    // Nobody is left to record the run.
    child.kill().and_then(|()| child.wait()).expect("ends");
    let processes = ["sup.json", "state.json"].map(|file| project.job_file(file));
    for process in [&processes[0]["process"]["pid"], &processes[1]["worker"]["pid"]] {
        signal("KILL", process.as_i64().expect("a number"));
    }
    let gone = || !alive(processes[1]["worker"]["pid"].as_i64().expect("a number"));
    wait_for("the end of the worker", || gone().then_some(()));
    // What was written less than an hour ago stays in any case.
    let aged = Command::new("find")
        .arg(project.path().join(".git/mlp/store"))
        .args(["-type", "f", "-exec", "touch", "-d", "3 hours ago", "{}", "+"])
        .status();
    assert!(aged.expect("find starts").success());
    ok(project.path(), &["store", "gc", "--yes"]);
    assert!(here(), "no record names it, but the run could be resumed");
    ok(project.path(), &["runs", "rm", "latest"]);
    ok(project.path(), &["store", "gc", "--yes"]);
    assert!(!here(), "now nobody needs it");
}

/// Other tensors of the same names and shapes.
fn altered(file: &[u8]) -> Vec<u8> {
    let tensors = candle_core::safetensors::load_buffer(file, &Device::Cpu).expect("tensors");
    let tensors = tensors.into_iter().map(|(name, tensor)| (name, (tensor + 0.125).expect("adds")));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("altered.safetensors");
    candle_core::safetensors::save(&tensors.collect::<HashMap<_, _>>(), &path).expect("writes");
    std::fs::read(path).expect("reads")
}

#[test]
fn what_does_not_fit_or_is_not_there_is_said() {
    let project = project("init: {from: base@1}");
    for (from, wanted) in [
        ("nobody", "nobody"),
        ("base@1", "base"),
        ("base@", "nothing follows"),
        ("../x.safetensors", "inside the project"),
        ("/x.safetensors", "inside the project"),
    ] {
        let text =
            refused(project.path(), &["train", "tuned", "--set", &format!("train.init.from={from}")], 2);
        assert!(text.contains(wanted), "{from}: {text}");
    }
    assert!(!project.path().join(".git/mlp/jobs").exists(), "nothing was started");

    train(&project, &["base"]);
    ok(project.path(), &["model", "register", "base"]);
    let failed = project.json(&["train", "tuned"], 1)["runs"][0].clone();
    assert_eq!(failed["state"], "failed");
    let reason = record(&project, &failed["run"])["body"]["end"]["reason"].to_string();
    assert!(reason.contains("`layers.4.weight` is [3, 12] there and [4, 12] here"), "{reason}");

    project.write("notes.safetensors", "no tensors");
    let failed = project.json(&["train", "tuned", "--set", "train.init.from=notes.safetensors"], 1);
    let reason = record(&project, &failed["runs"][0]["run"])["body"]["end"]["reason"].to_string();
    assert!(reason.contains("no safetensors file"), "{reason}");
}

#[test]
fn a_model_stands_after_the_step_that_makes_what_it_begins_with() {
    let project = project(OF_FILE);
    let base = train(&project, &["base"]);
    std::fs::write(project.path().join("source.bin"), file(&project, &base["run"])).expect("writes");
    let steps = "steps:\n  convert: {run: mkdir -p weights && cp source.bin weights/base.safetensors, \
                 in: [source.bin], out: [weights/base.safetensors]}\n";
    project.write("mlp.yaml", &(project.read("mlp.yaml") + steps));
    let report = project.json(&["run", "tuned"], 0);
    let names: Vec<&str> =
        report["steps"].as_array().expect("a list").iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(names, ["convert", "tuned"]);
    let again = project.json(&["run", "tuned"], 0);
    assert_eq!(
        (&again["steps"][0]["outcome"], &again["steps"][1]["outcome"]),
        (&"cached".into(), &"cached".into())
    );
}

/// A version is fetched from the store by a clone that has never seen it.
#[test]
fn a_clone_fetches_the_version_that_it_begins_with() {
    let project = project(HEADLESS);
    let far = tempfile::tempdir().expect("a folder");
    let stores = format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n", far.path().display());
    project.write("mlp.yaml", &(project.read("mlp.yaml") + &stores));
    project.git(&["commit", "-qam", "A store"]);
    train(&project, &["base"]);
    ok(project.path(), &["data", "push"]);
    ok(project.path(), &["promote", "base", "--to", "candidate"]);
    let tuned = train(&project, &["tuned"]);

    let clone = tempfile::tempdir().expect("a folder");
    let place = clone.path().join("clone");
    let status = Command::new("git").args(["clone", "-q"]).arg(project.path()).arg(&place).status();
    assert!(status.expect("git starts").success());
    ok(&place, &["data", "pull"]);
    let output = run(&place, &["train", "tuned", "--json"], 0);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let report: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(report["runs"][0]["outputs"]["model"], tuned["outputs"]["model"]);
}
