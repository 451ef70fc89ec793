//! What ledgers mean: versions, stages, gates, approvals.

mod spec;

pub use spec::{
    Approvals, AtLeast, Bound, CodeState, Compare, GateSpec, MetricGate, ModelCard, Placeholders, Separation,
    SliceGate, StageSpec, Test, TrustSpec, Waiver,
};
