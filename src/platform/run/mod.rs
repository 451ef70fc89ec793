//! From a plan to a job to a record: runs of models and steps, the step cache, comparison.

mod code;
mod compare;
mod curves;
mod error;
pub mod evaluation;
mod files;
mod finish;
mod graph;
mod list;
pub mod picture;
mod plan;
mod record;
mod remove;
mod set;
mod spec;
mod step;
mod training;
mod work;
mod workspace;

pub use compare::{Difference, changes, compare};
pub use curves::Curves;
pub use error::{EXPLAIN as RUN_EXPLAIN, RunError};
pub use evaluation::{evaluate, find_evaluation};
pub use files::{Kept, copy_file, files};
pub use finish::{finish, settle};
pub use graph::{Graph, Point};
pub use list::{Listed, active, done, find, list, short};
pub use plan::Plan;
pub use record::{publish, runs};
pub use remove::remove;
pub use set::set;
pub use spec::{Param, StepSpec};
pub use step::{clear_outputs, keep, named_paths, plan_step, point, restore};
pub use training::{LayerLine, Planned, dataset_for, describe_network, plan_training, work};
pub use workspace::Workspace;
