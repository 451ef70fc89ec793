//! A step written in Rust: what a program that uses mlp as a library joins a run with.
//!
//! ```no_run
//! use mlp::platform::step::{self, Step};
//!
//! fn main() -> std::process::ExitCode {
//!     step::run(train)
//! }
//!
//! fn train(step: &Step) -> Result<(), Box<dyn std::error::Error>> {
//!     let data = step.data("points", None)?;
//!     for epoch in 1..=10 {
//!         // … train on `data.train` …
//!         step.epoch(epoch, 10, &[("train.loss", 0.5)]);
//!     }
//!     step.result(&[("test.accuracy", 0.9)]);
//!     Ok(())
//! }
//! ```
//!
//! This module, [`Parts`] and what it holds are what such programs may rely on; everything else of the
//! library may change with any version.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde_json::json;

use super::data::Parts;
use super::project::Project;
use crate::base::{
    Artifact, Diagnose, ErrorEvent, Event, Exit, Explain, Failure, Level, Sink, Unit, What, variables,
};
use crate::infrastructure::compute::{EventLog, Interrupts};
use crate::infrastructure::durable;

/// The run that this process is the step of.
pub struct Step {
    params: PathBuf,
    out: PathBuf,
    checkpoints: PathBuf,
    events: EventLog,
    interrupts: Interrupts,
}

/// Runs a step: `train` does it, and its error is the reason that the run fails with.
pub fn run(train: impl FnOnce(&Step) -> Result<(), Box<dyn Error>>) -> ExitCode {
    let step = match Step::join() {
        Ok(step) => step,
        Err(error) => {
            let hint = error.hint().map_or_else(String::new, |hint| format!("\nhelp: {hint}"));
            say(&format!("error[{}]: {error}{hint}", error.code()));
            return error.exit().into();
        }
    };
    let Err(error) = train(&step) else { return ExitCode::SUCCESS };
    say(&format!("error: {error}"));
    let failed = error.downcast_ref::<StepError>();
    step.events.emit(&Event::now(What::Error(ErrorEvent {
        code: failed.map_or("step::failed", StepError::code).to_owned(),
        message: error.to_string(),
        hint: failed.and_then(StepError::hint),
        place: None,
    })));
    Exit::No.into()
}

/// Standard error goes to the log of the run.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Step {
    /// The run that this process is the step of. From now on Ctrl-C and TERM no longer end the process: see
    /// [`Step::stopped`].
    pub fn join() -> Result<Self, StepError> {
        let path = |variable: &'static str| {
            std::env::var_os(variable).map(PathBuf::from).ok_or(StepError::Alone { variable })
        };
        Ok(Self {
            params: path(variables::PARAMS)?,
            out: path(variables::OUT)?,
            checkpoints: path(variables::CHECKPOINTS)?,
            events: EventLog::append(&path(variables::EVENTS)?)
                .map_err(|error| StepError::Mlp(error.into()))?,
            interrupts: Interrupts::watch(),
        })
    }

    /// The step's `params:`.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        let bytes = std::fs::read(&self.params).map_err(|error| StepError::Params(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| StepError::Params(error.to_string()))
    }

    /// The dataset `name` of `mlp.yaml` as it lies in the project, divided as its `split:` says. Images are resized to
    /// `shape` (`[channels, height, width]`). The step must name the dataset's path under `in:`, so that it is run again
    /// when the data change.
    pub fn data(&self, name: &str, shape: Option<&[usize]>) -> Result<Parts, StepError> {
        let load = || -> Result<Parts, Failure> {
            Ok(Project::open(Path::new("."))?.dataset(name)?.load(shape, &self.events)?)
        };
        load().map_err(StepError::Mlp)
    }

    /// The folder for files worth keeping that no later step needs.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The folder whose content is there again when the run goes on.
    pub fn checkpoints(&self) -> &Path {
        &self.checkpoints
    }

    /// Whether the step was asked to stop: it should leave a checkpoint and return an error within ten seconds.
    pub fn stopped(&self) -> bool {
        self.interrupts.any()
    }

    /// Tells that an epoch of `epochs` is done (from 1), and what was measured.
    pub fn epoch(&self, epoch: u64, epochs: u64, metrics: &[(&str, f64)]) {
        for (name, value) in metrics {
            self.events.metric(name, *value, None, Some(epoch));
        }
        self.events.progress("training", epoch, Some(epochs), Unit::Items);
    }

    /// Tells what came of it: the metrics of the run.
    pub fn result(&self, metrics: &[(&str, f64)]) {
        let metrics: serde_json::Map<String, serde_json::Value> =
            metrics.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.events.emit(&Event::now(What::Result { value: json!({ "metrics": metrics }) }));
    }

    /// Says a line for people.
    pub fn say(&self, text: &str) {
        self.events.log(Level::Info, text);
    }

    /// Says what the file `path` below [`Step::out`] is: `predictions`, `plot`, …
    pub fn artifact(&self, path: &str, kind: &str) {
        let (path, kind) = (path.to_owned(), Some(kind.to_owned()));
        self.events.emit(&Event::now(What::Artifact(Artifact { path, kind, digest: None })));
    }
}

/// Lets `write` make a file beside `path` and then gives it that name: whoever looks finds the old file or the new one,
/// never half of it.
pub fn whole<E: Error + 'static>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), Box<dyn Error>> {
    let folder = durable::folder_of(path);
    durable::make_folders(folder)?;
    let beside = durable::temporary(folder)?;
    write(beside.path())?;
    durable::persist(beside, path)?;
    durable::sync_folder(folder)?;
    Ok(())
}

/// Why a step cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// No run started this process.
    #[error("this program is a step, and no run started it: the variable {variable} is not set")]
    Alone {
        /// What is missing.
        variable: &'static str,
    },
    /// The parameters are not what the program takes.
    #[error("the parameters of the step do not fit: {0}")]
    Params(String),
    /// Something below.
    #[error("{0}")]
    Mlp(Failure),
}

impl Diagnose for StepError {
    fn code(&self) -> &'static str {
        match self {
            Self::Alone { .. } => "step::alone",
            Self::Params(_) => "step::params",
            Self::Mlp(failure) => failure.0.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Alone { .. } | Self::Params(_) => Exit::Usage,
            Self::Mlp(failure) => failure.0.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Alone { .. } => Some("start it with `mlp run`".into()),
            Self::Params(_) => {
                Some("compare `params:` of the step in `mlp.yaml` with what the program reads".into())
            }
            Self::Mlp(failure) => failure.0.hint(),
        }
    }
}

/// The codes of this module.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "step::alone",
        text: "A program that joins runs through the library of mlp was started by hand. `mlp run` gives it the files \
               for events, parameters, checkpoints and outputs that it needs.",
    },
    Explain {
        code: "step::params",
        text: "A step in Rust reads its `params:` into a type of its own; a key is missing, or a value has another \
               type. The message says which.",
    },
    Explain {
        code: "step::failed",
        text: "A step in Rust ended with an error of its own, which is the message.",
    },
];
