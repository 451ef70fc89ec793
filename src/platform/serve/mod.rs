//! Serving what was promoted: a version's files are verified, loaded from memory, and answer over HTTP or for files.
//! `docs/reference/serving.md` describes the routes.

mod answered;
mod batch;
mod body;
mod engine;
mod error;
mod input;
mod log;
mod measure;
mod protocol;
mod refusal;
mod routes;
mod served;
mod server;
mod spec;
mod stalled;

pub use answered::{Answered, Observer};
pub use batch::{Predicted, predict_files};
pub use error::{EXPLAIN, ServeError};
pub use input::{MAX_INSTANCES, Signature};
pub use log::PredictionLog;
pub use measure::measure;
pub use refusal::Refusal;
pub use served::{Served, load};
pub use server::{Limits, Server};
pub use spec::ServeSpec;
