//! Serving what was promoted: a version's files are verified, loaded from memory, and answer over HTTP or for files.
//! `docs/reference/serving.md` describes the routes.

mod answered;
mod answers;
mod batch;
mod binary;
mod body;
mod canary;
mod deployment;
mod engine;
mod error;
mod input;
mod log;
mod measure;
mod metrics;
mod mirror;
mod protocol;
mod refusal;
mod routes;
mod served;
mod server;
mod shadow;
mod spec;
mod stalled;
mod tally;
mod tls;
mod token;

pub use answered::{Answered, Observer};
pub use batch::{Batch, OnError, Outcome, Predicted, Take, Unfit, count, predict_files};
pub use canary::{Canary, Tell, Trial};
pub use deployment::Deployment;
pub use error::{EXPLAIN, ServeError};
pub use input::{MAX_INSTANCES, Signature};
pub use log::PredictionLog;
pub use measure::measure;
pub use metrics::Metrics;
pub use refusal::Refusal;
pub use served::{Served, load};
pub use server::{Limits, Server};
pub use shadow::{Keep, Shadow};
pub use spec::{AbortRule, AtMost, BatchSpec, CanarySpec, ServeSpec};
pub use tls::Tls;
pub use token::Token;
