//! How long a prediction takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Body, Digest, Latency, RecordKind};

/// How long a model takes for one example, measured by mlp in its own process: preprocessing and network, without HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Tree of the model's files.
    pub model: Digest,
    /// What it ran on: `cpu x86-64 avx512 2 threads`.
    pub device: String,
    /// Host name.
    pub host: String,
    /// How many predictions of one example each were timed, after some that were not.
    pub predictions: u64,
    /// Quantiles of their times.
    pub latency: Latency,
}

/// A quantile of rising values, by nearest rank: the smallest value that such a share of them does not exceed; none without any.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

impl Latency {
    /// Quantiles of some times in seconds; none without any.
    pub fn of(times: &[f64]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| quantile(&sorted, share);
        Some(Self { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)? })
    }
}

impl Body for Timing {
    const KIND: RecordKind = RecordKind::Timing;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // `tests/vectors/statistics.py` made them, by the method `inverted_cdf`.
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/statistics.json"));
        let all: serde_json::Value = serde_json::from_str(text).expect("is JSON");
        for vector in all["quantiles"].as_array().expect("is a list") {
            let list =
                |key: &str| -> Vec<f64> { serde_json::from_value(vector[key].clone()).expect("are numbers") };
            let found = Latency::of(&list("times")).expect("has some");
            assert_eq!(vec![found.p50, found.p95, found.p99], list("quantiles"));
        }
    }

    #[test]
    fn quantiles_are_those_of_nearest_rank() {
        // The example of the nearest-rank method: 15, 20, 35, 40, 50 has the median 35 and the 95th percentile 50.
        let found = Latency::of(&[35.0, 20.0, 50.0, 15.0, 40.0]).expect("has some");
        assert_eq!((found.p50, found.p95, found.p99), (35.0, 50.0, 50.0));
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let found = Latency::of(&hundred).expect("has some");
        assert_eq!((found.p50, found.p95, found.p99), (50.0, 95.0, 99.0));
        assert_eq!(Latency::of(&[]), None);
    }
}
