//! Where jobs run: executors that start `mlp agent supervise JOBDIR`, and the agent itself. All truth about a job lies in its folder.

pub mod agent;
mod bootstrap;
mod builds;
mod error;
mod events;
mod executor;
mod folder;
mod frame;
mod host;
mod job;
mod lease;
mod link;
mod local;
pub mod mask;
mod mirror;
mod process;
mod remote;
mod session;
mod signals;
mod slurm;
mod tail;
mod watchdog;

pub use error::{EXPLAIN as JOB_EXPLAIN, JobError};
pub use events::EventLog;
pub use executor::{Cursor, Ended, Executor, Ticket};
pub use folder::JobFolder;
pub use frame::{Hello, HostedJob, Tidied};
pub use host::{Host, HostSpec};
pub use job::{JobSpec, JobStatus, Resources, Retry, duration};
pub use lease::{Card, Cards, Claim};
pub use link::Link;
pub use local::{LocalExecutor, event};
pub use mask::hideable;
pub use session::{install, serve};
pub use signals::Interrupts;
pub use slurm::SlurmSpec;
