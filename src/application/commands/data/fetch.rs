//! `mlp data fetch`.

use serde::Serialize;

use super::super::{Answer, Context};
use super::transfer::{Moved, Selection};
use crate::application::ui::{Report, plural};
use crate::base::{Exit, Sink};

/// Gets data and evidence from a remote store without checking them out.
///
/// Gets the versions that the pointers of the work tree name and the evidence that colleagues pushed; where no dataset is
/// named also the registered models.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let datasets = args.selection.subjects(&project, !args.selection.dry_run, context)?;
    let remote = args.selection.source(&project, &datasets)?;
    let names: Vec<String> = datasets.iter().map(|(subject, _)| subject.name.clone()).collect();
    let store = remote.as_ref().map(|remote| remote.name.to_string());
    let mut absent = Vec::new();
    for (subject, pointer) in &datasets {
        for id in pointer.ids() {
            if !project.store.is_complete(&[id])? {
                absent.push(subject.name.clone());
                break;
            }
        }
    }
    let moved = match args.selection.dry_run {
        true => Moved::default(),
        false => args.selection.fetch(&project, remote.as_ref(), &datasets, &context.ui as &dyn Sink)?.into(),
    };
    context.ui.report(&Fetched { dry_run: args.selection.dry_run, store, datasets: names, absent, moved });
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Fetched {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// None where the project has no stores and everything was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    datasets: Vec<String>,
    /// Datasets of which nothing or not all was here before.
    absent: Vec<String>,
    #[serde(flatten)]
    moved: Moved,
}

impl Report for Fetched {
    fn schema(&self) -> &'static str {
        "mlp/data-fetch/1"
    }

    fn human(&self) -> String {
        let store = self.store.as_deref().unwrap_or_default();
        if self.dry_run {
            return match self.absent.is_empty() {
                true => "all data are here\n".to_owned(),
                false => format!("would fetch from `{store}`: {}\n", self.absent.join(", ")),
            };
        }
        let datasets = plural(self.datasets.len() as u64, "dataset");
        match self.moved.nothing() {
            true => format!("{datasets}: everything is here\n"),
            false => format!("fetched {datasets} from `{store}`: {}\n", self.moved.human()),
        }
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
