//! `mlp data diff`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{Counts, Difference, place, shown, subjects};
use crate::application::completion;
use crate::application::ui::Report;
use crate::base::Exit;
use crate::infrastructure::store::worktree::{diff, status};
use crate::platform::data::DataError;

/// Lists the files in which two versions of a dataset differ.
///
/// Without a revision: the pointer against the files on disk. With one: that revision against the files on disk. With two: the
/// one against the other.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The dataset or path; all that have a pointer if left out.
    #[arg(value_name = "NAME|PATH", add = ArgValueCandidates::new(completion::datasets))]
    name: Option<String>,
    /// A git revision: commit, branch or tag.
    #[arg(value_name = "REV")]
    old: Option<String>,
    /// Another one.
    #[arg(value_name = "REV")]
    new: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let store = &project.store;
    let mut old_rev = args.old.clone();
    let chosen = match &args.name {
        Some(name) => {
            let place = place(name, &project, context)?;
            if !place.inner.is_empty() || (place.rev.is_some() && old_rev.is_some()) {
                let detail = "name a whole dataset, then one or two revisions: `mlp data diff NAME REV REV`";
                return Err(DataError::Argument { argument: shown(name), detail: detail.to_owned() }.into());
            }
            old_rev = old_rev.or(place.rev);
            vec![place.subject]
        }
        None => subjects(&[], &project, context)?
            .into_iter()
            .filter(|subject| subject.pointer().exists())
            .collect(),
    };
    let mut told = Told { datasets: Vec::new() };
    for subject in chosen {
        let old = subject.read(&project, old_rev.as_deref())?.root(store)?;
        let changes = match &args.new {
            Some(new) => {
                let new = subject.read(&project, Some(new))?.root(store)?;
                diff(store, Some(&old), Some(&new))?
            }
            None => {
                let old = subject.wanted(&old, &project)?;
                status(&old, &subject.path, store, &project.cache(), &context.ui)?
            }
        };
        let changes: Vec<Difference> = changes.into_iter().map(Difference::from).collect();
        told.datasets.push(Line { name: subject.name, counts: Counts::of(&changes), changes });
    }
    context.ui.report(&told);
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Told {
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    #[serde(flatten)]
    counts: Counts,
    changes: Vec<Difference>,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/data-diff/1"
    }

    fn human(&self) -> String {
        let mut text = String::new();
        for line in &self.datasets {
            text.push_str(&format!("{}: {}\n", shown(&line.name), line.counts.human()));
            line.changes.iter().for_each(|change| text.push_str(&change.line()));
        }
        text
    }
}
