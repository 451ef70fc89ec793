//! Approvals that are signed elsewhere, and ledgers mirrored into git tags.

use std::fs;
use std::process::Command;

use crate::support::lifecycle::Lab;
use crate::support::{ok, refused, run};

const APPROVED: &str = "stages:
  staging: {}
  production: {gates: {two_eyes: {approvals: {role: service}}}}
";

fn lab() -> Lab {
    let lab = Lab::new(APPROVED);
    lab.signers(&[("max", ""), ("sam", ""), ("eve", "valid-before=\"20200101\"")]);
    let text = fs::read_to_string(lab.path().join("mlp.yaml")).expect("reads");
    lab.commit("mlp.yaml", &text.replace("service: [sam]", "service: [sam, eve]"));
    lab.version(95);
    lab.version(96);
    lab
}

/// Signs `keys/NAME` as somebody does who has no mlp.
fn sign(lab: &Lab, who: &str, name: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "mlp-approval", "-f", &lab.key(who)])
        .arg(lab.path().join("keys").join(name))
        .output()
        .expect("ssh-keygen starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn state(lab: &Lab, version: &str, stage: &str, who: &str, name: &str) {
    let file = format!("keys/{name}");
    let said = ok(lab.path(), &["approve", version, "--to", stage, "--statement", &file, "--principal", who]);
    assert!(said.contains(&format!("ssh-keygen -Y sign -n mlp-approval -f KEY {file}")), "{said}");
}

#[test]
fn a_statement_that_was_signed_elsewhere_counts_as_its_signers() {
    let lab = lab();
    let max = lab.key("max");
    state(&lab, "digits@1", "production", "sam", "statement.json");
    assert_eq!(
        lab.json(&["model", "history"], 0)["entries"].as_array().map(Vec::len),
        Some(2),
        "nothing was written"
    );
    sign(&lab, "sam", "statement.json");
    let take = [
        "approve",
        "digits@1",
        "--to",
        "production",
        "--signature",
        "keys/statement.json.sig",
        "--key",
        &max,
    ];
    let approved = lab.json(&take, 0);
    assert_eq!((&approved["signer"], &approved["version"]), (&"sam".into(), &1.into()));
    let promoted = lab.json(&["promote", "digits@1", "--to", "production", "--key", &max], 0);
    let gates = promoted["gates"].as_array().expect("is a list");
    assert_eq!(gates.last().expect("is there")["observed"], "1 of 1: sam");
    lab.json(&["audit"], 0);
}

#[test]
fn a_statement_for_something_else_or_by_somebody_else_is_refused_by_name() {
    let lab = lab();
    let max = lab.key("max");
    state(&lab, "digits@1", "production", "sam", "one.json");
    sign(&lab, "sam", "one.json");
    let take = |version: &str, stage: &str, statement: &str, signature: &str, code: i32| {
        let args = [
            "approve",
            version,
            "--to",
            stage,
            "--statement",
            statement,
            "--signature",
            signature,
            "--key",
            &max,
        ];
        refused(lab.path(), &args, code)
    };
    let (one, sig) = ("keys/one.json", "keys/one.json.sig");
    assert!(take("digits@2", "production", one, sig, 1).contains("it is for digits@1"));
    assert!(take("digits@1", "staging", one, sig, 1).contains("it is for production"));
    // Another signer's, an expired key's, and a statement that was changed after it was signed.
    state(&lab, "digits@1", "production", "sam", "two.json");
    sign(&lab, "max", "two.json");
    assert!(
        take("digits@1", "production", "keys/two.json", "keys/two.json.sig", 1)
            .contains("keys::invalid-signature")
    );
    state(&lab, "digits@1", "production", "eve", "three.json");
    sign(&lab, "eve", "three.json");
    assert!(take("digits@1", "production", "keys/three.json", "keys/three.json.sig", 1).contains("`eve`"));
    let path = lab.path().join(one);
    let text = fs::read_to_string(&path).expect("reads");
    fs::write(&path, text.replace("\"sam\"", "\"max\"")).expect("writes");
    assert!(take("digits@1", "production", one, sig, 1).contains("keys::invalid-signature"));
    fs::write(&path, text.replace("{\"schema\"", "{ \"schema\"")).expect("writes");
    assert!(take("digits@1", "production", one, sig, 1).contains("mlp did not write"));
    let unknown =
        ["approve", "digits@1", "--to", "production", "--statement", "keys/x.json", "--principal", "zoe"];
    assert!(refused(lab.path(), &unknown, 2).contains("signers: max, sam, eve"));
    assert!(!lab.path().join("keys/x.json").exists());
    let over = ["approve", "digits@1", "--to", "production", "--statement", "mlp.yaml", "--principal", "sam"];
    assert!(refused(lab.path(), &over, 1).contains("something is there already"));
    assert_eq!(lab.json(&["model", "history"], 0)["entries"].as_array().map(Vec::len), Some(2));
}

#[test]
fn signers_that_a_candidate_branch_adds_do_not_count() {
    let lab = lab();
    let stranger = lab.key("stranger");
    let line = fs::read_to_string(format!("{stranger}.pub")).expect("reads");
    lab.git(&["switch", "-qc", "candidate"]);
    let old = fs::read_to_string(lab.path().join(".mlp/allowed_signers")).expect("reads");
    lab.commit(".mlp/allowed_signers", &format!("{old}sam {line}"));
    let said = refused(lab.path(), &["approve", "digits@1", "--to", "production", "--key", &stranger], 2);
    assert!(said.contains("belongs to no signer") && said.contains("on main"), "{said}");
}

#[test]
fn an_author_does_not_approve_their_own_model() {
    let lab = Lab::new(APPROVED);
    lab.signers(&[("max", ""), ("ada@example.org", "")]);
    lab.rules(&APPROVED.replace("role: service", "role: model, count: 1"));
    let text = fs::read_to_string(lab.path().join("mlp.yaml")).expect("reads");
    lab.commit("mlp.yaml", &text.replace("model: [max]", "model: [ada@example.org]"));
    lab.version(95);
    let (max, ada) = (lab.key("max"), lab.key("ada@example.org"));
    let approve = ["approve", "digits@1", "--to", "production", "--key", &ada];
    let said = refused(lab.path(), &approve, 1);
    assert!(said.contains("model::own-approval") && said.contains("ada@example.org made this"), "{said}");
    assert_eq!(lab.json(&["model", "history"], 0)["entries"].as_array().map(Vec::len), Some(1));
    // Where authors may approve they do; it counts no longer where they may not.
    let text = fs::read_to_string(lab.path().join("mlp.yaml")).expect("reads");
    lab.commit("mlp.yaml", &format!("{text}trust: {{separation: none}}\n"));
    ok(lab.path(), &approve);
    lab.commit("mlp.yaml", &text);
    let output = run(lab.path(), &["promote", "digits@1", "--to", "production", "--key", &max], 1);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("the approval by ada@example.org is by an author of the model"), "{said}");
}

#[test]
fn an_approval_that_no_gate_would_count_is_refused_and_one_that_is_there_is_not_repeated() {
    let lab = lab();
    let (max, sam) = (lab.key("max"), lab.key("sam"));
    let approve = |key: &str, more: &[&str], code: i32| {
        let args = [&["approve", "digits@1", "--to", "production", "--key", key], more].concat();
        lab.json(&args, code)
    };
    let said = refused(lab.path(), &["approve", "digits@1", "--to", "production", "--key", &max], 1);
    assert!(said.contains("model::no-role") && said.contains("service"), "{said}");
    let stated = ["approve", "digits@1", "--to", "production", "--statement", "keys/x", "--principal", "max"];
    assert!(refused(lab.path(), &stated, 1).contains("model::no-role"));
    let first = approve(&sam, &[], 0);
    assert_eq!(first["already"], false);
    let again = approve(&sam, &["--comment", "as I said"], 0);
    assert_eq!((&again["already"], &again["entry"]), (&true.into(), &first["entry"]));
    // Two versions and one approval.
    assert_eq!(lab.json(&["model", "history"], 0)["entries"].as_array().map(Vec::len), Some(3));
}

#[test]
fn promotions_and_rollbacks_are_mirrored_into_tags_that_gto_reads() {
    let lab = lab();
    let max = lab.key("max");
    let first = lab.git(&["rev-parse", "HEAD"]);
    let promoted = lab.json(&["promote", "digits@1", "--to", "staging", "--key", &max, "--tag"], 0);
    assert_eq!(promoted["tags"], serde_json::json!(["digits@v1.0.0", "digits#staging#3"]));
    // Again: nothing is promoted, and the tags are those that are there.
    let again = lab.json(&["promote", "digits@1", "--to", "staging", "--key", &max, "--tag"], 0);
    assert_eq!((&again["already"], &again["tags"]), (&true.into(), &promoted["tags"]));
    let said = ok(lab.path(), &["promote", "digits@2", "--to", "staging", "--key", &max, "--tag"]);
    assert!(said.contains("git push origin"), "{said}");
    let back = lab.json(&["rollback", "digits", "--stage", "staging", "--key", &max, "--tag"], 0);
    assert_eq!(back["tags"], serde_json::json!(["digits@v1.0.0", "digits#staging#5"]));
    assert_eq!(
        lab.git(&["tag"]),
        "digits#staging#3\ndigits#staging#4\ndigits#staging#5\ndigits@v1.0.0\ndigits@v2.0.0"
    );
    assert_eq!(lab.git(&["rev-parse", "digits#staging#5^{commit}"]), first);
    assert!(lab.git(&["cat-file", "-p", "digits#staging#5"]).contains("Roll back digits@1 to staging"));
    // A name that is taken stops the command before anything is promoted.
    lab.git(&["commit", "-q", "--allow-empty", "-m", "More"]);
    lab.git(&["tag", "-f", "digits@v2.0.0"]);
    let said = refused(lab.path(), &["promote", "digits@2", "--to", "staging", "--key", &max, "--tag"], 2);
    assert!(said.contains("git::tag-taken"), "{said}");
    assert_eq!(lab.json(&["model", "history"], 0)["live"][0]["version"], 1);
}
