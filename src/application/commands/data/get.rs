//! `mlp data get`.

use std::path::{Path, PathBuf};

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::subject::{Place, place, shown, source};
use super::transfer::Moved;
use crate::application::completion;
use crate::application::ui::{Report, bytes};
use crate::base::{Digest, Exit, Failure, Id};
use crate::infrastructure::store::worktree::{CheckoutOptions, checkout};
use crate::infrastructure::store::{Local, Node, NodeKind, StoreError};
use crate::platform::data::DataError;
use crate::platform::project::Project;

/// Gets a file or folder of any version, and nothing else of it.
///
/// From the local store; what is not there comes from the remote store, only the folders on the way and what is asked for. Every byte is
/// verified before it is given out.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A dataset or a path with a pointer, what to get of it, and the git revision whose version it is.
    #[arg(value_name = "NAME[/PATH][@REV]", add = ArgValueCandidates::new(completion::datasets))]
    place: String,
    /// Where to write it; `-` is standard output. Its own name in this folder if left out.
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Replace what is there; it goes to the trash first.
    #[arg(long)]
    force: bool,
    /// The store to get it from, by its name in `stores:`; the first of them if left out.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let place = place(&args.place, &project, context)?;
    place.subject.settle(&project, place.rev.as_deref(), &context.ui)?;
    let mut source = source(&project, args.store.as_deref())?;
    let node = place.node(&project, &mut source)?;
    if args.output.as_deref() == Some(Path::new("-")) {
        if node.kind == NodeKind::Directory {
            let detail = "it is a folder; `mlp data export` gives it as a tar file".to_owned();
            return Err(DataError::Argument { argument: shown(&args.place), detail }.into());
        }
        source.complete(&[node.id], &context.ui)?;
        print(&project.store, &node, context)?;
        return Ok(Exit::Ok);
    }
    let out = destination(args.output.as_deref(), &place, args.force, &project, context)?;
    source.complete(&[node.id], &context.ui)?;
    let options = CheckoutOptions { force: args.force, kept: None };
    let done = checkout(&node, &out, &project.store, None, options, &context.ui)?;
    context.ui.report(&Got {
        path: shown(&out.display().to_string()),
        id: node.id,
        files: done.written + done.kept,
        bytes: node.size,
        trashed: done.trashed,
        moved: source.transfer().into(),
    });
    Ok(if done.dirty.is_empty() { Exit::Ok } else { Exit::No })
}

/// Where to write, provided that it may be.
fn destination(
    output: Option<&Path>,
    place: &Place,
    force: bool,
    project: &Project,
    context: &Context,
) -> Result<PathBuf, Failure> {
    let out = context.dir.join(output.map_or_else(|| PathBuf::from(place.file_name()), Path::to_owned));
    let name = || shown(&out.display().to_string());
    if out.canonicalize().is_ok_and(|out| project.root.starts_with(out)) {
        return Err(DataError::Argument { argument: name(), detail: "it holds the project".into() }.into());
    }
    if out.symlink_metadata().is_ok() && !force {
        return Err(DataError::Exists(name()).into());
    }
    Ok(out)
}

/// Writes a file to standard output. A long one is read twice: what is given out was verified as a whole before.
fn print(store: &Local, node: &Node, context: &Context) -> Result<(), StoreError> {
    store.copy(&node.id, &mut std::io::sink())?;
    match store.copy(&node.id, &mut context.ui.out()) {
        // Whoever read it has read enough.
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map(drop),
    }
}

#[derive(Serialize)]
struct Got {
    path: String,
    id: Digest,
    files: u64,
    bytes: u64,
    /// Where what stood there went with `--force`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trashed: Option<Id>,
    /// What came from the remote store.
    moved: Moved,
}

impl Report for Got {
    fn schema(&self) -> &'static str {
        "mlp/data-get/1"
    }

    fn human(&self) -> String {
        let from =
            if self.moved.nothing() { String::new() } else { format!(", fetched {}", self.moved.human()) };
        let mut text = format!("{} ({}{from})\n", self.path, bytes(self.bytes));
        if let Some(id) = self.trashed {
            text.push_str(&format!("what stood there is in the trash: `mlp data trash restore {id}`\n"));
        }
        text
    }

    fn quiet(&self) -> String {
        format!("{}\n", self.path)
    }
}
