//! `mlp model card` and `mlp dossier`.

use std::fs;

use serde_json::Value;

use crate::support::lifecycle::{FLOOR, Lab};
use crate::support::{ok, refused};

fn lab() -> Lab {
    let lab = Lab::new(FLOOR);
    lab.commit("card.md", "# Digits\n\n## Intended use\n\nReading digits.\n\n## Limits\n\nTODO: write\n");
    lab.version(95);
    ok(lab.path(), &["promote", "digits@1", "--to", "staging"]);
    lab
}

#[test]
fn the_card_names_a_record_for_every_number() {
    let lab = lab();
    let card = ok(lab.path(), &["model", "card", "digits@staging"]);
    let fields: Value =
        serde_yaml::from_str(card.split("---\n").nth(1).expect("has front matter")).expect("is YAML");
    let result = &fields["model-index"][0]["results"][0];
    assert_eq!(result["metrics"][0]["type"], "accuracy");
    assert_eq!(result["metrics"][0]["value"], 0.95);
    let told = lab.json(&["model", "card", "digits@1"], 0);
    let records: Vec<&str> = told["records"]
        .as_array()
        .expect("has some")
        .iter()
        .map(|id| id.as_str().expect("is text"))
        .collect();
    for words in [
        "Reading digits.",
        "0.9500 | 0.9300 to 0.9700 | 100",
        "| floor (staging) | pass |",
        "still says `TODO`",
        "mlp reproduce digits@1",
    ] {
        assert!(card.contains(words), "{words}: {card}");
    }
    // Every link leads to a place in the card, and every record is one that `why` knows.
    for link in card.split("](#").skip(1) {
        let place = link.split(')').next().expect("ends");
        assert!(card.contains(&format!("<a id=\"{place}\">")), "{place}");
    }
    for id in records {
        assert!(card.contains(id), "{id}");
        ok(lab.path(), &["why", id]);
    }
    // The words are those that the gates read, whatever somebody writes just now.
    fs::write(lab.path().join("card.md"), "# Digits\n\n## Intended use\n\nAnything.\n").expect("writes");
    ok(lab.path(), &["model", "card", "digits@1", "--output", "out.md"]);
    assert_eq!(fs::read_to_string(lab.path().join("out.md")).expect("reads"), card);
    // It replaces what it wrote, and nothing that people wrote.
    ok(lab.path(), &["model", "card", "digits@1", "--output", "out.md"]);
    let said = refused(lab.path(), &["model", "card", "digits@1", "--output", "card.md"], 2);
    assert!(said.contains("`card.md` was not written by `mlp model card`"), "{said}");
    assert!(fs::read_to_string(lab.path().join("card.md")).expect("reads").contains("Anything."));
    ok(lab.path(), &["model", "card", "digits@1", "--output", "card.md", "--force"]);
    assert_eq!(fs::read_to_string(lab.path().join("card.md")).expect("reads"), card);
}

#[test]
fn the_documentation_stands_alone_with_its_records() {
    let lab = lab();
    let told = lab.json(&["dossier", "digits@1", "docs/dossier"], 0);
    assert_eq!(told["schema"], "mlp/dossier/1");
    let folder = lab.path().join("docs/dossier");
    let page = fs::read_to_string(folder.join("index.html")).expect("reads");
    for words in ["Annex IV", "5. Risk management system", "Reading digits.", "0.9500", "Missing"] {
        assert!(page.contains(words) || words == "Missing" && page.contains("class=\"gap\""), "{words}");
    }
    // Every record that it leads to lies beside it, under its digest.
    let mut found = 0;
    for link in page.split("href=\"records/").skip(1) {
        let name = link.split('"').next().expect("ends");
        let bytes = fs::read(folder.join("records").join(name)).expect("the record is there");
        assert_eq!(format!("{}.json", blake3::hash(&bytes).to_hex()), name);
        found += 1;
    }
    assert!(found > 3, "{found}");
    // Nothing comes from elsewhere.
    for tag in ["<script", "<link", "<img", "@import", "url("] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert!(
        told["missing"]
            .as_array()
            .expect("is a list")
            .iter()
            .any(|gap| gap.as_str().is_some_and(|gap| gap.contains("Limits")))
    );
    ok(lab.path(), &["dossier", "digits@1", "docs/dossier"]);
    assert!(refused(lab.path(), &["dossier", "digits@1", "."], 2).contains("package::occupied"));
}
