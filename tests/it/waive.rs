//! `mlp waive`: a signed waiver in the ledger.

use crate::support::lifecycle::{FLOOR, Lab};
use crate::support::{ok, refused, run};

#[test]
fn a_signed_waiver_lets_one_version_pass_and_shows_where_it_counts() {
    let lab = Lab::new(FLOOR);
    lab.version(85);
    let args = ["waive", "digits@1", "floor", "--until", "2999-12-31", "--reason", "a trial"];
    let said = refused(lab.path(), &args, 2);
    assert!(said.contains("no signers"), "{said}");
    lab.signers(&[("max", ""), ("ada", "")]);
    let dry = ok(lab.path(), &[&args[..], &["--dry-run"]].concat());
    assert!(dry.contains("would be waived for digits@1 until 2999-12-31"), "{dry}");
    let (max, ada) = (lab.key("max"), lab.key("ada"));
    // Ada made the version: her name and address are those of the run's author.
    let said = refused(lab.path(), &[&args[..], &["--key", &ada]].concat(), 1);
    assert!(said.contains("ada made this version"), "{said}");
    let waived = lab.json(&[&args[..], &["--key", &max]].concat(), 0);
    assert_eq!(
        (&waived["schema"], &waived["signer"], &waived["stage"], &waived["version"]),
        (&"mlp/waive/1".into(), &"max".into(), &"staging".into(), &1.into())
    );
    let board = ok(lab.path(), &["status"]);
    assert!(board.contains("floor in staging for digits@1, until 2999-12-31, max: a trial"), "{board}");
    let done = ok(lab.path(), &["promote", "digits@1", "--to", "staging", "--key", &max]);
    assert!(done.contains("waived until 2999-12-31 by max: a trial"), "{done}");
    ok(lab.path(), &["gate", "verify", "digits@1"]);
    // The next one has to meet the gate.
    lab.version(86);
    let output = run(lab.path(), &["promote", "digits@2", "--to", "staging", "--key", &max], 1);
    assert!(String::from_utf8_lossy(&output.stdout).contains("accuracy on test at least 0.9"));
}

#[test]
fn nothing_is_waived_where_who_made_the_version_cannot_be_told() {
    let lab = Lab::new(FLOOR);
    let made = lab.run_of(85, |run| run.git.commit = Some("c".repeat(40)));
    lab.evidence(made, 85);
    ok(lab.path(), &["model", "register", "digits"]);
    lab.signers(&[("max", "")]);
    let max = lab.key("max");
    let waive = ["waive", "digits@1", "floor", "--until", "2999-12-31", "--reason", "r", "--key", &max];
    let said = refused(lab.path(), &waive, 1);
    assert!(said.contains("model::unknown-authors") && said.contains("git fetch origin"), "{said}");
    assert_eq!(std::fs::read_dir(lab.ledger()).expect("lists").count(), 1, "nothing was written");
}

#[test]
fn what_cannot_be_waived_is_said() {
    let lab = Lab::new(FLOOR);
    lab.version(85);
    lab.signers(&[("max", "")]);
    let max = lab.key("max");
    let waive = |gate: &str, until: &str, more: &[&str]| {
        let args = ["waive", "digits", gate, "--until", until, "--reason", "r", "--key", &max];
        refused(lab.path(), &[&args[..], more].concat(), 2)
    };
    for until in ["2020-01-01", "soon", "2999-13-01", "2999-1-1", "2999-12-31T00:00:00Z"] {
        assert!(waive("floor", until, &[]).contains("a waiver cannot last until"), "{until}");
    }
    assert!(waive("flor", "2999-12-31", &[]).contains("did you mean `floor`?"));
    assert!(waive("floor", "2999-12-31", &["--stage", "candidate"]).contains("unknown gate `floor`"));
    refused(
        lab.path(),
        &["waive", "digits", "floor", "--until", "2999-12-31", "--reason", "", "--key", &max],
        2,
    );
    lab.rules("stages: {production: {gates: {eyes: {approvals: {role: service}}}}}\n");
    for more in [&[][..], &["--dry-run"]] {
        assert!(waive("eyes", "2999-12-31", more).contains("asks for approvals"));
    }
    assert_eq!(std::fs::read_dir(lab.ledger()).expect("lists").count(), 1, "nothing was written");
}
