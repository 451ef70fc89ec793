//! From a plan to a job to a record: runs of models and steps, the step cache, comparison.

mod spec;

pub use spec::{Param, StepSpec};
