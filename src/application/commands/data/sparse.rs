//! `mlp data sparse`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{Subject, shown, source, subject};
use super::transfer::Moved;
use crate::application::completion;
use crate::application::ui::{Report, plural};
use crate::base::Exit;
use crate::infrastructure::store::NodeKind;
use crate::infrastructure::store::worktree::Sparse;
use crate::platform::data::DataError;
use crate::platform::project::Project;

/// Chooses which part of a dataset this work tree holds.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Holds only what the patterns choose: gets it and checks it out, removes the rest from disk.
    ///
    /// Patterns as in `.gitignore`: `/train/` a folder of the root, `*.csv` files at any depth, `!raw/` an exception (with
    /// exceptions alone, of everything). Checkout, fetch, pull and status then deal with this part; a new version made from it
    /// keeps all else as it was. Files edited here are never removed.
    Set(Set),
    /// Shows the patterns.
    Show(Named),
    /// Holds all of the dataset again: gets and checks out the rest.
    Clear(Named),
}

#[derive(clap::Args, Debug)]
struct Set {
    #[command(flatten)]
    dataset: Named,
    /// What is wanted.
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,
}

#[derive(clap::Args, Debug)]
struct Named {
    /// The dataset or path.
    #[arg(value_name = "DATASET", add = ArgValueCandidates::new(completion::datasets))]
    name: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    match args.command {
        Command::Show(named) => {
            let subject = subject(&named.name, &project, context)?;
            let patterns = subject.sparse(&project)?.map(|sparse| sparse.patterns().to_vec());
            context.ui.report(&Told { name: subject.name, patterns, change: None });
            Ok(Exit::Ok)
        }
        Command::Set(set) => {
            let sparse = Sparse::new(&set.patterns)?;
            change(subject(&set.dataset.name, &project, context)?, Some(&sparse), &project, context)
        }
        Command::Clear(named) => change(subject(&named.name, &project, context)?, None, &project, context),
    }
}

/// Gets what is wanted from now on, then writes that down, then makes the work tree hold it.
fn change(subject: Subject, sparse: Option<&Sparse>, project: &Project, context: &Context) -> Answer {
    let whole = subject.read(project, None)?.root(&project.store)?;
    let mut source = source(project, None)?;
    let wanted = match sparse {
        None => {
            source.complete(&[whole.id], &context.ui)?;
            whole
        }
        Some(sparse) => {
            sparse.fetch(&whole, &mut source, &context.ui)?;
            let part = sparse.narrow(&whole, &project.store)?;
            if part.kind == NodeKind::Directory && project.store.tree(&part.id)?.nodes.is_empty() {
                let detail = format!("nothing in `{}` matches; `mlp data ls` lists it", shown(&subject.name));
                return Err(
                    DataError::Argument { argument: shown(&sparse.patterns().join(" ")), detail }.into()
                );
            }
            part
        }
    };
    project.sparse().set(&subject.in_repository(project), sparse)?;
    let done = subject.check_out(&wanted, None, false, project, context)?;
    let exit = if done.dirty.is_empty() { Exit::Ok } else { Exit::No };
    let patterns = sparse.map(|sparse| sparse.patterns().to_vec());
    let change = Change {
        written: done.written,
        removed: done.removed,
        kept: done.kept,
        dirty: done.dirty,
        moved: source.transfer().into(),
    };
    context.ui.report(&Told { name: subject.name, patterns, change: Some(change) });
    Ok(exit)
}

#[derive(Serialize)]
struct Told {
    name: String,
    /// Absent: all of the dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    patterns: Option<Vec<String>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    change: Option<Change>,
}

#[derive(Serialize)]
struct Change {
    written: u64,
    removed: u64,
    kept: u64,
    /// Edited files that were left alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dirty: Vec<String>,
    moved: Moved,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/data-sparse/1"
    }

    fn human(&self) -> String {
        let part = match &self.patterns {
            None => "all of it".to_owned(),
            Some(patterns) => shown(&patterns.join(" ")),
        };
        let mut text = format!("{}: {part}\n", shown(&self.name));
        if let Some(change) = &self.change {
            text.push_str(&format!(
                "{} written, {} removed, {} kept; fetched {}\n",
                plural(change.written, "file"),
                change.removed,
                change.kept,
                change.moved.human()
            ));
            for path in &change.dirty {
                text.push_str(&format!("left alone, changed here: {}\n", shown(path)));
            }
        }
        text
    }

    fn quiet(&self) -> String {
        self.patterns.iter().flatten().map(|pattern| format!("{}\n", shown(pattern))).collect()
    }
}
