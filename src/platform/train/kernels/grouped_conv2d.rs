//! Two-dimensional convolution with dilation, and with groups of channels that are convolved apart.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::matrix::{Matrix, multiply};
use super::windows::{Gradients, Windows};
use super::{Lent, sum, tensor, values, with_scratch};
use crate::platform::train::spec;

/// Convolution and bias; one matrix product per sample and group.
pub(in crate::platform::train) struct GroupedConv2d(pub(in crate::platform::train) spec::Conv2d);

impl GroupedConv2d {
    fn windows(&self, x: &[usize]) -> Windows {
        let spec::Conv2d { kernel, stride, padding, dilation, .. } = self.0;
        Windows { channels: x[1], height: x[2], width: x[3], kernel, stride, padding, dilation }
    }
}

impl CustomOp3 for GroupedConv2d {
    fn name(&self) -> &'static str {
        "grouped-conv2d"
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
        let (batch, windows) = (x_layout.dims()[0], self.windows(x_layout.dims()));
        let spec::Conv2d { out, groups, .. } = self.0;
        let (pixels, rows) = (windows.count(), windows.rows() / groups);
        let mut y = vec![0_f32; batch * out * pixels];
        y.par_chunks_mut(out * pixels).zip(x.par_chunks(windows.image())).for_each(|(y, x)| {
            for (plane, &bias) in y.chunks_mut(pixels).zip(bias) {
                plane.fill(bias);
            }
            with_scratch(windows.rows() * pixels, |columns| {
                windows.unfold(x, columns);
                let sources = columns.chunks(rows * pixels).zip(weight.chunks(out / groups * rows));
                for (y, (columns, weight)) in y.chunks_mut(out / groups * pixels).zip(sources) {
                    let (weight, columns) = (Matrix::new(weight, rows), Matrix::new(columns, pixels));
                    multiply((out / groups, pixels, rows), weight, columns, y, true);
                }
            });
        });
        let (height, width) = windows.positions();
        Ok((CpuStorage::F32(y), (batch, out, height, width).into()))
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
        let spec::Conv2d { out, groups, .. } = self.0;
        let (pixels, rows, image) = (windows.count(), windows.rows() / groups, windows.image());
        let (part, planes) = (out / groups * rows, out / groups * pixels);
        let dy = dy.contiguous()?;
        let found = {
            let (x_all, weight, dy_all) = (Lent::of(x)?, Lent::of(weight)?, Lent::of(&dy)?);
            let (x_all, weight, dy_all): (&[f32], &[f32], &[f32]) = (&x_all, &weight, &dy_all);
            let wanted = x.track_op().then_some(image);
            Gradients::of_batch(x.dims()[0], wanted, (weight.len(), out), |sample, dx, dw, db| {
                let dy = &dy_all[sample * out * pixels..(sample + 1) * out * pixels];
                for (db, plane) in db.iter_mut().zip(dy.chunks(pixels)) {
                    *db += sum(plane);
                }
                with_scratch(windows.rows() * pixels, |columns| {
                    windows.unfold(&x_all[sample * image..(sample + 1) * image], columns);
                    let sources = dy.chunks(planes).zip(columns.chunks(rows * pixels));
                    for (dw, (dy, columns)) in dw.chunks_mut(part).zip(sources) {
                        let columns = Matrix::new(columns, pixels).transposed();
                        multiply((out / groups, rows, pixels), Matrix::new(dy, pixels), columns, dw, true);
                    }
                    let Some(dx) = dx else { return };
                    let sources = dy.chunks(planes).zip(weight.chunks(part));
                    for (columns, (dy, weight)) in columns.chunks_mut(rows * pixels).zip(sources) {
                        let weight = Matrix::new(weight, rows).transposed();
                        multiply(
                            (rows, pixels, out / groups),
                            weight,
                            Matrix::new(dy, pixels),
                            columns,
                            false,
                        );
                    }
                    windows.fold(columns, dx);
                });
            })
        };
        let dx = found.dx.map(|dx| tensor(dx, x.shape())).transpose()?;
        Ok((dx, Some(tensor(found.dw, weight.shape())?), Some(tensor(found.db, bias.shape())?)))
    }
}
