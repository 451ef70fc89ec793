//! `mlp gate verify`: recorded verdicts are judged again elsewhere, byte for byte.

use std::path::Path;
use std::process::Command;

use mlp::base::{Digest, Entry, EntryKind, Id, Record, Run, Verdict};
use mlp::infrastructure::store::{Ledger, LedgerHome};
use mlp::platform::run::publish;
use tempfile::TempDir;

use crate::support::lifecycle::{FLOOR, ID, Lab};
use crate::support::{ok, refused, run};

/// The rules of a project whose store is the folder `far`.
fn rules(far: &Path, floor: f64) -> String {
    let far = far.display();
    format!(
        "stores: {{origin: {{url: \"fs://{far}\"}}}}
stages:
  candidate: {{}}
  staging:
    gates:
      floor: {{metric: {{name: accuracy, min: {floor}}}}}
      better: {{compare: {{to: production, metric: accuracy}}}}
      small: {{size: {{max: 1KiB}}}}
      card: {{model_card: {{fields: [limits]}}}}
      slow: {{metric: {{name: macro_f1, min: 0.9}}}}
  production:
    gates:
      eyes: {{approvals: {{role: model}}}}
waivers: [{{gate: slow, stage: staging, reason: later, signer: max, until: \"2999-12-31\"}}]
"
    )
}

/// A project with a bare git repository and a store beside it.
struct World {
    lab: Lab,
    beside: TempDir,
}

impl World {
    fn new() -> Self {
        let beside = TempDir::new().expect("makes a folder");
        let lab = Lab::new(&rules(&beside.path().join("far"), 0.9));
        let world = Self { lab, beside };
        let origin = world.beside.path().join("origin.git");
        let origin = origin.to_str().expect("is text");
        world.lab.git(&["init", "-q", "--bare", "-b", "main", origin]);
        world.lab.git(&["remote", "add", "origin", origin]);
        std::fs::write(world.lab.path().join("card.md"), "## Limits\nUpright digits.\n").expect("writes");
        world.lab.git(&["add", "card.md"]);
        world.lab.signers(&[("max", "")]);
        world.lab.git(&["push", "-q", "-u", "origin", "main"]);
        world
    }

    /// A version that is approved and promoted to production.
    fn promoted(&self, right: usize) -> u64 {
        let run = self.lab.run(right as u64);
        self.lab.evidence(run, right);
        let id = self.lab.store().record::<Run>(&run).expect("reads").body.run.to_string();
        let registered = self.lab.json(&["model", "register", "digits", "--run", &id], 0);
        let version = registered["version"].as_u64().expect("is a number");
        let (reference, max) = (format!("digits@{version}"), self.lab.key("max"));
        ok(self.lab.path(), &["approve", &reference, "--to", "production", "--key", &max]);
        ok(self.lab.path(), &["promote", &reference, "--to", "production", "--key", &max]);
        version
    }

    /// Another machine: a fresh clone with a state folder of its own.
    fn elsewhere(&self, name: &str) -> std::path::PathBuf {
        let path = self.beside.path().join(name);
        let origin = self.beside.path().join("origin.git");
        let cloned = Command::new("git").args(["clone", "-q"]).args([&origin, &path]).status();
        assert!(cloned.expect("git starts").success());
        path
    }
}

#[test]
fn a_fresh_clone_and_the_store_give_the_same_verdicts_byte_for_byte() {
    let world = World::new();
    world.promoted(95);
    world.promoted(96);
    // What comes later changes nothing about then: stricter rules, and newer evidence that is worse.
    world.lab.rules(&rules(&world.beside.path().join("far"), 0.99));
    world.lab.git(&["push", "-q"]);
    let store = world.lab.store();
    let run = store.records(mlp::base::RecordKind::Run).expect("lists")[1];
    world.lab.evidence(run, 10);
    ok(world.lab.path(), &["data", "push"]);

    let clone = world.elsewhere("clone");
    for version in ["digits@1", "digits@2"] {
        let text = ok(&clone, &["gate", "verify", version]);
        // Three of the profile, five of staging, one of production.
        assert!(text.contains("9 verdicts judged again, every byte the same"), "{text}");
    }
    let output = run_json(&clone, &["gate", "verify", "digits@production"], 0);
    assert_eq!((&output["identical"], &output["version"]), (&true.into(), &2.into()));
    let gates = output["promotions"][0]["gates"].as_array().expect("is a list");
    assert!(gates.iter().all(|gate| gate["record"].is_string() && gate["difference"].is_null()), "{output}");
}

#[test]
fn the_evidence_of_a_promotion_counts_in_another_clone_without_a_push() {
    let world = World::new();
    world.promoted(95);
    let clone = world.elsewhere("clone");
    let checked = ["gate", "check", "digits@1", "--to", "production", "--no-evaluate"];
    // The size alone is not known: the files of the version are not here.
    let gates = run_json(&clone, &checked, 1)["gates"].clone();
    let floor = gates.as_array().and_then(|gates| gates.iter().find(|gate| gate["gate"] == "floor"));
    assert_eq!(floor.expect("is there")["verdict"], "pass", "{gates}");
}

fn run_json(dir: &Path, args: &[&str], code: i32) -> serde_json::Value {
    let args = [args, &["--json"]].concat();
    serde_json::from_slice(&run(dir, &args, code).stdout).expect("is JSON")
}

#[test]
fn a_verdict_that_was_made_up_is_named_with_its_first_difference() {
    let lab = Lab::new(FLOOR);
    lab.version(85);
    // Somebody records a promotion past mlp, with a verdict that says what they would like.
    let store = lab.store();
    let home = LedgerHome::Local(lab.path().join(".git/mlp/store"));
    let project: Id = ID.parse().expect("is an identifier");
    let ledger = Ledger { home: &home, project, model: "digits".parse().expect("is a name") };
    let checked = lab.json(&["gate", "check", "digits", "--to", "staging"], 1);
    let last = ledger.entries().expect("reads").pop().expect("is there");
    let mut evidence = Vec::new();
    for gate in checked["gates"].as_array().expect("is a list") {
        let inputs: Vec<Digest> = serde_json::from_value(gate["evidence"].clone()).unwrap_or_default();
        let explained = lab.json(&["gate", "explain", gate["gate"].as_str().expect("is text")], 0);
        let floor = gate["gate"] == "floor";
        let verdict: Verdict = serde_json::from_value(serde_json::json!({
            "model": "digits", "version": 1, "tree": last.subject.tree, "stage": gate["stage"], "gate": gate["gate"],
            "rule": explained["gates"][0]["rule"], "verdict": "pass", "wanted": gate["wanted"],
            "observed": if floor { "0.9500 (0.9300 to 0.9700, 100 examples)".into() } else { gate["observed"].clone() },
            "reason": gate.get("reason").cloned().unwrap_or_default(),
        }))
        .expect("is a verdict");
        evidence.push(publish(&store, &Record::timeless(inputs, verdict), "digits", &[]).expect("publishes"));
    }
    let mut entry = Entry {
        seq: last.seq + 1,
        prev: Some(last.digest()),
        op: Id::new(),
        kind: EntryKind::Promote,
        evidence,
        ..last.clone()
    };
    entry.subject.run = None;
    entry.subject.stage = Some("staging".parse().expect("is a name"));
    entry.subject.commit = Some(lab.git(&["rev-parse", "main"]));
    ledger.append(&entry).expect("appends");
    let found = run_json(lab.path(), &["gate", "verify", "digits@1"], 1);
    let gates = found["promotions"][0]["gates"].as_array().expect("is a list");
    let different: Vec<&serde_json::Value> =
        gates.iter().filter(|gate| gate.get("difference").is_some()).collect();
    assert_eq!(different.len(), 1, "{found}");
    assert_eq!(
        (&different[0]["gate"], &different[0]["difference"]["at"], &different[0]["difference"]["now"]),
        (&"floor".into(), &"body.verdict".into(), &"fail".into())
    );
    let text =
        String::from_utf8_lossy(&run(lab.path(), &["gate", "verify", "digits"], 1).stdout).into_owned();
    assert!(text.contains("body.verdict was \"pass\""), "{text}");
}

#[test]
fn what_was_never_promoted_or_names_no_rules_cannot_be_judged_again() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    let said = refused(lab.path(), &["gate", "verify", "digits"], 2);
    assert!(
        said.contains("digits@1 was never promoted") && said.contains("mlp gate check digits@1"),
        "{said}"
    );
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    ok(lab.path(), &["gate", "verify", "digits"]);
    // As an mlp before this one wrote it.
    let home = LedgerHome::Local(lab.path().join(".git/mlp/store"));
    let project: Id = ID.parse().expect("is an identifier");
    let ledger = Ledger { home: &home, project, model: "digits".parse().expect("is a name") };
    let last = ledger.entries().expect("reads").pop().expect("is there");
    let mut old = Entry { seq: last.seq + 1, prev: Some(last.digest()), op: Id::new(), ..last.clone() };
    old.subject.commit = None;
    ledger.append(&old).expect("appends");
    let text =
        String::from_utf8_lossy(&run(lab.path(), &["gate", "verify", "digits"], 1).stdout).into_owned();
    assert!(text.contains("does not name the commit of its rules"), "{text}");
}

#[test]
fn a_verdict_that_is_not_here_is_named_and_the_others_are_judged() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    let promoted = lab.json(&["promote", "digits", "--to", "staging"], 0);
    let home = LedgerHome::Local(lab.path().join(".git/mlp/store"));
    let project: Id = ID.parse().expect("is an identifier");
    let ledger = Ledger { home: &home, project, model: "digits".parse().expect("is a name") };
    let last = ledger.entries().expect("reads").pop().expect("is there");
    let gone = *last.evidence.last().expect("names verdicts");
    let file = object(&lab.path().join(".git/mlp/store"), gone).expect("is there");
    std::fs::remove_file(file).expect("removes");
    let found = run_json(lab.path(), &["gate", "verify", "digits"], 1);
    let promotion = &found["promotions"][0];
    assert_eq!(promotion["missing"], serde_json::json!([gone]), "{found}");
    let gates = promotion["gates"].as_array().expect("is a list");
    assert_eq!(gates.len(), promoted["gates"].as_array().expect("is a list").len());
    assert_eq!(gates.iter().filter(|gate| gate.get("difference").is_none()).count(), gates.len() - 1);
    let text =
        String::from_utf8_lossy(&run(lab.path(), &["gate", "verify", "digits"], 1).stdout).into_owned();
    assert!(text.contains(&format!("its record {gone} is not here")), "{text}");
}

/// The file of an object that lies in a file of its own.
fn object(folder: &Path, id: Digest) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.find_map(|entry| {
        let path = entry.ok()?.path();
        if path.is_dir() {
            return object(&path, id);
        }
        let plain = path.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "");
        plain.contains(&id.hex()[2..]).then_some(path)
    })
}

#[test]
fn rules_of_another_branch_do_not_count() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    ok(lab.path(), &["promote", "digits", "--to", "staging"]);
    let home = LedgerHome::Local(lab.path().join(".git/mlp/store"));
    let project: Id = ID.parse().expect("is an identifier");
    let ledger = Ledger { home: &home, project, model: "digits".parse().expect("is a name") };
    let append = |change: &dyn Fn(&mut Entry)| {
        let last = ledger.entries().expect("reads").pop().expect("is there");
        let mut entry = Entry { seq: last.seq + 1, prev: Some(last.digest()), op: Id::new(), ..last };
        change(&mut entry);
        ledger.append(&entry).expect("appends");
    };
    let verify =
        || String::from_utf8_lossy(&run(lab.path(), &["gate", "verify", "digits"], 1).stdout).into_owned();
    // Somebody's own rules, which have no gates.
    lab.git(&["checkout", "-q", "-b", "mine"]);
    lab.rules("stages: {staging: {}}\n");
    let mine = lab.git(&["rev-parse", "HEAD"]);
    lab.git(&["checkout", "-q", "main"]);
    append(&|entry| {
        entry.evidence.clear();
        entry.subject.commit = Some(mine.clone());
    });
    let text = verify();
    assert!(text.contains(&format!("the commit {mine} of its rules is none of main")), "{text}");
}

/// The findings of an audit, as (number, name).
fn audited(dir: &Path) -> Vec<(u64, String)> {
    let output = run(dir, &["audit", "digits", "--json"], 1).stdout;
    let audited: serde_json::Value = serde_json::from_slice(&output).expect("is JSON");
    let list = audited["models"][0]["findings"].as_array().expect("is a list").clone();
    let text = |value: &serde_json::Value| value.as_str().expect("is text").to_owned();
    list.iter().map(|found| (found["seq"].as_u64().expect("is a number"), text(&found["problem"]))).collect()
}

#[test]
fn what_the_store_has_lost_is_named_in_every_clone_without_a_copy_and_can_be_brought_back() {
    let world = World::new();
    world.promoted(95);
    let far = world.beside.path().join("far");
    let home = LedgerHome::Local(world.lab.path().join(".git/mlp/store"));
    let project: Id = ID.parse().expect("is an identifier");
    let ledger = Ledger { home: &home, project, model: "digits".parse().expect("is a name") };
    let entries = ledger.entries().expect("reads");
    let promote = entries.iter().find(|entry| entry.kind == EntryKind::Promote).expect("is there");
    let (damaged, gone) = (promote.evidence[0], promote.evidence[1]);
    let file = object(&far.join("records"), damaged).expect("is there");
    let mut bytes = std::fs::read(&file).expect("reads");
    bytes[40] ^= 1;
    std::fs::write(&file, bytes).expect("damages");
    std::fs::remove_file(object(&far.join("records"), gone).expect("is there")).expect("removes");
    let approval = entries.iter().find(|entry| entry.kind == EntryKind::Approve).expect("is there");
    let also = object(&far.join("records"), approval.evidence[0]).expect("is there");
    std::fs::remove_file(also).expect("removes");

    // What a verdict rests on, too.
    let verdict = |id: &Digest| world.lab.store().record::<Verdict>(id).expect("reads");
    let of_floor = promote.evidence.iter().map(verdict).find(|record| record.body.gate.as_str() == "floor");
    let evaluation = of_floor.expect("is there").inputs[0];
    let file = object(&far.join("records"), evaluation).expect("is there");
    std::fs::write(file, b"{}").expect("damages");

    let clone = world.elsewhere("clone");
    let found = audited(&clone);
    assert_eq!(found.iter().filter(|(_, name)| name == "record-damaged").count(), 2, "{found:?}");
    for (seq, name) in
        [(promote.seq, "record-damaged"), (promote.seq, "record-missing"), (approval.seq, "record-missing")]
    {
        assert!(found.contains(&(seq, name.to_owned())), "{name} of {seq}: {found:?}");
    }
    let verified = run_json(&clone, &["gate", "verify", "digits@1"], 1);
    let missing = verified["promotions"][0]["missing"].as_array().expect("is a list").clone();
    assert!(missing.contains(&damaged.to_string().into()) && missing.contains(&gone.to_string().into()));
    let looks =
        [&["why", "digits@1"][..], &["dossier", "digits@1", "papers"], &["data", "fetch"], &["status"]];
    for look in looks {
        let output = run(&clone, look, 0);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("mlp store repair --store origin"), "{look:?}: {said}");
    }
    // Where there is a copy, all is well, and from there it comes back.
    ok(world.lab.path(), &["audit", "digits"]);
    let mended = ok(world.lab.path(), &["store", "repair", "--store", "origin"]);
    assert!(mended.contains("4 records"), "{mended}");
    ok(&clone, &["audit", "digits"]);
    ok(&clone, &["gate", "verify", "digits@1"]);

    // What an entry names is found without the pins that lead to it.
    for pin in std::fs::read_dir(far.join("pins").join(ID)).expect("lists") {
        std::fs::write(pin.expect("an entry").path(), b"{}").expect("damages");
    }
    let another = world.elsewhere("another");
    ok(&another, &["audit", "digits"]);
    let third = world.elsewhere("third");
    ok(&third, &["model", "pull", "digits@production", "--verify", "pulled"]);
    run(&another, &["store", "repair", "--store", "origin"], 1);
    let mended = ok(world.lab.path(), &["store", "repair", "--store", "origin"]);
    assert!(mended.contains(" pins and 0 ledger entries brought back"), "{mended}");
    ok(&another, &["store", "fsck", "--store", "origin"]);
}

#[test]
fn nobody_builds_on_a_ledger_of_which_an_entry_was_changed_in_the_store() {
    let world = World::new();
    world.promoted(95);
    let second = world.promoted(96);
    let mut folder = world.beside.path().join("far/ledger");
    let file = loop {
        let mut below: Vec<_> =
            std::fs::read_dir(&folder).expect("lists").map(|entry| entry.expect("reads").path()).collect();
        below.sort();
        if below[0].is_file() {
            break below.swap_remove(1);
        }
        folder = below.swap_remove(0);
    };
    let good = std::fs::read_to_string(&file).expect("reads");
    let json = good.lines().next().expect("a line").replace("max", "eve");
    std::fs::write(&file, format!("{json}\n{}\n", Digest::of(json.as_bytes()))).expect("edits");
    let count = || std::fs::read_dir(file.parent().expect("a folder")).expect("lists").count();
    let before = count();

    let (dir, max, reference) = (world.lab.path(), world.lab.key("max"), format!("digits@{second}"));
    for change in [
        &["promote", "digits@1", "--to", "production", "--key", &max][..],
        &["approve", "digits@1", "--to", "production", "--key", &max],
        &["rollback", "digits", "--stage", "production", "--reason", "slow", "--key", &max],
        &["gate", "verify", &reference],
        &["predict", &reference, "card.md"],
    ] {
        let said = refused(dir, change, 1);
        assert!(said.contains("store::ledger-damaged"), "{change:?}: {said}");
        assert!(said.contains("entry 2") && said.contains("mlp store repair --store NAME"), "{said}");
    }
    assert_eq!(count(), before);
    assert!(audited(dir).iter().any(|(seq, _)| *seq == 2 || *seq == 3));
    let fault = run(dir, &["store", "fsck", "--store", "origin"], 1).stdout;
    assert!(String::from_utf8_lossy(&fault).contains("entry 3 of the ledger of `digits`"), "{fault:?}");
    let mended = ok(dir, &["store", "repair", "--store", "origin"]);
    assert!(mended.contains("1 ledger entry brought back"), "{mended}");
    assert_eq!(std::fs::read_to_string(&file).expect("reads"), good);
    ok(dir, &["audit", "digits"]);
    ok(&world.elsewhere("clone"), &["audit", "digits"]);
    ok(dir, &["rollback", "digits", "--stage", "production", "--reason", "slow", "--key", &max]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a folder is moved out of the way and back")]
fn who_only_looks_needs_no_store_that_is_out_of_reach() {
    let world = World::new();
    world.promoted(95);
    ok(world.lab.path(), &["data", "push"]);
    let clone = world.elsewhere("clone");
    let verified = run_json(&clone, &["gate", "verify", "digits@1"], 0);
    let (far, away) = (world.beside.path().join("far"), world.beside.path().join("away"));
    std::fs::rename(&far, &away).expect("moves");
    let looks = [
        &["gate", "verify", "digits@1"][..],
        &["gate", "explain", "digits@1"],
        &["why", "digits@1"],
        &["model", "history", "digits"],
        &["model", "show", "digits@1"],
        &["status"],
    ];
    for look in looks {
        let said = String::from_utf8_lossy(&run(&clone, look, 0).stderr).into_owned();
        assert!(said.contains("shown is what this clone has"), "{look:?}: {said}");
    }
    assert_eq!(run_json(&clone, &["gate", "verify", "digits@1"], 0), verified, "the same without the store");
    let max = world.lab.key("max");
    for change in [
        &["promote", "digits@1", "--to", "staging", "--key", &max][..],
        &["rollback", "digits", "--stage", "production", "--reason", "slow", "--key", &max],
        &["audit"],
    ] {
        assert!(refused(&clone, change, 2).contains("store::foreign"), "{change:?}");
    }
    // Who has no copy has nothing to look at.
    let another = world.elsewhere("another");
    let said = run(&another, &["model", "history", "digits"], 0);
    assert!(!String::from_utf8_lossy(&said.stderr).contains("shown is"), "{said:?}");
    std::fs::rename(&away, &far).expect("moves");
    ok(&clone, &["audit"]);
}
