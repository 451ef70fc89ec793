//! The host side: the supervisor of one job.

use super::{JobError, JobFolder};

/// Runs the job in `folder` to its end: starts the worker, enforces limits, obeys `cancel`, writes `exit.json` last.
pub fn supervise(folder: &JobFolder) -> Result<(), JobError> {
    let _ = folder;
    todo!()
}
