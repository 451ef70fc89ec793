//! The one place that calls the `gemm` crate: a matrix product on one thread.
#![allow(unsafe_code)]

/// A row-major matrix, read as it is or transposed.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    row_stride: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values.
    pub(super) fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, row_stride: columns, transposed: false }
    }

    /// The same read with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Steps from one row, and from one column, to the next, for a matrix read as `rows` by `columns`.
    ///
    /// # Panics
    /// If the values do not hold that many.
    fn strides(&self, rows: usize, columns: usize) -> (isize, isize) {
        let (stored_rows, stored_columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        let last = stored_rows.saturating_sub(1) * self.row_stride + stored_columns;
        assert!(stored_columns <= self.row_stride && last <= self.values.len(), "matrix out of bounds");
        let stride = self.row_stride as isize;
        if self.transposed { (1, stride) } else { (stride, 1) }
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
    assert!(c.len() >= m * n, "matrix out of bounds");
    let (a_row, a_column) = a.strides(m, k);
    let (b_row, b_column) = b.strides(k, n);
    // SAFETY: `strides` has checked that every element of `a` and `b` that these dimensions and strides reach lies in
    // its slice, the assertion above says the same of `c`, and the exclusive borrow of `c` rules out overlap. The
    // call returns before any of the borrows ends.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.values.as_ptr(),
            a_column,
            a_row,
            b.values.as_ptr(),
            b_column,
            b_row,
            1_f32,
            1_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
