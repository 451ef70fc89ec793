//! Two-dimensional convolution by im2col and one matrix product per sample, with what follows it done while the
//! result is still in cache: bias, relu, 2x2 max pooling, dropout.
//!
//! Stock candle computes the gradients of a convolution by a transposed convolution and a convolution of transposes,
//! 4 to 6 times slower, and the input gradient of the first layer although nobody needs it.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::gemm::{Matrix, multiply};
use super::pool::{pool_pair_rows, route_back};
use super::{Lent, Mask, add, sum, tensor, values, with_scratch};
use crate::platform::train::spec;

/// Samples whose weight gradients are added up in one task.
const SLICE: usize = 8;

/// Convolution, bias, then in this order, where wanted: relu, 2x2 max pooling, dropout.
pub(in crate::platform::train) struct Conv2d {
    window: spec::Conv2d,
    relu: bool,
    pool: bool,
    mask: Option<Mask>,
    /// With pooling: where in its window each value came from, 0 to 3, or [`NOWHERE`](super::pool::NOWHERE).
    routes: Mutex<Vec<u8>>,
}

impl Conv2d {
    /// `pool` and `mask` need `relu`: their gradients are told from zeros.
    pub(in crate::platform::train) fn new(
        window: spec::Conv2d,
        relu: bool,
        pool: bool,
        mask: Option<Mask>,
    ) -> Self {
        debug_assert!(relu || !(pool || mask.is_some()));
        Self { window, relu, pool, mask, routes: Mutex::default() }
    }

    fn geometry(&self, x: &[usize]) -> Geometry {
        Geometry { batch: x[0], channels: x[1], height: x[2], width: x[3], window: self.window }
    }

    fn forward(&self, g: &Geometry, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let (pixels, rows) = (g.pixels(), g.rows());
        let mut y = vec![0_f32; g.batch * g.window.out * pixels];
        y.par_chunks_mut(g.window.out * pixels).zip(x.par_chunks(g.sample())).enumerate().for_each(
            |(sample, (y, x))| {
                with_scratch(rows * pixels, |columns| {
                    g.unfold(x, columns);
                    for (plane, &bias) in y.chunks_mut(pixels).zip(bias) {
                        plane.fill(bias);
                    }
                    let (weight, columns) = (Matrix::new(weight, rows), Matrix::new(columns, pixels));
                    multiply((g.window.out, pixels, rows), weight, columns, y, true);
                });
                if self.relu {
                    super::relu::clamp(y);
                }
                if let Some(mask) = &self.mask {
                    super::relu::drop_sample(mask, sample, y);
                }
            },
        );
        y
    }

    fn forward_pooled(&self, g: &Geometry, x: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<u8>) {
        let (pixels, rows) = (g.pixels(), g.rows());
        let (height, width) = g.output();
        let pooled = (height / 2) * (width / 2);
        let mut y = vec![0_f32; g.batch * g.window.out * pooled];
        let mut routes = vec![0_u8; y.len()];
        y.par_chunks_mut(g.window.out * pooled)
            .zip(routes.par_chunks_mut(g.window.out * pooled))
            .zip(x.par_chunks(g.sample()))
            .enumerate()
            .for_each(|(sample, ((y, routes), x))| {
                with_scratch(rows * pixels + g.window.out * pixels, |scratch| {
                    let (columns, full) = scratch.split_at_mut(rows * pixels);
                    g.unfold(x, columns);
                    let (weight, columns) = (Matrix::new(weight, rows), Matrix::new(columns, pixels));
                    multiply((g.window.out, pixels, rows), weight, columns, full, false);
                    let planes = full.chunks(pixels).zip(bias);
                    let pooled_planes = y.chunks_mut(pooled).zip(routes.chunks_mut(pooled));
                    for ((full, &bias), (y, routes)) in planes.zip(pooled_planes) {
                        pool_pair_rows(full, (height, width), bias, y, routes);
                    }
                });
                if let Some(mask) = &self.mask {
                    super::relu::drop_sample(mask, sample, y);
                    mask.for_dropped(sample, y.len(), |index| routes[index] = super::pool::NOWHERE);
                }
            });
        (y, routes)
    }

    /// The gradient at the convolution's own output (before relu, pooling and dropout) of one sample.
    fn output_gradient(&self, g: &Geometry, y: &[f32], dy: &[f32], routes: &[u8], out: &mut [f32]) {
        let scale = self.mask.as_ref().map_or(1.0, Mask::scale);
        if self.pool {
            route_back(g.output(), dy, routes, scale, out);
        } else if self.relu {
            for ((out, dy), y) in out.iter_mut().zip(dy).zip(y) {
                *out = if *y > 0.0 { *dy * scale } else { 0.0 };
            }
        } else {
            out.copy_from_slice(dy);
        }
    }

    fn backward(&self, g: &Geometry, given: &Given<'_>, input_gradient: bool) -> Gradients {
        let (pixels, rows, out) = (g.pixels(), g.rows(), g.window.out);
        let length = given.dy.len() / g.batch;
        let mut dx = vec![0_f32; if input_gradient { g.batch * g.sample() } else { 0 }];
        let slices = g.batch.div_ceil(SLICE);
        let mut dx_slices: Vec<Option<&mut [f32]>> = dx.chunks_mut(SLICE * g.sample()).map(Some).collect();
        dx_slices.resize_with(slices, || None);
        let parts: Vec<(Vec<f32>, Vec<f32>)> = dx_slices
            .into_par_iter()
            .enumerate()
            .map(|(slice, mut dx)| {
                let mut dw = vec![0_f32; out * rows];
                let mut db = vec![0_f32; out];
                with_scratch((rows + out) * pixels, |scratch| {
                    let (columns, dout) = scratch.split_at_mut(rows * pixels);
                    let first = slice * SLICE;
                    for sample in first..(first + SLICE).min(g.batch) {
                        let here = sample * length..(sample + 1) * length;
                        let routes = given.routes.get(here.clone()).unwrap_or(&[]);
                        self.output_gradient(g, &given.y[here.clone()], &given.dy[here], routes, dout);
                        for (db, plane) in db.iter_mut().zip(dout.chunks(pixels)) {
                            *db += sum(plane);
                        }
                        g.unfold(&given.x[sample * g.sample()..(sample + 1) * g.sample()], columns);
                        let dout = Matrix::new(dout, pixels);
                        let unfolded = Matrix::new(columns, pixels).transposed();
                        multiply((out, rows, pixels), dout, unfolded, &mut dw, true);
                        if let Some(dx) = &mut dx {
                            let weight = Matrix::new(given.weight, rows).transposed();
                            multiply((rows, pixels, out), weight, dout, columns, false);
                            let at = (sample - first) * g.sample();
                            g.fold(columns, &mut dx[at..at + g.sample()]);
                        }
                    }
                });
                (dw, db)
            })
            .collect();
        let mut dw = vec![0_f32; out * rows];
        let mut db = vec![0_f32; out];
        for (dw_part, db_part) in &parts {
            add(&mut dw, dw_part);
            add(&mut db, db_part);
        }
        Gradients { dx: input_gradient.then_some(dx), dw, db }
    }
}

/// What the backward pass reads.
struct Given<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    routes: &'a [u8],
}

struct Gradients {
    dx: Option<Vec<f32>>,
    dw: Vec<f32>,
    db: Vec<f32>,
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
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
        let g = self.geometry(x_layout.dims());
        let (x, weight, bias) =
            (values(x, x_layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        let (height, width) = g.output();
        if self.pool {
            let (y, routes) = self.forward_pooled(&g, x, weight, bias);
            if let Ok(mut kept) = self.routes.lock() {
                *kept = routes;
            }
            Ok((CpuStorage::F32(y), (g.batch, g.window.out, height / 2, width / 2).into()))
        } else {
            let y = self.forward(&g, x, weight, bias);
            Ok((CpuStorage::F32(y), (g.batch, g.window.out, height, width).into()))
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let g = self.geometry(x.dims());
        let routes = self.routes.lock().map(|mut routes| std::mem::take(&mut *routes)).unwrap_or_default();
        let dy = dy.contiguous()?;
        let input_gradient = x.track_op();
        let found = {
            let (x, weight, y, dy) = (Lent::of(x)?, Lent::of(weight)?, Lent::of(y)?, Lent::of(&dy)?);
            let given = Given { x: &x, weight: &weight, y: &y, dy: &dy, routes: &routes };
            self.backward(&g, &given, input_gradient)
        };
        let dx = found.dx.map(|dx| tensor(dx, x.shape())).transpose()?;
        Ok((dx, Some(tensor(found.dw, weight.shape())?), Some(tensor(found.db, bias.shape())?)))
    }
}

/// Sizes of one convolution.
struct Geometry {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    window: spec::Conv2d,
}

impl Geometry {
    /// Height and width of the output.
    fn output(&self) -> (usize, usize) {
        let side =
            |side: usize| (side + 2 * self.window.padding - self.window.kernel) / self.window.stride + 1;
        (side(self.height), side(self.width))
    }

    /// Pixels of one output plane.
    fn pixels(&self) -> usize {
        let (height, width) = self.output();
        height * width
    }

    /// Rows of the unfolded input: values under one window.
    fn rows(&self) -> usize {
        self.channels * self.window.kernel * self.window.kernel
    }

    /// Values of one input.
    fn sample(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Calls `visit(columns, input, count)` for each run of output pixels whose input lies inside the image: `count`
    /// values from index `columns` of the unfolded input, one after the other, and from index `input` of the sample, a
    /// stride apart. Everything else of the unfolded input is padding.
    fn for_runs(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (height, width) = self.output();
        let spec::Conv2d { kernel, stride, padding, .. } = self.window;
        // Output positions `from..to` along one side of whose windows the element at `offset` is inside the image.
        let inside = |offset: usize, side: usize, positions: usize| {
            let from = padding.saturating_sub(offset).div_ceil(stride);
            let to = (side + padding).saturating_sub(offset).div_ceil(stride).min(positions);
            (from.min(to), to)
        };
        let mut row = 0;
        for channel in 0..self.channels {
            for ky in 0..kernel {
                let (top, bottom) = inside(ky, self.height, height);
                for kx in 0..kernel {
                    let (left, right) = inside(kx, self.width, width);
                    if left < right {
                        for y in top..bottom {
                            let line = channel * self.height + y * stride + ky - padding;
                            let input = line * self.width + left * stride + kx - padding;
                            visit((row * height + y) * width + left, input, right - left);
                        }
                    }
                    row += 1;
                }
            }
        }
    }

    /// im2col: `columns[row, pixel]` is the value under element `row` of the window at `pixel`.
    fn unfold(&self, x: &[f32], columns: &mut [f32]) {
        let stride = self.window.stride;
        if self.window.padding > 0 {
            columns.fill(0.0);
        }
        self.for_runs(|at, input, count| {
            let columns = &mut columns[at..at + count];
            if stride == 1 {
                columns.copy_from_slice(&x[input..input + count]);
            } else {
                for (column, x) in columns.iter_mut().zip(x[input..].iter().step_by(stride)) {
                    *column = *x;
                }
            }
        });
    }

    /// col2im, the reverse of `unfold`: adds every value to where it came from.
    fn fold(&self, columns: &[f32], dx: &mut [f32]) {
        let stride = self.window.stride;
        self.for_runs(|at, input, count| {
            let columns = &columns[at..at + count];
            if stride == 1 {
                add(&mut dx[input..input + count], columns);
            } else {
                for (dx, column) in dx[input..].iter_mut().step_by(stride).zip(columns) {
                    *dx += column;
                }
            }
        });
    }
}
