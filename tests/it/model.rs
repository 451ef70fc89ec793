//! `mlp model`: versions, what is live, what happened.

use crate::support::lifecycle::{FLOOR, Lab, flip};
use crate::support::{ok, refused, run};

#[test]
fn a_run_becomes_a_version_once() {
    let lab = Lab::new(FLOOR);
    assert!(refused(lab.path(), &["model", "register", "digits"], 2).contains("mlp train digits"));
    lab.run(1);
    assert!(ok(lab.path(), &["model", "register"]).contains("is digits@1"));
    let again = lab.json(&["model", "register", "digits"], 0);
    assert_eq!((&again["version"], &again["new"]), (&1.into(), &false.into()));
    lab.run(2);
    assert_eq!(lab.json(&["model", "register", "digits"], 0)["version"], 2);
}

#[test]
fn a_run_is_named_by_the_beginning_of_its_identifier() {
    let lab = Lab::new(FLOOR);
    lab.run(1);
    let text = refused(lab.path(), &["model", "register", "digits", "--run", "zzz"], 2);
    assert!(text.contains("model::unfit-run") || text.contains("no such run"), "{text}");
    assert!(ok(lab.path(), &["model", "register", "digits", "--run", "01"]).contains("digits@1"));
}

#[test]
fn ls_and_show_tell_what_there_is() {
    let lab = Lab::new(FLOOR);
    assert!(ok(lab.path(), &["model", "ls"]).contains("digits"));
    lab.version(95);
    ok(lab.path(), &["promote", "digits@1", "--to", "staging"]);
    let listed = lab.json(&["model", "ls"], 0);
    assert_eq!(listed["models"][0]["live"][0]["stage"], "staging");
    let shown = lab.json(&["model", "show", "digits@staging"], 0);
    assert_eq!((&shown["version"], &shown["live"][0]), (&1.into(), &"staging".into()));
    assert_eq!(shown["evaluations"][0]["metrics"]["accuracy"], 0.95);
    assert!(ok(lab.path(), &["model", "show", "digits"]).contains("accuracy 0.9500"));
}

#[test]
fn history_tells_what_was_live_then() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    ok(lab.path(), &["promote", "digits", "--to", "production", "--reason", "first"]);
    let entries = lab.json(&["model", "history"], 0)["entries"].clone();
    let promoted = entries[1]["time"].as_str().expect("is text").to_owned();
    let registered = entries[0]["time"].as_str().expect("is text").to_owned();
    assert_eq!(lab.json(&["model", "history", "digits", "--at", &promoted], 0)["live"][0]["version"], 1);
    if registered < promoted {
        assert_eq!(lab.json(&["model", "history", "--at", &registered], 0)["live"], serde_json::json!([]));
    }
    let before = ok(lab.path(), &["model", "history", "--at", "2020-05-03"]);
    assert!(before.contains("nothing had happened to digits"), "{before}");
    assert!(refused(lab.path(), &["model", "history", "--at", "3 May"], 2).contains("2026-05-03"));
    assert!(ok(lab.path(), &["model", "history"]).contains("first"));
}

#[test]
fn mistakes_are_answered_with_what_is_near() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    for (args, words) in [
        (&["model", "show", "digit"][..], "did you mean `digits`"),
        (&["model", "show", "digits@7"], "versions go from 1 to 1"),
        (&["model", "show", "digits@stagin"], "did you mean `staging`"),
        (&["model", "show", "digits@staging"], "nothing of `digits` is live in `staging`"),
        (&["model", "show", "digits@"], "nothing follows the `@`"),
        (&["promote", "digits", "--to", "prod"], "stages: candidate, staging, production"),
        (&["gate", "explain", "flor"], "did you mean `floor`"),
        (&["rollback", "digits"], "nothing of `digits` is live"),
    ] {
        let said = refused(lab.path(), args, 2);
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn damage_in_a_ledger_is_named_by_whoever_reads_it() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    lab.version(96);
    for number in [1, 2] {
        let path = lab.ledger().join(format!("{number:020}"));
        let whole = std::fs::read(&path).expect("reads");
        flip(&path);
        for args in [&["model", "ls"][..], &["model", "show", "digits"], &["status"], &["rollback", "digits"]]
        {
            let said = String::from_utf8_lossy(&run(lab.path(), args, 1).stderr).into_owned();
            assert!(
                said.contains("ledger-damaged") && said.contains(&format!("{number:020}")),
                "{args:?}: {said}"
            );
        }
        std::fs::write(&path, whole).expect("writes");
    }
    ok(lab.path(), &["model", "ls"]);
}

#[test]
fn damage_in_a_record_is_named_by_whoever_reads_it() {
    let lab = Lab::new(FLOOR);
    let filed = lab.run(1);
    let evaluation = lab.evidence(filed, 95);
    ok(lab.path(), &["model", "register", "digits"]);
    for id in [filed, evaluation] {
        let path = find(&lab.path().join(".git/mlp/store"), &id.hex()[2..]).expect("the record is a file");
        let whole = std::fs::read(&path).expect("reads");
        flip(&path);
        let said = refused(lab.path(), &["gate", "check", "digits", "--to", "staging", "--no-evaluate"], 1);
        assert!(said.contains(&id.hex()[2..10]), "{said}");
        std::fs::write(&path, whole).expect("writes");
    }
    ok(lab.path(), &["gate", "check", "digits", "--to", "staging", "--no-evaluate"]);
}

/// The file below `folder` whose name ends like `name`.
fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        let own = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() { find(&path, name) } else { own.contains(name).then_some(path) }
    })
}
