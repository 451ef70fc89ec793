//! Transposed two-dimensional convolution: one matrix product per sample, folded into the output.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::matrix::{Matrix, multiply};
use super::windows::{Gradients, Windows};
use super::{Lent, add, sum, tensor, values, with_scratch};
use crate::platform::train::spec;

/// Transposed convolution and bias: the input gradient of a convolution as a layer (Zeiler and others, 2010).
pub(in crate::platform::train) struct ConvTranspose2d(pub(in crate::platform::train) spec::ConvTranspose2d);

impl ConvTranspose2d {
    /// The windows over the output; there is one for each input pixel.
    fn windows(&self, x: &[usize]) -> Windows {
        let spec::ConvTranspose2d { out, kernel, stride, padding, output_padding } = self.0;
        let side = |side: usize| (side - 1) * stride + kernel + output_padding - 2 * padding;
        Windows { channels: out, height: side(x[2]), width: side(x[3]), kernel, stride, padding, dilation: 1 }
    }
}

impl CustomOp3 for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv-transpose2d"
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
        let (x, weight, bias) =
            (values(x, x_layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        let (batch, channels) = (x_layout.dims()[0], x_layout.dims()[1]);
        let windows = self.windows(x_layout.dims());
        let (pixels, rows) = (windows.count(), windows.rows());
        let mut y = vec![0_f32; batch * windows.image()];
        y.par_chunks_mut(windows.image()).zip(x.par_chunks(channels * pixels)).for_each(|(y, x)| {
            for (plane, &bias) in y.chunks_mut(windows.height * windows.width).zip(bias) {
                plane.fill(bias);
            }
            with_scratch(rows * pixels, |columns| {
                let weight = Matrix::new(weight, rows).transposed();
                multiply((rows, pixels, channels), weight, Matrix::new(x, pixels), columns, false);
                windows.fold(columns, y);
            });
        });
        Ok((CpuStorage::F32(y), (batch, windows.channels, windows.height, windows.width).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let windows = self.windows(x.dims());
        let channels = x.dims()[1];
        let (pixels, rows, image) = (windows.count(), windows.rows(), windows.image());
        let dy = dy.contiguous()?;
        let found = {
            let (x_all, weight, dy_all) = (Lent::of(x)?, Lent::of(weight)?, Lent::of(&dy)?);
            let (x_all, weight, dy_all): (&[f32], &[f32], &[f32]) = (&x_all, &weight, &dy_all);
            let wanted = x.track_op().then_some(channels * pixels);
            let sizes = (weight.len(), windows.channels);
            Gradients::of_batch(x.dims()[0], wanted, sizes, |sample, dx, dw, db| {
                let dy = &dy_all[sample * image..(sample + 1) * image];
                let x = &x_all[sample * channels * pixels..(sample + 1) * channels * pixels];
                let planes: Vec<f32> = dy.chunks(windows.height * windows.width).map(sum).collect();
                add(db, &planes);
                with_scratch(rows * pixels, |columns| {
                    windows.unfold(dy, columns);
                    let columns = Matrix::new(columns, pixels);
                    multiply(
                        (channels, rows, pixels),
                        Matrix::new(x, pixels),
                        columns.transposed(),
                        dw,
                        true,
                    );
                    if let Some(dx) = dx {
                        multiply((channels, pixels, rows), Matrix::new(weight, rows), columns, dx, false);
                    }
                });
            })
        };
        let dx = found.dx.map(|dx| tensor(dx, x.shape())).transpose()?;
        Ok((dx, Some(tensor(found.dw, weight.shape())?), Some(tensor(found.db, bias.shape())?)))
    }
}
