use std::collections::BTreeMap;

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, TagEnd};

use super::html::page;
use super::markdown::{code, table, text};
use super::*;
use crate::base::{Digest, Time};
use crate::platform::model::Version;

/// The texts of the cells of the only table in `markdown`, and whether there was any other markup.
fn cells(markdown: &str) -> (Vec<String>, bool) {
    let (mut cells, mut cell, mut other) = (Vec::new(), String::new(), false);
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Text(words) | Event::Code(words) => cell.push_str(&words),
            Event::End(TagEnd::TableCell) => cells.push(std::mem::take(&mut cell)),
            Event::Start(pulldown_cmark::Tag::Link { .. } | pulldown_cmark::Tag::Image { .. })
            | Event::Html(_)
            | Event::InlineHtml(_) => other = true,
            _ => {}
        }
    }
    (cells, other)
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

proptest! {
    #[test]
    fn no_text_becomes_markup(words in "[ -~äß€\\t\\n]{0,40}") {
        let (found, other) = cells(&table(&["a", "b"], &[vec![format!("x{}x", text(&words)), "y".into()]]));
        let shown = format!("x{}x", words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>());
        prop_assert_eq!(&found[2..], [shown, "y".to_owned()]);
        prop_assert!(!other);
    }

    #[test]
    fn no_code_becomes_markup(words in "[!-~ä]{1,20}") {
        let (found, other) = cells(&table(&["a", "b"], &[vec![code(&words), "y".into()]]));
        prop_assert_eq!(&found[2..], [plain(&words), "y".to_owned()]);
        prop_assert!(!other);
    }
}

fn portrait(card: Option<&str>) -> Portrait {
    let tree = Digest::of(b"files");
    let version = Version {
        number: 7,
        tree,
        run: None,
        commit: None,
        entry: Digest::of(b"entry"),
        time: Time::from_ms(0),
        actor: "Ada <ada@example.org>".into(),
    };
    Portrait {
        model: "digits".parse().expect("is a name"),
        version,
        live: Vec::new(),
        retired: false,
        earlier: Vec::new(),
        run: None,
        steps: Vec::new(),
        evaluations: Vec::new(),
        expectations: Vec::new(),
        leakages: Vec::new(),
        reproductions: Vec::new(),
        approvals: Vec::new(),
        promotions: Vec::new(),
        others: Vec::new(),
        licence: None,
        card: card.map(|text| Written { path: "docs/card.md".into(), text: Some(text.to_owned()) }),
        data_cards: BTreeMap::new(),
    }
}

#[test]
fn a_card_without_evidence_invents_nothing_and_says_what_is_missing() {
    let card = model_card(&portrait(None));
    let front = card.split("---\n").nth(1).expect("has front matter");
    let fields: serde_json::Value = serde_yaml::from_str(front).expect("is YAML");
    assert_eq!(fields["library_name"], "mlp");
    let licensed = model_card(&Portrait { licence: Some("Apache-2.0".into()), ..portrait(None) });
    assert!(
        licensed.contains("license: apache-2.0") && !licensed.contains("under which licence"),
        "{licensed}"
    );
    assert!(
        fields.get("model-index").is_none()
            && fields.get("metrics").is_none()
            && fields.get("license").is_none()
    );
    for missing in [
        "under which licence",
        "no card is written",
        "no evaluation on a test part",
        "nobody approved it",
        "not trained again",
    ] {
        assert!(card.contains(missing), "{missing}: {card}");
    }
    assert!(!card.contains("accuracy"), "{card}");
}

#[test]
fn what_people_wrote_is_taken_in_and_what_they_did_not_is_named() {
    let words = "---\nlicense: mit\nlanguage: [en]\nmodel-index: [invented]\n---\n# Old title\n\n## Intended use\n\nReading *digits*.\n\n## Limits\n\nTODO: write\n";
    let card = model_card(&portrait(Some(words)));
    let fields: serde_json::Value =
        serde_yaml::from_str(card.split("---\n").nth(1).expect("has one")).expect("is YAML");
    assert_eq!((&fields["license"], &fields["language"][0]), (&"mit".into(), &"en".into()));
    assert!(fields.get("model-index").is_none(), "only evidence makes results: {fields}");
    assert!(card.contains("Reading *digits*.") && !card.contains("Old title"), "{card}");
    assert!(card.contains("the section Ethical considerations of `docs/card.md`"), "{card}");
    assert!(card.contains("still says `TODO` on line"), "{card}");
}

#[test]
fn the_documentation_has_every_heading_and_names_each_gap() {
    let words = "# Digits\n\n## Intended use\n\nReading digits.\n\n### Where\n\nAt home.\n\n## Limits\n\nTODO\n\n## Risks\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1)) ![p](https://evil.example/p.png)\n";
    let parts = dossier(&portrait(Some(words)), |id| format!("records/{}.json", id.hex()), &[]);
    let headings: Vec<&str> = parts
        .iter()
        .filter_map(|part| if let Part::Text(text) = part { text.strip_prefix("## ") } else { None })
        .collect();
    assert_eq!(headings.len(), 10);
    for (number, heading) in headings.iter().take(9).enumerate() {
        assert!(heading.starts_with(&format!("{}.", number + 1)), "{heading}");
    }
    let is_gap = |words: &str| parts.iter().any(|part| matches!(part, Part::Gap(gap) if gap.contains(words)));
    for gap in [
        "*Limits*",
        "*Human oversight*",
        "*Risk management*",
        "*Declaration of conformity*",
        "Nothing was evaluated",
    ] {
        assert!(is_gap(gap), "{gap}");
    }
    assert!(!is_gap("*Intended use*"));
    let words =
        parts.iter().find_map(|part| if let Part::Words(words) = part { Some(words.as_str()) } else { None });
    assert_eq!(words, Some("Reading digits.\n\n###### Where\n\nAt home."));
    let html = page("a <title>", &parts);
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
    assert!(
        !html.contains("javascript:") && !html.contains("evil.example") && html.contains("a &lt;title&gt;")
    );
    assert!(html.contains("<nav>\n<a href=\"#1--general"), "{html}");
}
