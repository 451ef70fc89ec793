//! Gates that start a real server or time the model, and the rehearsal of a rollback.

use mlp::base::EntryKind;
use serde_json::{Value, json};

use crate::support::serving::{Project, git, image};
use crate::support::{ok, refused, run};

/// Changes `mlp.yaml` so that production has this gate, on the trust branch.
fn gate(project: &Project, gate: &str) {
    let path = project.path().join("mlp.yaml");
    let text = std::fs::read_to_string(&path).expect("reads");
    let text = text.replace("  production: {}\n", &format!("  production: {{gates: {{it: {gate}}}}}\n"));
    std::fs::write(path, text).expect("writes");
    git(project.path(), &["add", "-A"]);
    git(
        project.path(),
        &["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "gate"],
    );
}

/// The line of the gate `it`.
fn judged(project: &Project, reference: &str) -> Value {
    let args = ["gate", "check", reference, "--to", "production", "--json"];
    // The gates of the data have no evidence here: the answer is always no.
    let checked: Value = serde_json::from_slice(&run(project.path(), &args, 1).stdout).expect("is JSON");
    let gates = checked["gates"].as_array().expect("is a list").clone();
    gates.into_iter().find(|gate| gate["gate"] == "it").expect("is there")
}

#[test]
fn a_latency_is_measured_where_nobody_has_and_kept() {
    let project = Project::new(false);
    gate(&project, "{latency: {p95_ms: 10000}}");
    let found = judged(&project, "stripes@1");
    assert_eq!(found["verdict"], "pass", "{found}");
    assert!(found["observed"].as_str().is_some_and(|text| text.contains("predictions on cpu")), "{found}");
    assert_eq!(judged(&project, "stripes@1")["evidence"], found["evidence"], "it is not measured again");
}

/// A golden file of what the server of version 1 says, with `change` done to it.
fn golden(project: &Project, change: impl Fn(usize, &mut Value)) {
    let server = project.serve("stripes@1");
    let lines: Vec<String> = (0..3)
        .map(|class| {
            let request = json!({"instances": [image(class, 7)]});
            let answered = crate::support::http::post_json(server.address, "/predict", &request.to_string());
            let mut answer = answered.json();
            change(class, &mut answer);
            json!({"request": request, "answer": answer}).to_string()
        })
        .collect();
    project.write("golden.jsonl", lines.join("\n").as_bytes());
}

#[test]
fn a_real_server_is_asked_what_the_golden_file_asks() {
    let project = Project::new(false);
    golden(&project, |_, _| ());
    let path = project.path().join("mlp.yaml");
    let text = std::fs::read_to_string(&path).expect("reads");
    let logged = text.replace("serve: {max_body: 65536}", "serve: {max_body: 65536, log: {}}");
    assert_ne!(text, logged);
    std::fs::write(path, logged).expect("writes");
    gate(&project, "{serve: {golden: golden.jsonl}}");
    let found = judged(&project, "stripes@1");
    assert_eq!(found["verdict"], "pass", "{found}");
    assert!(
        found["observed"].as_str().is_some_and(|text| text.starts_with("3 answers, numbers within 0.0e0")),
        "{found}"
    );
    let log = project.path().join(".git/mlp/predictions");
    assert!(!log.exists(), "a rehearsal is not logged as production");

    golden(&project, |class, answer| {
        if class == 1 {
            answer["predictions"][0]["label"] = "elsewhere".into();
        }
    });
    gate(&project, "");
    let wrong = judged(&project, "stripes@1");
    assert_eq!(wrong["verdict"], "fail");
    let observed = wrong["observed"].as_str().unwrap_or_default().to_owned();
    assert!(observed.contains("1 of 3 answers are wrong: line 2: predictions[0].label is"), "{observed}");

    project.write("golden.jsonl", b"{\"request\": {}}\n");
    gate(&project, "");
    // It is the finding of its gate, and the others are judged.
    let none = judged(&project, "stripes@1");
    assert_eq!(none["verdict"], "fail");
    let observed = none["observed"].as_str().unwrap_or_default().to_owned();
    assert!(observed.contains("`golden.jsonl` is no golden file: line 1"), "{observed}");
}

#[test]
fn a_rollback_is_rehearsed_with_real_servers() {
    let project = Project::new(true);
    let said = refused(project.path(), &["rollback", "stripes", "--drill"], 2);
    assert!(said.contains("nothing was live in `production` of `stripes` before version 1"), "{said}");
    gate(&project, "{rollback_drill: {}}");
    // The same weights under another description: other files, and a server that answers.
    let store = mlp::infrastructure::store::Local::open(&project.store()).expect("opens");
    let tree = store.tree(&project.tree).expect("reads");
    let read = |name: &str| {
        let node = tree.get(name.as_bytes()).expect("is there");
        store.read(&node.id).expect("reads")
    };
    let mut description = read("model.json");
    description.push(b'\n');
    let other = project.put(&[("model.json", description), ("model.safetensors", read("model.safetensors"))]);
    project.append(EntryKind::Register, 2, other, None);
    // Version 2 is live nowhere: without a version it is version 1 that would be rolled back.
    let said = refused(project.path(), &["rollback", "stripes", "--drill"], 2);
    assert!(said.contains("nothing was live in `production` of `stripes` before version 1"), "{said}");
    let open = judged(&project, "stripes@2");
    assert_eq!(open["next"], "mlp rollback stripes@2 --stage production --drill");
    let ledger = || ok(project.path(), &["model", "history", "stripes", "--json"]);
    let before = ledger();
    let done: Value = serde_json::from_str(&ok(
        project.path(),
        &["rollback", "stripes@2", "--stage", "production", "--drill", "--json"],
    ))
    .expect("is JSON");
    assert_eq!((&done["from"], &done["to"], &done["stage"]), (&2.into(), &1.into(), &"production".into()));
    assert_eq!(ledger(), before, "a rehearsal changes no stage");
    let passed = judged(&project, "stripes@2");
    assert_eq!(passed["verdict"], "pass", "{passed}");
    assert!(
        passed["observed"].as_str().is_some_and(|text| text.starts_with("back to version 1 in ")),
        "{passed}"
    );
}
