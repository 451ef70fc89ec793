//! Sweeps: many trainings of one model, each with settings of its own, and which of them is the best.
//!
//! A sweep keeps nothing of its own: its trials are runs, found again by their plans. The same sweep started again takes over what is
//! done, goes on with what was stopped, and begins the rest.

mod optimiser;
mod space;
mod trials;

pub use optimiser::{Answer, Optimiser};
pub use space::{Settings, Space};
pub use trials::{Halving, Next, Standing, Trial, Trials};

use crate::platform::train::WATCHED;

/// What makes one trial better than another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// `val.accuracy`.
    pub metric: String,
    /// Whether the lower value is the better.
    pub lower: bool,
}

impl Objective {
    /// A metric that trainings tell of each epoch.
    pub fn of(metric: &str) -> Self {
        let lower = WATCHED.iter().any(|(name, less)| *name == metric && *less);
        Self { metric: metric.to_owned(), lower }
    }

    /// Whether `one` comes before `other`; what is no number comes last.
    pub fn order(&self, one: f64, other: f64) -> std::cmp::Ordering {
        let key = |value: f64| match (value.is_nan(), self.lower) {
            (true, _) => f64::INFINITY,
            (false, true) => value,
            (false, false) => -value,
        };
        key(one).total_cmp(&key(other))
    }
}
