//! The one place through which every answered request passes: whoever keeps, counts, mirrors or compares predictions sees
//! them here and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use super::Served;
use crate::base::{Id, Time};
use crate::platform::data::Inputs;
use crate::platform::train::Prediction;

/// A request that was answered.
pub struct Answered {
    /// The prediction id, as the client has it.
    pub id: Id,
    /// The version that answered: its name, number and the tree of its files.
    pub served: Arc<Served>,
    /// Whether it answered as the canary, not as the live version.
    pub canary: bool,
    /// When the answer was ready.
    pub time: Time,
    /// How many instances were asked about.
    pub count: usize,
    /// Their values as sent, before normalisation: `count` times `served.signature.size()`, row-major.
    pub inputs: Inputs,
    /// One prediction per instance.
    pub predictions: Vec<Prediction>,
    /// From the whole request to its predictions: waiting and computing, not the network.
    pub latency: Duration,
    /// Of this, computing: the time of the batch that the request was part of.
    pub computing: Duration,
}

/// Sees each answered request. A server may have several.
pub trait Observer: Send + Sync {
    /// Takes one request, whose answer is not written yet. It must not wait: whoever has work to do puts the request into a
    /// bounded queue of its own, and counts what it drops when that is full.
    fn answered(&self, answered: &Arc<Answered>);

    /// The server has stopped and nothing more comes: what is waiting is worked off, what is kept is written.
    fn finish(&self) {}
}
