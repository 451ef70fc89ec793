//! `mlp gate`.

mod verify;

use std::collections::BTreeSet;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use console::style;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::{GateLine, Judging, known_gate, render_gates};
use crate::application::ui::{Report, Table, plural};
use crate::base::{Exit, Name};
use crate::platform::model::{Candidate, Need, judge_with};

/// Judges and explains the gates of a stage.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Check(Check),
    Explain(ExplainGates),
    Verify(verify::Args),
}

/// Judges the gates of a stage without promoting anything.
#[derive(clap::Args, Debug)]
struct Check {
    /// The model version: `digits` (the newest), `digits@7`, `digits@staging`.
    #[arg(add = ArgValueCompleter::new(completion::references))]
    model: String,
    /// The stage; the next one for this version if left out.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    to: Option<String>,
    /// Make no missing evidence.
    #[arg(long)]
    no_evaluate: bool,
}

/// Says what gates want, how they judge and where they stand.
#[derive(clap::Args, Debug)]
struct ExplainGates {
    /// Only the gates of this name; or a model, to see all that it must pass.
    #[arg(value_name = "GATE|MODEL")]
    gate: Option<String>,
    /// Only the gates of this stage.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    stage: Option<String>,
}

#[derive(Serialize)]
struct Checked {
    model: Name,
    version: u64,
    stage: Name,
    open: bool,
    rules: String,
    gates: Vec<GateLine>,
}

impl Report for Checked {
    fn schema(&self) -> &'static str {
        "mlp/gate-check/1"
    }

    fn human(&self) -> String {
        let what = format!("{}@{}", self.model, self.version);
        let closed = self.gates.iter().filter(|gate| !gate.passed()).count();
        let head = match (self.gates.len(), closed) {
            (0, _) => style(format!("{} has no gates", self.stage)).green(),
            (1, 0) => style(format!("{what} may go to {}: its gate is open", self.stage)).green(),
            (all, 0) => style(format!("{what} may go to {}: all {all} gates are open", self.stage)).green(),
            (all, closed) => style(format!(
                "{what} cannot go to {}: {closed} of {} closed",
                self.stage,
                plural(all as u64, "gate")
            ))
            .red(),
        };
        let gates = render_gates(&self.gates);
        let space = if gates.is_empty() { "" } else { "\n" };
        format!("{gates}{space}{}\n", head.bold())
    }
}

#[derive(Serialize)]
struct Explained {
    rules: String,
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
}

impl Report for Explained {
    fn schema(&self) -> &'static str {
        "mlp/gate-explain/1"
    }

    fn human(&self) -> String {
        let mut text = format!("gates as they stand on {}\n", self.rules);
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

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Check(args) => check(&args, context),
        Command::Explain(args) => explain(&args, context),
        Command::Verify(args) => verify::run(&args, context),
    }
}

fn check(args: &Check, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let rules = judging.rules(&model)?;
    let history = judging.look(&model)?;
    let asked = args.to.as_deref().map(|stage| rules.stage(stage).cloned()).transpose()?;
    let version = history.select(&selector)?;
    let holds = |stage: &Name| history.live(stage).is_some_and(|live| live.number == version.number);
    let next = rules.next_stage(holds).or(rules.stages.keys().last());
    let Some(stage) = asked.or(next.cloned()) else {
        // A project always has stages: those of its profile.
        return Ok(Exit::Ok);
    };
    judging.say_source();
    let candidate = judging.candidate(&history, version)?;
    let mut produce = |candidate: &Candidate<'_>, need: &Need| match args.no_evaluate {
        true => Judging::nothing(candidate, need),
        false => judging.produce(candidate, need),
    };
    let (_, judgements) = judge_with(&project.store, &rules, &candidate, &stage, &mut produce)?;
    let gates: Vec<GateLine> = judgements.iter().map(GateLine::from).collect();
    let open = gates.iter().all(GateLine::passed);
    let version = version.number;
    context.ui.report(&Checked { model, version, stage, open, rules: rules.source.clone(), gates });
    Ok(if open { Exit::Ok } else { Exit::No })
}

fn explain(args: &ExplainGates, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    let stages = crate::platform::project::Project::stages(&judging.manifest);
    // The name of a gate, unless it is a model's: all gates are for all models.
    let named = args.gate.as_deref().filter(|name| !judging.manifest.models.contains_key(*name));
    let any = judging.manifest.models.keys().next().cloned();
    let rules = match any {
        Some(model) => judging.rules(&model)?,
        None => judging.rules(&judging.manifest.project.name)?,
    };
    let only = args.stage.as_deref().map(|stage| rules.stage(stage).cloned()).transpose()?;
    if let Some(gate) = named {
        known_gate(&rules, gate)?;
    }
    let gates = stages
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
        })
        .collect();
    context.ui.report(&Explained { rules: rules.source.clone(), gates });
    Ok(Exit::Ok)
}
