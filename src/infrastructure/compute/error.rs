//! What can go wrong with jobs.

use std::path::PathBuf;

use crate::base::{Diagnose, Exit, Explain};

/// What can go wrong with jobs.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A file operation in a job folder failed.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of a job folder does not hold what it should.
    #[error("`{path}` is damaged: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// There is no such job here.
    #[error("there is no job in `{0}`")]
    NoJob(PathBuf),
    /// The supervisor did not come up.
    #[error("the supervisor of job {id} did not start: {detail}")]
    NotStarted {
        /// The job.
        id: String,
        /// What it said.
        detail: String,
    },
    /// A time limit that is not a duration.
    #[error("`{0}` is not a duration")]
    Duration(String),
    /// The job is under way.
    #[error("job {0} is still under way")]
    Active(String),
    /// This system cannot detach processes.
    #[error("background jobs need Linux or macOS, this is {}", std::env::consts::OS)]
    Platform,
}

impl JobError {
    /// Wraps an I/O error: `.map_err(JobError::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl Diagnose for JobError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "compute::io",
            Self::Damaged { .. } => "compute::damaged",
            Self::NoJob(_) => "compute::no-job",
            Self::NotStarted { .. } => "compute::not-started",
            Self::Duration(_) => "compute::duration",
            Self::Active(_) => "compute::active",
            Self::Platform => "compute::platform",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } | Self::NotStarted { .. } | Self::Platform => Exit::World,
            Self::Damaged { .. } => Exit::No,
            Self::NoJob(_) | Self::Duration(_) | Self::Active(_) => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { .. } => Some("remove the run with `mlp runs rm` and start it anew".into()),
            Self::Duration(_) => Some("write it as `90s`, `30m`, `2h` or `1d`".into()),
            Self::Active(_) => Some("wait for it, or stop it with `mlp runs cancel`".into()),
            Self::NotStarted { .. } => Some("start it again with `mlp runs resume`".into()),
            _ => None,
        }
    }
}

/// The codes of this module.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "compute::io",
        text: "A file of a job folder could not be read or written. The message names the file and what the system \
               said: most often a full disk or missing permission.",
    },
    Explain {
        code: "compute::damaged",
        text: "A file of a job folder does not hold what mlp wrote. The job's state cannot be told from it; the \
               checkpoints in its folder may still be good.",
    },
    Explain { code: "compute::no-job", text: "The folder is not a job folder, or was removed." },
    Explain {
        code: "compute::not-started",
        text: "The background process that watches over a job did not come up. The job folder is kept, so that \
               `mlp runs resume` can start it again.",
    },
    Explain {
        code: "compute::duration",
        text: "A time limit is a whole number and a unit: `s`, `m`, `h` or `d`, such as `90s` or `2h`.",
    },
    Explain {
        code: "compute::active",
        text: "The job has not ended, so that it can neither be started again nor be removed.",
    },
    Explain {
        code: "compute::platform",
        text: "Jobs run under a supervisor in a session of its own. That is built for Linux and macOS.",
    },
];
