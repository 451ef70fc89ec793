//! `mlp rollback`.

mod drill;

use std::path::PathBuf;

use clap_complete::engine::ArgValueCandidates;
use console::style;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::mirror::{Mirror, render_tags};
use crate::application::ui::Report;
use crate::base::{Digest, Exit, Name};
use crate::platform::model::{ModelError, Selector};

/// Puts the previous version of a stage back.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model; the only one of the project if left out. With `--drill` the version that would be rolled back (`digits@7`);
    /// what is live in the stage if none is named.
    #[arg(value_name = "MODEL", add = ArgValueCandidates::new(completion::models))]
    model: Option<String>,
    /// The stage; the last one that holds something if left out.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    stage: Option<String>,
    /// Why, for the ledger.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The SSH key that signs.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Say what would be put back, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Rehearse it: serve the version, then what a rollback of it would put back. Changes no stage; what came of it is kept as evidence
    /// for `rollback_drill` gates.
    #[arg(long, conflicts_with_all = ["dry_run", "reason", "key"])]
    drill: bool,
    /// Mirrors the version and the rollback into git tags as GTO reads them: `digits@v6.0.0`, `digits#staging#13`.
    #[arg(long, conflicts_with = "dry_run")]
    tag: bool,
}

#[derive(Serialize)]
struct Rollback {
    model: Name,
    stage: Name,
    version: u64,
    before: u64,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl Report for Rollback {
    fn schema(&self) -> &'static str {
        "mlp/rollback/1"
    }

    fn human(&self) -> String {
        let Self { model, stage, version, before, .. } = self;
        if self.dry_run {
            return format!(
                "{stage} would go from {model}@{before} back to {model}@{version}; nothing was changed\n"
            );
        }
        let signed = self.signer.as_ref().map(|signer| format!(", signed by {signer}")).unwrap_or_default();
        let head = format!("{model}@{version} is live in {stage} again, instead of version {before}{signed}");
        format!("{}\n{}", style(head).green().bold(), render_tags(&self.tags))
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    if args.drill {
        return drill::run(&judging, args.model.as_deref(), args.stage.as_deref(), context);
    }
    if let Some((model, rest)) = args.model.as_ref().and_then(|text| text.split_once('@')) {
        let (model, rest) = (model.escape_debug().to_string(), rest.escape_debug().to_string());
        return Err(ModelError::RollbackTo { model, rest }.into());
    }
    let model = judging.model(args.model.as_deref())?;
    let rules = judging.rules(&model)?;
    let history = judging.registry().history(&model)?;
    let stage = match &args.stage {
        Some(stage) => rules.stage(stage)?.clone(),
        None => {
            let last = rules.stages.keys().rev().find(|stage| history.live(stage).is_some());
            // Nothing is live anywhere: the last stage says so.
            let Some(stage) = last.or(rules.stages.keys().last()) else {
                return Err(ModelError::NothingRegistered { model }.into());
            };
            stage.clone()
        }
    };
    let report = if args.dry_run {
        let live = history.select(&Selector::Stage(stage.clone()))?.number;
        let Some(previous) = history.previous(&stage) else {
            return Err(ModelError::NothingBefore { model, stage, number: live }.into());
        };
        let version = previous.number;
        Rollback {
            model,
            stage,
            version,
            before: live,
            dry_run: true,
            entry: None,
            signer: None,
            tags: Vec::new(),
        }
    } else {
        let actor = judging.actor(args.key.as_deref())?;
        let reason = args.reason.as_deref();
        let mirror = match history.previous(&stage) {
            Some(previous) => Mirror::of(args.tag, &project, previous, &model, &stage)?,
            // The rollback says that there is none.
            None => None,
        };
        let (entry, before) =
            judging.change(&model, &rules, &actor, |workshop| workshop.rollback(&stage, reason))?;
        Rollback {
            model,
            stage,
            version: entry.subject.version,
            before,
            dry_run: false,
            tags: mirror.map_or(Ok(Vec::new()), |mirror| mirror.tag(&entry))?,
            signer: entry.signature.as_ref().map(|_| entry.actor.clone()),
            entry: Some(entry.digest()),
        }
    };
    context.ui.report(&report);
    Ok(Exit::Ok)
}
