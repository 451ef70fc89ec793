//! Gates about what people write: data card, charter, licences.

use serde_json::json;

use super::*;

#[test]
fn the_reference_page_shows_every_kind_in_a_form_that_reads() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/gates.md"));
    let mut shown = std::collections::BTreeSet::new();
    for block in text.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        // The last one shows waivers.
        if block.starts_with("waivers:") {
            continue;
        }
        let gates: IndexMap<Name, GateSpec> =
            serde_yaml::from_str(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
        for gate in gates.values() {
            let kind = gate.kind();
            assert!(text.contains(&format!("\n## {kind}\n")), "{kind} has no section");
            assert!(text.contains(&format!("| [`{kind}`](#{kind}) | {} |", gate.phase().name())), "{kind}");
            shown.insert(kind);
        }
    }
    let kinds = text.lines().filter(|line| line.starts_with("| [`")).count();
    assert_eq!(shown.len(), kinds, "every kind of the table is shown: {shown:?}");
}

fn page(path: &str, text: Option<&str>) -> Card {
    Card { path: path.into(), text: text.map(str::to_owned), digest: text.map(digest) }
}

#[test]
fn a_template_whose_open_lines_are_written_is_complete() {
    let fields = ["intended_use", "limits", "data", "ethical_considerations", "maintenance"];
    let template = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/common/modelcard.md"));
    let mut world = World::new(json!({"model_card": {"fields": fields}}));
    world.clean_version();
    let mut judged = |text: &str| {
        world.rules.card = Some(page("docs/digits.md", Some(text)));
        world.judge()
    };
    let text = template.replace("@MODEL@", "digits");
    assert_eq!(value(&judged(&text)), Fail);
    let write = |line: &str| if line.starts_with("TODO: ") { "Upright digits." } else { line }.to_owned();
    let written: Vec<String> = text.lines().map(write).collect();
    let complete = judged(&written.join("\n"));
    assert_eq!(value(&complete), Pass, "{complete:?}");
}

#[test]
fn a_data_card_is_judged_as_a_model_card_is() {
    let judged = |text: Option<&str>| {
        let mut world = World::new(json!({"data_card": {"fields": ["source", "limits"]}}));
        world.clean_version();
        world.rules.data.get_mut("mnist").expect("is there").card = Some(page("docs/mnist.md", text));
        world.judge()
    };
    let complete = judged(Some("## Source\nScans.\n## Limits\nFew sevens.\n"));
    assert_eq!((value(&complete), complete.evidence.len()), (Pass, 1));
    let half = judged(Some("## Source\nTODO\n"));
    assert_eq!(half.verdict.observed, "docs/mnist.md has no limits; placeholder `TODO` on line 2");
    assert_eq!(judged(None).verdict.observed, "`docs/mnist.md` is not on main");

    let mut world = World::new(json!({"data_card": {}}));
    world.clean_version();
    let none = world.judge();
    assert_eq!(none.verdict.observed, "the dataset `mnist` has no `card:` on main");
    assert_eq!(
        none.verdict.next.as_deref(),
        Some("add `card: docs/mnist.datacard.md` to the dataset `mnist` in mlp.yaml and commit it")
    );
    let mut other = World::new(json!({"data_card": {"data": "other"}}));
    other.clean_version();
    assert_eq!(other.judge().verdict.reason.as_deref(), Some("not its data"));
}

fn charter(criteria: &str) -> Judgement {
    let mut world = World::new(json!({"charter": {"fields": ["purpose"]}}));
    world.clean_version();
    let floor: GateSpec =
        serde_json::from_value(json!({"metric": {"name": "accuracy", "min": 0.9}})).expect("is a gate");
    world.rules.stages[2].gates.insert(name("floor"), floor);
    let text = format!("# Charter\n## Purpose\nReads digits.\n## What success is\n{criteria}\n");
    let path = "docs/charter.md".to_owned();
    world.rules.files.insert(path.clone(), page(&path, Some(&text)));
    world.judge()
}

#[test]
fn the_criteria_of_a_charter_are_gates_that_measure() {
    let bound = charter("- right on nine of ten: `floor`\n- and\n  on one more line: `floor`");
    assert_eq!(value(&bound), Pass, "{bound:?}");
    assert_eq!(bound.verdict.observed, "docs/charter.md: 2 criteria, all of them gates");
    for (criteria, observed) in [
        ("Very good.", "docs/charter.md lists no criteria under what_success_is"),
        ("- very good", "the criterion on line 5 names no gate"),
        ("- good: `flor`", "line 5: no gate `flor` measures; did you mean `floor`?"),
        // The charter's own gate measures nothing.
        ("- good: `it`", "line 5: no gate `it` measures anything"),
        ("- good: `floor`\n- TODO: more", "placeholder `TODO` on line 6"),
    ] {
        let found = charter(criteria);
        assert_eq!((value(&found), found.verdict.observed.as_str()), (Fail, observed));
        assert!(
            found.verdict.next.is_some_and(|next| next.starts_with("edit docs/charter.md, then git add"))
        );
    }
}

#[test]
fn a_charter_that_is_not_on_the_trust_branch_fails() {
    let mut world = World::new(json!({"charter": {}}));
    world.clean_version();
    world.rules.files.insert("docs/charter.md".into(), page("docs/charter.md", None));
    let found = world.judge();
    assert_eq!((value(&found), found.verdict.observed.as_str()), (Fail, "`docs/charter.md` is not on main"));
}

#[test]
fn licences_of_the_data_are_held_against_the_models() {
    for (data, model, verdict, observed) in [
        (Some("CC-BY-4.0"), Some("MIT"), Pass, "MIT, allowed by CC-BY-4.0 of `mnist`"),
        (Some("CC-BY-SA-4.0"), Some("MIT"), Fail, "CC-BY-SA-4.0 of `mnist` does not allow MIT"),
        (Some("LicenseRef-x"), Some("MIT"), Unknown, "what `LicenseRef-x` allows is not known to mlp"),
        (None, Some("MIT"), Unknown, "the dataset `mnist` names no licence"),
        (Some("MIT"), None, Unknown, "the model `digits` names no licence"),
    ] {
        let mut world = World::new(json!({"licence": "compatible"}));
        world.clean_version();
        world.rules.licence = model.map(str::to_owned);
        world.rules.data.get_mut("mnist").expect("is there").licence = data.map(str::to_owned);
        let found = world.judge();
        assert_eq!((value(&found), found.verdict.observed.as_str()), (verdict, observed));
        assert_eq!(found.verdict.next.is_some(), verdict != Pass);
    }
}

#[test]
fn the_licence_of_every_input_is_looked_for() {
    // A step records paths, a model its dataset's name, and what it began with.
    for (inputs, verdict, observed) in [
        (vec!["data/mnist/"], Pass, "MIT, allowed by CC-BY-4.0 of `mnist`"),
        (vec!["data/mnist/train.idx"], Pass, "MIT, allowed by CC-BY-4.0 of `mnist`"),
        (vec!["data/mnist-2"], Unknown, "the licence of `data/mnist-2` is not known"),
        (vec!["removed"], Unknown, "the licence of `removed` is not known"),
        (vec!["digits@3", "mnist"], Unknown, "the licence of `digits@3` is not known"),
        (vec!["data/other", "removed"], Fail, "CC-BY-SA-4.0 of `other` does not allow MIT"),
        (vec![], Pass, "MIT; it read nothing"),
    ] {
        let mut world = World::new(json!({"licence": "compatible"}));
        let data = inputs.iter().map(|name| ((*name).to_owned(), digest(name))).collect();
        world.version_of(GitState::default(), |run| run.data = data);
        world.rules.licence = Some("MIT".to_owned());
        for (name, licence) in [("mnist", "CC-BY-4.0"), ("other", "CC-BY-SA-4.0")] {
            world.rules.data.get_mut(name).expect("is there").licence = Some(licence.to_owned());
        }
        let found = world.judge();
        assert_eq!((value(&found), found.verdict.observed.as_str()), (verdict, observed), "{inputs:?}");
    }
}
