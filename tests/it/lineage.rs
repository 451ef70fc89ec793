//! `mlp why` and `mlp impact`.

use serde_json::Value;

use crate::support::lifecycle::{FLOOR, Lab};
use crate::support::{ok, refused};

/// The edges as (from, as, to).
fn edges(graph: &Value) -> Vec<(String, String, String)> {
    let text = |edge: &Value, key: &str| edge[key].as_str().expect("is text").to_owned();
    let edges = graph["edges"].as_array().expect("has edges");
    edges.iter().map(|edge| (text(edge, "from"), text(edge, "as"), text(edge, "to"))).collect()
}

/// Two versions, the second live in staging.
fn lab() -> Lab {
    let lab = Lab::new(FLOOR);
    lab.version(95);
    lab.commit("prepare.py", "print(1)\n");
    lab.version(96);
    ok(lab.path(), &["promote", "digits@2", "--to", "staging"]);
    lab
}

#[test]
fn a_version_is_followed_to_its_data_code_and_verdicts() {
    let lab = lab();
    let graph = lab.json(&["why", "digits@staging"], 0);
    assert_eq!((&graph["schema"], &graph["root"]), (&"mlp/why/1".into(), &"digits@2".into()));
    let found = edges(&graph);
    let commit = lab.git(&["rev-parse", "HEAD"]);
    assert!(found.iter().any(|(from, role, _)| from == "digits@2" && role == "made by"), "{found:?}");
    assert!(found.iter().any(|(_, role, to)| role == "code" && *to == commit), "{found:?}");
    let entry =
        found.iter().find(|(from, role, _)| from == "digits@2" && role == "promoted").expect("is there");
    let verdict =
        found.iter().find(|(from, role, _)| *from == entry.2 && role == "evidence").expect("is there");
    assert!(
        found.iter().any(|(from, _, _)| *from == verdict.2),
        "the verdict rests on its evaluation: {found:?}"
    );

    let text = ok(lab.path(), &["why", "digits@2"]);
    for words in [
        "digits@2",
        "live in staging",
        "training of digits",
        "accuracy 0.9600",
        "floor for staging: pass",
        "prepare.py, Ada",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Each line leads on: to the run, and from the run to nothing about the version.
    let run =
        &found.iter().find(|(from, role, _)| from == "digits@2" && role == "made by").expect("is there").2;
    let graph = lab.json(&["why", &run[..15]], 0);
    assert_eq!(graph["root"].as_str(), Some(run.as_str()));
    assert!(edges(&graph).iter().all(|(_, role, _)| role != "promoted"));
}

#[test]
fn what_rests_on_data_code_and_runs_is_told_with_where_it_is_live() {
    let lab = lab();
    let numbers = |subject: &str| -> Vec<(u64, usize)> {
        let told = lab.json(&["impact", subject], 0);
        let versions = told["versions"].as_array().expect("has some");
        versions
            .iter()
            .map(|rests| {
                (
                    rests["version"].as_u64().expect("is a number"),
                    rests["live"].as_array().expect("is a list").len(),
                )
            })
            .collect()
    };
    let data = blake3::hash(b"data").to_hex();
    assert_eq!(numbers(&format!("b3:{}", &data[..16])), [(1, 0), (2, 1)]);
    assert_eq!(numbers(&lab.git(&["rev-parse", "HEAD"])[..10]), [(2, 1)]);
    // A file of code means the runs that saw it as it is now.
    assert_eq!(numbers("prepare.py"), [(2, 1)]);
    assert_eq!(numbers("mlp.yaml"), [(1, 0), (2, 1)]);
    lab.commit("prepare.py", "print(2)\n");
    assert_eq!(numbers("prepare.py"), []);
    assert_eq!(numbers("prepare.py@HEAD~1"), [(2, 1)]);
    let text = ok(lab.path(), &["impact", "prepare.py@HEAD~1"]);
    assert!(
        text.contains("digits@2") && text.contains("staging") && text.contains("1 version, 1 live"),
        "{text}"
    );
    assert!(ok(lab.path(), &["impact", "prepare.py"]).contains("no model version rests on prepare.py"));
}

#[test]
fn what_nobody_knows_is_answered_with_what_can_be_asked() {
    let lab = lab();
    for (subject, words) in [
        ("b3:0000000000000000", "lineage::unknown"),
        ("nothing-like-that", "lineage::unknown"),
        ("digits@9", "versions go from 1 to 2"),
        ("digts@1", "did you mean `digits`"),
        ("digits@prod", "nothing of `digits` is live"),
        ("../../etc/passwd@x", "lineage"),
    ] {
        for verb in ["why", "impact"] {
            let said = refused(lab.path(), &[verb, subject], 2);
            assert!(said.contains(words) || subject.contains(".."), "{verb} {subject}: {said}");
        }
    }
}
