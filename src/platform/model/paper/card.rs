//! The model card (Mitchell and others, 2019) in Markdown with the front matter of Hugging Face
//! (<https://github.com/huggingface/hub-docs/blob/main/modelcard.md>): what people wrote, then what evidence says.

use serde_json::{Map, Value, json};

use super::markdown::{Link, code, table, text};
use super::portrait::{Portrait, Written};
use super::sections::Sections;
use crate::base::Digest;
use crate::platform::data::{DataSpec, Format};

/// Sections that a card should have, by the field of the gate `model_card`, with their headings.
pub(super) const WRITTEN: [(&str, &str); 5] = [
    ("intended_use", "Intended use"),
    ("limits", "Limits"),
    ("data", "Data"),
    ("ethical_considerations", "Ethical considerations"),
    ("maintenance", "Maintenance"),
];

/// The line by which a card that mlp wrote is known.
const MARK: &str = "Written by `mlp model card` from records; every line names its own.";

/// Whether a text is a card that mlp wrote.
pub fn is_model_card(text: &str) -> bool {
    text.lines().any(|line| line == MARK)
}

/// The card of a version. It is made of its records and of what people wrote: the same of both gives the same card.
pub fn model_card(portrait: &Portrait) -> String {
    let link: Link = |id: &Digest| format!("#record-{}", id.short());
    let sections = Sections { of: portrait, link };
    let mut card = front_matter(portrait);
    card.push_str(&format!("\n# {}\n\n", text(&portrait.reference())));
    card.push_str(&sections.version());
    let (written, missing) = written(portrait);
    if let Some(written) = written {
        card.push_str(&format!("\n{}\n", written.trim_end()));
    }
    card.push_str(&format!("\n## Evidence\n\n{MARK}\n"));
    let mut part = |heading: &str, body: Option<String>| {
        if let Some(body) = body {
            card.push_str(&format!("\n### {heading}\n\n{body}"));
        }
    };
    part("Evaluation", sections.evaluations());
    part("By group", sections.groups());
    part("Training", sections.training());
    part("Settings", sections.settings());
    part("Checks of the data", sections.data_checks());
    part("Trained again", sections.reproductions());
    part("Approvals", sections.approvals());
    part("Promotions and gates", sections.promotions());
    part("Other evidence", sections.others());
    card.push_str("\n### Missing\n\n");
    let missing: Vec<String> = missing.into_iter().chain(sections.missing()).collect();
    if missing.is_empty() {
        card.push_str("Nothing that this card asks for.\n");
    }
    missing.iter().for_each(|what| card.push_str(&format!("- {what}\n")));
    let records = portrait.records();
    if !records.is_empty() {
        let rows: Vec<Vec<String>> = records
            .iter()
            .map(|id| {
                let place = format!("<a id=\"record-{}\"></a>", id.short());
                vec![format!("{place}{}", code(&id.to_string())), code(&format!("mlp why b3:{}", id.short()))]
            })
            .collect();
        card.push_str(&format!(
            "\n### Records\n\n{}",
            table(&["record (BLAKE3)", "what it rests on"], &rows)
        ));
    }
    card
}

/// What people wrote, and what they should still write.
pub(super) fn written(portrait: &Portrait) -> (Option<String>, Vec<String>) {
    let Some(Written { path, text: Some(words) }) = &portrait.card else {
        let missing = match &portrait.card {
            Some(card) => format!("its card {} is not there", code(&card.path)),
            None => "no card is written: `card:` of the model in mlp.yaml".to_owned(),
        };
        return (None, vec![missing]);
    };
    let parts = Written { path: path.clone(), text: Some(words.clone()) }.parts();
    let mut missing: Vec<String> = WRITTEN
        .iter()
        .filter(|(field, _)| !parts.has(field))
        .map(|(_, heading)| format!("the section {heading} of {}", code(path)))
        .collect();
    if let Some((line, what)) = parts.placeholders.first() {
        let more = match parts.placeholders.len() {
            1 => String::new(),
            several => format!(" and {} more", several - 1),
        };
        missing.push(format!("{} still says {} on line {line}{more}", code(path), code(what)));
    }
    (Some(body(words)), missing)
}

/// A card without its front matter and its title.
pub(super) fn body(words: &str) -> String {
    let (_, body) = split(words);
    let mut lines = body.trim_start().lines().peekable();
    if lines.peek().is_some_and(|line| line.starts_with("# ")) {
        lines.next();
    }
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The YAML between two lines of `---` at the beginning, if there is one, and the rest.
fn split(words: &str) -> (Option<&str>, &str) {
    let rest = words.strip_prefix("---\n").or_else(|| words.strip_prefix("---\r\n"));
    let Some(rest) = rest else { return (None, words) };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return (Some(&rest[..at]), &rest[at + line.len()..]);
        }
        at += line.len();
    }
    (None, words)
}

/// The front matter that people wrote.
pub(super) fn said(portrait: &Portrait) -> Map<String, Value> {
    let card = portrait.card.as_ref().and_then(|card| split(card.text.as_deref()?).0);
    card.and_then(|yaml| serde_yaml::from_str(yaml).ok()).unwrap_or_default()
}

/// The front matter: what people wrote there stays; what evidence says is added, and replaces what claims to be evidence.
fn front_matter(portrait: &Portrait) -> String {
    let mut fields = said(portrait);
    let task = task(portrait);
    let mut add = |key: &str, value: Value| {
        fields.entry(key.to_owned()).or_insert(value);
    };
    if let Some(licence) = &portrait.licence {
        // Its identifiers are those of SPDX in small letters.
        add("license", licence.to_lowercase().into());
    }
    add("library_name", "mlp".into());
    if let Some(task) = task {
        add("pipeline_tag", task.into());
    }
    add("tags", json!(["mlp", "candle"]));
    let data: Vec<String> = portrait.data().into_iter().map(|(name, _)| name.to_string()).collect();
    add("datasets", json!(data));
    let mut metrics: Vec<&str> = portrait
        .evaluations
        .iter()
        .flat_map(|(_, record)| record.body.metrics.keys())
        .map(String::as_str)
        .collect();
    metrics.sort_unstable();
    metrics.dedup();
    if !metrics.is_empty() {
        add("metrics", json!(metrics));
    }
    let results: Vec<Value> = portrait
        .evaluations
        .iter()
        .map(|(id, record)| {
            let body = &record.body;
            let metrics = body.metrics.iter().map(|(name, of)| {
                json!({"type": name, "value": of.value, "name": format!("{name}, 95 % interval {} to {}", of.lower, of.upper)})
            });
            json!({
                "task": {"type": task.unwrap_or("other")},
                "dataset": {"name": body.data, "type": body.data, "split": body.part, "revision": body.tree},
                "metrics": metrics.collect::<Vec<_>>(),
                "source": {"name": format!("mlp record {id}")},
            })
        })
        .collect();
    fields.remove("model-index");
    if !results.is_empty() {
        fields.insert("model-index".to_owned(), json!([{"name": portrait.reference(), "results": results}]));
    }
    // Plain maps, lists, strings and finite numbers: writing cannot fail.
    let yaml = serde_yaml::to_string(&Value::Object(fields)).unwrap_or_default();
    format!("---\n{}\n---\n", yaml.trim_end())
}

/// The task as Hugging Face names it, from how the run read its data; none where the record does not say.
fn task(portrait: &Portrait) -> Option<&'static str> {
    let (_, run) = portrait.run.as_ref()?;
    let spec: DataSpec = serde_json::from_value(run.body.dataset.clone()?).ok()?;
    let classes = portrait.evaluations.iter().any(|(_, record)| record.body.confusion.is_some());
    Some(match spec.format {
        Format::Text => "text-classification",
        Format::Csv | Format::Parquet if classes => "tabular-classification",
        Format::Csv | Format::Parquet if portrait.evaluations.is_empty() => return None,
        Format::Csv | Format::Parquet => "tabular-regression",
        _ => "image-classification",
    })
}
