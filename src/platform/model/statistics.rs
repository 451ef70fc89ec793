//! The paired test of `compare` gates.

use crate::platform::train::join;

/// Two models on the same examples, counted by who is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paired {
    /// Examples.
    pub examples: u64,
    /// Both right.
    pub both: u64,
    /// Only the candidate is right.
    pub candidate: u64,
    /// Only the other one is right.
    pub other: u64,
}

impl Paired {
    /// Joins the answers of two models by example key. Keys may repeat (equal examples): the n-th of one belongs to the n-th
    /// of the other. None if the keys are not the same.
    pub fn join(candidate: &[(String, bool)], other: &[(String, bool)]) -> Option<Self> {
        let joined = join(candidate, other, |(key, _)| Some(key))?;
        let mut counts = Self { examples: candidate.len() as u64, ..Self::default() };
        for ((_, right), (_, other)) in candidate.iter().zip(joined) {
            match (*right, *other) {
                (true, true) => counts.both += 1,
                (true, false) => counts.candidate += 1,
                (false, true) => counts.other += 1,
                (false, false) => {}
            }
        }
        Some(counts)
    }

    /// Share of examples that the candidate gets right.
    pub fn candidate_accuracy(&self) -> f64 {
        (self.both + self.candidate) as f64 / self.examples as f64
    }

    /// Share of examples that the other one gets right.
    pub fn other_accuracy(&self) -> f64 {
        (self.both + self.other) as f64 / self.examples as f64
    }

    /// The two-sided p-value of McNemar's exact test (Q. McNemar, Psychometrika 12, 1947): under the hypothesis that both
    /// models are right equally often, the discordant pairs fall on either side like a fair coin, so that
    /// `p = min(1, 2 P(X <= min(b, c)))` with `X ~ Binomial(b + c, 1/2)`.
    pub fn p_value(&self) -> f64 {
        mcnemar(self.candidate, self.other)
    }
}

/// The two-sided exact p-value of McNemar's test with `b` and `c` discordant pairs.
pub fn mcnemar(b: u64, c: u64) -> f64 {
    let (pairs, fewer) = (b + c, b.min(c));
    if pairs == 0 {
        return 1.0;
    }
    // ln C(pairs, fewer) - pairs ln 2, then the tail as a series relative to its largest term.
    let mut log_term = -(pairs as f64) * std::f64::consts::LN_2;
    for k in 1..=fewer {
        log_term += ((pairs - fewer + k) as f64).ln() - (k as f64).ln();
    }
    let (mut series, mut term) = (1.0, 1.0);
    for k in (1..=fewer).rev() {
        term *= k as f64 / (pairs - k + 1) as f64;
        series += term;
        if term < series * 1e-17 {
            break;
        }
    }
    (2.0 * log_term.exp() * series).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_exact_arithmetic() {
        // Sums of binomial coefficients as whole numbers, divided once; R's binom.test(min(b, c), b + c) gives the same.
        for (b, c, p) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (5, 0, 0.0625),
            (0, 6, 0.03125),
            (10, 2, 0.038574218750),
            (25, 8, 0.004551384132355452),
            (121, 59, 4.434449263755176e-6),
            (7, 7, 1.0),
        ] {
            let found = mcnemar(b, c);
            assert!((found - p).abs() <= p * 1e-12, "{b} {c}: {found} instead of {p}");
        }
    }

    #[test]
    fn p_values_are_those_of_scipy() {
        // `tests/vectors/statistics.py` made them.
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/statistics.json"));
        let all: serde_json::Value = serde_json::from_str(text).expect("is JSON");
        let vectors: Vec<(u64, u64, f64)> =
            serde_json::from_value(all["mcnemar"].clone()).expect("are counts and p-values");
        assert!(vectors.len() > 40);
        for (b, c, p) in vectors {
            let found = mcnemar(b, c);
            assert!((found - p).abs() <= p * 1e-9, "{b} {c}: {found} instead of {p}");
        }
    }

    #[test]
    fn large_counts_neither_overflow_nor_vanish_early() {
        assert!(mcnemar(500_000, 500_500) > 0.5);
        let tiny = mcnemar(1_000, 2_000);
        assert!(tiny > 0.0 && tiny < 1e-70, "{tiny}");
        assert!((0.0..1e-300).contains(&mcnemar(0, 1_000_000)));
    }

    #[test]
    fn pairs_are_joined_by_key_and_not_by_place() {
        let answers = |list: &[(&str, bool)]| -> Vec<(String, bool)> {
            list.iter().map(|(key, right)| ((*key).to_owned(), *right)).collect()
        };
        let one = answers(&[("a", true), ("b", true), ("c", false), ("d", false)]);
        let two = answers(&[("d", true), ("c", false), ("b", false), ("a", true)]);
        let paired = Paired::join(&one, &two).expect("joins");
        assert_eq!(paired, Paired { examples: 4, both: 1, candidate: 1, other: 1 });
        assert_eq!(paired.candidate_accuracy(), 0.5);
        assert_eq!(Paired::join(&one, &two[1..]), None);
        assert_eq!(Paired::join(&one, &answers(&[("a", true), ("b", true), ("c", true), ("x", true)])), None);
    }

    #[test]
    fn equal_examples_are_paired_in_order() {
        let list = |rights: [bool; 3]| rights.map(|right| ("same".to_owned(), right)).to_vec();
        let paired = Paired::join(&list([true, false, true]), &list([true, true, false])).expect("joins");
        assert_eq!((paired.both, paired.candidate, paired.other), (1, 1, 1));
    }
}
