//! `mlp approve`.

use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use console::style;
use serde::Serialize;

use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::Report;
use crate::base::{Digest, Exit, Name};

/// Signs an approval of a model version for a stage.
///
/// The signature covers the digest of the version's files, so that it is void for any other. It needs a key that stands in the
/// signers' file on the trust branch.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits` (the newest), `digits@7`, `digits@staging`.
    #[arg(add = ArgValueCompleter::new(completion::references))]
    model: String,
    /// The stage it may go to.
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(completion::stages))]
    to: String,
    /// Words for those who read it later.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// The SSH key that signs.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

#[derive(Serialize)]
struct Approved {
    model: Name,
    version: u64,
    tree: Digest,
    stage: Name,
    signer: String,
    entry: Digest,
    evidence: Vec<Digest>,
}

impl Report for Approved {
    fn schema(&self) -> &'static str {
        "mlp/approve/1"
    }

    fn human(&self) -> String {
        let Self { model, version, stage, signer, tree, .. } = self;
        let head = style(format!("{model}@{version} is approved for {stage} by {signer}")).green().bold();
        format!("{head}\n  files {tree}\n")
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let rules = judging.rules(&model)?;
    let stage = rules.stage(&args.to)?.clone();
    let actor = judging.actor(args.key.as_deref())?;
    let entry = judging.change(&model, &rules, &actor, |workshop| {
        workshop.approve(&selector, &stage, args.comment.as_deref())
    })?;
    context.ui.report(&Approved {
        model,
        version: entry.subject.version,
        tree: entry.subject.tree,
        stage,
        signer: entry.actor.clone(),
        entry: entry.digest(),
        evidence: entry.evidence,
    });
    Ok(Exit::Ok)
}
