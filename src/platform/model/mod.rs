//! What ledgers mean: versions, stages, gates, approvals.

mod error;
mod history;
mod reference;
mod spec;

pub use error::{EXPLAIN as MODEL_EXPLAIN, ModelError};
pub use history::{History, Version};
pub use reference::{Selector, parse_reference};
pub use spec::{
    Approvals, AtLeast, Bound, CodeState, Compare, GateSpec, MetricGate, ModelCard, Placeholders, Separation,
    SliceGate, StageSpec, Test, TrustSpec, Waiver,
};
