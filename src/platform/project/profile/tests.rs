use std::path::Path;

use super::super::Project;
use super::*;

fn manifest(profile: &str, more: &str) -> Manifest {
    let text = format!(
        "mlp: 1\nproject: {{name: p, id: 01jd3q7z8x9y0v1w2s3t4r5p6n, profile: {profile}, roles: {{model: [m]}}}}\n\
         data: {{d: {{path: d, format: idx}}, unused: {{path: u, format: idx}}}}\n\
         models: {{m: {{data: d, network: [{{linear: 10}}]}}}}\n{more}"
    );
    Project::parse(text.into_bytes(), Path::new("mlp.yaml")).expect("is right")
}

fn gates(manifest: &Manifest) -> String {
    let stage = |(name, stage): (&Name, &StageSpec)| {
        format!("{name}: {}\n", stage.gates.keys().map(Name::as_str).collect::<Vec<_>>().join(" "))
    };
    merged(manifest).iter().map(stage).collect()
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
fn gates_of_a_stage_that_is_not_there_move_to_the_next_and_are_not_lost() {
    let own = manifest("product", "stages: {dev: {}, live: {}}\n");
    assert_eq!(gates(&own), "dev: \nlive: expectations-d leakage-d code floor not-worse card approval\n");
    let GateSpec::Compare(compare) = &merged(&own)["live"].gates["not-worse"] else {
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
    let merged = merged(&own);
    let GateSpec::Metric(floor) = &merged["staging"].gates["floor"] else { panic!("not a metric") };
    assert_eq!((floor.min, merged["staging"].keep), (Some(0.99), Some(3)));
    assert!(merged["candidate"].gates.contains_key("extra"));
    assert_eq!(loosened(&own), []);
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
        let found = loosened(&own);
        assert_eq!(found.len(), 1, "{spec}");
        assert_eq!((found[0].gate.as_str(), found[0].why.as_str()), (gate, why));
        assert_eq!(merged(&own)[stage].gates[gate], defaults(&own)[stage][gate], "{spec}");

        let waiver =
            format!("waivers: [{{gate: {gate}, stage: {stage}, reason: r, signer: s, until: 2026-12-31}}]\n");
        let waived = manifest("product", &(stages + &waiver));
        assert_eq!(loosened(&waived), []);
        assert_eq!(merged(&waived)[stage].gates[gate], waived.stages[stage].gates[gate], "{spec}");
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
    let found = loosened(&own("{metric: accuracy, by: corruption, min: 0.9}"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].why, "only the slices by `corruption` are looked at");
    assert_eq!(loosened(&own("{metric: accuracy, min: 0.9}")), []);
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
        assert_eq!(loosened(&own), [], "{spec}");
    }
}

#[test]
fn a_regression_is_judged_by_r2_and_not_by_mcnemar() {
    let mut own = manifest("product", "");
    own.models["m"].train.loss = crate::platform::train::Loss::Mse;
    assert!(gates(&own).contains("staging: floor card\n"), "{}", gates(&own));
    let GateSpec::Metric(floor) = &merged(&own)["staging"].gates["floor"] else { panic!("not a metric") };
    assert_eq!(floor.name, "r2");
}
