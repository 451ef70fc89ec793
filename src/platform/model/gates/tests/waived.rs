//! Signed waivers of the ledger.

use serde_json::json;

use super::*;
use crate::base::SignedWaiver;
use crate::infrastructure::keys::NAMESPACE_WAIVER;

/// A version whose gate is closed, and two signers.
fn world() -> World {
    let mut world = World::new(json!({"code": "committed"}));
    world.version(GitState::default());
    world.signer("max", "");
    world.signer("ada@example.org", "");
    world
}

fn waiver() -> SignedWaiver {
    SignedWaiver {
        model: name("digits"),
        version: 1,
        tree: digest("tree 1"),
        stage: name("staging"),
        gate: name("it"),
        until: "2026-06-01".into(),
        reason: "a trial".into(),
        principal: "max".into(),
    }
}

/// Files a waiver signed by `key` for this purpose, and the entry that names it.
fn file(world: &mut World, body: SignedWaiver, key: &str, namespace: &str) -> Digest {
    let mut record = Record::new("Max", vec![], body);
    record.signature = Some(sign(&record.signed_bytes(), namespace, &world.key(key)).expect("signs"));
    let id = publish(&world.store, &record, "digits", &[]).expect("publishes");
    world.entry(EntryKind::Waive, 1, Some("staging"), None, vec![id]);
    id
}

#[test]
fn a_signed_waiver_opens_the_gate_until_its_day_ends() {
    let mut world = world();
    assert_eq!(value(&world.judge()), Fail);
    let id = file(&mut world, waiver(), "max", NAMESPACE_WAIVER);
    let open = world.judge_for("staging", "2026-06-01T23:59:59Z");
    assert_eq!(
        (value(&open), open.verdict.reason.as_deref()),
        (Pass, Some("waived until 2026-06-01 by max: a trial"))
    );
    assert!(open.evidence.contains(&id));
    let over = world.judge_for("staging", "2026-06-02T00:00:00Z");
    assert_eq!(
        (value(&over), over.verdict.reason.as_deref()),
        (Fail, Some("the waiver by max expired on 2026-06-01"))
    );
    // The next version is another matter.
    world.version(GitState::default());
    assert_eq!(value(&world.judge()), Fail);
}

#[test]
fn waivers_that_do_not_hold_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut SignedWaiver), key: &str, namespace: &str, why: &str| {
        let mut world = world();
        let mut body = waiver();
        change(&mut body);
        file(&mut world, body, key, namespace);
        let found = world.judge();
        let reason = found.verdict.reason.clone().unwrap_or_default();
        assert_eq!(value(&found), Fail, "{why}");
        assert!(reason.contains(why), "`{reason}` should say `{why}`");
    };
    refused(&|body| body.tree = digest("tree 0"), "max", NAMESPACE_WAIVER, "is for other files");
    refused(&|body| body.version = 2, "max", NAMESPACE_WAIVER, "is for digits@2");
    refused(&|_| (), "stranger", NAMESPACE_WAIVER, "does not verify");
    refused(&|_| (), "max", NAMESPACE_APPROVAL, "does not verify");
    refused(&|body| body.until = "soon".into(), "max", NAMESPACE_WAIVER, "the waiver's date `soon` is none");
    refused(
        &|body| body.principal = "ada@example.org".into(),
        "ada@example.org",
        NAMESPACE_WAIVER,
        "is by an author of the model",
    );
    let mut other = world();
    let body = SignedWaiver { gate: name("another"), ..waiver() };
    file(&mut other, body, "max", NAMESPACE_WAIVER);
    assert_eq!(other.judge().verdict.reason, None, "a waiver of another gate is none of this one's");
}

#[test]
fn a_waiver_decides_nothing_where_who_made_the_version_cannot_be_told() {
    let mut world = World::new(json!({"seed": {}}));
    world.clean_version();
    world.signer("max", "");
    assert_eq!(value(&world.judge()), Fail);
    file(&mut world, waiver(), "max", NAMESPACE_WAIVER);
    assert_eq!(value(&world.judge()), Pass);
    world.origin = Origin { shallow: true, ..Origin::default() };
    let found = world.judge();
    assert_eq!(
        (value(&found), found.verdict.next.as_deref()),
        (Unknown, Some("git fetch --unshallow origin"))
    );
    assert!(found.verdict.reason.unwrap_or_default().contains("max, who signed a waiver"));
    // One that does not hold anyhow stays what it is.
    assert_eq!(value(&world.judge_for("staging", "2026-06-02T00:00:00Z")), Fail);
    world.rules.separation = Separation::None;
    assert_eq!(value(&world.judge()), Pass);
}

#[test]
fn a_signature_over_other_words_does_not_hold() {
    let mut world = world();
    let id = file(&mut world, waiver(), "max", NAMESPACE_WAIVER);
    let mut record = world.store.record::<SignedWaiver>(&id).expect("reads");
    record.body.until = "2099-12-31".into();
    let forged = publish(&world.store, &record, "digits", &[]).expect("publishes");
    world.entries.pop();
    world.entry(EntryKind::Waive, 1, Some("staging"), None, vec![forged]);
    let found = world.judge_for("staging", "2027-01-01T00:00:00Z");
    assert!(found.verdict.reason.unwrap_or_default().contains("does not verify"));
}
