//! `mlp audit`: whatever is done to a ledger, its records and signatures is found and called by its name.

use std::fs;
use std::path::{Path, PathBuf};

use mlp::base::{Approval, Digest, Entry, EntryKind, Id, Record, Time, Verdict, VerdictValue};
use mlp::infrastructure::store::{Appended, Ledger, LedgerHome};
use mlp::platform::run::publish;
use serde_json::{Value, json};

use crate::support::lifecycle::{FLOOR, ID, Lab, flip};
use crate::support::{ok, refused, run};

const APPROVED: &str = "stages:
  staging: {gates: {floor: {metric: {name: accuracy, min: 0.9}}}}
  production: {gates: {two_eyes: {approvals: {role: service}}}}
";

/// Two versions, the first of them approved by sam and promoted by max.
fn promoted() -> Lab {
    let lab = Lab::new(APPROVED);
    lab.signers(&[("max", ""), ("sam", "")]);
    lab.version(95);
    lab.version(96);
    let (max, sam) = (lab.key("max"), lab.key("sam"));
    ok(lab.path(), &["promote", "digits@1", "--to", "staging", "--key", &max]);
    ok(lab.path(), &["approve", "digits@1", "--to", "production", "--key", &sam]);
    ok(lab.path(), &["promote", "digits@1", "--to", "production", "--key", &max]);
    lab
}

fn home(lab: &Lab) -> LedgerHome {
    LedgerHome::Local(lab.path().join(".git/mlp/store"))
}

fn ledger(home: &LedgerHome) -> Ledger<'_> {
    let project: Id = ID.parse().expect("is an identifier");
    Ledger { home, project, model: "digits".parse().expect("is a name") }
}

fn entries(lab: &Lab) -> Vec<Entry> {
    ledger(&home(lab)).stored().expect("reads").iter().map(|entry| entry.decode().expect("is one")).collect()
}

fn path(lab: &Lab, seq: u64) -> PathBuf {
    lab.ledger().join(format!("{seq:020}"))
}

/// Writes an entry past mlp, with the right digest below it.
fn put(lab: &Lab, entry: &Entry) {
    let mut bytes = entry.to_bytes();
    bytes.extend(format!("\n{}\n", entry.digest()).into_bytes());
    overwrite(&path(lab, entry.seq), &bytes);
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).expect("writes");
}

/// Appends an entry like `like` past mlp's rules, so that it chains.
fn forge(lab: &Lab, like: &Entry, change: impl FnOnce(&mut Entry)) -> Entry {
    let home = home(lab);
    let ledger = ledger(&home);
    let last = ledger.entries().expect("reads").pop().expect("is there");
    let mut entry = Entry { seq: last.seq + 1, prev: Some(last.digest()), op: Id::new(), ..like.clone() };
    entry.time = last.time;
    change(&mut entry);
    assert_eq!(ledger.append(&entry).expect("appends"), Appended::Yes);
    entry
}

/// The findings of an audit that must fail, as (number, name).
fn findings(lab: &Lab) -> Vec<(u64, String)> {
    let audited = lab.json(&["audit", "digits"], 1);
    assert_eq!(audited["sound"], false);
    let list = audited["models"][0]["findings"].as_array().expect("is a list");
    let finding = |finding: &Value| {
        let name = finding["problem"].as_str().expect("is text").to_owned();
        (finding["seq"].as_u64().expect("is a number"), name)
    };
    list.iter().map(finding).collect()
}

fn is(found: &[(u64, String)], seq: u64, name: &str) -> bool {
    found.iter().any(|(of, what)| (*of, what.as_str()) == (seq, name))
}

#[test]
fn a_ledger_as_it_was_written_is_sound() {
    let lab = promoted();
    let audited = lab.json(&["audit"], 0);
    let model = &audited["models"][0];
    assert_eq!(
        (&audited["sound"], &model["model"], &model["entries"]),
        (&true.into(), &"digits".into(), &5.into())
    );
    // Two promotions and an approve entry are signed, and the approval itself.
    assert_eq!((&model["signatures"], &model["findings"]), (&4.into(), &json!([])));
    assert_eq!(model["head"], entries(&lab).last().expect("is there").digest().to_string());
    let text = ok(lab.path(), &["audit", "digits"]);
    assert!(text.starts_with("digits is sound (5 entries, "), "{text}");
    refused(lab.path(), &["audit", "--accept"], 2);
    assert!(refused(lab.path(), &["audit", "digit"], 2).contains("did you mean `digits`"));
}

#[test]
fn a_flipped_bit_in_any_entry_is_named() {
    let lab = promoted();
    for seq in 1..=5 {
        let good = fs::read(path(&lab, seq)).expect("reads");
        for at in [2, good.len() / 2, good.len() - 10] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            overwrite(&path(&lab, seq), &bytes);
            assert!(is(&findings(&lab), seq, "entry-damaged"), "byte {at} of entry {seq}");
        }
        overwrite(&path(&lab, seq), &good);
    }
    ok(lab.path(), &["audit"]);
}

#[test]
fn entries_that_were_cut_out_reordered_or_rewritten_are_named() {
    let lab = promoted();
    let all = entries(&lab);
    let restore = || all.iter().for_each(|entry| put(&lab, entry));

    fs::remove_file(path(&lab, 2)).expect("removes");
    assert!(is(&findings(&lab), 2, "entry-missing"));
    restore();

    let (third, fourth) = (fs::read(path(&lab, 3)).expect("reads"), fs::read(path(&lab, 4)).expect("reads"));
    overwrite(&path(&lab, 3), &fourth);
    overwrite(&path(&lab, 4), &third);
    let found = findings(&lab);
    assert!(is(&found, 3, "entry-misplaced") && is(&found, 4, "entry-misplaced"), "{found:?}");
    restore();

    // With a right digest, but the next entry names another.
    put(&lab, &Entry { actor: "Eve <eve@x>".into(), ..all[1].clone() });
    assert!(is(&findings(&lab), 3, "chain-broken"));
    restore();

    // And with all that follows made anew: the signatures do not hold, and it is not what this clone saw.
    let mut last: Option<Entry> = None;
    for entry in &all {
        let mut entry = Entry { prev: last.as_ref().map(Entry::digest), ..entry.clone() };
        if entry.seq == 1 {
            entry.actor = "Eve <eve@x>".into();
        }
        put(&lab, &entry);
        last = Some(entry);
    }
    let found = findings(&lab);
    assert!(is(&found, 3, "signature-invalid") && is(&found, 5, "ledger-rewritten"), "{found:?}");
    restore();
    ok(lab.path(), &["audit"]);
}

#[test]
fn a_flipped_bit_in_any_record_that_an_entry_names_and_a_missing_one_are_named() {
    let lab = promoted();
    let store = lab.path().join(".git/mlp/store/records");
    let mut tried = 0;
    for entry in entries(&lab) {
        for id in &entry.evidence {
            let file = store.join(&id.hex()[..2]).join(id.hex());
            let good = fs::read(&file).expect("reads");
            flip(&file);
            assert!(is(&findings(&lab), entry.seq, "record-damaged"), "{id} of entry {}", entry.seq);
            let _ = fs::remove_file(lab.path().join(format!(".git/mlp/store/bad/{}.record", id.hex())));
            let _ = fs::remove_file(&file);
            assert!(is(&findings(&lab), entry.seq, "record-missing"), "{id} of entry {}", entry.seq);
            overwrite(&file, &good);
            tried += 1;
        }
    }
    assert!(tried > 6, "{tried}");
    ok(lab.path(), &["audit"]);
}

#[test]
fn an_input_of_a_verdict_that_was_found_damaged_is_told_again() {
    let lab = promoted();
    let store = lab.store();
    let promotion =
        entries(&lab).into_iter().find(|entry| entry.kind == EntryKind::Promote).expect("is there");
    let inputs = promotion.evidence.iter().map(|id| store.record::<Verdict>(id).expect("reads").inputs);
    let input = inputs.flatten().find(|id| store.has_record(id)).expect("rests on a record");
    flip(&lab.path().join(".git/mlp/store/records").join(&input.hex()[..2]).join(input.hex()));
    for time in ["first", "second"] {
        assert!(is(&findings(&lab), promotion.seq, "record-damaged"), "{time}");
    }
}

#[test]
fn an_entry_that_is_dated_ahead_is_named() {
    let lab = promoted();
    let last = entries(&lab).pop().expect("is there");
    let at = |ahead_ms: i64| Time::from_ms(Time::now().as_ms() + ahead_ms);
    let register = entries(&lab).remove(0);
    let near = forge(&lab, &register, |entry| {
        entry.kind = EntryKind::Gc;
        entry.evidence = vec![];
        entry.time = at(60_000);
    });
    assert_eq!(near.seq, last.seq + 1);
    ok(lab.path(), &["audit"]);
    let far = forge(&lab, &register, |entry| {
        entry.kind = EntryKind::Gc;
        entry.evidence = vec![];
        entry.time = at(3_600_000);
    });
    assert_eq!(findings(&lab), [(far.seq, "entry-from-future".to_owned())]);
}

#[test]
fn what_comes_before_a_damaged_or_untrusted_entry_is_shown() {
    let lab = promoted();
    let whole = fs::read(path(&lab, 4)).expect("reads");
    flip(&path(&lab, 4));
    for args in [&["model", "history"][..], &["status"], &["why", "digits@1"], &["model", "show", "digits@1"]]
    {
        let output = run(lab.path(), args, 1);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("store::ledger-damaged") && said.contains(&format!("{:020}", 4)), "{said}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(lab.json(&["model", "history"], 1)["entries"].as_array().map(Vec::len), Some(3));
    let max = lab.key("max");
    refused(lab.path(), &["promote", "digits@2", "--to", "staging", "--key", &max], 1);
    overwrite(&path(&lab, 4), &whole);
    ok(lab.path(), &["model", "history"]);
    // Sam's line is taken out instead of dated.
    let file = lab.path().join(".mlp/allowed_signers");
    let lines = fs::read_to_string(&file).expect("reads");
    let left: String =
        lines.lines().filter(|line| !line.starts_with("sam ")).map(|line| format!("{line}\n")).collect();
    lab.commit(".mlp/allowed_signers", &left);
    let said = String::from_utf8_lossy(&run(lab.path(), &["model", "history"], 1).stderr).into_owned();
    assert!(said.contains("`sam` is not in the signers' file (left?"), "{said}");
    assert_eq!(lab.json(&["model", "history"], 1)["entries"].as_array().map(Vec::len), Some(3));
}

#[test]
fn an_approval_that_is_replayed_for_another_version_or_stage_is_named() {
    let lab = promoted();
    let sam = lab.key("sam");
    let all = entries(&lab);
    let approve = all.iter().find(|entry| entry.kind == EntryKind::Approve).expect("is there");
    let second = all.iter().find(|entry| entry.subject.version == 2).expect("is there");
    let sign = |entry: &mut Entry| {
        let bytes = entry.signed_bytes();
        let signed = mlp::infrastructure::keys::sign(&bytes, "mlp-ledger", Path::new(&sam)).expect("signs");
        entry.signature = Some(signed);
    };
    let other = forge(&lab, approve, |entry| {
        entry.subject.version = 2;
        entry.subject.tree = second.subject.tree;
        sign(entry);
    });
    let earlier = forge(&lab, approve, |entry| {
        entry.subject.stage = Some("staging".parse().expect("is a name"));
        sign(entry);
    });
    let found = findings(&lab);
    assert!(is(&found, other.seq, "approval-for-another"), "{found:?}");
    assert!(is(&found, earlier.seq, "approval-for-another"), "{found:?}");
    // The gate does not take it either, and says why.
    let promote = run(lab.path(), &["promote", "digits@2", "--to", "production", "--key", &sam], 1);
    let text = String::from_utf8_lossy(&promote.stdout).into_owned();
    assert!(text.contains("the approval by sam is for digits@1"), "{text}");
}

#[test]
fn a_promotion_past_closed_gates_or_without_its_approvals_is_named() {
    let lab = promoted();
    let max = lab.key("max");
    let last = entries(&lab).pop().expect("is there");
    let store = lab.store();
    let verdict = |change: &dyn Fn(&mut Record<Verdict>)| {
        let mut verdicts = last.evidence.iter().map(|id| store.record::<Verdict>(id).expect("reads"));
        let mut record = verdicts.find(|record| record.body.gate.as_str() == "two_eyes").expect("is there");
        change(&mut record);
        publish(&store, &record, "digits", &[]).expect("publishes")
    };
    let failed = verdict(&|record| record.body.verdict = VerdictValue::Fail);
    let alone = verdict(&|record| record.inputs.clear());
    let other = verdict(&|record| record.body.tree = Digest::of(b"other files"));
    let promote = |id: Digest| {
        let forged = forge(&lab, &last, |entry| {
            entry.evidence = vec![id];
            let bytes = entry.signed_bytes();
            entry.signature =
                Some(mlp::infrastructure::keys::sign(&bytes, "mlp-ledger", Path::new(&max)).expect("signs"));
        });
        forged.seq
    };
    let (failed, alone, other) = (promote(failed), promote(alone), promote(other));
    let found = findings(&lab);
    assert!(is(&found, failed, "verdict-not-pass"), "{found:?}");
    assert!(is(&found, alone, "approval-missing"), "{found:?}");
    assert!(is(&found, other, "record-for-another"), "{found:?}");
}

#[test]
fn signatures_that_are_missing_or_were_changed_are_named() {
    let lab = promoted();
    let all = entries(&lab);
    let last = all.last().expect("is there");
    let unsigned = forge(&lab, last, |entry| entry.signature = None);
    let borrowed = forge(&lab, last, |_| ());
    let found = findings(&lab);
    assert!(
        is(&found, unsigned.seq, "unsigned") && is(&found, borrowed.seq, "signature-invalid"),
        "{found:?}"
    );

    // One bit of an approval's signature, in a record that is stored as it should be.
    let lab = promoted();
    let all = entries(&lab);
    let approve = all.iter().find(|entry| entry.kind == EntryKind::Approve).expect("is there");
    let mut record = lab.store().record::<Approval>(&approve.evidence[0]).expect("reads");
    let signature = record.signature.clone().expect("is signed");
    let middle = signature.len() / 2;
    let swapped = if &signature[middle..=middle] == "A" { "B" } else { "A" };
    record.signature = Some(format!("{}{swapped}{}", &signature[..middle], &signature[middle + 1..]));
    let id = publish(&lab.store(), &record, "digits", &[]).expect("publishes");
    let sam = lab.key("sam");
    let forged = forge(&lab, approve, |entry| {
        entry.evidence = vec![id];
        let bytes = entry.signed_bytes();
        entry.signature =
            Some(mlp::infrastructure::keys::sign(&bytes, "mlp-ledger", Path::new(&sam)).expect("signs"));
    });
    assert!(is(&findings(&lab), forged.seq, "signature-invalid"));
}

#[test]
fn a_cut_ledger_warns_who_reads_stops_who_writes_and_can_be_accepted() {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    lab.version(96);
    ok(lab.path(), &["promote", "digits@1", "--to", "staging"]);
    fs::remove_file(path(&lab, 3)).expect("removes");
    let explain = &["gate", "explain", "digits"];
    for args in
        [&["model", "history"][..], &["model", "show", "digits"], &["model", "ls"], &["status"], explain]
    {
        let output = run(lab.path(), args, 0);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("cut or rewritten: it has 2 entries and had 3"), "{args:?}: {said}");
    }
    assert!(is(&findings(&lab), 3, "ledger-cut"));
    for args in
        [&["promote", "digits@2", "--to", "staging"][..], &["rollback", "digits"], &["model", "register"]]
    {
        let said = refused(lab.path(), args, 1);
        assert!(
            said.contains("store::ledger-rolled-back") && said.contains("mlp audit digits --accept"),
            "{said}"
        );
    }
    let audited = lab.json(&["audit", "digits", "--accept"], 0);
    assert_eq!((&audited["sound"], &audited["models"][0]["entries"]), (&true.into(), &2.into()));
    assert_eq!(run(lab.path(), &["model", "history"], 0).stderr, b"");
    ok(lab.path(), &["promote", "digits@2", "--to", "staging"]);
}

#[test]
fn a_store_that_was_put_back_is_noticed_and_the_former_copy_is_kept() {
    let far = tempfile::tempdir().expect("makes a folder");
    let lab = Lab::new(&format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n{FLOOR}", far.path().display()));
    lab.version(95);
    ok(lab.path(), &["promote", "digits@1", "--to", "staging"]);
    let folder = far.path().join("ledger").join(ID).join(&Digest::of(b"digits").hex()[..16]);
    fs::remove_file(folder.join(format!("{:020}", 2))).expect("removes");
    let output = run(lab.path(), &["model", "history"], 0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("on `origin` was cut or rewritten"));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("promote"), "what is there is shown");
    assert!(is(&findings(&lab), 2, "ledger-cut"));
    refused(lab.path(), &["promote", "digits@1", "--to", "staging"], 1);
    let audited = lab.json(&["audit", "digits", "--accept"], 0);
    let former = audited["former"].as_str().expect("the copy was moved");
    assert_eq!(fs::read_dir(former).expect("is there").count(), 2);
    ok(lab.path(), &["promote", "digits@1", "--to", "staging"]);
}

#[test]
fn fifty_promotions_at_once_and_over_two_clones_are_one_whole_chain() {
    const WRITERS: u64 = 50;
    let far = tempfile::tempdir().expect("makes a folder");
    let lab = Lab::new(&format!("stores: {{origin: {{url: \"fs://{}\"}}}}\n{FLOOR}", far.path().display()));
    for number in 0..4 {
        lab.version(92 + number);
    }
    // The evidence is in both clones.
    let clone = tempfile::tempdir().expect("makes a folder");
    let copied =
        std::process::Command::new("cp").arg("-a").arg(lab.path().join(".")).arg(clone.path()).status();
    assert!(copied.expect("cp starts").success());
    let children: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let folder = if writer % 2 == 0 { lab.path() } else { clone.path() };
            let version = format!("digits@{}", writer / 2 % 4 + 1);
            let mut command = crate::support::mlp(folder);
            command.args(["promote", &version, "--to", "staging", "--json"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("starts")
        })
        .collect();
    let mut done = Vec::new();
    for child in children {
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
        // One finds that its version is live already, if another has just promoted it.
        done.extend(answer["entry"].as_str().map(str::to_owned));
    }
    let history = lab.json(&["model", "history"], 0);
    let entries = history["entries"].as_array().expect("is a list").clone();
    let mut there: Vec<String> = entries
        .iter()
        .filter(|entry| entry["kind"] == "promote")
        .map(|entry| entry["id"].as_str().expect("is text").to_owned())
        .collect();
    there.sort();
    done.sort();
    assert_eq!(there, done, "as many entries as successes, and just those");
    assert!(done.len() >= 4, "{done:?}");
    assert_eq!(lab.json(&["audit"], 0)["models"][0]["entries"], entries.len());
    ok(clone.path(), &["audit"]);
}

#[test]
fn a_waiver_is_checked_as_an_approval_is() {
    let lab = promoted();
    let sam = lab.key("sam");
    let waive = ["waive", "digits@2", "floor", "--stage", "staging", "--until", "2999-01-01"];
    ok(lab.path(), &[&waive[..], &["--reason", "a trial", "--key", &sam]].concat());
    ok(lab.path(), &["audit"]);
    let waived = entries(&lab).pop().expect("is there");
    let first = entries(&lab).remove(0);
    let forged = forge(&lab, &waived, |entry| {
        entry.subject.version = 1;
        entry.subject.tree = first.subject.tree;
        let bytes = entry.signed_bytes();
        entry.signature =
            Some(mlp::infrastructure::keys::sign(&bytes, "mlp-ledger", Path::new(&sam)).expect("signs"));
    });
    assert!(is(&findings(&lab), forged.seq, "record-for-another"));
}

/// A promotion to production like the last one, signed by max, past mlp's rules.
fn promotion(lab: &Lab, change: impl FnOnce(&mut Entry)) -> u64 {
    let max = lab.key("max");
    let all = entries(lab);
    let like = all.iter().rfind(|entry| entry.kind == EntryKind::Promote).expect("is there");
    let forged = forge(lab, like, |entry| {
        change(entry);
        let bytes = entry.signed_bytes();
        let signed = mlp::infrastructure::keys::sign(&bytes, "mlp-ledger", Path::new(&max));
        entry.signature = Some(signed.expect("signs"));
    });
    forged.seq
}

#[test]
fn a_promotion_that_lacks_verdicts_of_its_rules_is_named_and_not_pulled() {
    let lab = promoted();
    let pull = ["model", "pull", "digits@production", "--verify", "keys/served"];
    ok(lab.path(), &pull);
    let store = lab.store();
    let last = entries(&lab).pop().expect("is there");
    let of = |gate: &str| {
        let mut ids = last.evidence.iter().copied();
        ids.find(|id| store.record::<Verdict>(id).expect("reads").body.gate.as_str() == gate)
            .expect("is there")
    };
    let but_eyes = |other: Option<Digest>| -> Vec<Digest> {
        let eyes = of("two_eyes");
        last.evidence.iter().copied().filter(|id| *id != eyes).chain(other).collect()
    };
    let made_up = |gate: &str, change: &dyn Fn(&mut Record<Verdict>)| {
        let mut record = store.record::<Verdict>(&of(gate)).expect("reads");
        change(&mut record);
        publish(&store, &record, "digits", &[]).expect("publishes")
    };
    let is_named = |evidence: Vec<Digest>, commit: Option<&str>, name: &str, why: &str| {
        let seq = promotion(&lab, |entry| {
            entry.evidence = evidence;
            if let Some(commit) = commit {
                entry.subject.commit = (!commit.is_empty()).then(|| commit.to_owned());
            }
        });
        let found = findings(&lab);
        assert!(is(&found, seq, name), "{why}: {found:?}");
        let said = refused(lab.path(), &pull, 1);
        assert!(said.contains(why), "{said}");
    };
    is_named(vec![], None, "verdict-missing", "names no verdict of it");
    is_named(but_eyes(None), None, "verdict-missing", "names no verdict of it");
    let elsewhere =
        made_up("two_eyes", &|record| record.body.stage = "candidate".parse().expect("is a name"));
    is_named(but_eyes(Some(elsewhere)), None, "verdict-missing", "names no verdict of it");
    let other = made_up("two_eyes", &|record| record.body.rule = json!({"what": 1}));
    is_named(but_eyes(Some(other)), None, "verdict-missing", "is by another rule");
    let waived = made_up("two_eyes", &|record| {
        record.inputs.clear();
        record.body.reason = Some("waived until 2999-12-31 by max: so I say".into());
    });
    is_named(but_eyes(Some(waived)), None, "verdict-missing", "no waiver stands: there is none");
    is_named(vec![], Some(""), "rules-void", "does not name the commit of its rules");
    lab.git(&["checkout", "-q", "-b", "mine"]);
    lab.rules("stages: {staging: {}, production: {}}\n");
    let mine = lab.git(&["rev-parse", "HEAD"]);
    lab.git(&["checkout", "-q", "main"]);
    is_named(last.evidence.clone(), Some(&mine), "rules-void", "is none of main");
}

#[test]
fn an_approval_that_is_brought_twice_takes_nothing_from_the_first_time() {
    let lab = promoted();
    let sam = lab.key("sam");
    let approve = entries(&lab).into_iter().find(|entry| entry.kind == EntryKind::Approve).expect("is there");
    forge(&lab, &approve, |entry| {
        let bytes = entry.signed_bytes();
        entry.signature =
            Some(mlp::infrastructure::keys::sign(&bytes, "mlp-ledger", Path::new(&sam)).expect("signs"));
    });
    ok(lab.path(), &["audit", "digits"]);
}
