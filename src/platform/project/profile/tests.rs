use std::path::Path;

use super::super::Project;
use super::*;
use crate::platform::model::StageSpec;

fn manifest(profile: &str, more: &str) -> Manifest {
    let text = format!(
        "mlp: 1\nproject: {{name: p, id: 01jd3q7z8x9y0v1w2s3t4r5p6n, profile: {profile}, roles: {{model: [m]}}}}\n\
         data: {{d: {{path: d, format: idx}}, unused: {{path: u, format: idx}}}}\n\
         models: {{m: {{data: d, network: [{{linear: 10}}]}}}}\n{more}"
    );
    Project::parse(text.into_bytes(), Path::new("mlp.yaml")).expect("is right")
}

/// A time at which the waivers of these tests hold.
fn now() -> Time {
    "2026-11-01T00:00:00.000Z".parse().expect("is a time")
}

fn gates(manifest: &Manifest) -> String {
    let stage = |(name, stage): (&Name, &StageSpec)| {
        format!("{name}: {}\n", stage.gates.keys().map(Name::as_str).collect::<Vec<_>>().join(" "))
    };
    merged(manifest, None, now()).iter().map(stage).collect()
}

#[test]
fn every_profile_brings_its_gates() {
    insta::assert_snapshot!(gates(&manifest("research", "")), @r"
    candidate: expectations-d leakage-d code
    staging: 
    production: 
    ");
    insta::assert_snapshot!(gates(&manifest("student", "")), @r"
    candidate: expectations-d leakage-d code
    staging: card
    production: 
    ");
    insta::assert_snapshot!(gates(&manifest("product", "")), @r"
    candidate: expectations-d leakage-d code
    staging: floor not-worse card
    production: approval
    ");
    insta::assert_snapshot!(gates(&manifest("regulated", "")), @r"
    candidate: expectations-d leakage-d code
    staging: floor not-worse slices card
    production: approval
    ");
}

#[test]
fn the_second_versions_ask_for_more() {
    insta::assert_snapshot!(gates(&manifest("research@2", "")), @r"
    candidate: expectations-d leakage-d code inputs seed
    staging: 
    production: 
    ");
    insta::assert_snapshot!(gates(&manifest("student@2", "")), @r"
    candidate: expectations-d leakage-d code inputs seed
    staging: charter data-card card
    production: 
    ");
    insta::assert_snapshot!(gates(&manifest("product@2", "")), @r"
    candidate: expectations-d leakage-d code inputs seed
    staging: floor not-worse card
    production: approval
    ");
    insta::assert_snapshot!(gates(&manifest("regulated@2", "")), @r"
    candidate: expectations-d leakage-d code inputs seed
    staging: charter data-card floor not-worse slices groups calibration reproduce card
    production: licence rollback-drill approval
    ");
    for profile in Profile::ALL {
        let update = Update::plan(&manifest(profile.as_str(), ""), Following::newest(profile), now());
        assert!(update.changes.iter().all(|change| change.kind == ChangeKind::More), "{update:?}");
        assert!(!update.changes.is_empty() && update.kept.is_empty() && update.conflicts.is_empty());
        let back = Update::plan(
            &manifest(&format!("{}@2", profile.as_str()), ""),
            Following { profile, version: 1 },
            now(),
        );
        assert!(back.changes.iter().all(|change| change.kind == ChangeKind::Less), "{back:?}");
    }
}

/// An update of a project that has one gate of its own.
fn update(profile: &str, to: &str, stage: &str, own: &str, more: &str) -> Update {
    let stages = "stages: {candidate: {}, staging: {}, production: {}}\n"
        .replace(&format!("{stage}: {{}}"), &format!("{stage}: {{gates: {{{own}}}}}"));
    Update::plan(&manifest(profile, &(stages + more)), to.parse().expect("is a profile"), now())
}

#[test]
fn an_update_keeps_what_the_project_has_and_names_what_asks_for_less() {
    // The base and the other version have the same floor: the project's is not touched, whatever it is.
    let same = update(
        "product",
        "product@2",
        "staging",
        "floor: {metric: {name: accuracy, min: 0.9, bound: lower-95}}",
        "",
    );
    assert_eq!((same.kept.len(), same.conflicts.len()), (0, 0));
    assert_eq!(
        same.changes.iter().map(|change| change.gate.as_str()).collect::<Vec<_>>(),
        ["inputs", "seed"]
    );

    // One that asks for less stands in the way, although no version changes it.
    let loose = update("product", "product@2", "staging", "floor: {metric: {name: accuracy, min: 0.1}}", "");
    assert_eq!((loose.kept.len(), loose.conflicts.len()), (0, 1));
    assert_eq!(loose.conflicts[0].gate.as_str(), "floor");
    let waiver = "waivers: [{gate: floor, stage: staging, reason: r, signer: s, until: 2026-12-31}]\n";
    let floor = "floor: {metric: {name: accuracy, min: 0.1}}";
    assert_eq!(update("product", "product@2", "staging", floor, waiver).conflicts, []);

    let stricter = update("product", "product@2", "candidate", "seed: {seed: {count: 3}}", "");
    assert_eq!((stricter.kept.len(), stricter.conflicts.len()), (1, 0));
    assert_eq!(stricter.kept[0].gate.as_str(), "seed");

    let weaker = update("product", "regulated@2", "staging", "calibration: {calibration: {max: 0.5}}", "");
    assert_eq!(weaker.conflicts.len(), 1);
    assert_eq!(weaker.conflicts[0].why, "max 0.5 is weaker than 0.1");
    let waiver = "waivers: [{gate: calibration, stage: staging, reason: r, signer: s, until: 2026-12-31}]\n";
    let waived =
        update("product", "regulated@2", "staging", "calibration: {calibration: {max: 0.5}}", waiver);
    assert_eq!((waived.kept.len(), waived.conflicts.len()), (1, 0));
    let over = waiver.replace("2026", "2020");
    let over = update("product", "regulated@2", "staging", "calibration: {calibration: {max: 0.5}}", &over);
    assert_eq!(over.conflicts, weaker.conflicts, "a waiver that is over covers nothing");

    let changed =
        update("regulated", "product", "staging", "slices: {slices: {metric: accuracy, min: 0.9}}", "");
    assert_eq!(changed.kept.iter().map(|change| change.gate.as_str()).collect::<Vec<_>>(), ["slices"]);
    let weaker: Vec<(&str, ChangeKind)> =
        changed.changes.iter().map(|change| (change.gate.as_str(), change.kind)).collect();
    assert_eq!(weaker, [("card", ChangeKind::Less), ("approval", ChangeKind::Less)]);
}

#[test]
fn gates_of_a_stage_that_is_not_there_move_to_the_next_and_are_not_lost() {
    let own = manifest("product", "stages: {dev: {}, live: {}}\n");
    assert_eq!(gates(&own), "dev: \nlive: expectations-d leakage-d code floor not-worse card approval\n");
    let GateSpec::Compare(compare) = &merged(&own, None, now())["live"].gates["not-worse"] else {
        panic!("not a comparison")
    };
    assert_eq!(compare.to.as_str(), "live");
    let two = manifest("product", "stages: {candidate: {}, production: {}}\n");
    assert_eq!(
        gates(&two),
        "candidate: expectations-d leakage-d code\nproduction: floor not-worse card approval\n"
    );
}

#[test]
fn a_gate_of_the_same_name_may_tighten_and_others_are_added() {
    let own = manifest(
        "product",
        "stages: {candidate: {gates: {extra: {command: 'true'}}}, staging: {keep: 3, gates: {floor: {metric: {name: accuracy, \
         min: 0.99, bound: lower-95}}}}, production: {}}\n",
    );
    let merged = merged(&own, None, now());
    let GateSpec::Metric(floor) = &merged["staging"].gates["floor"] else { panic!("not a metric") };
    assert_eq!((floor.min, merged["staging"].keep), (Some(0.99), Some(3)));
    assert!(merged["candidate"].gates.contains_key("extra"));
    assert_eq!(loosened(&own, now()), []);
}

#[test]
fn loosening_is_found_and_does_not_count_without_a_waiver() {
    let cases = [
        (
            "staging",
            "floor",
            "{metric: {name: accuracy, min: 0.4, bound: lower-95}}",
            "min 0.4 is weaker than 0.5",
        ),
        (
            "staging",
            "floor",
            "{metric: {name: accuracy, min: 0.9}}",
            "the bound is on a more favourable end of the interval",
        ),
        (
            "staging",
            "floor",
            "{metric: {name: macro_f1, min: 0.9, bound: lower-95}}",
            "the metric is `macro_f1`, not `accuracy`",
        ),
        (
            "staging",
            "floor",
            "{metric: {name: accuracy, on: train, min: 0.9, bound: lower-95}}",
            "the part is `train`, not `test`",
        ),
        ("staging", "floor", "{command: 'true'}", "it is another kind of gate"),
        (
            "staging",
            "not-worse",
            "{compare: {to: production, metric: accuracy, alpha: 0.01}}",
            "alpha 0.01 is easier to pass than 0.05",
        ),
        ("staging", "card", "{model_card: {fields: [limits]}}", "the field `intended_use` is not asked for"),
        (
            "staging",
            "card",
            "{model_card: {fields: [limits, intended_use], placeholders: allow}}",
            "placeholders are allowed",
        ),
        ("candidate", "expectations-d", "{expectations: unused}", "the dataset is `unused`, not `d`"),
    ];
    for (stage, gate, spec, why) in cases {
        let stages = ["candidate", "staging", "production"]
            .map(|name| {
                if name == stage {
                    format!("{name}: {{gates: {{{gate}: {spec}}}}}")
                } else {
                    format!("{name}: {{}}")
                }
            })
            .join(", ");
        let stages = format!("stages: {{{stages}}}\n");
        let own = manifest("product", &stages);
        let found = loosened(&own, now());
        assert_eq!(found.len(), 1, "{spec}");
        assert_eq!((found[0].gate.as_str(), found[0].why.as_str()), (gate, why));
        assert_eq!(
            merged(&own, None, now())[stage].gates[gate],
            defaults(&own, own.project.profile, Some(Of::Classes))[stage][gate],
            "{spec}"
        );

        let waiver =
            format!("waivers: [{{gate: {gate}, stage: {stage}, reason: r, signer: s, until: 2026-12-31}}]\n");
        let waived = manifest("product", &(stages + &waiver));
        assert_eq!(loosened(&waived, now()), []);
        assert_eq!(
            merged(&waived, None, now())[stage].gates[gate],
            waived.stages[stage].gates[gate],
            "{spec}"
        );
        let later = "2027-01-01T00:00:00.000Z".parse().expect("is a time");
        assert_eq!(loosened(&waived, later), found, "a waiver that is over loosens nothing");
        assert_eq!(
            merged(&waived, None, later)[stage].gates[gate],
            merged(&own, None, now())[stage].gates[gate]
        );
    }
}

#[test]
fn a_gate_that_looks_at_other_slices_asks_for_less() {
    let own = |gate: &str| {
        manifest(
            "regulated",
            &format!(
                "stages: {{candidate: {{}}, staging: {{gates: {{slices: {{slices: {gate}}}}}}}, production: {{}}}}\n"
            ),
        )
    };
    let found = loosened(&own("{metric: accuracy, by: corruption, min: 0.9}"), now());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].why, "only the slices by `corruption` are looked at");
    assert_eq!(loosened(&own("{metric: accuracy, min: 0.9}"), now()), []);
}

#[test]
fn what_asks_for_more_is_not_loosening() {
    for (stage, gate, spec) in [
        ("staging", "floor", "{metric: {name: accuracy, min: 0.5, bound: lower-95}}"),
        ("staging", "not-worse", "{compare: {to: production, metric: accuracy, require: better}}"),
        ("staging", "not-worse", "{compare: {to: production, metric: accuracy, alpha: 0.1}}"),
        ("staging", "card", "{model_card: {fields: [limits, more, intended_use]}}"),
        ("production", "approval", "{approvals: {role: model, count: 2, also: {role: model}}}"),
    ] {
        let own = manifest(
            "product",
            &"stages: {candidate: {}, staging: {}, production: {}}\n"
                .replace(&format!("{stage}: {{}}"), &format!("{stage}: {{gates: {{{gate}: {spec}}}}}")),
        );
        assert_eq!(loosened(&own, now()), [], "{spec}");
    }
}

#[test]
fn a_regression_is_judged_by_r2_and_not_by_mcnemar() {
    let mut own = manifest("product", "");
    own.models["m"].train.loss = crate::platform::train::Loss::Mse;
    assert!(gates(&own).contains("staging: floor card\n"), "{}", gates(&own));
    let GateSpec::Metric(floor) = &merged(&own, None, now())["staging"].gates["floor"] else {
        panic!("not a metric")
    };
    assert_eq!(floor.name, "r2");
}

#[test]
fn models_of_both_kinds_have_the_gates_of_their_kind() {
    let mut own = manifest(
        "regulated@2",
        "stages: {candidate: {}, staging: {gates: {floor: {metric: {name: accuracy, min: 0.9, bound: lower-95}}}}, production: {}}\n",
    );
    let mut other = own.models["m"].clone();
    other.train.loss = crate::platform::train::Loss::Mse;
    own.models.insert(name("numbers"), other);
    let floor = |model: Option<&str>| {
        let merged = merged(&own, model.map(name).as_ref(), now());
        let GateSpec::Metric(floor) = &merged["staging"].gates["floor"] else { panic!("not a metric") };
        let gates = &merged["staging"].gates;
        (floor.name.clone(), floor.min, gates.contains_key("not-worse"), gates.contains_key("groups"))
    };
    assert_eq!(floor(Some("m")), ("accuracy".to_owned(), Some(0.9), true, true));
    assert_eq!(floor(Some("numbers")), ("r2".to_owned(), Some(0.0), true, false));
    // A step's model may predict either.
    assert_eq!(floor(Some("step")), ("accuracy".to_owned(), Some(0.9), true, true));
    assert_eq!(loosened(&own, now()), [], "it asks for more of the classifiers");
    let loose = own.stages[1].gates.get_mut("floor").expect("is there");
    *loose = serde_json::from_value(serde_json::json!({"metric": {"name": "accuracy", "min": 0.1}}))
        .expect("is a gate");
    assert_eq!(loosened(&own, now()).len(), 1);
    let back = Update::plan(&own, Following { version: 1, ..own.project.profile }, now());
    assert!(!back.changes.is_empty());
    for (i, change) in back.changes.iter().enumerate() {
        assert!(!back.changes[..i].contains(change), "{change:?} is said once");
    }
}

#[test]
fn no_gate_is_lost_to_a_long_name() {
    let long = format!("{}a", "x".repeat(Name::LONGEST - 1));
    let other = format!("{}b", "x".repeat(Name::LONGEST - 1));
    let text = format!(
        "mlp: 1\nproject: {{name: p, id: 01jd3q7z8x9y0v1w2s3t4r5p6n, profile: research}}\n\
         data: {{{long}: {{path: d, format: idx}}, {other}: {{path: e, format: idx}}}}\n\
         models: {{m: {{data: {long}, network: [{{linear: 10}}]}}, n: {{data: {other}, network: [{{linear: 10}}]}}}}\n"
    );
    let own = Project::parse(text.into_bytes(), Path::new("mlp.yaml")).expect("is right");
    let merged = merged(&own, None, now());
    let gates: Vec<&str> = merged["candidate"].gates.keys().map(Name::as_str).collect();
    assert_eq!(gates.len(), 5, "{gates:?}");
    assert!(gates[0].starts_with("expectations-xxx") && gates[0].len() == Name::LONGEST, "{gates:?}");
    assert_ne!(gates[0], gates[1]);
    assert_eq!(merged["candidate"].gates[0], GateSpec::Expectations(name(&long)));
}

#[test]
fn every_gate_of_every_file_reads() {
    for profile in Profile::ALL {
        for version in 1..=Following::newest(profile).version {
            let following = Following { profile, version };
            for entry in &versions::version(following).gates {
                let data = name("d");
                spec(&entry.gate, entry.each.map(|_| &data), &Name::clone);
                named(&entry.name, entry.each.map(|_| &data));
            }
        }
    }
}
