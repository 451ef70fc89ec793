//! `charter`: why the model is made is written down, and what counts as success is a gate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::card::{self, Asked};
use super::{Case, Finding};
use crate::base::{VerdictValue, nearest};
use crate::platform::model::Placeholders;
use crate::platform::model::written::read;

pub(super) const MEANING: &str = "The charter as it stands on the trust branch has a section with text for every field. In the section \
     that `criteria` names every item of a list is a criterion of success, and names between backticks a gate of some stage that \
     measures the model: `- right on 95 of 100 digits: ` and then the name. So no criterion is only words.";

/// The sections of the charter that templates bring.
const FIELDS: [&str; 5] = ["purpose", "what_success_is", "what_must_not_happen", "data", "people"];

/// The charter is complete, and its criteria are gates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Charter {
    /// The file, relative to `mlp.yaml`.
    pub path: String,
    /// Sections that must be there and not empty: `purpose` is the heading `Purpose`.
    pub fields: Vec<String>,
    /// The section whose list holds the criteria.
    pub criteria: String,
    /// Whether placeholders (`TODO`, `TBD`, `<…>`) may stay.
    pub placeholders: Placeholders,
}

impl Default for Charter {
    fn default() -> Self {
        Self {
            path: "docs/charter.md".to_owned(),
            fields: FIELDS.map(str::to_owned).to_vec(),
            criteria: "what_success_is".to_owned(),
            placeholders: Placeholders::Forbid,
        }
    }
}

pub(super) fn wanted(gate: &Charter) -> String {
    let what = format!("a charter whose criteria ({}) name gates", gate.criteria);
    card::wanted_of(&what, &gate.fields, gate.placeholders)
}

pub(super) fn find(gate: &Charter, case: &Case<'_>) -> Finding {
    let file = case.rules.files.get(&gate.path);
    let asked = Asked {
        owner: "the project",
        path: &gate.path,
        fields: &gate.fields,
        placeholders: gate.placeholders,
    };
    let complete = card::complete(file, &asked, case);
    let Some(text) = file.and_then(|file| file.text.as_ref()) else { return complete };
    if complete.value != VerdictValue::Pass {
        return complete;
    }
    let page = read(text);
    let criteria = page.items(&gate.criteria);
    let digest = file.and_then(|file| file.digest);
    let edit = format!("edit {}, then {}", gate.path, card::commit(&gate.path, case));
    if criteria.is_empty() {
        return Finding::decided(false, format!("{} lists no criteria under {}", gate.path, gate.criteria))
            .because("write each as an item of a list, with the name of its gate between backticks")
            .resting_on(digest)
            .next(edit);
    }
    let measured: Vec<&str> = case
        .rules
        .stages
        .values()
        .flat_map(|stage| &stage.gates)
        .filter(|(_, gate)| gate.measures())
        .map(|(name, _)| name.as_str())
        .collect();
    let mut unbound = Vec::new();
    for item in &criteria {
        let line = item.line;
        if item.names.iter().any(|name| measured.contains(&name.as_str())) {
            continue;
        }
        unbound.push(match item.names.first() {
            None => format!("the criterion on line {line} names no gate"),
            Some(name) => match nearest(name, measured.iter().copied()) {
                Some(near) => format!("line {line}: no gate `{name}` measures; did you mean `{near}`?"),
                None => format!("line {line}: no gate `{name}` measures anything"),
            },
        });
    }
    let observed = match unbound.as_slice() {
        [] => format!("{}: {} criteria, all of them gates", gate.path, criteria.len()),
        unbound => unbound.join("; "),
    };
    Finding::decided(unbound.is_empty(), observed).resting_on(digest).next(edit)
}
