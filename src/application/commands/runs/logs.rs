//! `mlp runs logs`.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::elsewhere::list;
use crate::application::following::{replay, workspace};
use crate::application::ui::Program;
use crate::base::{Exit, Failure};
use crate::infrastructure::compute::{Interrupts, JobFolder};
use crate::platform::run::{self, RunError};

/// Prints what a run wrote to stdout and stderr, byte for byte; for a model, its epochs before that.
///
/// On a terminal control characters are shown instead of obeyed.
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
    /// Byte for byte on a terminal, too: colours and whatever else steers it.
    #[arg(long)]
    raw: bool,
}

/// Where a run tells its story.
const EVENTS: &str = "events.jsonl";

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let workspace = workspace(&project);
    let found = run::find(&list(&workspace, &context.ui)?, &args.run)?;
    if !args.events && found.task != "step" && !args.follow {
        context.ui.raw(&replay(&found.written(workspace.store, EVENTS)?));
    }
    // A training tells its story in events.
    let of_events = args.events || args.follow && found.task != "step";
    let mut out = context.ui.program(args.raw);
    match &found.folder {
        Some(folder) if args.follow => follow(folder, of_events, &mut out)?,
        _ if of_events => out.write(&found.written(workspace.store, EVENTS)?),
        _ => out.write(&found.written(workspace.store, "log")?),
    }
    Ok(Exit::Ok)
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

fn follow(folder: &JobFolder, of_events: bool, out: &mut Program<'_>) -> Result<(), Failure> {
    let interrupts = Interrupts::watch();
    let path = if of_events { folder.events() } else { folder.log() };
    let mut offset = 0;
    loop {
        // The state first: what was written before the end is then read after it.
        let ended = folder.settle()?.is_some();
        let bytes = read(&path, offset)?;
        offset += bytes.len() as u64;
        out.write(&bytes);
        if ended || interrupts.any() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
