//! What ledgers mean: versions, stages, gates, approvals.

mod approve;
mod audit;
mod error;
mod evidence;
mod gates;
mod grounds;
mod history;
mod lineage;
pub mod package;
pub mod paper;
mod promotion;
mod provenance;
mod recompute;
mod reference;
mod registry;
mod rules;
mod spec;
mod statistics;
mod tags;
mod waive;
mod written;

pub use approve::Approved;
pub use audit::{Audit, Finding, Problem, Records, WentPast, audit};
pub use error::{EXPLAIN as MODEL_EXPLAIN, ModelError};
pub use evidence::{Absent, Candidate, Evidence, Filed, Need, Origin};
pub use gates::{
    AttestationState, Calibration, Charter, DataCard, Expected, GoldenLine, Groups, InputState, Judgement,
    LatencyGate, LicenceState, Phase, RollbackDrill, SeedGate, ServeGate, ShadowGate, Size, golden, judge,
    judge_one,
};
pub use grounds::{Gap, gaps};
pub use history::{History, Version};
pub use lineage::{Edge, Graph, How, Impact, LINEAGE_EXPLAIN, Lineage, LineageError, Node, Rests, Thing};
pub use promotion::{Produce, Promoted, Registered, Workshop, judge_with, registrable};
pub use provenance::{
    ModelFile, SIGNATURE, bom, folder_files, hint, listed_files, provenance, sign, signature_statement,
    stored_files, verdicts, verify, weights_problem,
};
pub use recompute::{Difference, Recomputed, recompute};
pub use reference::{Selector, parse_reference};
pub use registry::{Actor, Draft, Registry};
pub use rules::{Card, DataRule, Rules};
pub use spec::{
    Approvals, AtLeast, Bound, Budget, CodeState, Compare, GateSpec, MetricGate, ModelCard, Placeholders,
    Reproduce, Separation, SliceGate, StageSpec, Test, TrustSpec, Waiver,
};
pub use statistics::{Paired, mcnemar};
pub use tags::{Tag, stage_tag, version_tag};
pub use waive::{Suspension, end_of_day};
