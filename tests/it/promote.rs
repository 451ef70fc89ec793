//! `mlp promote` and `mlp rollback`: one linear ledger, whatever happens.

use std::process::Stdio;

use mlp::base::{Digest, Entry, EntryKind, Id, Verdict};
use mlp::infrastructure::store::{Ledger, LedgerHome};

use crate::support::lifecycle::{FLOOR, ID, Lab};
use crate::support::{mlp, ok, refused, run};

fn entries(lab: &Lab) -> Vec<Entry> {
    let home = LedgerHome::Local(lab.path().join(".git/mlp/store"));
    let project: Id = ID.parse().expect("is an identifier");
    Ledger { home: &home, project, model: "digits".parse().expect("is a name") }.entries().expect("reads")
}

fn live(lab: &Lab, stage: &str) -> Option<u64> {
    let listed = lab.json(&["model", "ls"], 0);
    let stages = listed["models"][0]["live"].as_array().expect("is a list").clone();
    stages.iter().find(|live| live["stage"] == stage).and_then(|live| live["version"].as_u64())
}

#[test]
fn promote_registers_the_first_run_judges_and_keeps_the_verdicts() {
    let lab = Lab::new(FLOOR);
    let filed = lab.run(1);
    lab.evidence(filed, 95);
    let output = run(lab.path(), &["promote", "digits", "--to", "staging"], 0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("registered run"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("digits@1 is live in staging"));
    let last = entries(&lab).pop().expect("is there");
    assert_eq!((last.kind, last.evidence.len()), (EntryKind::Promote, 4));
    let store = lab.store();
    for id in &last.evidence {
        let verdict = store.record::<Verdict>(id).expect("reads");
        assert_eq!((verdict.time, verdict.author), (None, None), "verdicts hold neither");
    }
    assert!(ok(lab.path(), &["promote", "digits", "--to", "staging"]).contains("live in staging already"));
    // What was trained since is no version by itself, and that is said.
    lab.run(7);
    let output = run(lab.path(), &["promote", "digits", "--to", "staging"], 0);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("is no version yet; `mlp model register digits`"), "{said}");
    assert_eq!(entries(&lab).len(), 2);
}

#[test]
fn a_refused_promotion_writes_nothing() {
    let lab = Lab::new(FLOOR);
    lab.version(85);
    let output = run(lab.path(), &["promote", "digits", "--to", "production"], 1);
    assert!(String::from_utf8_lossy(&output.stdout).contains("digits@1 cannot go to production"));
    assert_eq!(entries(&lab).len(), 1);
}

#[test]
fn a_dry_run_changes_nothing() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    assert!(
        ok(lab.path(), &["promote", "digits", "--to", "staging", "--dry-run"])
            .contains("could go to staging")
    );
    assert_eq!(live(&lab, "staging"), None);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    lab.version(96);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    assert!(ok(lab.path(), &["rollback", "digits", "--dry-run"]).contains("back to digits@1"));
    assert_eq!(live(&lab, "staging"), Some(2));
}

#[test]
fn a_rollback_puts_the_previous_version_back_in_one_entry() {
    let lab = Lab::new(FLOOR);
    for right in [95, 96, 97] {
        lab.version(right);
        ok(lab.path(), &["promote", "digits", "--to", "production"]);
    }
    let before = entries(&lab).len();
    assert!(
        ok(lab.path(), &["rollback", "digits", "--reason", "drift"])
            .contains("digits@2 is live in production")
    );
    assert_eq!(entries(&lab).len(), before + 1);
    assert_eq!(live(&lab, "production"), Some(2));
    ok(lab.path(), &["rollback", "digits", "--stage", "production"]);
    assert_eq!(live(&lab, "production"), Some(1));
    for (to, hint) in [
        ("digits@1", "mlp promote digits@1 --to STAGE"),
        ("digits@staging", "mlp rollback digits --stage staging"),
    ] {
        let said = refused(lab.path(), &["rollback", to], 2);
        assert!(said.contains(&format!("takes no version: `{to}`")) && said.contains(hint), "{said}");
    }
    let said = refused(lab.path(), &["rollback", "digits"], 2);
    assert!(said.contains("nothing was live in `production` of `digits` before version 1"), "{said}");
}

#[test]
fn racing_promotions_leave_one_linear_ledger() {
    let lab = Lab::new(FLOOR);
    for right in 91..99 {
        lab.version(right);
    }
    let children: Vec<_> = (1..=8)
        .map(|number| {
            let version = format!("digits@{number}");
            let args = ["promote", &version, "--to", "staging", "--quiet"];
            mlp(lab.path()).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let all = entries(&lab);
    let mut promoted: Vec<u64> = all
        .iter()
        .filter(|entry| entry.kind == EntryKind::Promote)
        .map(|entry| entry.subject.version)
        .collect();
    let last = *promoted.last().expect("is there");
    assert_eq!(live(&lab, "staging"), Some(last));
    promoted.sort_unstable();
    assert_eq!(promoted, (1..=8).collect::<Vec<_>>(), "each stands once");
    let chain: Vec<Option<Digest>> = all.iter().map(|entry| entry.prev).collect();
    let digests: Vec<Option<Digest>> =
        std::iter::once(None).chain(all.iter().map(|entry| Some(entry.digest()))).collect();
    assert_eq!(chain, digests[..all.len()]);
}

#[test]
fn a_killed_promotion_loses_nothing_that_was_acknowledged() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    lab.version(96);
    ok(lab.path(), &["promote", "digits@1", "--to", "staging"]);
    for round in 0..12_u64 {
        let version = format!("digits@{}", round % 2 + 1);
        let mut child = mlp(lab.path())
            .args(["promote", &version, "--to", "staging", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(std::time::Duration::from_millis(round * 4));
        let _ = child.kill();
        let output = child.wait_with_output().expect("ends");
        let answer: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
        if let Some(entry) = answer.and_then(|answer| answer["entry"].as_str().map(str::to_owned)) {
            assert!(entries(&lab).iter().any(|known| known.digest().to_string() == entry), "round {round}");
        }
        // Whatever was hit: the ledger reads, and the next promotion works.
        let now = live(&lab, "staging").expect("something is live");
        let other = 3 - now;
        ok(lab.path(), &["promote", &format!("digits@{other}"), "--to", "staging"]);
        assert_eq!(live(&lab, "staging"), Some(other));
    }
}

#[test]
fn promotions_are_signed_once_there_are_signers_and_forgeries_are_named() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    ok(lab.path(), &["promote", "digits", "--to", "candidate"]);
    lab.signers(&[("max", "")]);
    let said = refused(lab.path(), &["promote", "digits", "--to", "staging"], 2);
    assert!(said.contains("no key to sign with"), "{said}");
    let stranger = lab.key("stranger");
    let said = refused(lab.path(), &["promote", "digits", "--to", "staging", "--key", &stranger], 2);
    assert!(said.contains("belongs to no signer"), "{said}");
    let max = lab.key("max");
    assert!(
        ok(lab.path(), &["promote", "digits", "--to", "staging", "--key", &max]).contains("signed by max")
    );
    // The unsigned one is promoted again, to be signed.
    assert!(
        ok(lab.path(), &["promote", "digits", "--to", "candidate", "--key", &max]).contains("signed by max")
    );

    // Somebody appends an entry past mlp: it chains, and is still not believed.
    let all = entries(&lab);
    let last = all.last().expect("is there");
    let mut forged = Entry { seq: last.seq + 1, prev: Some(last.digest()), op: Id::new(), ..last.clone() };
    forged.subject.stage = Some("production".parse().expect("is a name"));
    let home = LedgerHome::Local(lab.path().join(".git/mlp/store"));
    let project: Id = ID.parse().expect("is an identifier");
    let ledger = Ledger { home: &home, project, model: "digits".parse().expect("is a name") };
    ledger.append(&forged).expect("the file system lets them");
    let said = refused(lab.path(), &["model", "show", "digits"], 1);
    assert!(said.contains(&format!("entry {} of the ledger of `digits`", forged.seq)), "{said}");
    assert!(said.contains("promote by max"), "{said}");
}

#[test]
fn the_key_comes_from_the_variable_or_from_git() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    lab.signers(&[("max", "")]);
    let key = lab.key("max");
    let status = mlp(lab.path())
        .args(["promote", "digits", "--to", "candidate"])
        .env("MLP_SIGNING_KEY", &key)
        .status();
    assert!(status.expect("starts").success());
    lab.git(&["config", "user.signingkey", &key]);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
}

const COMPARE: &str = "stages:
  staging: {gates: {better: {compare: {to: production, metric: accuracy}}}}
  production: {}
";

#[test]
fn a_worse_model_does_not_replace_the_live_one() {
    let lab = Lab::new(COMPARE);
    lab.version(95);
    assert!(ok(lab.path(), &["promote", "digits", "--to", "production"]).contains("nothing live"));
    lab.version(70);
    let output = run(lab.path(), &["promote", "digits", "--to", "production"], 1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("0.7000 against 0.9500 of version 1: 0 only this one, 25 only the live one"),
        "{text}"
    );
    lab.version(94);
    ok(lab.path(), &["promote", "digits", "--to", "production"]);
    assert_eq!(live(&lab, "production"), Some(3));
}
