//! What is happening now: one JSON object per line, the same for terminal, `--json`, log file, remote stream and replay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, Time};

/// One line of an event stream (`events.jsonl`, `--json`, `$MLP_EVENTS`).
///
/// Programs in any language write these lines; `time` may be left out by them and is then filled in by the reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// What happened; its tag is the key `event`.
    #[serde(flatten)]
    pub what: What,
}

impl Event {
    /// An event that happens now.
    pub fn now(what: What) -> Self {
        Self { time: Some(Time::now()), what }
    }
}

impl From<What> for Event {
    fn from(what: What) -> Self {
        Self::now(what)
    }
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Work on a countable task went on.
    Progress(Progress),
    /// A measured value.
    Metric(Metric),
    /// A line for people.
    Log(Log),
    /// A file was made that belongs to the result.
    Artifact(Artifact),
    /// The job is in another state.
    State(StateChange),
    /// The answer of the command or job, as one JSON value.
    Result {
        /// The answer.
        value: serde_json::Value,
    },
    /// Something failed.
    Error(ErrorEvent),
}

/// Progress of one task; sent at most some tens of times a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// What is being done, in a word or two: `hashing`, `epoch 3/10`.
    pub task: String,
    /// How much is done, in `unit`.
    pub done: u64,
    /// How much there is, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is counted.
    #[serde(default)]
    pub unit: Unit,
    /// Words to show beside the bar: `loss 0.213  acc 94.1 %`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a progress event counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Anything countable.
    #[default]
    Items,
    /// Bytes.
    Bytes,
    /// Files.
    Files,
    /// Training or evaluation examples.
    Samples,
}

/// One measured value, at a step of an epoch if it belongs to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Dotted name: `train.loss`, `val.accuracy`.
    pub name: String,
    /// The value. A value that is not finite is written as null and read back as NaN.
    #[serde(deserialize_with = "nan_if_null")]
    #[schemars(with = "Option<f64>")]
    pub value: f64,
    /// Optimiser steps done when it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Epochs done when it was measured, counted from 1 for the first complete epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

fn nan_if_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// A line for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Log {
    /// How important it is.
    #[serde(default)]
    pub level: Level,
    /// The text, without a line end.
    pub text: String,
}

/// Importance of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Only with `-v`.
    Debug,
    /// Ordinary.
    #[default]
    Info,
    /// The user should look.
    Warn,
}

/// A file that belongs to the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Path relative to the job's output folder.
    pub path: String,
    /// What it is: `model`, `plot`, `predictions`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its digest, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// The states of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for resources.
    Queued,
    /// Fetching inputs.
    Preparing,
    /// The worker runs.
    Running,
    /// Cancel was asked, the worker has not ended yet.
    Cancelling,
    /// Ended with success.
    Succeeded,
    /// Ended without success.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
    /// The supervisor and the worker are gone without a word (host crash, kill -9).
    Lost,
    /// The supervisor is gone, the worker still runs.
    Orphaned,
    /// The host cannot be reached.
    Unknown,
}

impl JobState {
    /// Whether nothing will change any more.
    pub fn ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Lost)
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Orphaned => "orphaned",
            Self::Unknown => "unknown",
        })
    }
}

/// The job is in another state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StateChange {
    /// The new state.
    pub state: JobState,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A failure, in the form that every command prints with `--json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorEvent {
    /// `module::kebab-reason`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// File, line and column it is about: `mlp.yaml:12:3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// Where events go.
pub trait Sink: Send + Sync {
    /// Takes one event. Must not fail: a sink that cannot write drops the event.
    fn emit(&self, event: &Event);

    /// Emits a progress event.
    fn progress(&self, task: &str, done: u64, total: Option<u64>, unit: Unit) {
        self.emit(&Event::now(What::Progress(Progress {
            task: task.to_owned(),
            done,
            total,
            unit,
            note: None,
        })));
    }

    /// Emits a line for people.
    fn log(&self, level: Level, text: &str) {
        self.emit(&Event::now(What::Log(Log { level, text: text.to_owned() })));
    }

    /// Emits a metric.
    fn metric(&self, name: &str, value: f64, step: Option<u64>, epoch: Option<u64>) {
        let name = name.to_owned();
        self.emit(&Event::now(What::Metric(Metric { name, value, step, epoch })));
    }
}

/// Drops every event.
pub struct Null;

impl Sink for Null {
    fn emit(&self, _: &Event) {}
}

/// Sends every event to two sinks.
pub struct Tee<'a>(pub &'a dyn Sink, pub &'a dyn Sink);

impl Sink for Tee<'_> {
    fn emit(&self, event: &Event) {
        self.0.emit(event);
        self.1.emit(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_line_a_program_may_write_is_understood() {
        let event: Event =
            serde_json::from_str(r#"{"event":"metric","name":"loss","value":0.5}"#).expect("reads");
        assert_eq!(event.time, None);
        let What::Metric(metric) = event.what else { panic!("not a metric") };
        assert_eq!((metric.name.as_str(), metric.value, metric.step), ("loss", 0.5, None));
    }

    #[test]
    fn an_event_survives_a_round_trip() {
        let event = Event::now(What::State(StateChange { state: JobState::Lost, reason: None }));
        let line = serde_json::to_string(&event).expect("writes");
        assert_eq!(serde_json::from_str::<Event>(&line).expect("reads"), event);
    }

    #[test]
    fn a_value_that_is_not_finite_stays_not_finite() {
        let event = Event::now(What::Metric(Metric {
            name: "loss".into(),
            value: f64::NAN,
            step: None,
            epoch: Some(1),
        }));
        let line = serde_json::to_string(&event).expect("writes");
        let What::Metric(metric) = serde_json::from_str::<Event>(&line).expect("reads").what else {
            panic!("not a metric")
        };
        assert!(metric.value.is_nan());
    }
}
