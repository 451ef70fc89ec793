//! Every `MLP_*` environment variable, in one place.

/// File of events (JSON lines) that a job appends to. Set for every job.
pub const EVENTS: &str = "MLP_EVENTS";
/// File with the job's parameters (one JSON object). Set for every job.
pub const PARAMS: &str = "MLP_PARAMS";
/// Folder for files that the job wants to keep. Set for every job.
pub const OUT: &str = "MLP_OUT";
/// Folder for checkpoints; what is in it is there again when the job is resumed. Set for every job.
pub const CHECKPOINTS: &str = "MLP_CHECKPOINTS";
/// Number of the attempt, from 1. Set for every job.
pub const ATTEMPT: &str = "MLP_ATTEMPT";
/// Identifier of the run. Set for every job, and how its processes are found again.
pub const JOB: &str = "MLP_JOB";
/// How many threads computations use. Read by mlp.
pub const THREADS: &str = "MLP_THREADS";
