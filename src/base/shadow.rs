//! Evidence from serving: a version that was asked the same as the live one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Body, Digest, Id, Name, RecordKind, Time};

/// What became of mirrored requests: a version answered what the live version was asked, unseen by any client.
///
/// A server writes one every so often and one at its end; those of one `session` count up, so that the last of them tells
/// everything. When another version becomes live, a new session begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shadow {
    /// The model.
    pub model: Name,
    /// The version that was tried.
    pub version: u64,
    /// Tree of its files.
    pub tree: Digest,
    /// The version that was live.
    pub live_version: u64,
    /// Tree of the live version's files.
    pub live: Digest,
    /// The comparison that this record is a state of.
    pub session: Id,
    /// When it began.
    pub started: Time,
    /// When this was written.
    pub ended: Time,
    /// What was compared.
    pub comparison: Comparison,
    /// Requests that were not mirrored because too many waited.
    pub dropped: u64,
}

/// Two versions held against each other on the same inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Requests that both answered.
    pub requests: u64,
    /// Requests that the live version answered and the other could not.
    pub failures: u64,
    /// Instances on which both agree: the same class, or numbers that differ by no more than `tolerance`.
    pub agreements: u64,
    /// Instances on which they do not.
    pub disagreements: u64,
    /// The largest difference of a probability or of a predicted number.
    pub largest_difference: f64,
    /// By how much predicted numbers may differ and still agree, as a share of the larger of the two.
    pub tolerance: f64,
    /// Seconds of computing a request takes the other version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Seconds of computing the same requests take the live version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_latency: Option<Latency>,
}

impl Comparison {
    /// Instances that were compared.
    pub fn instances(&self) -> u64 {
        self.agreements + self.disagreements
    }

    /// The share of instances on which they disagree; none before any was compared.
    pub fn disagreement(&self) -> Option<f64> {
        let instances = self.instances();
        (instances > 0).then(|| self.disagreements as f64 / instances as f64)
    }
}

/// Quantiles of seconds, over the last requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// What 95 of 100 stay within.
    pub p95: f64,
    /// What 99 of 100 stay within.
    pub p99: f64,
}

impl Body for Shadow {
    const KIND: RecordKind = RecordKind::Shadow;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Record;

    #[test]
    fn a_shadow_record_is_read_back_as_it_was_written() {
        let body = Shadow {
            model: "digits".parse().expect("is a name"),
            version: 8,
            tree: Digest::of(b"new"),
            live_version: 7,
            live: Digest::of(b"live"),
            session: Id::new(),
            started: Time::now(),
            ended: Time::now(),
            comparison: Comparison {
                requests: 3,
                agreements: 3,
                disagreements: 1,
                largest_difference: 0.25,
                latency: Some(Latency { p50: 0.001, p95: 0.002, p99: 0.003 }),
                ..Comparison::default()
            },
            dropped: 2,
        };
        assert_eq!(body.comparison.disagreement(), Some(0.25));
        assert_eq!(Comparison::default().disagreement(), None);
        let record = Record::new("Ada <ada@example.org>", vec![body.tree, body.live], body);
        assert_eq!(Record::from_bytes(&record.to_bytes()).expect("reads"), record);
    }
}
