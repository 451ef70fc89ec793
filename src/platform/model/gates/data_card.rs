//! `data_card`: the card of the model's data has its sections, and no placeholders.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::card::{self, Asked};
use super::{Case, Finding};
use crate::base::Name;
use crate::platform::model::Placeholders;

pub(super) const MEANING: &str = "The card (`card:`) of the dataset that the model is trained with, or of the one that `data` names, \
     as it stands on the trust branch, is judged as a model card is: a section with text for every field, and no placeholders \
     unless they are allowed.";

/// The data card is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataCard {
    /// The dataset; the model's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Name>,
    /// Sections that must be there and not empty: `source` is the heading `Source`.
    pub fields: Vec<String>,
    /// Whether placeholders (`TODO`, `TBD`, `<…>`) may stay.
    pub placeholders: Placeholders,
}

pub(super) fn wanted(gate: &DataCard) -> String {
    let what = match &gate.data {
        Some(data) => format!("a data card of `{data}`"),
        None => "a data card".to_owned(),
    };
    card::wanted_of(&what, &gate.fields, gate.placeholders)
}

pub(super) fn find(gate: &DataCard, case: &Case<'_>) -> Finding {
    let model = case.candidate.history.model();
    let Some(data) = gate.data.as_ref().or(case.rules.dataset.as_ref()) else {
        let observed = format!("`{model}` has no dataset in mlp.yaml on {}", case.rules.branch());
        return Finding::unknown(observed).next("name it: `data_card: {data: …}`");
    };
    if case.rules.dataset.as_ref().is_some_and(|own| own != data) && case.candidate.data(data).is_none() {
        return Finding::decided(true, format!("`{model}` does not use `{data}`")).because("not its data");
    }
    let card = case.rules.data.get(data).and_then(|rule| rule.card.as_ref());
    let owner = format!("the dataset `{data}`");
    let path = format!("docs/{data}.datacard.md");
    let asked = Asked { owner: &owner, path: &path, fields: &gate.fields, placeholders: gate.placeholders };
    card::complete(card, &asked, case)
}
