//! The parts of attention: products of many small matrices, and softmax.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::matrix::{Matrix, multiply};
use super::{Lent, tensor, values};

/// `a b` for each pair of matrices of `a` `[count, m, k]` and `b` `[count, k, n]`; with `transposed`, `a b^T` for `b`
/// `[count, n, k]`. One task per pair.
pub(in crate::platform::train) struct MatrixProducts {
    pub(in crate::platform::train) transposed: bool,
}

impl MatrixProducts {
    /// `m`, `n` and `k`.
    fn sizes(&self, a: &[usize], b: &[usize]) -> (usize, usize, usize) {
        (a[1], if self.transposed { b[1] } else { b[2] }, a[2])
    }
}

/// The product of each pair, `m` by `n`, `k` terms for each value.
fn products<'a>(
    (m, n, k): (usize, usize, usize),
    count: usize,
    pair: impl Fn(usize) -> (Matrix<'a>, Matrix<'a>) + Sync,
) -> Vec<f32> {
    let mut c = vec![0_f32; count * m * n];
    c.par_chunks_mut(m * n).enumerate().for_each(|(index, c)| {
        let (a, b) = pair(index);
        multiply((m, n, k), a, b, c, false);
    });
    c
}

impl CustomOp2 for MatrixProducts {
    fn name(&self) -> &'static str {
        "matrix-products"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (m, n, k) = self.sizes(a_layout.dims(), b_layout.dims());
        let (a, b, count) = (values(a, a_layout)?, values(b, b_layout)?, a_layout.dims()[0]);
        let c = products((m, n, k), count, |index| {
            let a = Matrix::new(&a[index * m * k..(index + 1) * m * k], k);
            let b = &b[index * k * n..(index + 1) * k * n];
            (a, if self.transposed { Matrix::new(b, k).transposed() } else { Matrix::new(b, n) })
        });
        Ok((CpuStorage::F32(c), (count, m, n).into()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        dc: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (m, n, k) = self.sizes(a.dims(), b.dims());
        let count = a.dims()[0];
        let dc = dc.contiguous()?;
        let (a_values, b_values, dc_values) = (Lent::of(a)?, Lent::of(b)?, Lent::of(&dc)?);
        let (a_all, b_all, dc_all): (&[f32], &[f32], &[f32]) = (&a_values, &b_values, &dc_values);
        let a_of = |index: usize| Matrix::new(&a_all[index * m * k..(index + 1) * m * k], k);
        let b_of = |index: usize| &b_all[index * k * n..(index + 1) * k * n];
        let dc_of = |index: usize| Matrix::new(&dc_all[index * m * n..(index + 1) * m * n], n);
        let da = products((m, k, n), count, |index| {
            let b = b_of(index);
            (dc_of(index), if self.transposed { Matrix::new(b, k) } else { Matrix::new(b, n).transposed() })
        });
        let db = if self.transposed {
            products((n, k, m), count, |index| (dc_of(index).transposed(), a_of(index)))
        } else {
            products((k, n, m), count, |index| (a_of(index).transposed(), dc_of(index)))
        };
        Ok((Some(tensor(da, a.shape())?), Some(tensor(db, b.shape())?)))
    }
}

/// Softmax over the last dimension.
pub(in crate::platform::train) struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = values(x, layout)?.to_vec();
        let width = layout.dims().last().copied().unwrap_or(1);
        y.par_chunks_mut(width).for_each(|row| {
            let largest = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            row.iter_mut().for_each(|value| *value = (*value - largest).exp());
            let share = 1.0 / row.iter().sum::<f32>();
            row.iter_mut().for_each(|value| *value *= share);
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let mut dx = Lent::of(&dy)?.to_vec();
        let y = Lent::of(y)?;
        let width = x.dims().last().copied().unwrap_or(1);
        dx.par_chunks_mut(width).zip(y.par_chunks(width)).for_each(|(dx, y)| {
            let mean: f32 = dx.iter().zip(y).map(|(dy, y)| dy * y).sum();
            dx.iter_mut().zip(y).for_each(|(dx, y)| *dx = y * (*dx - mean));
        });
        Ok(Some(tensor(dx, x.shape())?))
    }
}
