//! `mlp promote`.

use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use console::style;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::{GateLine, Judging, render_gates};
use crate::application::mirror::{Mirror, render_tags};
use crate::application::ui::{Report, plural};
use crate::base::{Digest, Exit, Failure, Level, Name, Sink};
use crate::infrastructure::store::Local;
use crate::platform::model::{
    Candidate, History, ModelError, Need, Promoted, Registered, Selector, registrable,
};
use crate::platform::run;

/// Puts a model version into a stage, if its gates are open.
///
/// All gates of the stage and of the stages before it are judged. Missing evidence that mlp can make (evaluations, data checks,
/// commands) is made first. A model without any version gets one from its newest finished run.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits` (the newest), `digits@7`, `digits@staging`.
    #[arg(add = ArgValueCompleter::new(completion::references))]
    model: String,
    /// The stage.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    to: String,
    /// Makes the next version of the model from this run first.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The SSH key that signs.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Judge, but change nothing in the ledger.
    #[arg(long)]
    dry_run: bool,
    /// Make no missing evidence.
    #[arg(long)]
    no_evaluate: bool,
    /// Mirrors the version and the promotion into git tags as GTO reads them: `digits@v7.0.0`, `digits#staging#12`.
    #[arg(long, conflicts_with = "dry_run")]
    tag: bool,
}

#[derive(Serialize)]
struct Promotion {
    model: Name,
    version: u64,
    stage: Name,
    promoted: bool,
    already: bool,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    rules: String,
    gates: Vec<GateLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl Report for Promotion {
    fn schema(&self) -> &'static str {
        "mlp/promote/1"
    }

    fn human(&self) -> String {
        let (what, stage) = (format!("{}@{}", self.model, self.version), &self.stage);
        if self.already {
            return format!("{what} is live in {stage} already\n{}", render_tags(&self.tags));
        }
        let closed = self.gates.iter().filter(|gate| !gate.passed()).count();
        let gates = render_gates(&self.gates);
        if !self.promoted && closed > 0 {
            let head = style(format!("{what} cannot go to {stage}")).red().bold();
            return format!(
                "{gates}\n{head}: {closed} of {} closed\n",
                plural(self.gates.len() as u64, "gate")
            );
        }
        let before = match self.before {
            Some(before) if before != self.version => format!(", before it version {before}"),
            _ => String::new(),
        };
        let signed = self.signer.as_ref().map(|signer| format!(", signed by {signer}")).unwrap_or_default();
        let head = if self.dry_run {
            format!("{what} could go to {stage}{before}; nothing was changed")
        } else {
            format!("{what} is live in {stage}{before}{signed}")
        };
        format!("{gates}\n{}\n{}", style(head).green().bold(), render_tags(&self.tags))
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::renewed(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let rules = judging.rules(&model)?;
    let stage = rules.stage(&args.to)?.clone();
    if let (Some(run), Selector::Version(_) | Selector::Stage(_)) = (&args.run, &selector) {
        let why = format!("`{}` names a version that is there: name the model alone", args.model);
        return Err(ModelError::UnfitRun { run: run.clone(), why }.into());
    }
    let actor = judging.actor(args.key.as_deref())?;
    judging.say_source();
    let mut produce = |candidate: &Candidate<'_>, need: &Need| match args.no_evaluate {
        true => Judging::nothing(candidate, need),
        false => judging.produce(candidate, need),
    };
    let report = judging.change(&model, &rules, &actor, |workshop| -> Result<Promotion, Failure> {
        let mut selector = selector.clone();
        if args.run.is_some() || selector == Selector::Newest && workshop.history()?.newest().is_none() {
            let run = registrable(&project.store, &model, args.run.as_deref())?;
            let known = workshop.history()?.versions().iter().any(|version| version.run == Some(run.0));
            if args.dry_run && !known {
                let run = run::short(run.1.body.run);
                let why =
                    format!("a dry run makes no version; `mlp model register {model} --run {run}` makes it");
                return Err(ModelError::UnfitRun { run, why }.into());
            }
            let registered = workshop.register(&run)?;
            selector = Selector::Version(registered.number());
            if let Registered::New(number) = registered {
                let text = format!("registered run {} as {model}@{number}", run.1.body.run);
                context.ui.log(Level::Info, &text);
            }
        }
        let history = workshop.history()?;
        let number = history.select(&selector)?.number;
        if selector == Selector::Newest {
            say_unregistered(&project.store, &history, context);
        }
        // What cannot be tagged is not promoted.
        let mirror = Mirror::of(args.tag, &project, history.version(number)?, &model, &stage)?;
        let reason = args.reason.as_deref();
        let exact = Selector::Version(number);
        let promoted = workshop.promote(&exact, &stage, reason, args.dry_run, &mut produce)?;
        let mut report = Promotion {
            model: model.clone(),
            version: number,
            stage: stage.clone(),
            promoted: false,
            already: false,
            dry_run: args.dry_run,
            before: None,
            entry: None,
            signer: None,
            rules: rules.source.clone(),
            gates: Vec::new(),
            tags: Vec::new(),
        };
        match promoted {
            Promoted::Already => {
                report.already = true;
                if let (Some(mirror), Some(entry)) = (mirror, history.live_entry(&stage)) {
                    report.tags = mirror.tag(entry)?;
                }
            }
            Promoted::Refused(judgements) => report.gates = judgements.iter().map(GateLine::from).collect(),
            Promoted::Done { entry, judgements, before } => {
                report.gates = judgements.iter().map(GateLine::from).collect();
                report.before = before;
                report.promoted = !args.dry_run;
                report.tags = mirror.map_or(Ok(Vec::new()), |mirror| mirror.tag(&entry))?;
                if !args.dry_run {
                    report.entry = Some(entry.digest());
                    report.signer = entry.signature.as_ref().map(|_| entry.actor.clone());
                }
            }
        }
        Ok(report)
    })?;
    let open = report.already || report.gates.iter().all(GateLine::passed);
    context.ui.report(&report);
    Ok(if open { Exit::Ok } else { Exit::No })
}

/// Says that the newest run is no version yet: who names the model alone may mean what was just trained.
fn say_unregistered(store: &Local, history: &History, context: &Context) {
    let model = history.model();
    let Ok((id, run)) = registrable(store, model, None) else { return };
    if !history.versions().iter().any(|version| version.run == Some(id)) {
        let run = run::short(run.body.run);
        let text =
            format!("the newest run {run} is no version yet; `mlp model register {model}` makes it one");
        context.ui.log(Level::Warn, &text);
    }
}
