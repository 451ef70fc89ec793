//! The Kolmogorov-Smirnov test of two samples.

use super::Tested;

/// With more pairs than this the p-value is that of large samples.
const EXACT: usize = 4_000_000;

/// The two-sample Kolmogorov-Smirnov test (Smirnov, 1939): the largest distance between the empirical distribution functions,
/// and its two-sided p-value. Neither sample may hold NaN.
pub fn ks(one: &[f32], other: &[f32]) -> Tested {
    let sorted = |values: &[f32]| {
        let mut values = values.to_vec();
        values.sort_by(f32::total_cmp);
        values
    };
    let (one, other) = (sorted(one), sorted(other));
    if one.is_empty() || other.is_empty() {
        return Tested { value: 0.0, p: 1.0 };
    }
    let (n, m) = (one.len() as f64, other.len() as f64);
    let (mut i, mut j, mut value) = (0, 0, 0.0_f64);
    while i < one.len() && j < other.len() {
        let at = if one[i].total_cmp(&other[j]).is_le() { one[i] } else { other[j] };
        while i < one.len() && one[i] <= at {
            i += 1;
        }
        while j < other.len() && other[j] <= at {
            j += 1;
        }
        value = value.max((i as f64 / n - j as f64 / m).abs());
    }
    Tested { value, p: ks_p_value(one.len(), other.len(), value) }
}

/// The same of two histograms over the same ordered bins: the distance is taken at the ends of the bins, so that it is at most the
/// share of a bin too small, never too large.
pub fn ks_of_counts(baseline: &[u64], window: &[u64]) -> Tested {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let (n, m) = (sum(baseline), sum(window));
    if n == 0 || m == 0 {
        return Tested { value: 0.0, p: 1.0 };
    }
    let (mut before, mut now, mut value) = (0, 0, 0.0_f64);
    for (more, too) in baseline.iter().zip(window) {
        (before, now) = (before + more, now + too);
        value = value.max((before as f64 / n as f64 - now as f64 / m as f64).abs());
    }
    Tested { value, p: ks_p_value(n as usize, m as usize, value) }
}

/// Probability that samples of `n` and `m` values of one continuous distribution are `value` or more apart.
///
/// Exact by counting the paths that stay near the diagonal (Hodges, Arkiv för Matematik 3, 1958) while they are not too many,
/// else the limit of Kolmogorov with the correction of Stephens (J. R. Stat. Soc. B 32, 1970).
pub fn ks_p_value(n: usize, m: usize, value: f64) -> f64 {
    if value <= 0.0 || n == 0 || m == 0 {
        return 1.0;
    }
    let (shorter, longer) = (n.min(m), n.max(m));
    if shorter.saturating_mul(longer) <= EXACT { exact(shorter, longer, value) } else { limit(n, m, value) }
}

/// The share of paths from (0, 0) to (n, m) that somewhere reach `value`, by a recursion over their last steps. What has left is
/// added up, not what has stayed: small probabilities keep their digits.
fn exact(n: usize, m: usize, value: f64) -> f64 {
    let (rows, columns) = (n as f64, m as f64);
    // Distances are multiples of 1 / (n m): half a step below the one that is meant nothing depends on rounding.
    let reached = (value * rows * columns).round() - 0.5;
    let far = |i: usize, j: usize| (i as f64 * columns - j as f64 * rows).abs() > reached;
    // share[j]: of the paths to (i, j), the share that has been far.
    let mut share = vec![0.0_f64; m + 1];
    for i in 0..=n {
        for j in 0..=m {
            share[j] = if far(i, j) {
                1.0
            } else if i == 0 && j == 0 {
                0.0
            } else {
                // The last step was along i or along j, as many paths lead there.
                let along = i as f64 / (i + j) as f64;
                let from_left = if j > 0 { share[j - 1] } else { 0.0 };
                along * share[j] + (1.0 - along) * from_left
            };
        }
    }
    share[m].clamp(0.0, 1.0)
}

/// `2 sum (-1)^(k-1) exp(-2 k^2 x^2)`.
fn limit(n: usize, m: usize, value: f64) -> f64 {
    let root = (n as f64 * m as f64 / (n + m) as f64).sqrt();
    let x = (root + 0.12 + 0.11 / root) * value;
    if x < 0.2 {
        // Below it the series does not fall, and the probability is 1 to 12 digits.
        return 1.0;
    }
    let mut sum = 0.0;
    for k in 1..=100 {
        let term = (-2.0 * f64::from(k * k) * x * x).exp();
        sum += if k % 2 == 1 { term } else { -term };
        if term < 1e-17 {
            break;
        }
    }
    (2.0 * sum).clamp(0.0, 1.0)
}
