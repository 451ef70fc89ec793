//! Every variable of the environment that mlp reads or sets, declared once.

/// Set by mlp for steps and workers: the file they append event lines to.
pub const EVENTS: &str = "MLP_EVENTS";
/// Set by mlp for steps: a JSON file with the step's parameters.
pub const PARAMS: &str = "MLP_PARAMS";
/// Set by mlp for workers: the folder whose content becomes the result.
pub const OUT: &str = "MLP_OUT";
/// Read: how many threads to compute with; all cores if absent.
pub const THREADS: &str = "MLP_THREADS";
/// Read: `MLP_STORE_<NAME>_<KEY>` holds a credential of the store `NAME`.
pub const STORE_PREFIX: &str = "MLP_STORE_";
/// Read while building: the commit that `mlp --version` names.
pub const BUILD_COMMIT: &str = "MLP_BUILD_COMMIT";
/// Read by the tests: rewrite generated files instead of complaining that they are old.
pub const BLESS: &str = "MLP_BLESS";
/// Read: the key that signs approvals and ledger entries.
pub const SIGNING_KEY: &str = "MLP_SIGNING_KEY";
/// Set by mlp for the command of a gate: the model that is judged.
pub const MODEL: &str = "MLP_MODEL";
/// Set by mlp for the command of a gate: the number of the version that is judged.
pub const VERSION: &str = "MLP_VERSION";
/// Set by mlp for the command of a gate: the stage that the gate belongs to.
pub const STAGE: &str = "MLP_STAGE";
/// Set by mlp for the command of a gate: the digest of the version's files.
pub const TREE: &str = "MLP_TREE";
/// Set by mlp for the command of a gate: a folder with the version's files.
pub const MODEL_DIR: &str = "MLP_MODEL_DIR";
