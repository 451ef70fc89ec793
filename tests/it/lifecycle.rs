//! `mlp lifecycle`: profiles in versions.

use crate::support::{ok, refused, run};

/// A project that follows `profile`, with these lines at the end of `mlp.yaml`.
fn project(profile: &str, stages: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("makes a folder");
    let text = format!(
        "mlp: 1
# who and what
project: {{name: p, id: 01jd3q7z8x9y0v1w2s3t4r5p6n, profile: {profile}, roles: {{model: [m], service: [s]}}}} # kept
data: {{d: {{path: d, format: idx}}}}
models: {{m: {{data: d, network: [{{linear: 10}}]}}}}
{stages}"
    );
    std::fs::write(dir.path().join("mlp.yaml"), text).expect("writes");
    dir
}

fn yaml(dir: &tempfile::TempDir) -> String {
    std::fs::read_to_string(dir.path().join("mlp.yaml")).expect("reads")
}

#[test]
fn a_new_project_follows_the_newest_version_and_an_old_one_stays() {
    let dir = tempfile::tempdir().expect("makes a folder");
    ok(dir.path(), &["init", "new", "--profile", "product"]);
    let text = std::fs::read_to_string(dir.path().join("new/mlp.yaml")).expect("reads");
    assert!(text.contains("profile: product@2"), "{text}");
    let old = project("product", "");
    assert!(ok(old.path(), &["lifecycle", "show"]).contains("# Gates of the profile `product`, version 1."));
    assert!(ok(old.path(), &["lifecycle", "show", "product"]).contains("version 2."));
    let shown: serde_json::Value =
        serde_json::from_str(&ok(old.path(), &["lifecycle", "show", "student@1", "--json"]))
            .expect("is JSON");
    assert_eq!(
        (&shown["version"], &shown["newest"], &shown["profile"]),
        (&1.into(), &2.into(), &"student".into())
    );
}

#[test]
fn an_update_says_what_it_asks_and_changes_one_value() {
    let dir = project(
        "product",
        "stages:\n  staging: {gates: {floor: {metric: {name: accuracy, min: 0.9, bound: lower-95}}}}\n",
    );
    let before = yaml(&dir);
    let diff = ok(dir.path(), &["lifecycle", "diff"]);
    assert!(
        diff.contains("from product@1 to product@2") && diff.contains("everything the run read"),
        "{diff}"
    );
    let dry = ok(dir.path(), &["lifecycle", "update", "--dry-run"]);
    assert!(dry.contains("would follow product@2"), "{dry}");
    assert_eq!(yaml(&dir), before);
    let done = ok(dir.path(), &["lifecycle", "update"]);
    assert!(done.contains("follows product@2 now"), "{done}");
    assert_eq!(yaml(&dir), before.replace("profile: product,", "profile: product@2,"));
    assert!(ok(dir.path(), &["lifecycle", "update"]).contains("follows product@2 already"));
    ok(dir.path(), &["lifecycle", "update", "--to", "product@1"]);
    assert_eq!(yaml(&dir), before.replace("profile: product,", "profile: product@1,"));
}

#[test]
fn a_gate_that_would_ask_for_less_stands_in_the_way_by_name() {
    let dir = project(
        "product",
        "stages:\n  candidate: {}\n  staging: {gates: {calibration: {calibration: {max: 0.5}}}}\n  production: {}\n",
    );
    let before = yaml(&dir);
    let said = String::from_utf8(run(dir.path(), &["lifecycle", "update", "--to", "regulated"], 1).stdout);
    let said = said.expect("is text");
    for words in
        ["calibration in staging: max 0.5 is weaker than 0.1", "1 gate stands in the way of regulated@2"]
    {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(yaml(&dir), before, "nothing was written");
}

#[test]
fn profiles_that_there_are_not_are_refused_with_the_near_one() {
    let dir = project("prodct", "");
    let said = refused(dir.path(), &["check"], 2);
    assert!(said.contains("product"), "{said}");
    let newer = project("product@99", "");
    let said = refused(newer.path(), &["check"], 2);
    assert!(said.contains("the versions 1 to 2 of the profile `product`, not `99`"), "{said}");
    let right = project("product", "");
    let said = refused(right.path(), &["lifecycle", "diff", "--to", "produkt"], 2);
    assert!(said.contains("produkt"), "{said}");
    let none = tempfile::tempdir().expect("makes a folder");
    std::fs::write(
        none.path().join("mlp.yaml"),
        "mlp: 1\nproject: {name: p, id: 01jd3q7z8x9y0v1w2s3t4r5p6n}\n",
    )
    .expect("writes");
    let said = refused(none.path(), &["lifecycle", "update"], 2);
    assert!(said.contains("write `profile: research@2` under `project:`"), "{said}");
}
