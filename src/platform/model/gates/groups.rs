//! `groups: {…}`: no group of examples is served much worse than another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric::{again, evaluation, no_metric};
use super::slices::chosen;
use super::{Case, Finding};

pub(super) const MEANING: &str = "The metric is taken on every slice that `evaluate: {slices: …}` of the model makes, and the \
     distance of the best one to the worst one has a bound. Slices with fewer examples than `min_examples` are left out: their \
     value is mostly chance.";

/// The gap of a metric between groups of examples has a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    /// The metric.
    pub metric: String,
    /// The part of the data.
    #[serde(default = "test_part")]
    pub on: String,
    /// Which slices, where there are others: `label`, or a column; all but corruptions if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How far the best group may be from the worst one.
    pub max_difference: f64,
    /// How many examples a group must have to be looked at.
    #[serde(default = "enough")]
    pub min_examples: u64,
}

fn test_part() -> String {
    "test".to_owned()
}

fn enough() -> u64 {
    30
}

pub(super) fn wanted(gate: &Groups) -> String {
    let by = gate.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    format!("{} of the groups{by} of {} at most {} apart", gate.metric, gate.on, gate.max_difference)
}

pub(super) fn find(gate: &Groups, case: &Case<'_>) -> Finding {
    let version = case.candidate.version;
    let (id, record) = match evaluation(case, version.tree, version.number, &gate.on) {
        Ok(found) => found,
        Err(missing) => return missing,
    };
    let slices = match chosen(gate.by.as_deref(), *id, record, case) {
        Ok(slices) => slices,
        Err(missing) => return missing,
    };
    let mut groups = Vec::new();
    for slice in slices.iter().filter(|slice| slice.examples >= gate.min_examples) {
        match slice.metrics.get(&gate.metric) {
            Some(estimate) => groups.push((estimate.value, *slice)),
            None => {
                return no_metric(&gate.metric, slice.metrics.keys(), case)
                    .resting_on([*id])
                    .needing(again(record, case));
            }
        }
    }
    groups.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some((least, worst)), Some((most, best)), true) = (groups.first(), groups.last(), groups.len() > 1)
    else {
        let observed =
            format!("{} of {} groups have {} examples", groups.len(), slices.len(), gate.min_examples);
        return Finding::unknown(observed)
            .because("a gap needs two groups")
            .resting_on([*id])
            .next(format!("add examples to the {} part, or lower `min_examples`", gate.on));
    };
    let gap = most - least;
    let shown = |slice: &crate::base::Slice, value: f64| format!("{} {}: {value:.4}", slice.by, slice.value);
    let left_out = match slices.len() - groups.len() {
        0 => String::new(),
        few => format!(", {few} with few examples left out"),
    };
    let observed = format!("{gap:.4} apart: {} to {}{left_out}", shown(worst, *least), shown(best, *most));
    // A value that is no number makes a gap that is none.
    Finding::decided(gap <= gate.max_difference, observed).resting_on([*id]).next(super::another(case))
}
