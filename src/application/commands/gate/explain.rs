//! `mlp gate explain`.

use std::collections::{BTreeMap, BTreeSet};

use clap_complete::engine::ArgValueCandidates;
use console::style;
use serde::Serialize;

use crate::application::commands::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::{GateLine, Judging, known_gate, mark};
use crate::application::ui::{Report, Table, clean};
use crate::base::{Exit, Failure, Name, Time};
use crate::platform::model::{Evidence, Rules, Selector, judge};

/// Says what gates want, how they judge and where they stand; for a model also what each says of it now, and the command that helps.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only the gates of this name; or a model or a version of it, to see all that it must pass.
    #[arg(value_name = "GATE|MODEL", add = ArgValueCandidates::new(completion::gates))]
    gate: Option<String>,
    /// Only the gates of this stage.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    stage: Option<String>,
}

#[derive(Serialize)]
struct Explained {
    rules: String,
    /// The version that is looked at: `digits@3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    gates: Vec<ExplainedGate>,
}

#[derive(Serialize)]
struct ExplainedGate {
    gate: Name,
    stage: Name,
    kind: &'static str,
    phase: &'static str,
    wanted: String,
    meaning: &'static str,
    rule: serde_json::Value,
    /// What it says of the version now, on the evidence at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<GateLine>,
}

impl Report for Explained {
    fn schema(&self) -> &'static str {
        "mlp/gate-explain/1"
    }

    fn human(&self) -> String {
        let mut text = format!("gates as they stand on {}\n", self.rules);
        if let Some(version) = &self.version {
            text += &format!("what they say of {version}, on the evidence that is there\n");
        }
        let mut stage: Option<&Name> = None;
        for gate in &self.gates {
            if stage != Some(&gate.stage) {
                text.push_str(&format!("\n{}\n", style(&gate.stage).bold()));
                stage = Some(&gate.stage);
            }
            let mut rows = Table::plain().indent(4);
            rows.row(["kind".to_owned(), format!("{} (phase {})", gate.kind, gate.phase)]);
            rows.row(["wants", &gate.wanted]);
            rows.row(["rule".to_owned(), gate.rule.to_string()]);
            if let Some(now) = &gate.now {
                rows.row(["now".to_owned(), format!("{} {}", mark(now.verdict), clean(&now.observed))]);
                if let Some(reason) = &now.reason {
                    rows.row(["reason", &clean(reason)]);
                }
                if let Some(next) = &now.next {
                    rows.row(["next".to_owned(), style(clean(next)).cyan().to_string()]);
                }
            }
            text.push_str(&format!("  {}\n{}", style(&gate.gate).cyan(), rows.render()));
        }
        let mut said = BTreeSet::new();
        for gate in &self.gates {
            if said.insert(gate.kind) {
                text.push_str(&format!("\n{}: {}\n", style(gate.kind).bold(), gate.meaning));
            }
        }
        if self.gates.is_empty() {
            text.push_str("\nnone\n");
        }
        text
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::looking(&project, &context.ui)?;
    let models = &judging.manifest.models;
    let model_of = |text: &str| {
        let name = text.split('@').next().unwrap_or_default();
        models.keys().find(|model| model.as_str() == name).cloned()
    };
    // The name of a gate, unless it is a model's: all gates are for all models.
    let asked = args.gate.as_deref().and_then(model_of);
    let named = args.gate.as_deref().filter(|_| asked.is_none());
    let rules = match asked.as_ref().or(models.keys().next()) {
        Some(model) => judging.rules(model)?,
        None => judging.rules(&judging.manifest.project.name)?,
    };
    let only = args.stage.as_deref().map(|stage| rules.stage(stage).cloned()).transpose()?;
    if let Some(gate) = named {
        known_gate(&rules, gate)?;
    }
    let (version, mut now) = match (&asked, &args.gate) {
        (Some(_), Some(reference)) => judged(&judging, &rules, reference)?,
        _ => (None, BTreeMap::new()),
    };
    let gates = rules
        .stages
        .iter()
        .filter(|(stage, _)| only.as_ref().is_none_or(|only| only == *stage))
        .flat_map(|(stage, spec)| spec.gates.iter().map(move |(name, gate)| (stage, name, gate)))
        .filter(|(_, name, _)| named.is_none_or(|gate| gate == name.as_str()))
        .map(|(stage, name, gate)| ExplainedGate {
            gate: name.clone(),
            stage: stage.clone(),
            kind: gate.kind(),
            phase: gate.phase().name(),
            wanted: gate.wanted(),
            meaning: gate.meaning(),
            rule: serde_json::to_value(gate).unwrap_or_default(),
            now: now.remove(&(stage.clone(), name.clone())),
        })
        .collect();
    context.ui.report(&Explained { rules: rules.source.clone(), version, gates });
    Ok(Exit::Ok)
}

/// The version that a reference names, and what each gate of each stage says of it; nothing while no version is registered.
type Judged = (Option<String>, BTreeMap<(Name, Name), GateLine>);

fn judged(judging: &Judging<'_>, rules: &Rules, reference: &str) -> Result<Judged, Failure> {
    let (model, selector) = judging.reference(reference)?;
    let history = judging.look(&model)?;
    let last = rules.stages.keys().last();
    let (Some(last), true) = (last, selector != Selector::Newest || history.newest().is_some()) else {
        return Ok((None, BTreeMap::new()));
    };
    let version = history.select(&selector)?;
    let candidate = judging.candidate(&history, version)?;
    let evidence = Evidence::collect(&judging.project.store)?;
    let judgements = judge(rules, &candidate, &evidence, last, Time::now())?;
    let line = |judgement| {
        let line = GateLine::from(judgement);
        ((line.stage.clone(), line.gate.clone()), line)
    };
    Ok((Some(format!("{model}@{}", version.number)), judgements.iter().map(line).collect()))
}
