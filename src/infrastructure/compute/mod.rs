//! Where jobs run: executors that start `mlp agent supervise JOBDIR`, and the agent itself. All truth about a job lies in its folder.

pub mod agent;
mod executor;
mod job;
mod local;

pub use executor::{Cursor, Ended, Executor, Ticket};
pub use job::{JobError, JobFolder, JobSpec, JobStatus, Resources, Retry};
pub use local::LocalExecutor;
