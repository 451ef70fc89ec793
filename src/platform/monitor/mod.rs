//! Watching a model that answers: sketches of what it was trained on, the log of its answers, and how far these are apart.

mod alert;
mod compare;
mod error;
mod features;
mod labels;
mod line;
mod log;
mod sketch;
mod spec;
pub mod statistics;
mod value;
mod window;

pub use alert::{post, run as run_command};
pub use compare::judge;
pub use error::{EXPLAIN, MonitorError};
pub use features::Features;
pub use labels::Labels;
pub use line::{Answered, Line, lines};
pub use log::{Answering, Log, Losses, files};
pub use sketch::{SKETCHES, Sketch, SketchKind, Sketches};
pub use spec::{AlertSpec, DriftSpec, DriftTest, LatencySpec, LogSpec, MonitorSpec, QualitySpec};
pub use value::Value;
pub use window::{Answers, find};

#[cfg(test)]
mod tests;
