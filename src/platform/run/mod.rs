//! From a plan to a job to a record: runs of models and steps, the step cache, comparison.

mod error;
mod evaluation;
mod plan;
mod record;
mod spec;

pub use error::{EXPLAIN as RUN_EXPLAIN, RunError};
pub use evaluation::{evaluate, find_evaluation};
pub use plan::Plan;
pub use record::{publish, runs};
pub use spec::{Param, StepSpec};
