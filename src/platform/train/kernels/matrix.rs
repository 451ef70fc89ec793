//! Products of matrices that lie in memory row by row, on one thread.

use rayon::prelude::*;

use super::tile::{Left, Right, Vectors, product};
use super::with_scratch;

/// A row-major matrix, read as it is or transposed.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    pitch: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values.
    pub(super) fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, pitch: columns, transposed: false }
    }

    /// The same read with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Steps from one row, and from one column, to the next.
    fn strides(&self) -> (usize, usize) {
        if self.transposed { (1, self.pitch) } else { (self.pitch, 1) }
    }
}

/// `c = a b`, or `c += a b` if `accumulate`; `c` is row-major `[m, n]`, `a` is read as `[m, k]` and `b` as `[k, n]`.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub(super) fn multiply(
    (m, n, k): (usize, usize, usize),
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [f32],
    accumulate: bool,
) {
    if !b.transposed {
        return tiles((m, n, k), a, (b.values, b.pitch), (c, n), accumulate);
    }
    with_scratch(k * n, |turned| {
        turn(b, 0..n, turned);
        tiles((m, n, k), a, (turned, n), (c, n), accumulate);
    });
}

/// The product with a right factor and into a result whose rows are so far apart.
fn tiles(
    (m, n, k): (usize, usize, usize),
    a: Matrix<'_>,
    (b, b_pitch): (&[f32], usize),
    (c, c_pitch): (&mut [f32], usize),
    accumulate: bool,
) {
    let (row, stride) = a.strides();
    let rows: Vec<usize> = (0..m).map(|index| index * row).collect();
    let steps: Vec<usize> = (0..k).map(|step| step * b_pitch).collect();
    let (left, right) = (Left { values: a.values, rows: &rows, stride }, Right { values: b, steps: &steps });
    product(Vectors::here(), left, right, n, c, c_pitch, accumulate);
}

/// The right factor of many products, laid out as tiles read it: cut into panels of a few vectors of columns, each one piece of
/// memory. Read where it lies, a matrix whose rows are a page apart would have all of them in the same few lines of the
/// nearest cache.
pub(in crate::platform::train) struct Panels {
    values: Vec<f32>,
    steps: usize,
    columns: usize,
}

/// Columns of a panel at most: as many as a tile of the widest vectors has.
const PANEL: usize = 48;
/// Columns of a vector.
const VECTOR: usize = 16;

impl Panels {
    /// Of a matrix that is read as `[steps, columns]`.
    pub(super) fn of(matrix: Matrix<'_>, steps: usize, columns: usize) -> Self {
        let mut values = vec![0_f32; steps * columns];
        let mut rest = values.as_mut_slice();
        let panels: Vec<_> = panels(columns)
            .map(|range| (rest.split_off_mut(..range.len() * steps).unwrap_or_default(), range))
            .collect();
        let fill = |(panel, range): (&mut [f32], std::ops::Range<usize>)| turn(matrix, range, panel);
        if steps * columns > 1 << 16 {
            panels.into_par_iter().for_each(fill);
        } else {
            panels.into_iter().for_each(fill);
        }
        Self { values, steps, columns }
    }

    /// `c += a b` for a single row `a`, by as many tasks as there are panels: one example is too little to be shared out by rows.
    ///
    /// # Panics
    /// As [`Panels::multiply`].
    pub(super) fn multiply_row(&self, a: &[f32], mut c: &mut [f32]) {
        let parts: Vec<_> = panels(self.columns)
            .map(|range| (c.split_off_mut(..range.len()).unwrap_or_default(), range))
            .collect();
        parts.into_par_iter().for_each(|(c, range)| {
            let panel = &self.values[range.start * self.steps..range.end * self.steps];
            tiles(
                (1, range.len(), self.steps),
                Matrix::new(a, self.steps),
                (panel, range.len()),
                (c, range.len()),
                true,
            );
        });
    }

    /// `c = a b` for this `b`, or `c += a b` if `accumulate`; `a` is read as `[m, steps]`.
    ///
    /// # Panics
    /// If a slice is shorter than its matrix.
    pub(super) fn multiply(&self, m: usize, a: Matrix<'_>, c: &mut [f32], accumulate: bool) {
        for range in panels(self.columns) {
            let width = range.len();
            let panel = &self.values[range.start * self.steps..range.end * self.steps];
            let c = (&mut c[range.start..], self.columns);
            tiles((m, width, self.steps), a, (panel, width), c, accumulate);
        }
    }
}

/// The columns of each panel: whole vectors, shared out evenly.
fn panels(columns: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let vectors = columns.div_ceil(VECTOR);
    let count = columns.div_ceil(PANEL);
    let first = move |panel: usize| (panel * vectors / count * VECTOR).min(columns);
    (0..count).map(move |panel| first(panel)..first(panel + 1))
}

/// Copies a range of columns, row by row, into `to`.
fn turn(matrix: Matrix<'_>, columns: std::ops::Range<usize>, to: &mut [f32]) {
    let Matrix { values, pitch, transposed } = matrix;
    let width = columns.len();
    if !transposed {
        for (row, to) in to.chunks_exact_mut(width).enumerate() {
            to.copy_from_slice(&values[row * pitch + columns.start..][..width]);
        }
        return;
    }
    let steps = to.len() / width.max(1);
    let line = |column: usize| &values[column * pitch..][..steps];
    let mut column = columns.start;
    // A vector of columns at a time: what is written lies together.
    while columns.end - column >= VECTOR {
        let lines: [&[f32]; VECTOR] = std::array::from_fn(|lane| line(column + lane));
        for (step, to) in to.chunks_exact_mut(width).enumerate() {
            let to = &mut to[column - columns.start..][..VECTOR];
            for (to, line) in to.iter_mut().zip(lines) {
                *to = line[step];
            }
        }
        column += VECTOR;
    }
    for column in column..columns.end {
        for (to, value) in to.iter_mut().skip(column - columns.start).step_by(width).zip(line(column)) {
            *to = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 + seed) % 64) as f32 - 32.0).collect()
    }

    fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns).map(|index| values[index % rows * columns + index / rows]).collect()
    }

    #[test]
    fn products_are_those_of_the_definition_whatever_way_a_factor_lies() {
        for (m, n, k) in [(1, 1, 1), (3, 10, 7), (9, 50, 33), (17, 112, 5), (2, 49, 640)] {
            // Small whole numbers: sums are exact in any order.
            let (a, b, begun) = (some(m * k, 1), some(k * n, 2), some(m * n, 3));
            let value = |index: usize| {
                let (row, column) = (index / n, index % n);
                (0..k).map(|step| a[row * k + step] * b[step * n + column]).sum::<f32>()
            };
            let wanted: Vec<f32> = (0..m * n).map(value).collect();
            let added: Vec<f32> = wanted.iter().zip(&begun).map(|(a, b)| a + b).collect();
            let (turned_a, turned_b) = (transposed(&a, m, k), transposed(&b, k, n));
            for a in [Matrix::new(&a, k), Matrix::new(&turned_a, m).transposed()] {
                for b in [Matrix::new(&b, n), Matrix::new(&turned_b, k).transposed()] {
                    let mut c = begun.clone();
                    multiply((m, n, k), a, b, &mut c, true);
                    assert_eq!(c, added, "{m} {n} {k}");
                    multiply((m, n, k), a, b, &mut c, false);
                    assert_eq!(c, wanted, "{m} {n} {k}");
                    let panels = Panels::of(b, k, n);
                    let mut c = begun.clone();
                    panels.multiply(m, a, &mut c, true);
                    assert_eq!(c, added, "{m} {n} {k}");
                    panels.multiply(m, a, &mut c, false);
                    assert_eq!(c, wanted, "{m} {n} {k}");
                }
            }
            let panels = Panels::of(Matrix::new(&b, n), k, n);
            for ((a, c), added) in a.chunks(k).zip(begun.clone().chunks_mut(n)).zip(added.chunks(n)) {
                panels.multiply_row(a, c);
                assert_eq!(c, added, "{m} {n} {k}");
            }
        }
    }
}
