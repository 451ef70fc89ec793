//! The population stability index.

use super::Tested;
use super::gamma::chi_square_tail;

/// The population stability index of two histograms over the same bins: the sum over the bins of `(q - p) ln(q / p)`, the
/// symmetric Kullback-Leibler divergence (Jeffreys, 1946). Half a count is added to every bin, so that empty ones have a
/// logarithm. By custom of credit scoring (Siddiqi, 2006) under 0.1 is no change, over 0.25 a large one.
///
/// Where nothing has changed, `value * n m / (n + m)` is about a chi-square variable with one degree of freedom less than
/// there are bins (Yurdakul and Naranjo, Journal of Risk Model Validation 14, 2020): that is the p-value.
/// Bins that are empty in both do not count; without two others nothing can have changed.
pub fn psi(baseline: &[u64], window: &[u64]) -> Tested {
    let bins: Vec<(f64, f64)> = baseline
        .iter()
        .zip(window)
        .filter(|(before, now)| **before + **now > 0)
        .map(|(before, now)| (*before as f64, *now as f64))
        .collect();
    let (n, m): (f64, f64) = bins.iter().fold((0.0, 0.0), |(n, m), (before, now)| (n + before, m + now));
    if bins.len() < 2 || n == 0.0 || m == 0.0 {
        return Tested { value: 0.0, p: 1.0 };
    }
    let half = 0.5 * bins.len() as f64;
    let value: f64 = bins
        .iter()
        .map(|(before, now)| {
            let (p, q) = ((before + 0.5) / (n + half), (now + 0.5) / (m + half));
            (q - p) * (q / p).ln()
        })
        .sum();
    Tested { value, p: chi_square_tail(bins.len() as f64 - 1.0, value * n * m / (n + m)) }
}
