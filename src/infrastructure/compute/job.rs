//! A job and its folder, the only truth about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{Diagnose, Exit, Id, JobState, Name, RunEnd};

/// What a job asks of its host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Processor cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory, such as `8GiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Wall time limit, such as `2h`, enforced by the supervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// When a failed job is started again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// At most so many more attempts.
    pub max: u32,
}

/// Everything the supervisor needs to know; immutable, written before the job starts (`spec.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// `mlp/job/1`.
    pub schema: String,
    /// The run's identifier.
    pub id: Id,
    /// Model or step name.
    pub name: Name,
    /// The worker's command line; never a shell string.
    pub argv: Vec<String>,
    /// The worker's working directory.
    pub cwd: PathBuf,
    /// Variables added to the worker's environment.
    pub env: BTreeMap<String, String>,
    /// Resources and limits.
    pub resources: Resources,
    /// Automatic retries.
    pub retry: Retry,
    /// Seconds between TERM and KILL.
    pub grace_s: u64,
    /// What `mlp agent work` does, or what `MLP_PARAMS` holds; owned by `platform::run`.
    pub work: Value,
}

/// A job folder: `<state dir>/jobs/<id>/`.
#[derive(Clone, Debug)]
pub struct JobFolder(pub PathBuf);

/// A job's state as its folder tells.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStatus {
    /// The state.
    pub state: JobState,
    /// Present once it has ended.
    pub end: Option<RunEnd>,
    /// Attempt number, from 1.
    pub attempt: u32,
}

/// What can go wrong with jobs.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A file operation in a job folder failed.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Diagnose for JobError {
    fn code(&self) -> &'static str {
        "compute::io"
    }

    fn exit(&self) -> Exit {
        Exit::World
    }
}

impl JobFolder {
    /// Reads `spec.json`.
    pub fn spec(&self) -> Result<JobSpec, JobError> {
        todo!()
    }

    /// What the folder says about the job now, judged by evidence (pid, start time, boot id).
    pub fn status(&self) -> Result<JobStatus, JobError> {
        todo!()
    }

    /// `out/`: files the job wants to keep.
    pub fn out(&self) -> PathBuf {
        self.0.join("out")
    }

    /// `ckpt/`: checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("ckpt")
    }

    /// `events.jsonl`.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// `log`: raw stdout and stderr.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// `attempt`: the fencing token. A worker whose own attempt is not this number must stop.
    pub fn attempt(&self) -> Result<u32, JobError> {
        todo!()
    }

    /// The folder at `path`.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }
}
