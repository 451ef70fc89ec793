//! `seed: {…}`: the run names its seed, and other seeds come to much the same.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Case, Finding};
use crate::base::{JobState, Run};
use crate::platform::model::ModelError;

pub(super) const MEANING: &str = "The record of the run names the seed, and it is the one in its settings. With `count` as many \
     finished runs of the same settings and data, the version's own among them, have different seeds; with `metric` and `spread` \
     that metric of these runs lies within the spread, so that the version is no lucky draw. Of a step the seed is the \
     parameter `seed`.";

/// The run names its seed, and other seeds come to much the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SeedGate {
    /// How many seeds the same settings were trained with, the version's own among them.
    pub count: u32,
    /// A metric of the run, as `mlp runs show` names it: `val.accuracy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// By how much the metric may differ between the seeds, from the least to the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
}

impl Default for SeedGate {
    fn default() -> Self {
        Self { count: 1, metric: None, spread: None }
    }
}

pub(super) fn wanted(gate: &SeedGate) -> String {
    let seeds = match gate.count {
        0 | 1 => "a run that names its seed".to_owned(),
        count => format!("runs with {count} seeds"),
    };
    match (&gate.metric, gate.spread) {
        (Some(metric), Some(spread)) => format!("{seeds}, {metric} within {spread}"),
        _ => seeds,
    }
}

pub(super) fn find(gate: &SeedGate, case: &Case<'_>) -> Result<Finding, ModelError> {
    let model = case.candidate.history.model();
    let Some((id, record)) = &case.candidate.run else {
        return Ok(super::no_run());
    };
    let own = &record.body;
    let Some(seed) = named(own) else {
        return Ok(Finding::decided(false, "the run names no seed")
            .resting_on([*id])
            .next(format!("add `seed` to its settings in mlp.yaml, then {}", super::another(case))));
    };
    if gate.count <= 1 && gate.metric.is_none() {
        return Ok(Finding::decided(true, format!("seed {seed}")).resting_on([*id]));
    }
    // The newest run of each seed, and the version's own whatever came after it.
    let (mut runs, mut strays) = (BTreeMap::new(), BTreeSet::new());
    for (id, other) in case.evidence.runs()? {
        match named(&other.body) {
            Some(seed) if alike(own, &other.body) => {
                runs.entry(seed).or_insert((id, other.body));
            }
            Some(seed) if other.body.name == own.name => {
                strays.insert(seed);
            }
            _ => {}
        }
    }
    runs.insert(seed, (*id, own.clone()));
    let seeds: Vec<String> = runs.keys().map(u64::to_string).collect();
    let next = match own.seed {
        Some(_) => {
            let unused = runs.keys().next_back().map_or(1, |last| last.wrapping_add(1));
            let next = format!("mlp train {model} --set train.seed={unused}");
            // Trained with what mlp.yaml says now, it would not count either.
            match (strays.contains(&unused), &own.git.commit) {
                (true, Some(commit)) => format!("git checkout {} && {next}", &commit[..commit.len().min(12)]),
                _ => next,
            }
        }
        None => format!("mlp run {model} with another `seed` under its `params`"),
    };
    let observed = format!("seeds {}", seeds.join(", "));
    let evidence: Vec<_> = runs.values().map(|(id, _)| *id).collect();
    if runs.len() < gate.count as usize {
        let finding = Finding::unknown(observed).resting_on(evidence).next(next);
        let strays: Vec<String> =
            strays.iter().filter(|seed| !runs.contains_key(seed)).map(u64::to_string).collect();
        return Ok(match strays.as_slice() {
            [] => finding,
            _ => finding.because(format!("of other settings or data: seeds {}", strays.join(", "))),
        });
    }
    let (Some(metric), Some(spread)) = (&gate.metric, gate.spread) else {
        return Ok(Finding::decided(true, observed).resting_on(evidence));
    };
    let values: Vec<f64> = runs.values().filter_map(|(_, run)| run.metrics.get(metric)).copied().collect();
    if values.len() < runs.len() {
        let known = own.metrics.keys().map(String::as_str);
        let near = crate::base::nearest(metric, known).map(|near| format!("; did you mean `{near}`?"));
        return Ok(Finding::unknown(format!("not every run has `{metric}`{}", near.unwrap_or_default()))
            .resting_on(evidence)
            .next(format!(
                "mlp runs show {}  # and name one of its metrics in the gate",
                &own.run.to_string()[..12]
            )));
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let observed = format!("{metric} from {least:.4} to {most:.4}, {observed}");
    Ok(Finding::decided(most - least <= spread, observed).resting_on(evidence).next(super::another(case)))
}

/// The settings of the run, without the plan around them.
fn settings(run: &Run) -> &Value {
    run.config.get("config").unwrap_or(&run.config)
}

/// The seed that the run names, if its settings name the same one.
fn named(run: &Run) -> Option<u64> {
    let settings = settings(run);
    let written = settings
        .pointer("/model/train/seed")
        .or_else(|| settings.pointer("/params/seed"))
        .and_then(Value::as_u64)?;
    (run.seed.is_none_or(|seed| seed == written)).then_some(written)
}

/// Whether two runs are of the same settings and data, whatever their seeds.
fn alike(own: &Run, other: &Run) -> bool {
    let bare = |run: &Run| {
        let mut settings = settings(run).clone();
        for parent in ["/model/train", "/params"] {
            if let Some(map) = settings.pointer_mut(parent).and_then(Value::as_object_mut) {
                map.remove("seed");
            }
        }
        // How it is judged changes nothing of what was trained.
        if let Some(map) = settings.pointer_mut("/model").and_then(Value::as_object_mut) {
            ["evaluate", "card", "licence"].iter().for_each(|key| drop(map.remove(*key)));
        }
        settings
    };
    other.end.state == JobState::Succeeded
        && (&own.name, &own.task, &own.data) == (&other.name, &other.task, &other.data)
        && bare(own) == bare(other)
}
