//! Two rows of counts over many categories, of which most are seen seldom.

use super::chi_square::{is_rare, pearson};
use super::gamma::chi_square_tail;
use super::{PERMUTATIONS, Tested, chi_square, psi};
use crate::platform::train::{Purpose, Stream};

/// The share of examples in rare categories from which on these must not count as one.
const MUCH: f64 = 0.1;
/// More examples than a window and a sketch can have are not divided.
const MOST: u64 = 1 << 21;
/// Degrees of freedom at most: with so many the chi-square distribution is as good as symmetric.
const DEGREES: f64 = 1e4;

/// PSI and chi-square test of two rows of counts over the same categories.
///
/// Where categories of which fewer than 5 are expected in a row hold more than a tenth of the examples, [`chi_square`] would
/// see nothing of what goes on among them, and the p-value of [`psi`] is too large. There all categories count, both statistics are held
/// against 999 random divisions of the examples into two rows, of fixed seeds, and what they are on average without a change is taken
/// away from the value. The p-value is that of the Pearson distribution of type III with the mean, the variance and the
/// skewness of the divisions (Mielke and Berry, Permutation Methods, 2007, section 2.3): it can be smaller than one in a thousand.
pub fn categories(baseline: &[u64], window: &[u64]) -> (Tested, Tested) {
    let (n, m): (u64, u64) = (baseline.iter().sum(), window.iter().sum());
    let columns: Vec<(u64, u64)> =
        baseline.iter().copied().zip(window.iter().copied()).filter(|(a, b)| a + b > 0).collect();
    let rare: u64 = columns.iter().map(|(a, b)| a + b).filter(|sum| is_rare(*sum, n, m)).sum();
    let few = columns.len() < 2 || n == 0 || m == 0 || n + m > MOST;
    if few || rare as f64 <= MUCH * (n + m) as f64 {
        return (psi(baseline, window), chi_square(baseline, window));
    }
    let both = |rows: &[(u64, u64)]| {
        let (before, now): (Vec<u64>, Vec<u64>) = rows.iter().copied().unzip();
        let rows: Vec<(f64, f64)> = rows.iter().map(|(before, now)| (*before as f64, *now as f64)).collect();
        [psi(&before, &now).value, pearson(&rows)]
    };
    let seen = both(&columns);
    let divided: Vec<[f64; 2]> = divisions(&columns, n, m).map(|rows| both(&rows)).collect();
    let [psi, chi2] = [0, 1].map(|which| {
        let values: Vec<f64> = divided.iter().map(|both| both[which]).collect();
        against(seen[which], &values)
    });
    let v = (chi2.value.max(0.0) / (n + m) as f64).sqrt();
    (Tested { value: psi.value.max(0.0), ..psi }, Tested { value: v, ..chi2 })
}

/// Random divisions of the examples of all `columns` into rows of `n` and `m`.
fn divisions(columns: &[(u64, u64)], n: u64, m: u64) -> impl Iterator<Item = Vec<(u64, u64)>> {
    let column = |(index, (a, b)): (usize, &(u64, u64))| std::iter::repeat_n(index as u32, (a + b) as usize);
    let mut examples: Vec<u32> = columns.iter().enumerate().flat_map(column).collect();
    (0..PERMUTATIONS as u64).map(move |division| {
        let mut random = Stream::new(0, Purpose::Drift, &[division]);
        // The smaller row is drawn, and the other one is what is left.
        let mut drawn = vec![0_u64; columns.len()];
        for place in 0..n.min(m) as usize {
            let other = place + random.below(examples.len() - place);
            examples.swap(place, other);
            drawn[examples[place] as usize] += 1;
        }
        let rows = columns.iter().zip(drawn);
        rows.map(|((a, b), drawn)| if n <= m { (drawn, a + b - drawn) } else { (a + b - drawn, drawn) })
            .collect()
    })
}

/// By how much `seen` is larger than `values` on average, and how likely one as large is among such.
fn against(seen: f64, values: &[f64]) -> Tested {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let moment = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / count;
    let deviation = moment(2).sqrt();
    // All divisions are alike.
    if deviation <= 1e-12 * mean.abs() {
        return Tested { value: 0.0, p: 1.0 };
    }
    let skewness = moment(3) / deviation.powi(3);
    let degrees = (8.0 / skewness.max(1e-6).powi(2)).min(DEGREES);
    let place = degrees + (seen - mean) / deviation * (2.0 * degrees).sqrt();
    Tested { value: seen - mean, p: if place > 0.0 { chi_square_tail(degrees, place) } else { 1.0 } }
}
