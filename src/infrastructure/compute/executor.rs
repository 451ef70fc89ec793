//! What every executor can do.

use serde::{Deserialize, Serialize};

use super::{JobError, JobSpec, JobStatus};
use crate::base::{Id, RunEnd, Sink};

/// Enough to find a job tomorrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The run's identifier.
    pub id: Id,
    /// The executor and host: `local`.
    pub host: String,
}

/// How far the events and the log of a job were read, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Bytes of `events.jsonl`.
    pub events: u64,
    /// Bytes of `log`.
    pub log: u64,
}

/// Why following stopped.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The job has ended.
    Job(RunEnd),
    /// The follower was asked to stop; the job runs on.
    Detached(Cursor),
}

/// Starts, follows and cancels jobs: local now, ssh and slurm later. Reattaching is calling `follow` again.
pub trait Executor {
    /// Starts a job; the same id twice starts it once.
    fn submit(&self, spec: &JobSpec) -> Result<Ticket, JobError>;

    /// Feeds events to `sink` until the job has ended or `detach` says true. Log lines become log events.
    fn follow(
        &self,
        ticket: &Ticket,
        from: Cursor,
        sink: &dyn Sink,
        detach: &dyn Fn() -> bool,
    ) -> Result<Ended, JobError>;

    /// Asks a job to stop; returns when the request is written, not when the job is gone.
    fn cancel(&self, ticket: &Ticket) -> Result<(), JobError>;

    /// The states of many jobs at once.
    fn status(&self, tickets: &[Ticket]) -> Result<Vec<JobStatus>, JobError>;
}
