//! `mlp agent`: the host side of jobs. Started by mlp itself.

use std::path::PathBuf;

use super::{Answer, Context};
use crate::base::{Diagnose, Digest, ErrorEvent, Event, Exit, Level, Sink, What};
use crate::infrastructure::compute::{self, EventLog, Interrupts, JobFolder, agent};
use crate::platform::run;
use crate::platform::train::Stopped;

/// The host side of jobs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Watches over a job to its end.
    Supervise {
        /// Already apart from the terminal: take over.
        #[arg(long)]
        detached: bool,
        /// The job folder.
        job: PathBuf,
    },
    /// Trains what a job asks for.
    Work {
        /// The job folder.
        job: PathBuf,
    },
    /// Evaluates the model that a job names.
    Judge {
        /// The job folder.
        job: PathBuf,
    },
    /// Stores what a step made.
    Keep {
        /// The job folder.
        job: PathBuf,
    },
    /// Writes what a worker says into the log, without its secrets.
    Mask {
        /// The job folder.
        job: PathBuf,
    },
    /// Answers a command elsewhere on standard input and output.
    Serve {
        /// The folder of mlp on this machine.
        root: PathBuf,
        /// What the answer begins with.
        nonce: String,
    },
    /// Puts this executable where agents lie.
    Install {
        /// The folder of mlp on this machine.
        root: PathBuf,
        /// Digest of this executable.
        digest: Digest,
    },
}

pub(crate) fn run(args: Args, _: &Context) -> Answer {
    match args.command {
        Command::Supervise { detached: false, job } => agent::detach(&JobFolder(job))?,
        Command::Supervise { detached: true, job } => agent::supervise(&JobFolder(job))?,
        Command::Work { job } => return work(&JobFolder(job)),
        Command::Judge { job } => return judge(&JobFolder(job)),
        Command::Keep { job } => return keep(&JobFolder(job)),
        Command::Mask { job } => compute::mask::run(&JobFolder(job))?,
        Command::Serve { root, nonce } => {
            compute::serve(&root, &nonce, &mut std::io::stdin().lock(), &mut std::io::stdout().lock())?;
        }
        Command::Install { root, digest } => {
            compute::install(&root, &digest)?;
        }
    }
    Ok(Exit::Ok)
}

fn work(folder: &JobFolder) -> Answer {
    let interrupts = Interrupts::watch();
    let events = EventLog::append(&folder.events())?;
    let stop = || interrupts.any() || folder.cancel_requested();
    let trained = std::thread::scope(|scope| {
        // A deep network needs more stack than the main thread of some systems has.
        let training = std::thread::Builder::new()
            .name("training".into())
            .stack_size(64 << 20)
            .spawn_scoped(scope, || run::work(folder, &stop, &events));
        training.map(|thread| thread.join())
    });
    match trained {
        Ok(Ok(Ok(Stopped::Finished))) => Ok(Exit::Ok),
        Ok(Ok(Ok(Stopped::Interrupted))) => Ok(Exit::Interrupted),
        Ok(Ok(Ok(Stopped::Fenced))) => {
            events.log(Level::Warn, "a later attempt has taken over: stopped without a checkpoint");
            Ok(Exit::No)
        }
        Ok(Ok(Err(error))) => Ok(told(&error, &events)),
        // The panic hook has said what happened.
        Ok(Err(_)) => Ok(Exit::Bug),
        Err(error) => Err(run::RunError::io("start", "the training thread")(error).into()),
    }
}

fn judge(folder: &JobFolder) -> Answer {
    let events = EventLog::append(&folder.events())?;
    Ok(run::judge(folder, &events).map_or_else(|error| told(&error, &events), |()| Exit::Ok))
}

fn keep(folder: &JobFolder) -> Answer {
    let events = EventLog::append(&folder.events())?;
    Ok(run::keep(folder, &events).map_or_else(|error| told(&error, &events), |()| Exit::Ok))
}

/// Makes the error the last word of the job's events, which is where it is read.
fn told(error: &run::RunError, events: &EventLog) -> Exit {
    events.emit(&Event::now(What::Error(ErrorEvent {
        code: error.code().to_owned(),
        message: error.to_string(),
        hint: error.hint(),
        place: None,
    })));
    error.exit()
}
