//! Profiles: versioned sets of default gates (`templates/profiles/`), and what a project makes of them.
//!
//! A project may tighten a gate of its profile by writing one of the same name and kind; loosening needs a waiver.

mod change;
mod following;
mod versions;
mod weaker;

use indexmap::IndexMap;
use serde_json::Value;

pub use change::{Change, ChangeKind, Conflict, Update};
pub use following::{Following, Profile};
use versions::{Each, Of};
use weaker::weaker;

use super::Manifest;
use crate::base::{Name, Time};
use crate::platform::model::{GateSpec, StageSpec, Waiver};

/// The stages that a profile brings, in order.
const STAGES: [&str; 3] = ["candidate", "staging", "production"];

/// A gate of the project that asks for less than the profile's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loosening {
    /// The stage.
    pub stage: Name,
    /// The gate.
    pub gate: Name,
    /// In what it asks for less: `min 0.4 is below 0.5`.
    pub why: String,
}

fn name(text: &str) -> Name {
    text.parse().expect("the names of profiles are valid")
}

/// The gates of a version of a profile, by stage of the manifest. The gates of a stage that the manifest does not have move to the next
/// that it has.
fn defaults(manifest: &Manifest, following: Following) -> IndexMap<Name, IndexMap<Name, GateSpec>> {
    let stages: Vec<Name> = match manifest.stages.is_empty() {
        true => STAGES.map(name).to_vec(),
        false => manifest.stages.keys().cloned().collect(),
    };
    let target = |stage: &Name| {
        let later = STAGES.iter().skip_while(|known| **known != stage.as_str());
        let there = later.filter_map(|known| stages.iter().find(|own| own.as_str() == *known)).next();
        there.or(stages.last()).cloned().unwrap_or_else(|| stage.clone())
    };
    let mut gates: IndexMap<Name, IndexMap<Name, GateSpec>> =
        stages.iter().map(|stage| (stage.clone(), IndexMap::new())).collect();
    let uses = |data: &&Name| manifest.models.values().any(|model| model.data == **data);
    let used: Vec<&Name> = manifest.data.keys().filter(uses).collect();
    let predicted = predicted(manifest);
    for entry in &versions::version(following).gates {
        if entry.of.is_some() && entry.of != predicted {
            continue;
        }
        let places: Vec<Option<&Name>> = match entry.each {
            Some(Each::Data) => used.iter().map(|data| Some(*data)).collect(),
            None => vec![None],
        };
        for data in places {
            // A name that became too long is left out of the data gates only.
            if let (Ok(gate), Some(spec)) =
                (filled(&entry.name, data).parse(), spec(&entry.gate, data, &target))
            {
                gates.entry(target(&entry.stage)).or_default().insert(gate, spec);
            }
        }
    }
    gates
}

/// The text with the name of a dataset in the place of `DATA`.
fn filled(text: &str, data: Option<&Name>) -> String {
    data.map_or_else(|| text.to_owned(), |data| text.replace("DATA", data.as_str()))
}

/// The gate that a profile says, about a dataset if it is for one, with its stages called as the project's.
fn spec(gate: &Value, data: Option<&Name>, target: &dyn Fn(&Name) -> Name) -> Option<GateSpec> {
    fn fill(value: &mut Value, data: Option<&Name>) {
        match value {
            Value::String(text) => *text = filled(text, data),
            Value::Array(list) => list.iter_mut().for_each(|value| fill(value, data)),
            Value::Object(map) => map.values_mut().for_each(|value| fill(value, data)),
            _ => {}
        }
    }
    let mut gate = gate.clone();
    fill(&mut gate, data);
    let mut spec = serde_json::from_value(gate).ok()?;
    match &mut spec {
        GateSpec::Compare(compare) => compare.to = target(&compare.to),
        GateSpec::RollbackDrill(drill) => drill.stage = drill.stage.as_ref().map(target),
        GateSpec::Shadow(shadow) => shadow.stage = shadow.stage.as_ref().map(target),
        _ => {}
    }
    Some(spec)
}

/// What all models predict, if they predict the same.
fn predicted(manifest: &Manifest) -> Option<Of> {
    let classify = |yes: bool| manifest.models.values().all(|model| model.train.loss.of_classes() == yes);
    match manifest.models.is_empty() {
        true => None,
        false if classify(true) => Some(Of::Classes),
        false if classify(false) => Some(Of::Numbers),
        false => None,
    }
}

/// The stages with the gates of the profile and of the manifest. A gate of the manifest replaces the profile's of the same
/// name, unless it asks for less and no waiver that holds at `at` covers that: then the profile's stays.
pub(super) fn merged(manifest: &Manifest, at: Time) -> IndexMap<Name, StageSpec> {
    let loosened = loosened(manifest, at);
    let mut stages = IndexMap::new();
    for (stage, mut gates) in defaults(manifest, manifest.project.profile) {
        let own = manifest.stages.get(&stage).cloned().unwrap_or_default();
        for (gate, spec) in own.gates {
            if !loosened.iter().any(|loose| loose.stage == stage && loose.gate == gate) {
                gates.insert(gate, spec);
            }
        }
        stages.insert(stage, StageSpec { gates, keep: own.keep });
    }
    stages
}

/// The gates that ask for less than the profile's without a waiver that holds at `at`.
pub(super) fn loosened(manifest: &Manifest, at: Time) -> Vec<Loosening> {
    let mut found = Vec::new();
    for (stage, gates) in defaults(manifest, manifest.project.profile) {
        let Some(own) = manifest.stages.get(&stage) else { continue };
        for (gate, spec) in &gates {
            if let Some(why) = own.gates.get(gate).and_then(|own| weaker(spec, own))
                && !waived(manifest, &stage, gate, at)
            {
                found.push(Loosening { stage: stage.clone(), gate: gate.clone(), why });
            }
        }
    }
    found
}

/// Whether a waiver of `mlp.yaml` suspends a gate at `at`.
fn waived(manifest: &Manifest, stage: &Name, gate: &Name, at: Time) -> bool {
    let of_gate = |waiver: &&Waiver| waiver.stage == *stage && waiver.gate == *gate;
    manifest.waivers.iter().filter(of_gate).any(|waiver| waiver.holds(at))
}

#[cfg(test)]
mod tests;
