//! `mlp data rm`.

use std::fs;

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::changes::Changes;
use super::subject::{relative, shown, subject, within};
use crate::application::completion;
use crate::application::ui::Report;
use crate::base::{Exit, Failure};
use crate::infrastructure::store::StoreError;
use crate::infrastructure::store::worktree::identify;
use crate::platform::data::{DataError, Pointer, unignore};

/// Forgets datasets, or takes paths out of them: keeps the files.
///
/// Of a dataset the pointer is removed. A path inside a dataset is taken out of its version, and the rest of the dataset need not be on
/// disk, nor in the local store. Versions in git's history and in the store stay. `mlp.yaml` is not changed.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Datasets or paths.
    #[arg(value_name = "NAME|PATH", required = true, add = ArgValueCandidates::new(completion::datasets))]
    names: Vec<String>,
    /// Remove the files too, provided that they are stored.
    #[arg(long)]
    files: bool,
    /// Only say what would be taken out of which version (for paths inside datasets).
    #[arg(long, conflicts_with = "files")]
    dry_run: bool,
    /// With `--files`: remove them even if they differ from the version that is stored.
    #[arg(long, requires = "files")]
    force: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let mut changes = Changes::default();
    let mut whole = Vec::new();
    for name in &args.names {
        match within(name, None, &project, context)? {
            (subject, inner) if !inner.is_empty() => changes.remove(subject, inner),
            _ => whole.push(name.clone()),
        }
    }
    if !changes.is_empty() {
        if whole.is_empty() && !args.files {
            return changes.make(&project, args.dry_run, context);
        }
        let detail =
            "paths inside datasets are taken out by a command of their own, which keeps the files".to_owned();
        return Err(DataError::Argument { argument: shown(&args.names[0]), detail }.into());
    }
    let mut removed = Removed { dry_run: args.dry_run, datasets: Vec::new() };
    for name in &args.names {
        let subject = subject(name, &project, context)?;
        let pointer = subject.read(&project, None)?;
        let remove_files = args.files && subject.path.symlink_metadata().is_ok();
        if remove_files && !args.force {
            let now = match identify(&subject.path, &project.cache(), &context.ui) {
                Err(StoreError::Absent(_)) => None,
                now => Some(now?.root),
            };
            let node = pointer.root(&project.store)?;
            if now.is_some_and(|now| now.id != node.id) || !project.store.is_complete(&[node.id])? {
                return Err(DataError::Modified(subject.name).into());
            }
        }
        let file = subject.pointer();
        if !args.dry_run {
            fs::remove_file(&file).map_err(DataError::io("remove", &file))?;
        }
        if remove_files {
            remove(&subject.path)?;
        }
        // Files that stay are still none that git should take.
        if !args.dry_run && subject.path.symlink_metadata().is_err() {
            unignore(&subject.path)?;
        }
        removed.datasets.push(Line {
            name: subject.name.clone(),
            pointer: relative(&project.root, &Pointer::beside(&subject.path)),
            path: relative(&project.root, &subject.path),
            files: remove_files,
        });
    }
    context.ui.report(&removed);
    Ok(Exit::Ok)
}

fn remove(path: &std::path::Path) -> Result<(), Failure> {
    let found = path.symlink_metadata().map_err(DataError::io("read", path))?;
    let done = if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    Ok(done.map_err(DataError::io("remove", path))?)
}

#[derive(Serialize)]
struct Removed {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    datasets: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    pointer: String,
    path: String,
    /// Whether the files were removed too.
    files: bool,
}

impl Report for Removed {
    fn schema(&self) -> &'static str {
        "mlp/data-rm/1"
    }

    fn human(&self) -> String {
        let line = |line: &Line| {
            let files = if line.files { "removed" } else { "kept (and out of git)" };
            let would = if self.dry_run { "would have " } else { "" };
            format!("{would}removed {}, {files} {}\n", shown(&line.pointer), shown(&line.path))
        };
        self.datasets.iter().map(line).collect()
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
