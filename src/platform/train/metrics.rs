//! Metrics by the field's names, with two-sided 95 % intervals.

use rayon::prelude::*;

use super::random::{Purpose, Stream};
use crate::base::Estimate;

/// Standard normal quantile of 97.5 %.
const Z: f64 = 1.959_963_984_540_054;

/// A proportion with its score interval (Wilson, 1927).
pub(super) fn proportion(successes: u64, count: u64) -> Estimate {
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

/// Any statistic of `count` examples with its percentile bootstrap interval (Efron, 1979), from resamples of a fixed seed.
///
/// `statistic` gets indices of examples, some more than once. The interval is widened to hold the value itself where the
/// statistic is biased by resampling (the calibration error is).
pub(super) fn bootstrap(count: usize, statistic: impl Fn(&[u32]) -> f64 + Sync) -> Estimate {
    /// Draws in all: bounds the time for large parts.
    const DRAWS: usize = 20_000_000;
    let resamples = (DRAWS / count.max(1)).clamp(200, 1000);
    let all: Vec<u32> = (0..count as u32).collect();
    let value = statistic(&all);
    let mut values: Vec<f64> = (0..resamples)
        .into_par_iter()
        .map_init(
            || vec![0_u32; count],
            |indices, resample| {
                let mut random = Stream::new(0, Purpose::Bootstrap, &[resample as u64]);
                indices.iter_mut().for_each(|index| *index = random.below(count) as u32);
                statistic(indices)
            },
        )
        .filter(|value| value.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * values.len().saturating_sub(1) as f64).round() as usize;
        values.get(index).copied().unwrap_or(value)
    };
    Estimate { value, lower: at(0.025).min(value), upper: at(0.975).max(value) }
}

/// What a classifier said about one example, as far as metrics go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) truth: u32,
    pub(super) predicted: u32,
    /// Probability of the predicted class.
    pub(super) confidence: f32,
    /// Probability of the true class.
    pub(super) of_truth: f32,
}

/// Mean over the classes of the harmonic mean of precision and recall; classes that neither occur nor are predicted do
/// not count.
pub(super) fn macro_f1(answers: &[Answer], classes: usize, indices: &[u32]) -> f64 {
    // True positives, occurrences, predictions.
    let mut counts = vec![[0_u32; 3]; classes];
    for answer in indices.iter().map(|&index| &answers[index as usize]) {
        counts[answer.truth as usize][1] += 1;
        counts[answer.predicted as usize][2] += 1;
        counts[answer.truth as usize][0] += u32::from(answer.truth == answer.predicted);
    }
    let scores = counts.iter().filter(|[_, occurs, predicted]| occurs + predicted > 0);
    let scores: Vec<f64> = scores
        .map(|&[right, occurs, predicted]| 2.0 * f64::from(right) / f64::from(occurs + predicted))
        .collect();
    scores.iter().sum::<f64>() / scores.len() as f64
}

/// Mean negative logarithm of the probability of the truth; probabilities below 1e-12 count as that.
pub(super) fn log_loss(answers: &[Answer], indices: &[u32]) -> f64 {
    let logarithm = |&index: &u32| f64::from(answers[index as usize].of_truth).max(1e-12).ln();
    -indices.iter().map(logarithm).sum::<f64>() / indices.len() as f64
}

/// Expected calibration error with 15 bins of equal width (Guo, Pleiss, Sun and Weinberger, 2017).
pub(super) fn calibration_error(answers: &[Answer], indices: &[u32]) -> f64 {
    const BINS: usize = 15;
    let mut bins = [(0_u32, 0_f64); BINS];
    for answer in indices.iter().map(|&index| &answers[index as usize]) {
        // Bins are open below: (0, 1/15], ...
        let bin = ((answer.confidence * BINS as f32).ceil() as usize).clamp(1, BINS) - 1;
        bins[bin].0 += u32::from(answer.truth == answer.predicted);
        bins[bin].1 += f64::from(answer.confidence);
    }
    bins.iter().map(|(right, confidence)| (f64::from(*right) - confidence).abs()).sum::<f64>()
        / indices.len() as f64
}

/// Mean absolute error of pairs of prediction and truth.
pub(super) fn mean_absolute_error(pairs: &[(f64, f64)], indices: &[u32]) -> f64 {
    mean(pairs, indices, |(predicted, truth)| (predicted - truth).abs())
}

/// Root of the mean squared error.
pub(super) fn root_mean_squared_error(pairs: &[(f64, f64)], indices: &[u32]) -> f64 {
    mean(pairs, indices, |(predicted, truth)| (predicted - truth).powi(2)).sqrt()
}

/// Share of the variance that is explained; not a number if the truth does not vary.
pub(super) fn r_squared(pairs: &[(f64, f64)], indices: &[u32]) -> f64 {
    let centre = mean(pairs, indices, |(_, truth)| truth);
    let residual = mean(pairs, indices, |(predicted, truth)| (predicted - truth).powi(2));
    let total = mean(pairs, indices, |(_, truth)| (truth - centre).powi(2));
    if total == 0.0 { f64::NAN } else { 1.0 - residual / total }
}

fn mean(pairs: &[(f64, f64)], indices: &[u32], value: impl Fn((f64, f64)) -> f64) -> f64 {
    indices.iter().map(|&index| value(pairs[index as usize])).sum::<f64>() / indices.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(truth: u32, predicted: u32, confidence: f32, of_truth: f32) -> Answer {
        Answer { truth, predicted, confidence, of_truth }
    }

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-6, "{found} is not {wanted}");
    }

    #[test]
    fn wilson_intervals_are_the_published_ones() {
        // Newcombe (1998), table I, method 3: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
        let Estimate { lower, upper, .. } = proportion(81, 263);
        assert!((lower - 0.2553).abs() < 5e-5 && (upper - 0.3662).abs() < 5e-5, "{lower} {upper}");
        let Estimate { lower, upper, .. } = proportion(0, 20);
        assert!(lower == 0.0 && (upper - 0.1611).abs() < 5e-5, "{upper}");
        assert_eq!(proportion(20, 20).upper, 1.0);
    }

    #[test]
    fn classification_metrics_of_a_worked_example() {
        let answers = [
            answer(0, 0, 0.8, 0.8),
            answer(0, 1, 0.62, 0.38),
            answer(1, 1, 0.9, 0.9),
            answer(1, 1, 0.55, 0.55),
        ];
        let all = [0, 1, 2, 3];
        // Class 0: precision 1, recall 1/2; class 1: precision 2/3, recall 1; class 2 does not occur.
        close(macro_f1(&answers, 3, &all), (2.0 / 3.0 + 0.8) / 2.0);
        let wanted = -(0.8_f64.ln() + 0.38_f64.ln() + 0.9_f64.ln() + 0.55_f64.ln()) / 4.0;
        assert!((log_loss(&answers, &all) - wanted).abs() < 1e-6);
        // Bins: 0.8 alone, 0.9 alone, 0.62 alone (wrong), 0.55 alone.
        assert!((calibration_error(&answers, &all) - (0.2 + 0.62 + 0.1 + 0.45) / 4.0).abs() < 1e-6);
    }

    #[test]
    fn regression_metrics_of_a_worked_example() {
        let pairs = [(2.5, 3.0), (0.0, -0.5), (2.0, 2.0), (8.0, 7.0)];
        let all = [0, 1, 2, 3];
        close(mean_absolute_error(&pairs, &all), 0.5);
        close(root_mean_squared_error(&pairs, &all), 0.375_f64.sqrt());
        close(r_squared(&pairs, &all), 0.948_608_137_045_0);
        assert!(r_squared(&[(1.0, 2.0)], &[0]).is_nan());
    }

    #[test]
    fn the_bootstrap_interval_of_a_mean_is_near_the_normal_one_and_repeats() {
        let mut random = Stream::new(1, Purpose::Weights, &[0]);
        let pairs: Vec<(f64, f64)> = (0..1000).map(|_| (f64::from(random.normal_pair().0), 0.0)).collect();
        let statistic = |indices: &[u32]| mean(&pairs, indices, |(value, _)| value);
        let found = bootstrap(pairs.len(), statistic);
        let half = Z / 1000_f64.sqrt();
        assert!((found.upper - found.value - half).abs() < 0.01, "{found:?}");
        assert!((found.value - found.lower - half).abs() < 0.01, "{found:?}");
        assert_eq!(found, bootstrap(pairs.len(), statistic));
    }
}
