//! Pearson's test of two rows of counts.

use super::Tested;
use super::gamma::chi_square_tail;

/// Fewer expected than this, and the chi-square distribution is no good approximation (Cochran, 1954).
const EXPECTED: f64 = 5.0;

/// Whether two rows of counts over the same categories are of one distribution: Pearson's chi-square test of homogeneity
/// (1900). Categories of which fewer than 5 are expected in a row count together as one.
///
/// The value is Cramér's V (1946), `sqrt(chi2 / (n + m))`: 0 for equal shares, 1 where no category is in both; it does not grow
/// with the number of examples, as chi2 does.
pub fn chi_square(baseline: &[u64], window: &[u64]) -> Tested {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let (n, m) = (sum(baseline), sum(window));
    let nothing = Tested { value: 0.0, p: 1.0 };
    if n == 0.0 || m == 0.0 {
        return nothing;
    }
    let mut rare = (0.0, 0.0);
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (before, now) in baseline.iter().zip(window) {
        let is_rare = is_rare(before + now, n as u64, m as u64);
        let (before, now) = (*before as f64, *now as f64);
        if is_rare {
            rare = (rare.0 + before, rare.1 + now);
        } else {
            kept.push((before, now));
        }
    }
    if rare.0 + rare.1 > 0.0 {
        kept.push(rare);
    }
    if kept.len() < 2 {
        return nothing;
    }
    let chi2 = pearson(&kept);
    Tested { value: (chi2 / (n + m)).sqrt(), p: chi_square_tail(kept.len() as f64 - 1.0, chi2) }
}

/// Whether fewer than 5 of a category with `sum` examples are expected in one of two rows of `n` and `m`.
pub(super) fn is_rare(sum: u64, n: u64, m: u64) -> bool {
    sum as f64 * (n.min(m) as f64 / (n + m) as f64) < EXPECTED
}

/// Pearson's statistic of two rows, by category; none of these is empty in both.
pub(super) fn pearson(columns: &[(f64, f64)]) -> f64 {
    let (n, m) = columns.iter().fold((0.0, 0.0), |(n, m), (before, now)| (n + before, m + now));
    let of = |(before, now): &(f64, f64)| {
        let (of_n, of_m) = ((before + now) * n / (n + m), (before + now) * m / (n + m));
        (before - of_n).powi(2) / of_n + (now - of_m).powi(2) / of_m
    };
    columns.iter().map(of).sum()
}
