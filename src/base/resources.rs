//! What a job asks of the machine that it runs on, and when it is started again.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bytes, Span};

/// What a job asks of its host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Each of its GPUs may also be that of other jobs that say `share`, of so many together; without it a card is one job's. Memory and
    /// time of the card are not divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<NonZeroU32>,
    /// Processor cores, for a queue to give; nothing else holds a job to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory, such as `8GiB`, for all processes of the job together. A job that holds more is ended as `oom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Wall time limit of one attempt, such as `2h`. A job that takes longer is ended as `time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Span>,
    /// How long it may do nothing, such as `30m`: no output, no event, under 1 % of a processor core and under 5 % of its GPUs. Then it is
    /// ended as `idle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// Machines, on a Slurm cluster; everything above is meant for each of them. Each starts `ranks_per_node` processes of the command,
    /// with the variables MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE and LOCAL_RANK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// Processes of the command on each machine, on a Slurm cluster; `cpus` are those of one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks_per_node: Option<u32>,
    /// How long it may wait for GPUs, such as `2h`; for ever, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Span>,
}

impl Resources {
    /// How many processes of the command there are.
    pub fn ranks(&self) -> u32 {
        self.nodes.unwrap_or(1).saturating_mul(self.ranks_per_node.unwrap_or(1))
    }

    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a job did not succeed, as far as there is evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its program ended with an exit code other than 0, or by a signal whose origin is not known.
    Failed,
    /// Memory: the kernel or the queue ended it for the lack of some, or it held more than its `memory`.
    Oom,
    /// It took longer than its time limit.
    Time,
    /// It did nothing for longer than its idle limit.
    Idle,
    /// A more important job took its place.
    Preempted,
    /// The supervisor and the worker are gone without a word: the machine was restarted, or somebody killed both.
    Lost,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Failed => "failed",
            Self::Oom => "out of memory",
            Self::Time => "over its time",
            Self::Idle => "idle",
            Self::Preempted => "preempted",
            Self::Lost => "lost",
        })
    }
}

/// When a job is started again by itself: as its next attempt, from its last checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// At most so many more attempts for each cause; the causes are counted apart.
    pub max: u32,
    /// The causes: `failed`, `lost` and `preempted` if nothing is said; also `oom`, `time` and `idle`.
    #[serde(skip_serializing_if = "is_usual")]
    pub on: Vec<Cause>,
    /// What it waits before the first of them, such as `10s`. Each further one for the same cause waits twice as long, up to ten minutes.
    #[serde(skip_serializing_if = "is_short")]
    pub pause: Span,
    /// Not if the attempt wrote one of these texts into its log: `CUDA_ERROR_OUT_OF_MEMORY`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_on_log: Vec<String>,
}

/// What `on` is if nothing is said: what another try may well mend.
const USUAL: [Cause; 3] = [Cause::Failed, Cause::Lost, Cause::Preempted];
/// What `pause` is if nothing is said.
const PAUSE: Span = Span(Duration::from_secs(10));
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

impl Default for Retry {
    fn default() -> Self {
        Self { max: 0, on: USUAL.to_vec(), pause: PAUSE, not_on_log: Vec::new() }
    }
}

fn is_usual(on: &[Cause]) -> bool {
    on == USUAL
}

fn is_short(pause: &Span) -> bool {
    *pause == PAUSE
}

impl Retry {
    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What to wait before another attempt after one that ended for `cause`, as `earlier` ones did that were tried again; none if
    /// there is to be no other.
    pub fn after(&self, cause: Cause, earlier: u32) -> Option<Duration> {
        let again = self.on.contains(&cause) && earlier < self.max;
        let pause = self.pause.0.saturating_mul(1 << earlier.min(16));
        again.then_some(pause.min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes_and_causes_that_are_not_named_end_it() {
        let retry = Retry { max: 9, on: vec![Cause::Oom], ..Retry::default() };
        let seconds = |earlier| retry.after(Cause::Oom, earlier).map(|pause| pause.as_secs());
        assert_eq!([0, 1, 2, 8, 9].map(seconds), [Some(10), Some(20), Some(40), Some(600), None]);
        assert_eq!(retry.after(Cause::Failed, 0), None);
        assert_eq!(Retry::default().after(Cause::Failed, 0), None);
    }
}
