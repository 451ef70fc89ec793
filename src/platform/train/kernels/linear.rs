//! Fully connected layer with bias, relu and dropout in one pass.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::matrix::{Matrix, Panels};
use super::{Lent, Mask, add, rows_per_task, tensor, values};

/// Weights from which on a single example is shared out among threads: about 1 MiB, which takes some 20 us to read.
const ONE: usize = 1 << 18;

/// `x w^T + b` for `x` `[batch, inputs]` and `w` `[outputs, inputs]`, then, where wanted, relu and dropout.
pub(in crate::platform::train) struct Linear {
    relu: bool,
    mask: Option<Mask>,
    turned: Option<Arc<Panels>>,
}

/// The weight `[outputs, inputs]` as the forward pass reads it: made once where one weight predicts many times.
pub(in crate::platform::train) fn turned(weight: &Tensor) -> Result<Panels> {
    let (outputs, inputs) = weight.dims2()?;
    Ok(Panels::of(Matrix::new(&Lent::of(weight)?, inputs).transposed(), inputs, outputs))
}

impl Linear {
    /// `mask` needs `relu`: its gradient is told from zeros.
    pub(in crate::platform::train) fn new(relu: bool, mask: Option<Mask>) -> Self {
        debug_assert!(relu || mask.is_none());
        Self { relu, mask, turned: None }
    }

    /// With what [`turned`] gave for the weight.
    pub(in crate::platform::train) fn with(self, turned: Option<Arc<Panels>>) -> Self {
        Self { turned, ..self }
    }

    fn forward(&self, size: Size, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let Size { batch, inputs, outputs } = size;
        let made;
        let weight = match &self.turned {
            Some(turned) => turned.as_ref(),
            None => {
                made = Panels::of(Matrix::new(weight, inputs).transposed(), inputs, outputs);
                &made
            }
        };
        let mut y = bias.repeat(batch);
        let rows = rows_per_task(batch, inputs * outputs);
        y.par_chunks_mut(rows * outputs).zip(x.par_chunks(rows * inputs)).enumerate().for_each(
            |(task, (y, x))| {
                if batch == 1 && inputs * outputs >= ONE {
                    weight.multiply_row(x, y);
                } else {
                    weight.multiply(y.len() / outputs, Matrix::new(x, inputs), y, true);
                }
                if self.relu {
                    super::relu::clamp(y);
                }
                if let Some(mask) = &self.mask {
                    for (row, y) in y.chunks_mut(outputs).enumerate() {
                        super::relu::drop_sample(mask, task * rows + row, y);
                    }
                }
            },
        );
        y
    }

    /// The gradient before relu and dropout.
    fn output_gradient(&self, y: &[f32], dy: &[f32]) -> Vec<f32> {
        if !self.relu {
            return dy.to_vec();
        }
        let scale = self.mask.as_ref().map_or(1.0, Mask::scale);
        let mut dout = dy.to_vec();
        super::relu::gate_all(&mut dout, y, scale);
        dout
    }
}

/// Sizes of the product.
#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

impl Size {
    fn of(x: &[usize], weight: &[usize]) -> Self {
        Self { batch: x[0], inputs: x[1], outputs: weight[0] }
    }
}

fn weight_gradient(size: Size, x: &[f32], dout: &[f32]) -> Vec<f32> {
    let Size { batch, inputs, outputs } = size;
    let x = Panels::of(Matrix::new(x, inputs), batch, inputs);
    let mut dw = vec![0_f32; outputs * inputs];
    let rows = rows_per_task(outputs, batch * inputs);
    dw.par_chunks_mut(rows * inputs).enumerate().for_each(|(task, dw)| {
        let dout = Matrix::new(&dout[task * rows..], outputs).transposed();
        x.multiply(dw.len() / inputs, dout, dw, false);
    });
    dw
}

fn input_gradient(size: Size, weight: &[f32], dout: &[f32]) -> Vec<f32> {
    let Size { batch, inputs, outputs } = size;
    let weight = Panels::of(Matrix::new(weight, inputs), outputs, inputs);
    let mut dx = vec![0_f32; batch * inputs];
    let rows = rows_per_task(batch, inputs * outputs);
    dx.par_chunks_mut(rows * inputs).zip(dout.par_chunks(rows * outputs)).for_each(|(dx, dout)| {
        weight.multiply(dx.len() / inputs, Matrix::new(dout, outputs), dx, false);
    });
    dx
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let size = Size::of(x_layout.dims(), weight_layout.dims());
        let (x, weight) = (values(x, x_layout)?, values(weight, weight_layout)?);
        let y = self.forward(size, x, weight, values(bias, bias_layout)?);
        Ok((CpuStorage::F32(y), (size.batch, size.outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let size = Size::of(x.dims(), weight.dims());
        let dy = dy.contiguous()?;
        let dout = self.output_gradient(&Lent::of(y)?, &Lent::of(&dy)?);
        let mut db = vec![0_f32; size.outputs];
        dout.chunks(size.outputs).for_each(|row| add(&mut db, row));
        let dw = weight_gradient(size, &Lent::of(x)?, &dout);
        let dx = if x.track_op() {
            Some(tensor(input_gradient(size, &Lent::of(weight)?, &dout), x.shape())?)
        } else {
            None
        };
        Ok((dx, Some(tensor(dw, weight.shape())?), Some(tensor(db, bias.shape())?)))
    }
}
