//! Counting what two versions say to the same inputs.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::{Comparison, Latency, quantile};
use crate::platform::train::Prediction;

/// Durations that quantiles are made of.
const DURATIONS: usize = 1000;

/// The last values of something.
#[derive(Clone, Debug)]
pub(super) struct Recent<T> {
    values: VecDeque<T>,
    most: usize,
}

impl<T: Copy> Recent<T> {
    /// Keeps the last `most` values.
    pub(super) fn new(most: usize) -> Self {
        Self { values: VecDeque::new(), most }
    }

    pub(super) fn push(&mut self, value: T) {
        if self.values.len() == self.most {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.values.iter().copied()
    }
}

impl Recent<f64> {
    /// The smallest value that such a share of all values does not exceed; none without values.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted: Vec<f64> = self.iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        quantile(&sorted, share)
    }

    fn latency(&self) -> Option<Latency> {
        Latency::of(&self.iter().collect::<Vec<f64>>())
    }
}

/// Two versions held against each other.
pub(super) struct Tally {
    comparison: Comparison,
    seconds: Recent<f64>,
    live_seconds: Recent<f64>,
}

/// On how many instances of a request two versions agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Agreement {
    pub(super) instances: u64,
    pub(super) disagreements: u64,
    pub(super) largest_difference: f64,
}

impl Tally {
    /// Numbers may differ by the share `tolerance`.
    pub(super) fn new(tolerance: f64) -> Self {
        Self {
            comparison: Comparison { tolerance, ..Comparison::default() },
            seconds: Recent::new(DURATIONS),
            live_seconds: Recent::new(DURATIONS),
        }
    }

    /// Both versions answered a request.
    pub(super) fn add(
        &mut self,
        (live, live_time): (&[Prediction], Duration),
        (other, time): (&[Prediction], Duration),
    ) -> Agreement {
        let found = agreement(live, other, self.comparison.tolerance);
        let comparison = &mut self.comparison;
        comparison.requests += 1;
        comparison.disagreements += found.disagreements;
        comparison.agreements += found.instances - found.disagreements;
        comparison.largest_difference = comparison.largest_difference.max(found.largest_difference);
        self.seconds.push(time.as_secs_f64());
        self.live_seconds.push(live_time.as_secs_f64());
        found
    }

    /// Only the live version answered a request.
    pub(super) fn fail(&mut self) {
        self.comparison.failures += 1;
    }

    /// What was counted so far.
    pub(super) fn comparison(&self) -> Comparison {
        Comparison {
            latency: self.seconds.latency(),
            live_latency: self.live_seconds.latency(),
            ..self.comparison.clone()
        }
    }
}

/// Classes agree if they are the same, numbers if they differ by at most the share `tolerance` of the larger one. Versions with
/// other classes or of another task disagree where they name something else.
fn agreement(live: &[Prediction], other: &[Prediction], tolerance: f64) -> Agreement {
    let mut found = Agreement { instances: live.len() as u64, disagreements: 0, largest_difference: 0.0 };
    for (a, b) in live.iter().zip(other) {
        let agree = match (a.value, b.value) {
            (Some(a), Some(b)) => {
                let (a, b) = (f64::from(a), f64::from(b));
                found.largest_difference = found.largest_difference.max((a - b).abs());
                (a - b).abs() <= tolerance * a.abs().max(b.abs())
            }
            _ => a.label.is_some() && a.label == b.label,
        };
        if a.probabilities.len() == b.probabilities.len() {
            let differences =
                a.probabilities.iter().zip(&b.probabilities).map(|(a, b)| f64::from((a - b).abs()));
            found.largest_difference = differences.fold(found.largest_difference, f64::max);
        }
        found.disagreements += u64::from(!agree);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(label: &str, probabilities: &[f32]) -> Prediction {
        Prediction {
            label: Some(label.to_owned()),
            probabilities: probabilities.to_vec(),
            ..Prediction::default()
        }
    }

    fn number(value: f32) -> Prediction {
        Prediction { value: Some(value), ..Prediction::default() }
    }

    #[test]
    fn classes_agree_by_name_and_numbers_by_their_distance() {
        let live = [class("a", &[0.75, 0.25]), class("b", &[0.25, 0.75])];
        let other = [class("a", &[0.5, 0.5]), class("a", &[1.0, 0.0])];
        let found = agreement(&live, &other, 0.0);
        assert_eq!(found, Agreement { instances: 2, disagreements: 1, largest_difference: 0.75 });
        let found = agreement(&[number(100.0), number(100.0)], &[number(101.0), number(103.0)], 0.02);
        assert_eq!(found, Agreement { instances: 2, disagreements: 1, largest_difference: 3.0 });
        assert_eq!(agreement(&[number(1.0)], &[class("a", &[1.0])], 1.0).disagreements, 1);
    }

    #[test]
    fn quantiles_are_of_the_last_values_alone() {
        let mut recent = Recent::new(100);
        assert_eq!(recent.quantile(0.5), None);
        (1..=1000).for_each(|value| recent.push(f64::from(value)));
        let at = |quantile| recent.quantile(quantile).expect("has values");
        assert_eq!((at(0.0), at(0.5), at(0.95), at(1.0)), (901.0, 950.0, 995.0, 1000.0));
    }

    #[test]
    fn a_tally_adds_up() {
        let mut tally = Tally::new(0.0);
        let one = Duration::from_millis(1);
        tally.add((&[class("a", &[1.0])], one), (&[class("a", &[1.0])], 2 * one));
        tally.add((&[class("a", &[1.0])], one), (&[class("b", &[0.5])], 2 * one));
        tally.fail();
        let comparison = tally.comparison();
        assert_eq!((comparison.requests, comparison.failures, comparison.disagreement()), (2, 1, Some(0.5)));
        assert_eq!(comparison.latency.map(|latency| latency.p95), Some(0.002));
        assert_eq!(comparison.live_latency.map(|latency| latency.p95), Some(0.001));
    }
}
