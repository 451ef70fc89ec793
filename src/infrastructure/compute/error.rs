//! What can go wrong with jobs.

use std::path::PathBuf;

use crate::base::{Diagnose, Exit, Explain};
use crate::infrastructure::store::StoreError;

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
    /// The job is under way.
    #[error("job {0} is still under way")]
    Active(String),
    /// The store of the job said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry of `hosts:` that means nothing.
    #[error("host `{host}`: {detail}")]
    HostSpec {
        /// The host.
        host: String,
        /// What is wrong.
        detail: String,
    },
    /// A price that is none.
    #[error("host `{host}`: {detail}")]
    Price {
        /// The host.
        host: String,
        /// What is wrong.
        detail: String,
    },
    /// There is no `ssh`.
    #[error("`ssh` cannot be started: {0}")]
    NoSsh(String),
    /// `ssh` did not get there.
    #[error("host `{host}` cannot be reached: {said}")]
    Unreachable {
        /// The host.
        host: String,
        /// What `ssh` was given.
        destination: String,
        /// What `ssh` said.
        said: String,
    },
    /// The host's key is not known, or not the known one.
    #[error("the key of host `{host}` is {}: nothing was sent", if *changed { "another than the known one" } else { "not known" })]
    HostKey {
        /// The host.
        host: String,
        /// What `ssh` was given.
        destination: String,
        /// Whether another key was known.
        changed: bool,
    },
    /// The host does not let the user in.
    #[error("host `{host}` does not let you in: {said}")]
    Login {
        /// The host.
        host: String,
        /// What `ssh` was given.
        destination: String,
        /// What `ssh` said.
        said: String,
    },
    /// The connection broke.
    #[error("the connection to `{host}` is lost: {detail}")]
    LinkLost {
        /// The host.
        host: String,
        /// What was said last.
        detail: String,
    },
    /// None of several hosts would do.
    #[error("none of the hosts would do: {0}")]
    NoHost(String),
    /// mlp cannot work on the host.
    #[error("mlp does not run on host `{host}`: {detail}")]
    Agent {
        /// The host.
        host: String,
        /// What is wrong.
        detail: String,
    },
    /// A program of Slurm said no.
    #[error("`{command}`: {said}")]
    Slurm {
        /// The program.
        command: &'static str,
        /// What it said.
        said: String,
    },
    /// The host said no.
    #[error("on `{host}`: {message}")]
    OnHost {
        /// The host.
        host: String,
        /// The code of its error.
        code: String,
        /// Its message.
        message: String,
        /// Its hint.
        hint: Option<String>,
    },
    /// This system cannot detach processes.
    #[error("background jobs need Linux or macOS, this is {}", std::env::consts::OS)]
    Platform,
}

impl JobError {
    /// Whether it may go away by itself: a connection that broke or cannot be made now.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::LinkLost { .. } | Self::Unreachable { .. })
    }

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
            Self::Active(_) => "compute::active",
            Self::Store(error) => error.code(),
            Self::HostSpec { .. } => "compute::host-spec",
            Self::Price { .. } => "compute::price",
            Self::NoSsh(_) => "compute::no-ssh",
            Self::Unreachable { .. } => "compute::unreachable",
            Self::HostKey { .. } => "compute::host-key",
            Self::Login { .. } => "compute::login",
            Self::LinkLost { .. } => "compute::link-lost",
            Self::NoHost(_) => "compute::no-host",
            Self::Agent { .. } => "compute::agent",
            Self::OnHost { .. } => "compute::on-host",
            Self::Slurm { .. } => "compute::slurm",
            Self::Platform => "compute::platform",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Store(error) => error.exit(),
            Self::Io { .. }
            | Self::NotStarted { .. }
            | Self::Platform
            | Self::NoSsh(_)
            | Self::Unreachable { .. }
            | Self::HostKey { .. }
            | Self::Login { .. }
            | Self::LinkLost { .. }
            | Self::NoHost(_)
            | Self::Agent { .. }
            | Self::Slurm { .. }
            | Self::OnHost { .. } => Exit::World,
            Self::HostSpec { .. } | Self::Price { .. } => Exit::Usage,
            Self::Damaged { .. } => Exit::No,
            Self::NoJob(_) | Self::Active(_) => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { .. } => Some("remove the run with `mlp runs rm` and start it anew".into()),
            Self::Active(_) => Some("wait for it, or stop it with `mlp runs cancel`".into()),
            Self::Store(error) => error.hint(),
            Self::HostSpec { .. } => Some("write `ssh: user@machine`, or the name of a host of ~/.ssh/config".into()),
            Self::Price { .. } => Some("write `price: {gpu_hour: 0.45, hour: 0.10, currency: EUR}`, with one amount at least".into()),
            Self::NoHost(_) => Some("`mlp host check` says more; ask for fewer GPUs, or name another host".into()),
            Self::NoSsh(_) => Some("install OpenSSH's client".into()),
            Self::Unreachable { destination, .. } => Some(format!("`ssh {destination}` must get there first")),
            Self::HostKey { destination, changed: false, .. } => {
                Some(format!("connect once by hand, `ssh {destination}`, and compare the key it shows with the host's"))
            }
            Self::HostKey { destination, changed: true, .. } => Some(format!(
                "ask who runs the host whether its key changed; then `ssh-keygen -R` with its name, and `ssh {destination}`"
            )),
            Self::Login { destination, .. } => Some(format!(
                "`ssh {destination}` must work without a question, by a key or an agent; or start mlp in a terminal, where ssh can ask"
            )),
            Self::LinkLost { .. } => Some("what runs there goes on; `mlp runs attach` connects again".into()),
            Self::Agent { .. } => Some(
                "`root` of the host names another folder, `agent` another build of mlp (docs/guides/remote.md)".into(),
            ),
            Self::OnHost { hint, .. } => hint.clone(),
            Self::Slurm { .. } => Some("`slurm:` of the host says how sbatch is called".into()),
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
        code: "compute::active",
        text: "The job has not ended, so that it can neither be started again nor be removed.",
    },
    Explain {
        code: "compute::host-spec",
        text: "An entry of `hosts:` names something that ssh would take for an option or a command. `ssh` is \
               `user@machine`, `ssh://user@machine:port`, or the name of a host of ~/.ssh/config.",
    },
    Explain {
        code: "compute::price",
        text: "`price:` of a host says what an hour costs: `gpu_hour` for each GPU that a run has, `hour` for the machine, or both, in a currency \
               of three capital letters. Runs there tell in their records what they cost.",
    },
    Explain {
        code: "compute::no-ssh",
        text: "Hosts are reached by the system's own `ssh`, which could not be started.",
    },
    Explain {
        code: "compute::unreachable",
        text: "ssh did not get to the host: a wrong name, a network that is down, a host that is off, a jump host that says no. \
               The message is ssh's own. Nothing was sent.",
    },
    Explain {
        code: "compute::host-key",
        text: "The host showed a key that ssh does not know, or not the one that it knows. The connection was given up before anything \
               was sent. mlp never accepts a key by itself.",
    },
    Explain {
        code: "compute::login",
        text: "The host knows no key of yours. Where mlp is not started in a terminal ssh cannot ask for a password.",
    },
    Explain {
        code: "compute::link-lost",
        text: "The connection to the host broke. Jobs there do not depend on it: they go on, and their logs and results are kept there.",
    },
    Explain {
        code: "compute::no-host",
        text: "Several hosts were asked at the same time, and none of them can do what is wanted. The message says of each why: it is not \
               reached, it has fewer GPUs than are wanted, or its mlp drives none.",
    },
    Explain {
        code: "compute::agent",
        text: "mlp works on a host by an executable of its own in ~/.mlp/bin, which is brought there on the first use. It could not be \
               written or started there, or it is for another kind of machine.",
    },
    Explain {
        code: "compute::slurm",
        text: "A program of Slurm on the login node failed. The message is its own: an unknown partition or account, a limit, or a \
               controller that does not answer.",
    },
    Explain {
        code: "compute::on-host",
        text: "What was asked of the host failed there; the message and the hint are the host's.",
    },
    Explain {
        code: "compute::platform",
        text: "Jobs run under a supervisor in a session of its own. That is built for Linux and macOS.",
    },
];
