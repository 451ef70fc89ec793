//! The words of all layers: identity, names, time, events, records, errors. No I/O happens here.

mod attestation;
mod bytes;
mod canary;
mod caught;
mod count;
mod digest;
mod drift;
mod drill;

mod error;
mod event;
mod evidence;
mod id;
mod ledger;
mod name;
mod record;
mod resources;
mod scalar;
mod shadow;
mod smoke;
mod span;
mod time;
mod timing;
mod usage;
pub mod variables;
mod waiver;

pub use attestation::Attestation;
pub use bytes::{Bytes, hex};
pub use canary::{Aborted, Canary};
pub use caught::{caught, is_caught};
pub use count::{count, plural};
pub use digest::{Digest, DigestError, Hasher};
pub use drift::{Drift, EmbeddingDrift, FeatureDrift, Predictions, Quality, Tested, Window};
pub use drill::Drill;
pub use error::{Diagnose, Exit, Explain, Failure, Label, nearest};
pub use event::{
    Artifact, ErrorEvent, Event, JobState, Level, Log, Metric, Null, Progress, Sink, StateChange, Tee, Unit,
    What,
};
pub use evidence::{
    Approval, CalibrationBin, CommandOutput, Confusion, Estimate, Evaluation, ExpectationOutcome,
    Expectations, GitState, Leakage, Near, PerClass, Reproduction, Run, RunEnd, Slice, ThenNow, Verdict,
    VerdictValue,
};
pub use id::Id;
pub use ledger::{Entry, EntryKind, Subject};
pub use name::{Name, NameError};
pub use record::{AnyRecord, Body, Record, RecordError, RecordKind};
pub use resources::{Cause, Resources, Retry};
pub use scalar::yaml_scalar;
pub use shadow::{Comparison, Latency, Shadow};
pub use smoke::Smoke;
pub use span::Span;
pub use time::Time;
pub use timing::{Timing, quantile};
pub use usage::{Cost, Usage};
pub use waiver::SignedWaiver;
