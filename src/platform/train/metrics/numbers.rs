//! Metrics of predicted numbers.

use std::collections::BTreeMap;

use super::bootstrap;
use crate::base::Estimate;

/// `mae`, `rmse`, `r2`, `median_ae` and `mape` of pairs of prediction and truth, as far as they are defined: `r2` is not
/// where the truth does not vary, `mape` is not where a truth is zero.
pub(crate) fn of_numbers(pairs: &[(f64, f64)]) -> BTreeMap<String, Estimate> {
    let numbers = Numbers::of(pairs);
    let found = NAMES.into_iter().zip(bootstrap(pairs.len(), |times| numbers.values(times)));
    let defined = found.filter(|(_, estimate)| estimate.value.is_finite());
    defined.map(|(name, estimate)| (name.to_owned(), estimate)).collect()
}

/// The statistics that [`Numbers::values`] gives, in this order.
const NAMES: [&str; 5] = ["mae", "rmse", "r2", "median_ae", "mape"];

/// Pairs of prediction and truth, ready to be counted in any number of resamples.
pub(super) struct Numbers<'a> {
    pairs: &'a [(f64, f64)],
    /// Absolute errors in order, each with the index of its pair.
    errors: Vec<(f64, usize)>,
}

impl<'a> Numbers<'a> {
    pub(super) fn of(pairs: &'a [(f64, f64)]) -> Self {
        let mut errors: Vec<(f64, usize)> = pairs.iter().map(|(p, t)| (p - t).abs()).zip(0..).collect();
        errors.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { pairs, errors }
    }

    /// The statistics of [`NAMES`] where each pair counts as often as `times` says.
    fn values(&self, times: &[u32]) -> Vec<f64> {
        let mean = |value: &dyn Fn(f64, f64) -> f64| {
            let counted = self.pairs.iter().zip(times);
            let sum: f64 = counted.map(|((p, t), &n)| f64::from(n) * value(*p, *t)).sum();
            sum / self.pairs.len() as f64
        };
        let centre = mean(&|_, truth| truth);
        let squares = mean(&|predicted, truth| (predicted - truth).powi(2));
        let total = mean(&|_, truth| (truth - centre).powi(2));
        vec![
            mean(&|predicted, truth| (predicted - truth).abs()),
            squares.sqrt(),
            if total == 0.0 { f64::NAN } else { 1.0 - squares / total },
            median(&self.errors, times),
            mean(&|predicted, truth| {
                if truth == 0.0 { f64::NAN } else { ((predicted - truth) / truth).abs() }
            }),
        ]
    }

    /// The metric `name` of one draw; not a number where it is not defined.
    pub(super) fn value(&self, name: &str, times: &[u32]) -> f64 {
        NAMES.iter().position(|known| *known == name).map_or(f64::NAN, |place| self.values(times)[place])
    }
}

/// Median of sorted values, each of which counts as often as `times` says of its index.
fn median(sorted: &[(f64, usize)], times: &[u32]) -> f64 {
    // Of an even number of values the mean of the two in the middle.
    let (left, right) = ((sorted.len() as u64).saturating_sub(1) / 2, sorted.len() as u64 / 2);
    let (mut seen, mut lower) = (0, None);
    for &(value, index) in sorted {
        seen += u64::from(times[index]);
        if seen > left && lower.is_none() {
            lower = Some(value);
        }
        if let Some(lower) = lower.filter(|_| seen > right) {
            return (lower + value) / 2.0;
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of scikit-learn's documentation of these metrics.
    const PAIRS: [(f64, f64); 4] = [(2.5, 3.0), (0.0, -0.5), (2.0, 2.0), (8.0, 7.0)];

    #[test]
    fn metrics_are_those_of_scikit_learn() {
        let found = of_numbers(&PAIRS);
        for (name, wanted) in [
            ("mae", 0.5),
            ("rmse", 0.375_f64.sqrt()),
            ("r2", 0.948_608_137_045),
            ("median_ae", 0.5),
            ("mape", 0.327_380_952_380),
        ] {
            assert!((found[name].value - wanted).abs() < 1e-9, "{name}: {}", found[name].value);
            assert!(found[name].lower <= wanted && wanted <= found[name].upper, "{name}");
        }
    }

    #[test]
    fn what_is_not_defined_is_absent() {
        let found = of_numbers(&[(1.0, 0.0), (2.0, 0.0)]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["mae", "median_ae", "rmse"]);
    }

    #[test]
    fn a_median_counts_every_value_as_often_as_it_was_drawn() {
        let sorted = [(1.0, 2), (2.0, 0), (5.0, 1), (9.0, 3)];
        assert_eq!(median(&sorted, &[1, 1, 1, 1]), 3.5);
        assert_eq!(median(&sorted, &[0, 2, 1, 1]), 5.0);
        assert_eq!(median(&sorted, &[0, 0, 2, 2]), 5.0);
        assert_eq!(median(&sorted[..3], &[1, 1, 1]), 2.0);
    }
}
