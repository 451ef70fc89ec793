//! Jobs on this machine: the same supervisor as everywhere, started as a process of its own.

use std::path::PathBuf;

use super::{Cursor, Ended, Executor, JobError, JobSpec, JobStatus, Ticket};
use crate::base::Sink;

/// Runs jobs on this machine, in `<state dir>/jobs`.
pub struct LocalExecutor {
    /// `<state dir>/jobs`.
    pub jobs: PathBuf,
}

impl Executor for LocalExecutor {
    fn submit(&self, spec: &JobSpec) -> Result<Ticket, JobError> {
        let _ = spec;
        todo!()
    }

    fn follow(
        &self,
        ticket: &Ticket,
        from: Cursor,
        sink: &dyn Sink,
        detach: &dyn Fn() -> bool,
    ) -> Result<Ended, JobError> {
        let _ = (ticket, from, sink, detach);
        todo!()
    }

    fn cancel(&self, ticket: &Ticket) -> Result<(), JobError> {
        let _ = ticket;
        todo!()
    }

    fn status(&self, tickets: &[Ticket]) -> Result<Vec<JobStatus>, JobError> {
        let _ = tickets;
        todo!()
    }
}
