//! Metrics by the field's names, with two-sided 95 % intervals.

mod classes;
mod numbers;
mod paired;
mod ranking;

use rayon::prelude::*;

use super::random::{Purpose, Stream};
use crate::base::Estimate;

pub(super) use classes::{Answer, calibration, of_classes};
pub(super) use numbers::of_numbers;
pub use paired::{Gain, Predicted, join, paired_bootstrap};

/// Metrics that an evaluation gives, besides `top_K_accuracy` with any K: of classes, of two classes, of numbers.
pub const METRICS: [&str; 28] = [
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "micro_precision",
    "micro_recall",
    "micro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "mcc",
    "auc",
    "average_precision",
    "log_loss",
    "brier",
    "ece",
    "top_3_accuracy",
    "top_5_accuracy",
    "mean_corruption_error",
    "precision",
    "recall",
    "f1",
    "mae",
    "rmse",
    "r2",
    "median_ae",
    "mape",
];

/// Whether an evaluation can give a metric of this name.
pub fn is_metric(name: &str) -> bool {
    METRICS.contains(&name) || top(name).is_some()
}

/// Whether less of a metric is better.
pub fn less_is_better(metric: &str) -> bool {
    matches!(
        metric,
        "mean_corruption_error" | "log_loss" | "brier" | "ece" | "mae" | "rmse" | "median_ae" | "mape"
    )
}

/// Whether a metric is a share of 1 that people read in percent.
pub fn is_share(metric: &str) -> bool {
    !matches!(
        metric,
        "auc"
            | "average_precision"
            | "log_loss"
            | "brier"
            | "ece"
            | "mcc"
            | "mae"
            | "rmse"
            | "r2"
            | "median_ae"
    )
}

/// K of `top_K_accuracy`.
pub(super) fn top(metric: &str) -> Option<u32> {
    let k = metric.strip_prefix("top_")?.strip_suffix("_accuracy")?;
    let plain = k.bytes().all(|byte| byte.is_ascii_digit()) && !k.starts_with('0');
    k.parse().ok().filter(|_| plain)
}

/// Standard normal quantile of 97.5 %.
const Z: f64 = 1.959_963_984_540_054;

/// A proportion with its score interval (Wilson, 1927).
pub fn proportion(successes: u64, count: u64) -> Estimate {
    if count == 0 {
        return Estimate { value: f64::NAN, lower: 0.0, upper: 1.0 };
    }
    let (n, value) = (count as f64, successes as f64 / count as f64);
    let scale = 1.0 + Z * Z / n;
    let centre = (value + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
    // At 0 and 1 the ends coincide with the value but for rounding.
    Estimate { value, lower: (centre - half).clamp(0.0, value), upper: (centre + half).clamp(value, 1.0) }
}

/// Statistics of `count` examples, each with its percentile bootstrap interval (Efron, 1979), all from the same resamples
/// of a fixed seed.
///
/// `statistics` gets how often each example was drawn, once each for the values themselves, and gives the same number of
/// values every time. An interval is widened to hold the value itself where the statistic is biased by resampling (the
/// calibration error is); resamples in which a statistic is not defined do not count for it.
pub(super) fn bootstrap(count: usize, statistics: impl Fn(&[u32]) -> Vec<f64> + Sync) -> Vec<Estimate> {
    /// Draws in all: bounds the time for large parts.
    const DRAWS: usize = 20_000_000;
    let resamples = (DRAWS / count.max(1)).clamp(200, 1000);
    let resampled: Vec<Vec<f64>> = (0..resamples)
        .into_par_iter()
        .map_init(
            || vec![0_u32; count],
            |times, resample| {
                let mut random = Stream::new(0, Purpose::Bootstrap, &[resample as u64]);
                times.fill(0);
                (0..count).for_each(|_| times[random.below(count)] += 1);
                statistics(times)
            },
        )
        .collect();
    let interval = |(index, value): (usize, f64)| {
        let column = resampled.iter().map(|values| values[index]);
        let mut values: Vec<f64> = column.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (share * values.len().saturating_sub(1) as f64).round() as usize;
            values.get(place).copied().unwrap_or(value)
        };
        Estimate { value, lower: at(0.025).min(value), upper: at(0.975).max(value) }
    };
    statistics(&vec![1; count]).into_iter().enumerate().map(interval).collect()
}

#[cfg(test)]
mod tests {
    mod vectors;

    use super::*;

    #[test]
    fn wilson_intervals_are_the_published_ones() {
        // Newcombe (1998), table I, method 3: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
        let Estimate { lower, upper, .. } = proportion(81, 263);
        assert!((lower - 0.2553).abs() < 5e-5 && (upper - 0.3662).abs() < 5e-5, "{lower} {upper}");
        let Estimate { lower, upper, .. } = proportion(0, 20);
        assert!(lower == 0.0 && (upper - 0.1611).abs() < 5e-5, "{upper}");
        // The same table: 15 of 148 gives 0.0624 to 0.1605.
        let Estimate { lower, upper, .. } = proportion(15, 148);
        assert!((lower - 0.0624).abs() < 5e-5 && (upper - 0.1605).abs() < 5e-5, "{lower} {upper}");
        assert_eq!(proportion(20, 20).upper, 1.0);
    }

    #[test]
    fn the_bootstrap_interval_of_a_mean_is_near_the_normal_one_and_repeats() {
        let mut random = Stream::new(1, Purpose::Weights, &[0]);
        let values: Vec<f64> = (0..1000).map(|_| f64::from(random.normal_pair().0)).collect();
        let mean = |times: &[u32]| {
            let sum: f64 = values.iter().zip(times).map(|(value, &times)| value * f64::from(times)).sum();
            vec![sum / 1000.0]
        };
        let found = bootstrap(values.len(), mean)[0];
        let half = Z / 1000_f64.sqrt();
        assert!((found.upper - found.value - half).abs() < 0.01, "{found:?}");
        assert!((found.value - found.lower - half).abs() < 0.01, "{found:?}");
        assert_eq!(found, bootstrap(values.len(), mean)[0]);
    }

    #[test]
    fn names_are_known_and_say_how_they_are_read() {
        for name in METRICS.iter().chain(&["top_1_accuracy", "top_10_accuracy"]) {
            assert!(is_metric(name), "{name}");
        }
        for name in ["top_0_accuracy", "top_+3_accuracy", "top_accuracy", "top_3", "top_03_accuracy", "acc"] {
            assert!(!is_metric(name), "{name}");
        }
        assert!(is_share("top_5_accuracy") && is_share("mape") && !is_share("auc") && !is_share("rmse"));
        assert!(less_is_better("brier") && !less_is_better("r2"));
    }
}
