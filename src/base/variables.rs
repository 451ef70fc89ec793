//! Every `MLP_*` environment variable, in one place.

/// What they all begin with.
pub const PREFIX: &str = "MLP_";
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
/// `MLP_STORE_<NAME>_<KEY>` holds a credential of the store `NAME`. Read by mlp.
pub const STORE_PREFIX: &str = "MLP_STORE_";
/// The key that `mlp approve` and others sign with. Read by mlp.
pub const SIGNING_KEY: &str = "MLP_SIGNING_KEY";
/// The commit that `mlp --version` names. Read while mlp is built.
pub const BUILD_COMMIT: &str = "MLP_BUILD_COMMIT";
/// Rewrite generated files instead of complaining that they are old. Read by the tests.
pub const BLESS: &str = "MLP_BLESS";
/// The model that is judged. Set for the command of a gate.
pub const MODEL: &str = "MLP_MODEL";
/// The number of the version that is judged. Set for the command of a gate.
pub const VERSION: &str = "MLP_VERSION";
/// The stage that the gate belongs to. Set for the command of a gate.
pub const STAGE: &str = "MLP_STAGE";
/// The digest of the version's files. Set for the command of a gate.
pub const TREE: &str = "MLP_TREE";
/// A folder with the version's files. Set for the command of a gate.
pub const MODEL_DIR: &str = "MLP_MODEL_DIR";
/// Fails or kills mlp at one of its operations on files (`infrastructure/durable/fault.rs`). Read by mlp; for tests.
pub const FAULT: &str = "MLP_FAULT";
/// A configuration file for `ssh` in place of the user's own. Read by mlp.
pub const SSH_CONFIG: &str = "MLP_SSH_CONFIG";
/// A folder for the leases of GPUs in place of the machine's own. Read by mlp; for tests.
pub const LEASES: &str = "MLP_LEASES";
/// Long counts instead of quick ones. Read by the tests.
pub const TEST_LONG: &str = "MLP_TEST_LONG";
