//! `mlp gate` and `mlp approve`: what opens a stage.

use crate::support::lifecycle::{FLOOR, Lab};
use crate::support::{ok, refused, run};

#[test]
fn a_model_below_its_floor_is_refused_with_wanted_observed_evidence_and_next() {
    let lab = Lab::new(FLOOR);
    lab.version(85);
    let checked = run(lab.path(), &["gate", "check", "digits", "--to", "staging"], 1);
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    for words in [
        "floor",
        "accuracy on test at least 0.9",
        "0.8500 (0.8300 to 0.8700, 100 examples)",
        "b3:",
        "mlp train digits",
        "digits@1 cannot go to staging: 1 of 4 gates closed",
    ] {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    let json = lab.json(&["gate", "check", "digits@1", "--to", "staging"], 1);
    assert_eq!(json["gates"].as_array().expect("is a list").len(), 4);
    assert_eq!(
        lab.json(&["gate", "check", "digits"], 0)["stage"],
        "candidate",
        "the next stage is the first"
    );
}

#[test]
fn missing_evidence_is_unknown_and_not_made_when_told_so() {
    let lab = Lab::new(FLOOR);
    lab.run(1);
    ok(lab.path(), &["model", "register"]);
    let json = lab.json(&["gate", "check", "digits", "--to", "staging", "--no-evaluate"], 1);
    let gates = json["gates"].as_array().expect("is a list");
    let floor = gates.iter().find(|gate| gate["gate"] == "floor").expect("is there");
    assert_eq!(
        (&floor["verdict"], &floor["observed"]),
        (&"unknown".into(), &"no evaluation of digits@1 on test".into())
    );
    assert_eq!(floor["next"], "mlp gate check digits@1 --to staging");
}

#[test]
fn gates_are_those_of_the_trust_branch_and_not_of_the_work_tree() {
    let lab = Lab::new(FLOOR);
    lab.version(85);
    // Whoever lowers the floor without committing it has lowered nothing.
    let text = std::fs::read_to_string(lab.path().join("mlp.yaml")).expect("reads").replace("0.9}", "0.1}");
    std::fs::write(lab.path().join("mlp.yaml"), &text).expect("writes");
    refused(lab.path(), &["promote", "digits", "--to", "staging"], 1);
    // Nor on a branch of their own.
    lab.git(&["switch", "-qc", "side"]);
    lab.commit("mlp.yaml", &text);
    let said = refused(lab.path(), &["promote", "digits", "--to", "staging"], 1);
    assert!(said.contains("local branch `main`"), "{said}");
    lab.git(&["branch", "-f", "main", "side"]);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
}

#[test]
fn with_a_remote_only_what_was_pushed_counts() {
    let lab = Lab::new(FLOOR);
    lab.version(85);
    let remote = tempfile::TempDir::new().expect("makes a folder");
    let path = remote.path().to_str().expect("is text");
    lab.git(&["init", "-q", "--bare", path]);
    lab.git(&["remote", "add", "origin", path]);
    let said = refused(lab.path(), &["gate", "check", "digits"], 2);
    assert!(said.contains("git push"), "{said}");
    lab.git(&["push", "-q", "-u", "origin", "main"]);
    let text = std::fs::read_to_string(lab.path().join("mlp.yaml")).expect("reads").replace("0.9}", "0.1}");
    lab.commit("mlp.yaml", &text);
    refused(lab.path(), &["promote", "digits", "--to", "staging"], 1);
    lab.git(&["push", "-q"]);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
}

#[test]
fn uncommitted_code_closes_the_code_gate() {
    let lab = Lab::new(FLOOR);
    std::fs::write(lab.path().join("edit.txt"), "not committed").expect("writes");
    let filed = lab.run(1);
    lab.evidence(filed, 95);
    let checked = run(lab.path(), &["promote", "digits", "--to", "candidate"], 1);
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("with uncommitted changes") && text.contains("git commit"), "{text}");
}

#[test]
fn explain_says_what_each_gate_wants() {
    let lab = Lab::new(FLOOR);
    let all = ok(lab.path(), &["gate", "explain"]);
    for words in
        ["candidate", "expectations-mnist", "leakage-mnist", "floor", "accuracy on test at least 0.9"]
    {
        assert!(all.contains(words), "{all}");
    }
    let floor = lab.json(&["gate", "explain", "floor"], 0);
    assert_eq!(
        (&floor["gates"][0]["kind"], &floor["gates"][0]["phase"]),
        (&"metric".into(), &"evaluate".into())
    );
    assert_eq!(lab.json(&["gate", "explain", "--stage", "production"], 0)["gates"], serde_json::json!([]));
    let digits = lab.json(&["gate", "explain", "digits"], 0);
    assert_eq!(digits["gates"].as_array().map(Vec::len), Some(4));
    assert!(digits["gates"][3].get("now").is_none() && digits.get("version").is_none(), "{digits}");
    // Once there is a version: what each says of it, and the one command that helps. Nothing is made.
    lab.run(1);
    ok(lab.path(), &["model", "register"]);
    let digits = lab.json(&["gate", "explain", "digits@1"], 0);
    assert_eq!(
        (&digits["version"], &digits["gates"][2]["now"]["verdict"]),
        (&"digits@1".into(), &"pass".into())
    );
    assert_eq!(
        (&digits["gates"][3]["now"]["verdict"], &digits["gates"][3]["now"]["next"]),
        (&"unknown".into(), &"mlp gate check digits@1 --to production".into())
    );
    let text = ok(lab.path(), &["gate", "explain", "digits"]);
    assert!(text.contains("? no evaluation of digits@1 on test"), "{text}");
}

const COMMAND: &str = "stages:
  staging: {gates: {legal: {command: \"sh check.sh\"}}}
";

#[test]
fn a_command_gate_gets_the_models_files_and_its_answer_is_kept() {
    let lab = Lab::new(COMMAND);
    lab.commit("check.sh", "grep -q weights \"$MLP_MODEL_DIR/model.safetensors\" && echo \"$MLP_MODEL@$MLP_VERSION $MLP_STAGE\" && test -e allowed\n");
    lab.version(95);
    let refusal = lab.json(&["gate", "check", "digits", "--to", "staging"], 1);
    let gate = refusal["gates"].as_array().expect("is a list").last().expect("is there").clone();
    assert_eq!((&gate["verdict"], &gate["observed"]), (&"fail".into(), &"exit 1: digits@1 staging".into()));
    // It is run again because it failed; then its answer is kept.
    std::fs::write(lab.path().join("allowed"), "").expect("writes");
    ok(lab.path(), &["gate", "check", "digits", "--to", "staging"]);
    std::fs::remove_file(lab.path().join("allowed")).expect("removes");
    ok(lab.path(), &["promote", "digits", "--to", "staging", "--no-evaluate"]);
}

const CARD: &str = "stages:
  staging: {gates: {card: {model_card: {fields: [intended_use]}}}}
";

#[test]
fn the_model_card_is_read_from_the_trust_branch() {
    let lab = Lab::new(CARD);
    lab.version(95);
    let check = ["gate", "check", "digits", "--to", "staging"];
    assert!(ok_or(&lab, &check, 1).contains("`card.md` is not on main"));
    lab.commit("card.md", "## Intended use\nTODO\n");
    assert!(ok_or(&lab, &check, 1).contains("placeholder `TODO` on line 2"));
    std::fs::write(lab.path().join("card.md"), "## Intended use\nReading digits.\n").expect("writes");
    ok_or(&lab, &check, 1);
    lab.git(&["commit", "-qam", "Complete the card"]);
    assert!(ok_or(&lab, &check, 0).contains("card.md is complete"));
    // The card that the verdict rests on is kept, whatever becomes of the file.
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    let card = mlp::base::Digest::of(b"## Intended use\nReading digits.\n");
    assert!(lab.store().has(&card).expect("looks"));
}

fn ok_or(lab: &Lab, args: &[&str], code: i32) -> String {
    String::from_utf8_lossy(&run(lab.path(), args, code).stdout).into_owned()
}

const APPROVALS: &str = "stages:
  staging: {}
  production:
    gates:
      two_eyes: {approvals: {role: model, also: {role: service}}}
";

#[test]
fn approvals_are_signed_by_people_of_the_roles() {
    let lab = Lab::new(APPROVALS);
    lab.version(95);
    let said = refused(lab.path(), &["approve", "digits", "--to", "production"], 2);
    assert!(said.contains("no signers"), "{said}");
    lab.signers(&[("max", ""), ("sam", ""), ("eve", "valid-before=\"20200101\"")]);
    let approve = |who: &str, code| {
        let key = lab.key(who);
        run(lab.path(), &["approve", "digits@1", "--to", "production", "--key", &key], code)
    };
    let max = lab.key("max");
    let promote = ["promote", "digits@1", "--to", "production", "--key", &max];
    assert!(ok_or(&lab, &promote, 1).contains("mlp approve digits@1 --to production"));
    approve("max", 0);
    assert!(ok_or(&lab, &promote, 1).contains("1 of 2: max"));
    approve("stranger", 2);
    approve("eve", 2);
    approve("sam", 0);
    let done = lab.json(&promote, 0);
    assert_eq!((&done["promoted"], &done["signer"]), (&true.into(), &"max".into()));
    let gate = done["gates"].as_array().expect("is a list").last().expect("is there").clone();
    assert_eq!(gate["observed"], "2 of 2: max, sam");
}

#[test]
fn an_approval_of_one_version_says_nothing_about_the_next() {
    let lab = Lab::new(APPROVALS);
    lab.signers(&[("max", ""), ("sam", "")]);
    lab.version(95);
    for who in ["max", "sam"] {
        ok(lab.path(), &["approve", "digits", "--to", "production", "--key", &lab.key(who)]);
    }
    lab.version(96);
    let max = lab.key("max");
    assert!(ok_or(&lab, &["promote", "digits@2", "--to", "production", "--key", &max], 1).contains("none"));
    ok(lab.path(), &["promote", "digits@1", "--to", "production", "--key", &max]);
}

#[test]
fn a_waiver_on_the_trust_branch_opens_a_gate_and_shows_on_the_board() {
    let lab = Lab::new(FLOOR);
    lab.version(85);
    let waiver = |until: &str| {
        let line = format!(
            "waivers: [{{gate: floor, stage: staging, reason: a trial, signer: max, until: \"{until}\"}}]\n"
        );
        lab.rules(&format!("{FLOOR}{line}"));
    };
    waiver("2020-01-01");
    assert!(ok_or(&lab, &["promote", "digits", "--to", "staging"], 1).contains("expired on 2020-01-01"));
    assert!(ok(lab.path(), &["status"]).contains("expired"));
    waiver("2999-01-01");
    assert!(
        ok(lab.path(), &["promote", "digits", "--to", "staging"])
            .contains("waived until 2999-01-01 by max: a trial")
    );
}
