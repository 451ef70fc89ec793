//! The maximum mean discrepancy.

use super::Tested;
use crate::platform::train::{Purpose, Stream};

/// Divisions that the p-value is counted from, besides the one that was seen.
pub const PERMUTATIONS: usize = 999;
/// So many divisions that are as far apart say enough.
const ENOUGH: usize = 20;

/// The unbiased estimate of the squared maximum mean discrepancy of two samples of points (Gretton, Borgwardt, Rasch,
/// Schölkopf and Smola, JMLR 13, 2012, eq. 3), with the Gaussian kernel `exp(-|x - y|² / (2 s²))` whose width `s` is the median distance
/// between different points of both samples together (section 8 there).
///
/// The p-value is the share of random divisions of all points that are as far apart, the one that was seen among them: it is never
/// under 1 / 1000, and the same every time, because the divisions have a fixed seed. Counting stops at 20 that are as far apart (Besag and
/// Clifford, Biometrika 78, 1991): what has not changed is soon known not to have.
/// Points of one sample must have the length of the others; without two points in each sample nothing can be said.
pub fn mmd(one: &[Vec<f32>], other: &[Vec<f32>]) -> Tested {
    let (n, m) = (one.len(), other.len());
    if n < 2 || m < 2 {
        return Tested { value: 0.0, p: 1.0 };
    }
    let points: Vec<&Vec<f32>> = one.iter().chain(other).collect();
    let kernel = kernel(&points);
    // Without the diagonal.
    let sums: Vec<f64> = kernel.iter().map(|row| row.iter().map(|value| f64::from(*value)).sum()).collect();
    let total: f64 = sums.iter().sum();
    let mut order: Vec<u32> = (0..points.len() as u32).collect();
    let value = distance(&kernel, &sums, total, &order, n);
    // Sums in another order differ in their last digits: those count as equal.
    let bound = value - 1e-9 * total / (points.len() * points.len()) as f64;
    let mut as_far = 0;
    for permutation in 0..PERMUTATIONS {
        order = Stream::new(0, Purpose::Drift, &[permutation as u64]).permutation(points.len());
        as_far += usize::from(distance(&kernel, &sums, total, &order, n) >= bound);
        if as_far == ENOUGH {
            return Tested { value, p: as_far as f64 / (permutation + 1) as f64 };
        }
    }
    Tested { value, p: (as_far + 1) as f64 / (PERMUTATIONS + 1) as f64 }
}

/// The kernel between all points; 0 from a point to itself.
fn kernel(points: &[&Vec<f32>]) -> Vec<Vec<f32>> {
    let mut squares = vec![vec![0_f32; points.len()]; points.len()];
    let mut all = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    for i in 0..points.len() {
        for j in 0..i {
            let square: f32 = points[i].iter().zip(points[j]).map(|(a, b)| (a - b) * (a - b)).sum();
            // What is too far apart for a number is as far as can be.
            let square = square.min(f32::MAX / 4.0);
            (squares[i][j], squares[j][i]) = (square, square);
            if square > 0.0 {
                all.push(square);
            }
        }
    }
    let middle = all.len() / 2;
    let median = match all.is_empty() {
        // All points are one.
        true => 1.0,
        false => *all.select_nth_unstable_by(middle, f32::total_cmp).1,
    };
    for (i, row) in squares.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value = if i == j { 0.0 } else { (-*value / (2.0 * median)).exp() };
        }
    }
    squares
}

/// The estimate where the first `n` of `order` are one sample and the rest is the other.
fn distance(kernel: &[Vec<f32>], sums: &[f64], total: f64, order: &[u32], n: usize) -> f64 {
    let m = order.len() - n;
    let (first, _) = order.split_at(n);
    let mut within = 0.0_f64;
    let mut rows = 0.0_f64;
    for &i in first {
        let row = &kernel[i as usize];
        within += first.iter().map(|&j| f64::from(row[j as usize])).sum::<f64>();
        rows += sums[i as usize];
    }
    let between = rows - within;
    let other = total - 2.0 * rows + within;
    let (n, m) = (n as f64, m as f64);
    within / (n * (n - 1.0)) + other / (m * (m - 1.0)) - 2.0 * between / (n * m)
}
