//! Where jobs run: executors that start `mlp agent supervise JOBDIR`, and the agent itself. All truth about a job lies in its folder.

pub mod agent;
mod error;
mod events;
mod executor;
mod folder;
mod job;
mod local;
mod process;
mod signals;
mod tail;

pub use error::{EXPLAIN as JOB_EXPLAIN, JobError};
pub use events::EventLog;
pub use executor::{Cursor, Ended, Executor, Ticket};
pub use folder::JobFolder;
pub use job::{JobSpec, JobStatus, Resources, Retry};
pub use local::{LocalExecutor, event};
pub use signals::Interrupts;
