//! `mlp model pull`.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::super::{Answer, Context};
use super::standing::{entry, standing};
use crate::application::chosen::fetch_files;
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::{Report, bytes};
use crate::base::{Digest, Exit, Failure, Name, Sink};
use crate::platform::model::package::{PackageError, Placed, Stamp, files, look, place, write_files};
use crate::platform::model::{History, Selector, Version};
use crate::platform::project::Project;

/// Makes a folder the files of a version: for an image that is built, a machine that serves, a timer.
///
/// The files come from the local store or the project's store, and every byte is verified. The folder is replaced as a whole, and
/// only if mlp made it and nobody changed it since; if it holds the version already nothing happens. Its file mlp-model.json says
/// what it holds.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits@production`, `digits@7`, `digits` for the newest.
    #[arg(value_name = "MODEL[@REF]", add = ArgValueCompleter::new(completion::references))]
    reference: String,
    /// The folder: new, empty, or from an earlier call.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Ask also that what is live stands today: verdicts at hand and passing, approvals signed by those who may.
    #[arg(long)]
    verify: bool,
    /// Replace a package that somebody changed, or that is of something else.
    #[arg(long)]
    force: bool,
    /// Only say what would happen.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Pulled {
    model: Name,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Name>,
    digest: Digest,
    entry: Digest,
    folder: PathBuf,
    size: u64,
    /// Whether the folder is another now, or would be.
    changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// What was there before: `digits@6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verified>,
}

/// What `--verify` found.
#[derive(Serialize)]
struct Verified {
    verdicts: u64,
    approvals: Vec<String>,
}

impl Report for Pulled {
    fn schema(&self) -> &'static str {
        "mlp/model-pull/1"
    }

    fn human(&self) -> String {
        let Self { model, version, folder, size, .. } = self;
        let stage = self.stage.as_ref().map(|stage| format!(", live in {stage}")).unwrap_or_default();
        let verb = match (self.dry_run, self.changed) {
            (true, true) => "would hold",
            (false, true) => "holds now",
            (_, false) => "holds already",
        };
        let before = self.before.as_ref().map(|before| format!(", before {before}")).unwrap_or_default();
        let mut text =
            format!("{} {verb} {model}@{version}{stage} ({}){before}\n", folder.display(), bytes(*size));
        if let Some(Verified { verdicts, approvals }) = &self.verified {
            let approvals = if approvals.is_empty() {
                "no gate asks for approvals".to_owned()
            } else {
                format!("approvals {}", approvals.join("; "))
            };
            text.push_str(&format!("verified: every byte, {verdicts} verdicts pass, {approvals}\n"));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

/// A version that is to be packed.
pub(super) struct Packing {
    pub(super) version: Version,
    pub(super) history: History,
    pub(super) stamp: Stamp,
}

/// The version that `reference` means, its files in the local store, and its stamp.
pub(super) fn packing(
    project: &Project,
    judging: &Judging<'_>,
    reference: &str,
    format: &str,
    sink: &dyn Sink,
) -> Result<Packing, Failure> {
    let (model, selector) = judging.reference(reference)?;
    let history = judging.registry().history(&model)?;
    let version = history.select(&selector)?.clone();
    let stage = if let Selector::Stage(stage) = selector { Some(stage) } else { None };
    if let Some(stage) = &stage {
        history.verify_live(stage, judging.registry().signers)?;
    }
    fetch_files(project, &model, &version, sink)?;
    let stamp = Stamp {
        schema: Stamp::SCHEMA.to_owned(),
        format: format.to_owned(),
        project: project.id(),
        model,
        version: version.number,
        tree: version.tree,
        entry: entry(&history, &version, stage.as_ref())?,
        stage,
        run: version.run,
        commit: version.commit.clone(),
        files: Default::default(),
    };
    Ok(Packing { version, history, stamp })
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::open(&project, &context.ui)?;
    let Packing { version, history, stamp } =
        packing(&project, &judging, &args.reference, "folder", &context.ui)?;
    let verified = match (args.verify, &stamp.stage) {
        (false, _) => None,
        (true, None) => return Err(PackageError::NoStage { reference: args.reference }.into()),
        (true, Some(stage)) => Some(standing(&judging, &history, &version, stage)?),
    };
    let store = &project.store;
    let files = files(store, &version.tree)?;
    let size = files.iter().map(|(_, node)| node.size).sum();
    let wanted = files.into_iter().map(|(path, node)| (path, node.id)).collect();
    let folder = context.dir.join(&args.folder);
    let placed = match args.dry_run {
        true => look(&folder, &stamp, Some(&wanted), args.force)?,
        false => {
            place(&folder, &stamp, Some(&wanted), args.force, |new| write_files(store, &version.tree, new))?
        }
    };
    let (changed, before) = match placed {
        Placed::Already => (false, None),
        Placed::Written(before) => (true, before.map(|before| before.reference())),
    };
    context.ui.report(&Pulled {
        version: version.number,
        digest: version.tree,
        entry: verified.as_ref().map_or(stamp.entry, |standing| standing.entry),
        model: stamp.model,
        stage: stamp.stage,
        folder: args.folder,
        size,
        changed,
        dry_run: args.dry_run,
        before,
        verified: verified
            .map(|standing| Verified { verdicts: standing.verdicts, approvals: standing.approvals }),
    });
    Ok(Exit::Ok)
}
