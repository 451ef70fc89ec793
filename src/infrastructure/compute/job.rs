//! What a job is asked to do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JobError;
use crate::base::{Digest, Id, JobState, Name, RunEnd};
use crate::infrastructure::store::Stored;

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
    /// Machines, on a Slurm cluster; everything above is meant for each of them. Each starts `ranks_per_node` processes of the command,
    /// with the variables MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE and LOCAL_RANK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// Processes of the command on each machine, on a Slurm cluster; `cpus` are those of one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks_per_node: Option<u32>,
    /// How long it may wait for GPUs, such as `2h`; for ever, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<String>,
}

impl Resources {
    /// How many processes of the command there are.
    pub fn ranks(&self) -> u32 {
        self.nodes.unwrap_or(1).saturating_mul(self.ranks_per_node.unwrap_or(1))
    }

    /// The wall time limit of one attempt.
    pub fn time_limit(&self) -> Result<Option<Duration>, JobError> {
        self.time.as_deref().map(duration).transpose()
    }

    /// How long it may wait for GPUs.
    pub fn wait_limit(&self) -> Result<Option<Duration>, JobError> {
        self.max_wait.as_deref().map(duration).transpose()
    }
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

/// A duration such as `90s`, `30m`, `2h` or `1d`.
pub fn duration(text: &str) -> Result<Duration, JobError> {
    let wrong = || JobError::Duration(text.to_owned());
    let text_ = text.trim();
    let split = text_.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let count: u64 = text_[..split].parse().map_err(|_| wrong())?;
    let unit: u64 = match text_[split..].trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    count.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_other_text_is_refused() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400), ("5 min", 300)] {
            assert_eq!(duration(text).expect("reads"), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "2", "h", "-1s", "1.5h", "99999999999999999999d", "18446744073709551615d", "2 weeks"]
        {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
