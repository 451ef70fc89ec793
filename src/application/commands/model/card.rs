//! `mlp model card`.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::super::lineage::with_lineage;
use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::Report;
use crate::base::{Digest, Exit, Failure, Name};
use crate::infrastructure::durable;
use crate::platform::model::package::PackageError;
use crate::platform::model::paper::{Portrait, Written, is_model_card, model_card};
use crate::platform::model::{Card, History, Version};
use crate::platform::project::Project;

/// Writes the model card of a version from its records, with what people wrote in the project's card on the trust branch.
///
/// Markdown with the front matter of Hugging Face. Every number names the record that it comes from, and what is missing is listed
/// with the command that makes it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits@production`, `digits@7`, `digits` for the newest.
    #[arg(value_name = "MODEL[@REF]", add = ArgValueCompleter::new(completion::references))]
    reference: String,
    /// Write it to this file instead.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write it even where a file lies that this command did not write.
    #[arg(long, requires = "output")]
    force: bool,
}

#[derive(Serialize)]
struct Told {
    model: Name,
    version: u64,
    digest: Digest,
    /// The records that it names.
    records: Vec<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<PathBuf>,
    /// The Markdown, unless it went to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<String>,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/model-card/1"
    }

    fn human(&self) -> String {
        match (&self.card, &self.output) {
            (Some(card), _) => card.clone(),
            (None, output) => {
                let output = output.clone().unwrap_or_default();
                format!("wrote the card of {}@{} to {}\n", self.model, self.version, output.display())
            }
        }
    }

    fn quiet(&self) -> String {
        self.card.clone().unwrap_or_default()
    }
}

/// All that is known of what `reference` means.
pub(in crate::application::commands) fn portrait(
    project: &Project,
    judging: &Judging<'_>,
    reference: &str,
) -> Result<(Portrait, History, Version), Failure> {
    let (model, selector) = judging.reference(reference)?;
    // Other models' ledgers say what its training began with.
    let histories = super::super::lineage::histories(judging)?;
    let history = match histories.iter().find(|history| *history.model() == model) {
        Some(history) => history.clone(),
        None => judging.registry().history(&model)?,
    };
    let version = history.select(&selector)?.clone();
    let mut portrait =
        with_lineage(project, &histories, |lineage| Ok(Portrait::of(lineage, &history, &version)))?;
    // What gates read of what people wrote: the trust branch, and not what somebody edits just now.
    let rules = judging.rules(&model)?;
    let read = |card: Card| Written { path: card.path, text: card.text };
    portrait.licence = rules.licence;
    portrait.card = rules.card.map(read);
    let cards = rules.data.into_iter().filter_map(|(name, rule)| Some((name, read(rule.card?))));
    portrait.data_cards = cards.collect();
    Ok((portrait, history, version))
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::looking(&project, &context.ui)?;
    let (portrait, _, version) = portrait(&project, &judging, &args.reference)?;
    let text = model_card(&portrait);
    if let Some(output) = &args.output {
        let path = context.dir.join(output);
        let io = |action| PackageError::io(action, &path);
        match std::fs::read(&path) {
            Ok(there)
                if args.force || there.is_empty() || is_model_card(&String::from_utf8_lossy(&there)) => {}
            Ok(_) => return Err(PackageError::Card { path: output.clone() }.into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("read")(error).into()),
        }
        durable::replace(&path, text.as_bytes()).map_err(io("write"))?;
    }
    context.ui.report(&Told {
        version: version.number,
        digest: version.tree,
        records: portrait.records(),
        card: args.output.is_none().then_some(text),
        output: args.output,
        model: portrait.model,
    });
    Ok(Exit::Ok)
}
