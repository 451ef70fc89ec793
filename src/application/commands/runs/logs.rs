//! `mlp runs logs`.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::elsewhere::list;
use crate::application::following::{replay, workspace};
use crate::base::{Exit, Failure};
use crate::infrastructure::compute::{Interrupts, JobFolder};
use crate::platform::run::{self, Listed, RunError, Workspace};

/// Prints what a run wrote to stdout and stderr, byte for byte; for a model, its epochs before that.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The run.
    #[arg(default_value = "latest", add = ArgValueCandidates::new(completion::runs))]
    run: String,
    /// Goes on until the run has ended.
    #[arg(short, long)]
    follow: bool,
    /// Prints the events (JSON lines) instead.
    #[arg(long)]
    events: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    let found = run::find(&list(&workspace, &context.ui)?, &args.run)?;
    if !args.events && found.task != "step" && !args.follow {
        context.ui.raw(&replay(&events(&workspace, &found)?));
    }
    // A training tells its story in events.
    let of_events = args.events || args.follow && found.task != "step";
    match &found.folder {
        Some(folder) if args.follow => follow(folder, of_events, context)?,
        _ if of_events => context.ui.raw_bytes(&events(&workspace, &found)?),
        _ => context.ui.raw_bytes(&stored(&workspace, &found, "log", JobFolder::log)?),
    }
    Ok(Exit::Ok)
}

/// The events of a run, from its job folder or from the store.
pub(super) fn events(workspace: &Workspace<'_>, run: &Listed) -> Result<Vec<u8>, Failure> {
    stored(workspace, run, "events.jsonl", JobFolder::events)
}

fn stored(
    workspace: &Workspace<'_>,
    run: &Listed,
    name: &str,
    path: fn(&JobFolder) -> PathBuf,
) -> Result<Vec<u8>, Failure> {
    if let Some(folder) = &run.folder {
        return read(&path(folder), 0);
    }
    let output = run.record.as_ref().and_then(|(_, record)| record.body.output);
    let Some(output) = output else { return Ok(Vec::new()) };
    let node = workspace.store.find(&output, name)?;
    Ok(match node {
        Some(node) => workspace.store.read(&node.id)?,
        None => Vec::new(),
    })
}

/// The bytes of a file from `offset` on; none if it is not there yet.
fn read(path: &Path, offset: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(&mut bytes)
    });
    match read {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RunError::io("read", path)(error).into())
        }
        _ => Ok(bytes),
    }
}

fn follow(folder: &JobFolder, of_events: bool, context: &Context) -> Result<(), Failure> {
    let interrupts = Interrupts::watch();
    let path = if of_events { folder.events() } else { folder.log() };
    let mut offset = 0;
    loop {
        // The state first: what was written before the end is then read after it.
        let ended = folder.settle()?.is_some();
        let bytes = read(&path, offset)?;
        offset += bytes.len() as u64;
        context.ui.raw_bytes(&bytes);
        if ended || interrupts.any() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
