//! `mlp status`: from a fresh project to production, the board names the next command.

use crate::support::lifecycle::{FLOOR, Lab};
use crate::support::{ok, refused};

fn next(lab: &Lab) -> String {
    let board = lab.json(&["status"], 0);
    let model = &board["models"][0]["next"];
    let text = if model.is_null() { &board["no_rules"]["next"] } else { model };
    text.as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_board_names_the_next_command_at_every_step() {
    let lab = Lab::uncommitted(FLOOR);
    assert!(next(&lab).contains("git add -A && git commit"), "{}", next(&lab));
    lab.git(&["add", "-A"]);
    lab.git(&["commit", "-qm", "Begin"]);
    assert!(next(&lab).contains("mlp data add mnist"), "{}", next(&lab));
    std::fs::create_dir_all(lab.path().join("data/mnist")).expect("makes");
    assert_eq!(next(&lab), "mlp data add mnist");
    lab.commit("data/mnist.mlp", "a pointer\n");
    assert_eq!(next(&lab), "mlp train digits");
    let filed = lab.run(1);
    assert_eq!(next(&lab), "mlp promote digits --to candidate");
    lab.evidence(filed, 85);
    ok(lab.path(), &["promote", "digits", "--to", "candidate"]);
    // The floor is closed: the board says so and names what mends it.
    assert_eq!(
        next(&lab),
        "mlp train digits && mlp model register digits  # after a change of its settings, code or data"
    );
    let board = ok(lab.path(), &["status"]);
    for words in ["@1 -> staging", "✗ evaluate", "✓ model", "floor", "wanted: accuracy on test at least 0.9"]
    {
        assert!(board.contains(words), "`{words}` in\n{board}");
    }
    lab.version(95);
    ok(lab.path(), &["promote", "digits", "--to", "production"]);
    let board = lab.json(&["status"], 0);
    assert_eq!(board["models"][0]["stages"][2]["version"], 2);
    assert!(board["models"][0].get("target").is_none());
    assert_eq!(next(&lab), "");
}

#[test]
fn a_clone_without_stores_says_that_what_others_made_is_not_here() {
    let lab = Lab::new(FLOOR);
    std::fs::create_dir_all(lab.path().join("data/mnist")).expect("makes");
    std::fs::write(lab.path().join("data/mnist/a"), "a").expect("writes");
    ok(lab.path(), &["data", "add", "mnist"]);
    lab.git(&["add", "-A"]);
    lab.git(&["commit", "-qm", "Data"]);
    assert!(!ok(lab.path(), &["status"]).contains("names no `stores:`"), "nobody else works here");
    let beside = tempfile::tempdir().expect("makes a folder");
    let clone = beside.path().join("clone");
    let cloned = std::process::Command::new("git").args(["clone", "-q"]).arg(lab.path()).arg(&clone).status();
    assert!(cloned.expect("git starts").success());
    let text = ok(&clone, &["status"]);
    assert!(text.contains("mlp.yaml names no `stores:`: data, runs and models that others made"), "{text}");
    assert!(text.contains("next: mlp data push  # where the data were added"), "{text}");
    let said = refused(&clone, &["data", "checkout", "mnist"], 3);
    assert!(said.contains("what nobody pushed there is only on the machine that made it"), "{said}");
}

#[test]
fn the_board_is_plain_text_without_a_terminal_and_one_document_with_json() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    let text = ok(lab.path(), &["status"]);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    let json = lab.json(&["status", "digits", "--to", "production"], 0);
    assert_eq!(
        (&json["schema"], &json["models"][0]["target"]),
        (&"mlp/status/1".into(), &"production".into())
    );
    assert_eq!(json["local_only"], true);
    assert!(refused(lab.path(), &["status", "digit"], 2).contains("did you mean `digits`"));
}
