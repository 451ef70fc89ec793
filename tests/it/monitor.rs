//! `mlp monitor`: the log of a model's answers, as a server writes it, held against what the model was trained on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mlp::base::{Digest, Drift, Id, Null, RecordKind, Time};
use mlp::infrastructure::store::{Local, Pin, PinKind};
use mlp::platform::data::Inputs;
use mlp::platform::monitor::{Answered, Answering, Log, LogSpec};
use mlp::platform::train::Model;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::http::post_json;
use crate::support::http_server::{Reply, Server};
use crate::support::serving::{CLASSES, Project, image, trained};
use crate::support::{mlp, ok, refused, run};

/// The version that answered.
struct Version {
    model: Model,
    tree: Digest,
}

impl Answering for Version {
    fn model(&self) -> &Model {
        &self.model
    }

    fn tree(&self) -> Digest {
        self.tree
    }
}

/// A project, with these lines at the end of its file.
fn project(more: &str) -> Project {
    let project = Project::new(true);
    let path = project.path().join("mlp.yaml");
    let text = std::fs::read_to_string(&path).expect("reads");
    std::fs::write(path, text + more).expect("writes");
    project
}

/// Answers `count` images, each changed by `change`, and logs that; the ids and the classes that were right.
fn answer(project: &Project, count: usize, change: impl Fn(u8) -> u8) -> Vec<(Id, &'static str)> {
    answer_by(project, project.tree, count, change)
}

/// The same by the version whose files are `tree`.
fn answer_by(
    project: &Project,
    tree: Digest,
    count: usize,
    change: impl Fn(u8) -> u8,
) -> Vec<(Id, &'static str)> {
    let [json, weights, _] = trained();
    let model = Model::from_bytes(&json.1, &weights.1).expect("loads");
    let version = Arc::new(Version { model, tree });
    let log = Log::open(&log_of(project), &LogSpec::default(), Arc::new(Null)).expect("opens");
    let mut told = Vec::new();
    for index in 0..count {
        let pixels = image(index % CLASSES.len(), index).into_iter().map(&change).collect();
        let inputs = Inputs::U8(Arc::new(pixels));
        let predictions = version.model.predict(&inputs).expect("predicts");
        let id = Id::new();
        let latency = Duration::from_millis(2);
        log.offer(Answered { id, time: Time::now(), inputs, predictions, latency }, version.clone());
        told.push((id, CLASSES[index % CLASSES.len()]));
    }
    drop(log);
    told
}

fn log_of(project: &Project) -> PathBuf {
    project.path().join(".git/mlp/predictions/stripes")
}

fn json(project: &Project, args: &[&str], code: i32) -> Value {
    let mut all = vec!["monitor"];
    all.extend_from_slice(args);
    all.push("--json");
    let output = run(project.path(), &all, code);
    serde_json::from_slice(&output.stdout).expect("is JSON")
}

fn drifted(report: &Value) -> Vec<&str> {
    let features = report["features"].as_array().expect("has features");
    features.iter().filter(|one| one["drifted"] == true).filter_map(|one| one["name"].as_str()).collect()
}

#[test]
fn more_of_the_same_is_no_alarm_and_inverted_images_are_one() {
    let project = project("");
    answer(&project, 240, |pixel| pixel);
    let calm = json(&project, &["stripes@production", "--window", "240"], 0);
    assert_eq!(
        (calm["schema"].as_str(), calm["stage"].as_str()),
        (Some("mlp/monitor/1"), Some("production"))
    );
    assert_eq!(calm["window"]["answers"], 240);
    assert!(calm.get("breaches").is_none() && drifted(&calm).is_empty(), "{calm}");
    assert_eq!(calm["embedding"]["drifted"], false);
    answer(&project, 240, |pixel| 255 - pixel);
    let alarm = json(&project, &["stripes@production", "--window", "240"], 1);
    assert!(drifted(&alarm).contains(&"brightness"), "{alarm}");
    assert_eq!(alarm["embedding"]["drifted"], true, "{alarm}");
    let text = String::from_utf8(run(project.path(), &["monitor", "stripes", "--window", "240"], 1).stdout)
        .expect("text");
    assert!(text.contains("breach: `brightness` of the inputs: psi"), "{text}");
}

#[test]
fn what_was_found_is_a_record_that_rests_on_its_answers() {
    let project = project("");
    answer(&project, 120, |pixel| 255 - pixel);
    let dry = json(&project, &["stripes", "--dry-run"], 1);
    assert!(dry.get("record").is_none(), "{dry}");
    let kept = json(&project, &["stripes"], 1);
    let store = Local::open(&project.store()).expect("opens");
    let ids = store.records(RecordKind::Drift).expect("lists");
    assert_eq!(
        ids.iter().map(Digest::to_string).collect::<Vec<_>>(),
        [kept["record"].as_str().expect("is kept")]
    );
    let record = store.record::<Drift>(&ids[0]).expect("reads");
    let lines = record.body.window.lines.expect("are kept");
    assert_eq!(record.inputs, [project.tree, lines]);
    let bytes = store.read(&lines).expect("reads");
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 120);
    assert!(!record.body.breaches.is_empty());
}

#[test]
fn an_answer_leads_to_the_version_that_gave_it() {
    let project = project("");
    project.settings("log: {}");
    let server = project.serve("stripes@production");
    let body = serde_json::json!({"instances": [image(0, 1), image(1, 2)]}).to_string();
    let answered = post_json(server.address, "/predict", &body);
    let id = answered.header("x-mlp-prediction").expect("is told").to_owned();
    server.stop();
    for (asked, root) in [(id.to_uppercase(), format!("{id}/0")), (format!("{id}/1"), format!("{id}/1"))] {
        let told: Value =
            serde_json::from_str(&ok(project.path(), &["why", &asked, "--json"])).expect("is JSON");
        assert_eq!((&told["root"], &told["nodes"][0]["kind"]), (&root.as_str().into(), &"prediction".into()));
        let edge = &told["edges"].as_array().expect("has edges")[..];
        assert!(
            edge.iter().any(|edge| edge["from"] == *root
                && edge["to"] == "stripes@1"
                && edge["as"] == "answered by"),
            "{told}"
        );
    }
    let unknown = Id::new().to_string();
    assert!(refused(project.path(), &["why", &unknown], 2).contains("lineage::unknown"));
    assert!(refused(project.path(), &["why", &format!("{id}/2")], 2).contains("lineage::unknown"));
}

#[test]
fn labels_are_joined_by_prediction_id() {
    let project = project("monitor: {quality: {metric: accuracy, min: 0.9}, latency: {p95_ms: 0.5}}\n");
    let told = answer(&project, 120, |pixel| pixel);
    let write = |name: &str, label: &dyn Fn(usize) -> &'static str| {
        let rows: String =
            told.iter().enumerate().map(|(n, (id, _))| format!("{id},{}\n", label(n))).collect();
        project.write(name, format!("id,label\n{rows}").as_bytes());
    };
    write("right.csv", &|n| told[n].1);
    write("wrong.csv", &|n| CLASSES[(n + 1 + n % 2) % 3]);
    let right = json(&project, &["stripes", "--labels", "right.csv"], 1);
    assert_eq!(
        (right["quality"]["labelled"].as_u64(), right["quality"]["metric"].as_str()),
        (Some(120), Some("accuracy"))
    );
    assert_eq!(right["breaches"], serde_json::json!(["latency: p95 2.0 ms, over 0.5"]), "{right}");
    let wrong = json(&project, &["stripes", "--labels", "wrong.csv"], 1);
    assert!(wrong["breaches"].to_string().contains("accuracy: "), "{wrong}");
    project.write("none.csv", b"a,b\n");
    let said =
        String::from_utf8(run(project.path(), &["monitor", "stripes", "--labels", "none.csv"], 2).stderr)
            .expect("text");
    assert!(said.contains("no column `id`"), "{said}");
}

#[test]
fn few_answers_no_log_and_a_model_without_sketches_say_so() {
    let project = project("");
    let said = String::from_utf8(run(project.path(), &["monitor", "stripes"], 3).stderr).expect("text");
    assert!(
        said.contains("no answer of `stripes@1` was logged") && said.contains("serve: {log: {}}"),
        "{said}"
    );
    answer(&project, 30, |pixel| 255 - pixel);
    let few = json(&project, &["stripes"], 0);
    assert_eq!(few["unknown"], serde_json::json!(["drift: 30 of at least 100 answers"]), "{few}");
    let tree = project.put(&trained()[..2]);
    project.append(mlp::base::EntryKind::Register, 2, tree, None);
    answer_by(&project, tree, 120, |pixel| 255 - pixel);
    let report = json(&project, &["stripes@2"], 0);
    assert!(report["unknown"].to_string().contains("no sketches"), "{report}");
    assert!(report["latency"]["p95"].as_f64() == Some(0.002), "{report}");
}

#[test]
fn a_breach_is_told_by_webhook_and_command_and_the_url_stays_a_secret() {
    let server = Server::start(|request| Reply::new(if request.path == "/hook" { 200 } else { 500 }, "ok"));
    let project = project("monitor: {alert: {webhook: CHAT_URL, command: 'cat > told.json'}}\n");
    answer(&project, 120, |pixel| 255 - pixel);
    let monitor = |url: &str| {
        mlp(project.path()).args(["monitor", "stripes"]).env("CHAT_URL", url).output().expect("mlp starts")
    };
    assert_eq!(monitor(&server.url("hook")).status.code(), Some(1));
    let body: Value = serde_json::from_slice(&server.seen()[0].body).expect("is JSON");
    assert_eq!(body["schema"], "mlp/monitor/1");
    assert!(body["text"].as_str().is_some_and(|text| text.starts_with("stripes@1: `brightness`")), "{body}");
    let told: Value =
        serde_json::from_slice(&std::fs::read(project.path().join("told.json")).expect("is there"))
            .expect("is JSON");
    assert_eq!(told["breaches"], body["breaches"]);
    let failed = monitor(&server.url("other?token=hush"));
    let said =
        String::from_utf8_lossy(&failed.stderr).into_owned() + &String::from_utf8_lossy(&failed.stdout);
    assert_eq!(failed.status.code(), Some(3), "{said}");
    assert!(said.contains("the webhook answered 500") && !said.contains("hush"), "{said}");
}

#[test]
fn a_pushed_log_is_seen_by_another_clone() {
    let far = TempDir::new().expect("makes a folder");
    let stores = format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n", far.path().display());
    let project = project(&stores);
    answer(&project, 120, |pixel| 255 - pixel);
    let dry: Value = serde_json::from_str(&ok(project.path(), &["monitor", "push", "--dry-run", "--json"]))
        .expect("is JSON");
    assert_eq!((dry["dry_run"].as_bool(), dry["logs"][0]["files"].as_u64()), (Some(true), Some(1)));
    // The first store becomes the home of the ledger, and has what it names, as after a training.
    let store = Local::open(&project.store()).expect("opens");
    let kind = PinKind::Record(RecordKind::Run);
    store.put_pin(&Pin { roots: vec![project.tree], ..Pin::new(kind, "stripes") }).expect("pins");
    ok(project.path(), &["data", "push"]);
    let pushed = ok(project.path(), &["monitor", "push"]);
    assert!(pushed.contains("pushed the log of stripes to `origin`"), "{pushed}");
    let again = ok(project.path(), &["monitor", "push"]);
    assert!(again.contains("has the log of stripes already"), "{again}");
    let clone = TempDir::new().expect("makes a folder");
    crate::support::serving::git(
        clone.path(),
        &["clone", "-q", project.path().to_str().expect("is text"), "here"],
    );
    let here = clone.path().join("here");
    std::fs::copy(project.path().join("mlp.yaml"), here.join("mlp.yaml")).expect("copies");
    std::fs::remove_dir_all(log_of(&project)).expect("is gone from where it was written");
    let output = mlp(&here).args(["monitor", "stripes@1", "--json"]).output().expect("mlp starts");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(
        (output.status.code(), report["window"]["answers"].as_u64()),
        (Some(1), Some(120)),
        "{report}"
    );
    // What was found outlives the machine that found it.
    let pushed = ok(&here, &["monitor", "push"]);
    assert_eq!(pushed, "no answers were logged here\n1 record of what was found\n");
    assert_eq!(ok(&here, &["monitor", "push"]), "no answers were logged here\n");
    run(project.path(), &["monitor", "stripes@1"], 1);
    let record = report["record"].as_str().and_then(|text| text.parse::<Digest>().ok()).expect("is kept");
    assert!(store.records(RecordKind::Drift).expect("lists").contains(&record));
}

#[test]
fn two_servers_of_one_machine_have_a_log_each_and_old_states_go() {
    let far = TempDir::new().expect("makes a folder");
    let stores = format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n", far.path().display());
    let project = project(&stores);
    let store = Local::open(&project.store()).expect("opens");
    let kind = PinKind::Record(RecordKind::Run);
    store.put_pin(&Pin { roots: vec![project.tree], ..Pin::new(kind, "stripes") }).expect("pins");
    ok(project.path(), &["data", "push"]);
    answer(&project, 60, |pixel| 255 - pixel);
    ok(project.path(), &["monitor", "push"]);
    answer(&project, 10, |pixel| 255 - pixel);
    ok(project.path(), &["monitor", "push"]);
    // Another clone on this machine.
    let clone = TempDir::new().expect("makes a folder");
    crate::support::serving::git(
        clone.path(),
        &["clone", "-q", project.path().to_str().expect("is text"), "here"],
    );
    let here = clone.path().join("here");
    std::fs::copy(project.path().join("mlp.yaml"), here.join("mlp.yaml")).expect("copies");
    let look = |place: &std::path::Path| -> Value {
        let output =
            mlp(place).args(["monitor", "stripes@1", "--dry-run", "--json"]).output().expect("starts");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    assert_eq!(look(&here)["window"]["answers"], 70);
    let moved = here.join(".git/mlp/predictions/stripes");
    std::fs::create_dir_all(&moved).expect("makes");
    for entry in std::fs::read_dir(log_of(&project)).expect("lists") {
        let path = entry.expect("is there").path();
        // The files alone: the log of the other clone has another id, and its answers other ones.
        if path.extension().is_some_and(|end| end == "jsonl") {
            let text = std::fs::read_to_string(&path).expect("reads").replace("\"id\":\"0", "\"id\":\"1");
            std::fs::write(moved.join(path.file_name().expect("has one")), text).expect("writes");
        }
    }
    ok(&here, &["monitor", "push"]);
    assert_eq!(look(project.path())["window"]["answers"], 140, "neither took the other's place");
    let pins = |store: &Local| {
        let pins = store.pins().expect("reads");
        pins.iter().filter(|pin| pin.kind == PinKind::Record(RecordKind::Predictions)).count()
    };
    assert_eq!(pins(&store), 3, "an old state came back with the look");
    let said: Value =
        serde_json::from_str(&ok(project.path(), &["store", "gc", "--store", "origin", "--yes", "--json"]))
            .expect("is JSON");
    assert_eq!(said["retired"], 1, "{said}");
    ok(project.path(), &["store", "gc", "--yes"]);
    assert_eq!(look(project.path())["window"]["answers"], 140);
    assert_eq!(pins(&store), 2);
}

#[test]
fn what_the_project_file_says_of_monitoring_is_checked() {
    for (line, word) in [
        ("monitor: {drift: {test: psy}}", "psi"),
        ("monitor: {drift: {window: 5}}", "100"),
        ("monitor: {quality: {metric: rmse, min: 1}}", "needs `max`"),
        ("monitor: {quality: {metric: acuracy, min: 1}}", "accuracy"),
        ("monitor: {alert: {}}", "nobody is told"),
        ("monitor: {alert: {webhook: 'https://example.org/x'}}", "name of a variable"),
    ] {
        let project = project(&format!("{line}\n"));
        let said = String::from_utf8(run(project.path(), &["check"], 2).stdout).expect("text");
        let said = said + &String::from_utf8(run(project.path(), &["check"], 2).stderr).expect("text");
        assert!(said.contains(word), "{line}: {said}");
    }
    let project = project("");
    project.settings("log: {rotate: 4k}");
    let said = String::from_utf8(run(project.path(), &["check"], 2).stderr).expect("text");
    assert!(said.contains("64 KiB or more"), "{said}");
}

#[test]
fn watching_tells_when_a_limit_breaks_and_keeps_one_record_for_it() {
    use std::io::BufRead;
    let project = project("monitor: {drift: {window: 120}}\n");
    answer(&project, 120, |pixel| pixel);
    let mut watching = mlp(project.path())
        .args(["monitor", "stripes", "--watch", "--every", "1", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("mlp starts");
    let mut lines = std::io::BufReader::new(watching.stdout.take().expect("has stdout")).lines();
    let mut next = || -> Value {
        serde_json::from_str(&lines.next().expect("a line").expect("is text")).expect("is JSON")
    };
    assert!(next().get("breaches").is_none());
    answer(&project, 120, |pixel| 255 - pixel);
    // It may look in the middle of it.
    while next().get("breaches").is_none() {}
    let _ = watching.kill();
    let _ = watching.wait();
    let store = Local::open(&project.store()).expect("opens");
    assert!(store.records(RecordKind::Drift).expect("lists").len() >= 2);
}

#[test]
fn a_log_that_cannot_be_written_keeps_no_answer_back() {
    use crate::support::http::post_json;
    let project = Project::new(true);
    let path = project.path().join("mlp.yaml");
    let text = std::fs::read_to_string(&path).expect("reads").replace("serve: {", "serve: {log: {}, ");
    std::fs::write(path, text).expect("writes");
    std::fs::create_dir_all(log_of(&project).parent().expect("lies in a folder")).expect("makes");
    std::fs::write(log_of(&project), "a file where the folder should be").expect("writes");
    let mut server = project.serve("stripes@production");
    let body = serde_json::json!({"instances": [image(0, 1), image(1, 2)]}).to_string();
    for _ in 0..5 {
        assert_eq!(post_json(server.address, "/predict", &body).status, 200);
    }
    // Two looks of the writer later it was told, once, and is counted.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(server.metric("mlp_log_dropped_total{model=\"stripes\"}"), Some(5.0));
    std::fs::remove_file(log_of(&project)).expect("removes");
    // A second after a failure it tries again.
    while !log_of(&project).is_dir() {
        assert_eq!(post_json(server.address, "/predict", &body).status, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    server.signal("TERM");
    assert!(server.child.wait().expect("ends").success());
    let report = json(&project, &["stripes@production"], 0);
    assert!(report["window"]["answers"].as_u64() > Some(0), "{report}");
}
