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
use crate::base::{Digest, Name, Time};
use crate::platform::model::{GateSpec, StageSpec, Waiver};
use crate::platform::train::ModelSpec;

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

/// The gates of a version of a profile for models that predict `of`, by stage of the manifest. The gates of a stage that the manifest
/// does not have move to the next that it has.
fn defaults(
    manifest: &Manifest,
    following: Following,
    of: Option<Of>,
) -> IndexMap<Name, IndexMap<Name, GateSpec>> {
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
    for entry in &versions::version(following).gates {
        if entry.of.is_some() && entry.of != of {
            continue;
        }
        let places: Vec<Option<&Name>> = match entry.each {
            Some(Each::Data) => used.iter().map(|data| Some(*data)).collect(),
            None => vec![None],
        };
        for data in places {
            let spec = spec(&entry.gate, data, &target);
            gates.entry(target(&entry.stage)).or_default().insert(named(&entry.name, data), spec);
        }
    }
    gates
}

/// The text with the name of a dataset in the place of `DATA`.
fn filled(text: &str, data: Option<&Name>) -> String {
    data.map_or_else(|| text.to_owned(), |data| text.replace("DATA", data.as_str()))
}

/// The name of a gate. That of a dataset which is too long for it is cut, and its digest says which it is.
fn named(text: &str, data: Option<&Name>) -> Name {
    filled(text, data).parse().unwrap_or_else(|_| {
        let data = data.map_or("", Name::as_str);
        let digest = &Digest::of(data.as_bytes()).hex()[..8];
        let room = Name::LONGEST.saturating_sub(text.len() - "DATA".len() + 1 + digest.len());
        name(&text.replace("DATA", &format!("{}-{digest}", &data[..room.min(data.len())])))
    })
}

/// The gate that a profile says, about a dataset if it is for one, with its stages called as the project's.
fn spec(gate: &Value, data: Option<&Name>, target: &dyn Fn(&Name) -> Name) -> GateSpec {
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
    // A test reads them all: they are compiled in and cannot be wrong.
    let mut spec = serde_json::from_value(gate).expect("a published gate reads");
    match &mut spec {
        GateSpec::Compare(compare) => compare.to = target(&compare.to),
        GateSpec::RollbackDrill(drill) => drill.stage = drill.stage.as_ref().map(target),
        GateSpec::Shadow(shadow) => shadow.stage = shadow.stage.as_ref().map(target),
        _ => {}
    }
    spec
}

/// What `model` predicts, or what all kinds of models of the project predict. There is always one: none where there are no models.
fn kinds(manifest: &Manifest, model: Option<&Name>) -> Vec<Option<Of>> {
    let of = |model: &ModelSpec| if model.train.loss.of_classes() { Of::Classes } else { Of::Numbers };
    if let Some(model) = model.and_then(|model| manifest.models.get(model)) {
        return vec![Some(of(model))];
    }
    let there = |kind: &Of| manifest.models.values().any(|model| of(model) == *kind);
    let kinds: Vec<_> = [Of::Classes, Of::Numbers].into_iter().filter(there).map(Some).collect();
    if kinds.is_empty() { vec![None] } else { kinds }
}

/// The stages with the gates of the profile and of the manifest for `model`; for all models if none is named or it is not in the
/// manifest. A gate of the manifest replaces the profile's of the same name, unless it asks for less and no waiver that holds at `at`
/// covers that: then the profile's stays.
pub(super) fn merged(manifest: &Manifest, model: Option<&Name>, at: Time) -> IndexMap<Name, StageSpec> {
    let mut stages: IndexMap<Name, StageSpec> = IndexMap::new();
    for of in kinds(manifest, model) {
        let loosened = loosened_of(manifest, of, at);
        for (stage, mut gates) in defaults(manifest, manifest.project.profile, of) {
            let own = manifest.stages.get(&stage).cloned().unwrap_or_default();
            for (gate, spec) in own.gates {
                if !loosened.iter().any(|loose| loose.stage == stage && loose.gate == gate) {
                    gates.insert(gate, spec);
                }
            }
            let merged = stages.entry(stage).or_default();
            merged.keep = own.keep;
            for (gate, spec) in gates {
                merged.gates.entry(gate).or_insert(spec);
            }
        }
    }
    stages
}

/// The gates that ask for less than the profile's without a waiver that holds at `at`. One that asks for as much as the profile's for
/// classifiers, or for models of numbers, is not among them: it counts for those.
pub(super) fn loosened(manifest: &Manifest, at: Time) -> Vec<Loosening> {
    let each: Vec<_> = kinds(manifest, None)
        .into_iter()
        .map(|of| (defaults(manifest, manifest.project.profile, of), loosened_of(manifest, of, at)))
        .collect();
    let same = |one: &Loosening, other: &Loosening| (&one.stage, &one.gate) == (&other.stage, &other.gate);
    let mut found: Vec<Loosening> = Vec::new();
    for loose in each.iter().flat_map(|(_, loosened)| loosened) {
        let everywhere = each.iter().all(|(gates, loosened)| {
            let there = gates.get(&loose.stage).is_some_and(|gates| gates.contains_key(&loose.gate));
            !there || loosened.iter().any(|other| same(loose, other))
        });
        if everywhere && !found.iter().any(|other| same(loose, other)) {
            found.push(loose.clone());
        }
    }
    found
}

/// The same for models that predict `of`.
fn loosened_of(manifest: &Manifest, of: Option<Of>, at: Time) -> Vec<Loosening> {
    let mut found = Vec::new();
    for (stage, gates) in defaults(manifest, manifest.project.profile, of) {
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
