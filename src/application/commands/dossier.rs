//! `mlp dossier`.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::model::card::portrait;
use super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::{Report, plural};
use crate::base::{Digest, Exit, Failure, Name};
use crate::infrastructure::durable;
use crate::infrastructure::store::Local;
use crate::platform::model::package::{PackageError, Stamp, look, place};
use crate::platform::model::paper::{Link, Part, Portrait, dossier, model_card, page};
use crate::platform::run::{Curves, picture};

/// Writes the technical documentation of a version: what evidence says, and what is missing.
///
/// A folder with index.html under the headings of Annex IV of the EU AI Act (Regulation (EU) 2024/1689), the model card, and the
/// records that numbers come from. The page needs nothing from elsewhere. What evidence cannot say is taken from the model card and
/// the data cards, by heading. It is a frame, and no legal advice.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits@production`, `digits@7`, `digits` for the newest.
    #[arg(value_name = "MODEL[@REF]", add = ArgValueCompleter::new(completion::references))]
    reference: String,
    /// The folder: new, empty, or from an earlier call.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Replace a folder of an earlier call that somebody changed, or that is of something else.
    #[arg(long)]
    force: bool,
    /// Only say what would be missing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Dossier {
    model: Name,
    version: u64,
    digest: Digest,
    folder: PathBuf,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    records: Vec<Digest>,
    pictures: u64,
    /// What is missing, as Markdown.
    missing: Vec<String>,
}

impl Report for Dossier {
    fn schema(&self) -> &'static str {
        "mlp/dossier/1"
    }

    fn human(&self) -> String {
        let Self { model, version, folder, .. } = self;
        let verb = if self.dry_run { "would write" } else { "wrote" };
        let (records, pictures) =
            (plural(self.records.len() as u64, "record"), plural(self.pictures, "picture"));
        let mut text = format!(
            "{verb} the documentation of {model}@{version} to {} ({records}, {pictures})\n",
            folder.join("index.html").display()
        );
        for what in &self.missing {
            text.push_str(&format!("missing: {}\n", what.trim_end_matches('.')));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}

/// The pictures of a version: its learning curves, and each evaluation that can be drawn.
fn pictures(store: &Local, portrait: &Portrait) -> Result<Vec<(String, String)>, Failure> {
    let mut drawn = Vec::new();
    for (id, record) in &portrait.evaluations {
        let body = &record.body;
        let title = format!("{} on {} of {}", portrait.reference(), body.part, body.data);
        if let Some(svg) = picture::evaluation(&title, body.confusion.as_ref(), &body.calibration) {
            drawn.push((
                svg,
                format!("Confusion matrix and reliability curve, from the record b3:{}", id.short()),
            ));
        }
    }
    if let Some((id, record)) = &portrait.run
        && let Some(output) = record.body.output
        && store.has(&output)?
        && let Some(events) = store.find(&output, "events.jsonl")?
        && store.has(&events.id)?
        && let Some(svg) = picture::learning(&portrait.reference(), &Curves::read(&store.read(&events.id)?))
    {
        drawn.push((svg, format!("Learning curves, from the run of the record b3:{}", id.short())));
    }
    Ok(drawn)
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::looking(&project, &context.ui)?;
    let (portrait, _, version) = portrait(&project, &judging, &args.reference)?;
    let store = &project.store;
    let pictures = pictures(store, &portrait)?;
    let link: Link = |id| format!("records/{}.json", id.hex());
    let parts = dossier(&portrait, link, &pictures);
    let records = portrait.records();
    let reference = portrait.reference();
    let stamp = Stamp {
        schema: Stamp::SCHEMA.to_owned(),
        format: "dossier".to_owned(),
        project: project.id(),
        model: portrait.model.clone(),
        version: version.number,
        stage: None,
        tree: version.tree,
        entry: version.entry,
        run: version.run,
        commit: version.commit.clone(),
        files: Default::default(),
    };
    let folder = context.dir.join(&args.folder);
    if args.dry_run {
        look(&folder, &stamp, None, args.force)?;
    } else {
        place(&folder, &stamp, None, args.force, |new| {
            let write = |name: String, bytes: &[u8]| {
                let path = new.join(name);
                durable::make_folders(durable::folder_of(&path))
                    .and_then(|()| durable::replace(&path, bytes))
                    .map_err(|source| PackageError::Io { action: "write", path, source })
            };
            write(
                "index.html".into(),
                page(&format!("Technical documentation of {reference}"), &parts).as_bytes(),
            )?;
            write("model-card.md".into(), model_card(&portrait).as_bytes())?;
            for id in &records {
                // Byte for byte: its name is the digest of these bytes.
                write(format!("records/{}.json", id.hex()), &store.record_bytes(id)?)?;
            }
            Ok(())
        })?;
    }
    let gaps =
        parts.iter().filter_map(|part| if let Part::Gap(what) = part { Some(what.clone()) } else { None });
    context.ui.report(&Dossier {
        version: version.number,
        digest: version.tree,
        folder: args.folder,
        dry_run: args.dry_run,
        pictures: pictures.len() as u64,
        missing: gaps.collect(),
        records,
        model: portrait.model,
    });
    Ok(Exit::Ok)
}
