//! Fully connected layer with bias, relu and dropout in one pass.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::gemm::{Matrix, multiply};
use super::{Lent, Mask, add, map_tasks, tensor, values};

/// Examples of one task of the forward pass.
const FORWARD_ROWS: usize = 64;
/// Inputs of one task of the forward pass: the sums over such slices are added in their order.
const FORWARD_INPUTS: usize = 1024;
/// Rows of one task of the backward pass: outputs for the weight gradient, examples for the input gradient.
const BACKWARD_ROWS: usize = 32;

/// `x w^T + b` for `x` `[batch, inputs]` and `w` `[outputs, inputs]`, then, where wanted, relu and dropout.
pub(in crate::platform::train) struct Linear {
    relu: bool,
    mask: Option<Mask>,
}

impl Linear {
    /// `mask` needs `relu`: its gradient is told from zeros.
    pub(in crate::platform::train) fn new(relu: bool, mask: Option<Mask>) -> Self {
        debug_assert!(relu || mask.is_none());
        Self { relu, mask }
    }

    fn forward(&self, size: Size, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let Size { batch, inputs, outputs } = size;
        let slices = inputs.div_ceil(FORWARD_INPUTS);
        let tasks = batch.div_ceil(FORWARD_ROWS) * slices;
        let parts = map_tasks(tasks, batch * inputs * outputs, |task| {
            let (row, input) = (task / slices * FORWARD_ROWS, task % slices * FORWARD_INPUTS);
            let (rows, width) = (FORWARD_ROWS.min(batch - row), FORWARD_INPUTS.min(inputs - input));
            let mut part = vec![0_f32; rows * outputs];
            let x = Matrix::new(&x[row * inputs + input..], inputs);
            let weight = Matrix::new(&weight[input..], inputs).transposed();
            multiply((rows, outputs, width), x, weight, &mut part, false);
            part
        });
        let mut y = bias.repeat(batch);
        for (rows, parts) in y.chunks_mut(FORWARD_ROWS * outputs).zip(parts.chunks(slices)) {
            parts.iter().for_each(|part| add(rows, part));
        }
        if self.relu {
            super::relu::clamp(&mut y);
        }
        if let Some(mask) = &self.mask {
            for (sample, y) in y.chunks_mut(outputs).enumerate() {
                super::relu::drop_sample(mask, sample, y);
            }
        }
        y
    }

    /// The gradient before relu and dropout.
    fn output_gradient(&self, y: &[f32], dy: &[f32]) -> Vec<f32> {
        if !self.relu {
            return dy.to_vec();
        }
        let scale = self.mask.as_ref().map_or(1.0, Mask::scale);
        dy.iter().zip(y).map(|(dy, y)| if *y > 0.0 { dy * scale } else { 0.0 }).collect()
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
    let mut dw = vec![0_f32; outputs * inputs];
    dw.par_chunks_mut(BACKWARD_ROWS * inputs).enumerate().for_each(|(chunk, dw)| {
        let first = chunk * BACKWARD_ROWS;
        let dout = Matrix::new(&dout[first..], outputs).transposed();
        multiply((dw.len() / inputs, inputs, batch), dout, Matrix::new(x, inputs), dw, false);
    });
    dw
}

fn input_gradient(size: Size, weight: &[f32], dout: &[f32]) -> Vec<f32> {
    let Size { batch, inputs, outputs } = size;
    let mut dx = vec![0_f32; batch * inputs];
    dx.par_chunks_mut(BACKWARD_ROWS * inputs).enumerate().for_each(|(chunk, dx)| {
        let dout = Matrix::new(&dout[chunk * BACKWARD_ROWS * outputs..], outputs);
        multiply((dx.len() / inputs, inputs, outputs), dout, Matrix::new(weight, inputs), dx, false);
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
