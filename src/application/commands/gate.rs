//! `mlp gate`.

mod explain;
mod verify;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use console::style;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::{GateLine, Judging, render_gates};
use crate::application::ui::{Report, plural};
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
    Explain(explain::Args),
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

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    match args.command {
        Command::Check(args) => check(&args, context),
        Command::Explain(args) => explain::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
    }
}

fn check(args: &Check, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::renewed(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let rules = judging.rules(&model)?;
    let history = judging.look(&model)?;
    let asked = args.to.as_deref().map(|stage| rules.stage(stage).cloned()).transpose()?;
    let version = match history.select(&selector) {
        // It may be behind the damage, which is said already.
        Err(_) if judging.exit() == Exit::No => return Ok(Exit::No),
        version => version?,
    };
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
    Ok(if open { judging.exit() } else { Exit::No })
}
