//! `mlp waive`.

use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use console::style;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::{Judging, known_gate};
use crate::application::ui::{Report, clean};
use crate::base::{Digest, Exit, Name, Time};
use crate::platform::model::{ModelError, Rules, Suspension, end_of_day};

/// Suspends a gate for one model version until a day, with a signature.
///
/// The waiver is a signed record that names the version's files, and an entry in the model's ledger. It needs a key that stands in the
/// signers' file on the trust branch, of somebody who did not make the version. When the day is over the gate is closed again.
/// A gate that asks for approvals cannot be suspended so.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits` (the newest), `digits@7`, `digits@staging`.
    #[arg(add = ArgValueCompleter::new(completion::references))]
    model: String,
    /// The gate.
    #[arg(add = ArgValueCandidates::new(completion::gates))]
    gate: String,
    /// The last day it holds, in UTC: 2026-12-31.
    #[arg(long, value_name = "DAY")]
    until: String,
    /// Why, for those who read it later.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// The stage of the gate, where several have one of that name.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    stage: Option<String>,
    /// The SSH key that signs.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Say what would be suspended, and sign nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Waived {
    model: Name,
    version: u64,
    tree: Digest,
    stage: Name,
    gate: Name,
    until: String,
    reason: String,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Digest>,
}

impl Report for Waived {
    fn schema(&self) -> &'static str {
        "mlp/waive/1"
    }

    fn human(&self) -> String {
        let Self { model, version, stage, gate, until, .. } = self;
        let what = format!("the gate {gate} of {stage}");
        let head = match &self.signer {
            Some(signer) => format!("{what} is waived for {model}@{version} until {until} by {signer}"),
            None => format!("{what} would be waived for {model}@{version} until {until}; nothing was signed"),
        };
        format!("{}\n  {}\n", style(head).green().bold(), clean(&self.reason))
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::renewed(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let rules = judging.rules(&model)?;
    known_gate(&rules, &args.gate)?;
    let (stage, gate) = gate_of(&rules, &args.gate, args.stage.as_deref())?;
    rules.waivable(&stage, &gate)?;
    let mut report = {
        let history = judging.registry().history(&model)?;
        let version = history.select(&selector)?;
        Waived {
            version: version.number,
            tree: version.tree,
            stage: stage.clone(),
            gate: gate.clone(),
            until: args.until.clone(),
            reason: args.reason.clone(),
            dry_run: args.dry_run,
            signer: None,
            entry: None,
            model: model.clone(),
        }
    };
    if args.dry_run {
        if end_of_day(&args.until).is_none_or(|end| end < Time::now()) {
            return Err(ModelError::Until { text: args.until }.into());
        }
    } else {
        let actor = judging.actor(args.key.as_deref())?;
        let suspension = Suspension { stage: &stage, gate: &gate, until: &args.until, reason: &args.reason };
        let entry =
            judging.change(&model, &rules, &actor, |workshop| workshop.waive(&selector, &suspension))?;
        report.signer = Some(entry.actor.clone());
        report.entry = Some(entry.digest());
    }
    context.ui.report(&report);
    Ok(Exit::Ok)
}

/// Stage and name of the gate that is called `gate`.
fn gate_of(rules: &Rules, gate: &str, stage: Option<&str>) -> Result<(Name, Name), ModelError> {
    let stage = stage.map(|stage| rules.stage(stage)).transpose()?;
    let has = |(name, spec): &(&Name, &crate::platform::model::StageSpec)| {
        stage.is_none_or(|stage| stage == *name) && spec.gates.keys().any(|known| known.as_str() == gate)
    };
    let found: Vec<&Name> = rules.stages.iter().filter(has).map(|(name, _)| name).collect();
    let gates = || rules.stages.values().flat_map(|spec| spec.gates.keys());
    match (found.as_slice(), gates().find(|known| known.as_str() == gate)) {
        ([only], Some(gate)) => Ok(((*only).clone(), gate.clone())),
        ([], _) | (_, None) => Err(ModelError::UnknownGate {
            gate: gate.escape_debug().to_string(),
            near: None,
            known: stage.map_or_else(Vec::new, |stage| {
                rules.stages[stage].gates.keys().map(Name::to_string).collect()
            }),
        }),
        (several, Some(gate)) => Err(ModelError::WhichStage {
            gate: gate.clone(),
            stages: several.iter().map(|stage| stage.to_string()).collect(),
        }),
    }
}
