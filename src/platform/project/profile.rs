//! Profiles: versioned sets of default gates, and what a project makes of them.
//!
//! A project may tighten a gate of its profile by writing one of the same name and kind; loosening needs a waiver.

use indexmap::IndexMap;

use super::{Manifest, Profile};
use crate::base::Name;
use crate::platform::model::{
    Approvals, AtLeast, Bound, CodeState, Compare, GateSpec, MetricGate, ModelCard, Placeholders, SliceGate,
    StageSpec, Test, Waiver,
};

/// The stages that a profile brings, in order.
const STAGES: [&str; 3] = ["candidate", "staging", "production"];

/// Sections of a model card that every profile with a card asks for.
const CARD: [&str; 2] = ["intended_use", "limits"];

/// Sections that a regulated model's card has besides.
const REGULATED_CARD: [&str; 3] = ["data", "ethical_considerations", "maintenance"];

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

/// The gates of the manifest's profile, by stage of the manifest.
///
/// | profile | candidate | staging | production |
/// |---|---|---|---|
/// | research | `expectations-DATA`, `leakage-DATA`, `code` | | |
/// | student | as research | `card` | |
/// | product | as research | `floor`, `not-worse`, `card` | `approval`: one |
/// | regulated | as research | as product, `slices`, a longer `card` | `approval`: one of each of two roles |
///
/// Floors are what any useful model reaches (better than guessing among two classes, better than the mean); a project
/// writes its own under the same name. The gates of a stage that the manifest does not have move to the next that it has.
fn defaults(manifest: &Manifest) -> IndexMap<Name, IndexMap<Name, GateSpec>> {
    let profile = manifest.project.profile;
    let stages: Vec<Name> = match manifest.stages.is_empty() {
        true => STAGES.map(name).to_vec(),
        false => manifest.stages.keys().cloned().collect(),
    };
    let target = |stage: &str| {
        let later = STAGES.iter().skip_while(|known| **known != stage);
        let there = later.filter_map(|known| stages.iter().find(|own| own.as_str() == *known)).next();
        there.or(stages.last()).cloned().unwrap_or_else(|| name(stage))
    };
    let mut gates: IndexMap<Name, IndexMap<Name, GateSpec>> =
        stages.iter().map(|stage| (stage.clone(), IndexMap::new())).collect();
    let mut add = |stage: &str, gate: &str, spec: GateSpec| {
        // A name that became too long is left out of the data gates only.
        if let Ok(gate) = gate.parse::<Name>() {
            gates.entry(target(stage)).or_default().insert(gate, spec);
        }
    };
    let used: Vec<&Name> = manifest
        .data
        .keys()
        .filter(|data| manifest.models.values().any(|model| model.data == **data))
        .collect();
    for data in &used {
        add("candidate", &format!("expectations-{data}"), GateSpec::Expectations((*data).clone()));
    }
    for data in &used {
        add("candidate", &format!("leakage-{data}"), GateSpec::Leakage((*data).clone()));
    }
    add("candidate", "code", GateSpec::Code(CodeState::Committed));
    let metric = common_metric(manifest);
    if matches!(profile, Profile::Product | Profile::Regulated) {
        if let Some((metric, floor)) = metric {
            let (min, bound) = (Some(floor), Bound::Lower95);
            let gate = MetricGate { name: metric.into(), on: "test".into(), min, max: None, bound };
            add("staging", "floor", GateSpec::Metric(gate));
        }
        if let Some(("accuracy", _)) = metric {
            let gate = Compare {
                to: target("production"),
                metric: "accuracy".into(),
                test: Test::Mcnemar,
                alpha: 0.05,
                require: AtLeast::NotWorse,
            };
            add("staging", "not-worse", GateSpec::Compare(gate));
        }
    }
    if profile == Profile::Regulated
        && let Some(("accuracy", floor)) = metric
    {
        let gate = SliceGate { metric: "accuracy".into(), on: "test".into(), by: None, min: floor };
        add("staging", "slices", GateSpec::Slices(gate));
    }
    if profile != Profile::Research {
        let more = if profile == Profile::Regulated { &REGULATED_CARD[..] } else { &[] };
        let fields = CARD.iter().chain(more).map(|field| (*field).to_owned()).collect();
        add("staging", "card", GateSpec::ModelCard(ModelCard { fields, placeholders: Placeholders::Forbid }));
    }
    if matches!(profile, Profile::Product | Profile::Regulated) {
        let by = |role: &str, also| Approvals { role: name(role), count: 1, also };
        let also = (profile == Profile::Regulated).then(|| Box::new(by("service", None)));
        add("production", "approval", GateSpec::Approvals(by("model", also)));
    }
    gates
}

/// The metric that all models can be judged by, with its floor: accuracy of classifiers, R² of regressions.
fn common_metric(manifest: &Manifest) -> Option<(&'static str, f64)> {
    let classify = |yes: bool| manifest.models.values().all(|model| model.train.loss.of_classes() == yes);
    match manifest.models.is_empty() {
        true => None,
        false if classify(true) => Some(("accuracy", 0.5)),
        false if classify(false) => Some(("r2", 0.0)),
        false => None,
    }
}

/// The stages with the gates of the profile and of the manifest. A gate of the manifest replaces the profile's of the same
/// name, unless it asks for less and no waiver covers that: then the profile's stays.
pub(super) fn merged(manifest: &Manifest) -> IndexMap<Name, StageSpec> {
    let loosened = loosened(manifest);
    let mut stages = IndexMap::new();
    for (stage, mut gates) in defaults(manifest) {
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

/// The gates that ask for less than the profile's without a waiver.
pub(super) fn loosened(manifest: &Manifest) -> Vec<Loosening> {
    let mut found = Vec::new();
    for (stage, gates) in defaults(manifest) {
        let Some(own) = manifest.stages.get(&stage) else { continue };
        for (gate, spec) in &gates {
            let waived = |waiver: &Waiver| waiver.stage == stage && waiver.gate == *gate;
            if let Some(why) = own.gates.get(gate).and_then(|own| weaker(spec, own))
                && !manifest.waivers.iter().any(waived)
            {
                found.push(Loosening { stage: stage.clone(), gate: gate.clone(), why });
            }
        }
    }
    found
}

/// In what `own` asks for less than `profile`, if it does.
fn weaker(profile: &GateSpec, own: &GateSpec) -> Option<String> {
    match (profile, own) {
        (GateSpec::Metric(want), GateSpec::Metric(have)) => weaker_metric(want, have),
        (GateSpec::Compare(want), GateSpec::Compare(have)) => weaker_comparison(want, have),
        (GateSpec::Slices(want), GateSpec::Slices(have)) => differs("metric", &want.metric, &have.metric)
            .or_else(|| differs("part", &want.on, &have.on))
            .or_else(|| {
                let other = have.by.as_ref().filter(|by| want.by.as_ref() != Some(by));
                other.map(|by| format!("only the slices by `{by}` are looked at"))
            })
            .or_else(|| below("min", Some(want.min), Some(have.min))),
        (GateSpec::Code(_), GateSpec::Code(_)) => None,
        (GateSpec::Reproduce(want), GateSpec::Reproduce(have)) => {
            let more = have.tolerance > want.tolerance;
            more.then(|| format!("`tolerance` is {}, not {}", have.tolerance, want.tolerance))
        }
        (GateSpec::Expectations(want), GateSpec::Expectations(have))
        | (GateSpec::Leakage(want), GateSpec::Leakage(have)) => {
            differs("dataset", want.as_str(), have.as_str())
        }
        (GateSpec::ModelCard(want), GateSpec::ModelCard(have)) => {
            let missing = want.fields.iter().find(|field| !have.fields.contains(field));
            let placeholders =
                (want.placeholders, have.placeholders) == (Placeholders::Forbid, Placeholders::Allow);
            missing
                .map(|field| format!("the field `{field}` is not asked for"))
                .or_else(|| placeholders.then(|| "placeholders are allowed".to_owned()))
        }
        (GateSpec::Approvals(want), GateSpec::Approvals(have)) => weaker_approvals(want, have),
        (GateSpec::Command(want), GateSpec::Command(have)) => differs("command", want, have),
        _ => Some("it is another kind of gate".to_owned()),
    }
}

fn weaker_metric(want: &MetricGate, have: &MetricGate) -> Option<String> {
    // Against a minimum the lower end asks for most, against a maximum the upper end.
    let rank = |bound: Bound| match bound {
        Bound::Lower95 => 2,
        Bound::Value => 1,
        Bound::Upper95 => 0,
    };
    let looser = (want.min.is_some() && rank(have.bound) < rank(want.bound))
        || (want.max.is_some() && rank(have.bound) > rank(want.bound));
    differs("metric", &want.name, &have.name)
        .or_else(|| differs("part", &want.on, &have.on))
        .or_else(|| below("min", want.min, have.min))
        .or_else(|| below("max", want.max.map(|max| -max), have.max.map(|max| -max)))
        .or_else(|| looser.then(|| "the bound is on a more favourable end of the interval".to_owned()))
}

fn weaker_comparison(want: &Compare, have: &Compare) -> Option<String> {
    // A smaller alpha finds fewer models worse, and fewer better.
    let easier = match have.require {
        AtLeast::NotWorse => have.alpha < want.alpha,
        AtLeast::Better => want.require == AtLeast::Better && have.alpha > want.alpha,
    };
    differs("stage", want.to.as_str(), have.to.as_str())
        .or_else(|| differs("metric", &want.metric, &have.metric))
        .or_else(|| {
            let less = (want.require, have.require) == (AtLeast::Better, AtLeast::NotWorse);
            less.then(|| "`not_worse` asks for less than `better`".to_owned())
        })
        .or_else(|| easier.then(|| format!("alpha {} is easier to pass than {}", have.alpha, want.alpha)))
}

fn weaker_approvals(want: &Approvals, have: &Approvals) -> Option<String> {
    differs("role", want.role.as_str(), have.role.as_str())
        .or_else(|| {
            (have.count < want.count).then(|| format!("{} of role `{}` are too few", have.count, have.role))
        })
        .or_else(|| match (&want.also, &have.also) {
            (None, _) => None,
            (Some(want), None) => Some(format!("nobody of role `{}` is asked", want.role)),
            (Some(want), Some(have)) => weaker_approvals(want, have),
        })
}

fn differs(what: &str, want: &str, have: &str) -> Option<String> {
    (want != have).then(|| format!("the {what} is `{have}`, not `{want}`"))
}

/// Whether a lower limit went down or away. Upper limits are passed with the opposite sign.
fn below(what: &str, want: Option<f64>, have: Option<f64>) -> Option<String> {
    let want = want?;
    match have {
        None => Some(format!("`{what}` is missing")),
        Some(have) if have >= want => None,
        Some(have) => Some(format!("{what} {} is weaker than {}", have.abs(), want.abs())),
    }
}

#[cfg(test)]
mod tests;
