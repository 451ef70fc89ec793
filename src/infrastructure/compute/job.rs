//! What a job is asked to do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{Digest, Id, JobState, Name, Resources, Retry, RunEnd};
use crate::infrastructure::store::Stored;

/// Everything the supervisor needs to know; immutable, written before the job starts (`spec.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// `mlp/job/1`.
    pub schema: String,
    /// The run's identifier.
    pub id: Id,
    /// Model or step name.
    pub name: Name,
    /// The worker's command line; never a shell string. `{job}` stands for the job folder, `{mlp}` for the supervisor's own
    /// executable.
    pub argv: Vec<String>,
    /// A command line that is run after the worker succeeded and belongs to the job: it keeps what the worker made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// The worker's working directory: an absolute path, or one below the job folder.
    pub cwd: PathBuf,
    /// What is laid out in the working directory before the worker begins, from the store beside the folder of all jobs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Stored>,
    /// Trees and files that the job needs, in that store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests_on: Vec<Digest>,
    /// Variables added to the worker's environment. No secrets: this file stays.
    pub env: BTreeMap<String, String>,
    /// Names of the variables that are secrets. Their values come on the supervisor's standard input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Resources and limits.
    pub resources: Resources,
    /// Automatic retries.
    pub retry: Retry,
    /// Whether the supervisor measures what GPUs and processors draw.
    #[serde(default)]
    pub power: bool,
    /// Seconds between TERM and KILL.
    pub grace_s: u64,
    /// What `$MLP_PARAMS` holds.
    #[serde(default)]
    pub params: Value,
    /// What `mlp agent work` does; owned by `platform::run`.
    pub work: Value,
}

impl JobSpec {
    /// The version written into `schema`.
    pub const SCHEMA: &'static str = "mlp/job/1";
}

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
