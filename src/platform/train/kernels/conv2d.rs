//! Two-dimensional convolution, one sample at a time, with what follows it done while the result is still in cache: bias, relu, 2x2 max
//! pooling, dropout.
//!
//! With a stride of 1 the matrix products read the image where it lies (`direct.rs`); otherwise its windows are unfolded first
//! (`unfolded.rs`). Stock candle computes the gradients of a convolution by a transposed convolution and a convolution of
//! transposes, 4 to 6 times slower, and the input gradient of the first layer although nobody needs it.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::direct::Direct;
use super::geometry::Geometry;
use super::pool::{pool_pair_rows, route_back};
use super::unfolded::Unfolded;
use super::{Lent, Mask, add, sum, tensor, values, vectorized, with_scratch};
use crate::platform::train::spec;

/// Samples whose weight gradients are added up in one task.
const SLICE: usize = 8;

/// Outputs that a task computes at least: the rows of a tile.
const PART: usize = 8;

/// Convolution, bias, then in this order, where wanted: relu, 2x2 max pooling, dropout.
pub(in crate::platform::train) struct Conv2d {
    window: spec::Conv2d,
    relu: bool,
    pool: bool,
    mask: Option<Mask>,
    /// With pooling: where in its window each value came from, 0 to 3, or [`NOWHERE`](super::pool::NOWHERE).
    routes: Mutex<Vec<u8>>,
}

/// How the matrix products of one sample are done.
pub(super) trait Products: Sync {
    /// Values from one output row to the next in what [`Products::convolve`] writes.
    fn pitch(&self) -> usize;

    /// Scratch values that [`Products::convolve`] needs.
    fn scratch(&self) -> usize;

    /// The convolution of a sample without bias: planes of rows that are [`Products::pitch`] apart.
    fn convolve(&self, x: &[f32], weight: &[f32], scratch: &mut [f32], planes: &mut [f32]);

    /// Values of a weight gradient under way, in the order that suits the products.
    fn weight_gradient_size(&self) -> usize;

    /// Scratch values that [`Products::gradients`] needs.
    fn gradient_scratch(&self) -> usize;

    /// Adds a sample's weight gradient to `dw`, and writes its input gradient to `dx` if it is wanted (which is zero before). `dout` is
    /// the gradient at the convolution's output, without gaps.
    fn gradients(&self, x: &[f32], dout: &[f32], scratch: &mut [f32], dw: &mut [f32], dx: Option<&mut [f32]>);

    /// A finished weight gradient in the order of the weights.
    fn in_order(&self, dw: Vec<f32>) -> Vec<f32>;
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

    /// `weight` is given for the gradients, and for the input's too if `input_gradient`.
    fn products(g: &Geometry, backward: Option<(&[f32], bool)>) -> Box<dyn Products> {
        match g.window.stride {
            1 => Box::new(Direct::new(*g, backward)),
            _ => Box::new(Unfolded::new(*g, backward)),
        }
    }

    /// Tasks that share the outputs of one sample: one, except where there are fewer samples than threads, as predictions are asked for.
    fn parts(&self, g: &Geometry) -> usize {
        let wanted = rayon::current_num_threads().div_ceil(g.batch.max(1));
        let alike = |parts: &usize| g.window.out.is_multiple_of(parts * PART);
        if self.mask.is_some() { 1 } else { (1..=wanted).rev().find(alike).unwrap_or(1) }
    }

    fn forward(&self, g: &Geometry, x: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<u8>) {
        let parts = self.parts(g);
        let part = Geometry { window: spec::Conv2d { out: g.window.out / parts, ..g.window }, ..*g };
        let products = Self::products(&part, None);
        let (height, width) = g.output();
        let full = part.window.out * height * products.pitch();
        let pooled = if self.pool { (height / 2) * (width / 2) } else { height * width };
        let length = part.window.out * pooled;
        let mut y = vec![0_f32; g.batch * parts * length];
        let mut routes = vec![0_u8; if self.pool { y.len() } else { 0 }];
        let mut routes_of: Vec<&mut [u8]> = routes.chunks_mut(length).collect();
        routes_of.resize_with(g.batch * parts, Default::default);
        y.par_chunks_mut(length).zip(routes_of).enumerate().for_each(|(at, (y, routes))| {
            let (sample, outputs) = (at / parts, at % parts * part.window.out);
            let x = &x[sample * g.sample()..][..g.sample()];
            let weight = &weight[outputs * g.rows()..][..part.window.out * g.rows()];
            with_scratch(full + products.scratch(), |scratch| {
                let (planes, scratch) = scratch.split_at_mut(full);
                products.convolve(x, weight, scratch, planes);
                self.finish((height, width), products.pitch(), planes, &bias[outputs..], y, routes);
            });
            match &self.mask {
                Some(mask) if self.pool => super::relu::drop_routed(mask, sample, y, routes),
                Some(mask) => super::relu::drop_sample(mask, sample, y),
                None => {}
            }
        });
        (y, routes)
    }

    /// Bias, and relu or relu and pooling.
    fn finish(
        &self,
        (height, width): (usize, usize),
        pitch: usize,
        planes: &[f32],
        bias: &[f32],
        y: &mut [f32],
        routes: &mut [u8],
    ) {
        let planes = planes.chunks(height * pitch).zip(bias);
        if self.pool {
            let pooled = (height / 2) * (width / 2);
            let outputs = y.chunks_mut(pooled).zip(routes.chunks_mut(pooled));
            for ((plane, &bias), (y, routes)) in planes.zip(outputs) {
                pool_pair_rows(plane, (height, width), pitch, bias, y, routes);
            }
            return;
        }
        for ((plane, &bias), y) in planes.zip(y.chunks_mut(height * width)) {
            rows_with_bias(plane, pitch, bias, self.relu, y, width);
        }
    }

    /// The gradient at the convolution's own output (before relu, pooling and dropout) of one sample.
    fn output_gradient(&self, g: &Geometry, y: &[f32], dy: &[f32], routes: &[u8], out: &mut [f32]) {
        let scale = self.mask.as_ref().map_or(1.0, Mask::scale);
        if self.pool {
            route_back(g.output(), dy, routes, scale, out);
        } else if self.relu {
            out.copy_from_slice(dy);
            super::relu::gate(out, y, scale);
        } else {
            out.copy_from_slice(dy);
        }
    }

    fn backward(&self, g: &Geometry, given: &Given<'_>, input_gradient: bool) -> Gradients {
        let products = Self::products(g, Some((given.weight, input_gradient)));
        let (pixels, out) = (g.pixels(), g.window.out);
        let length = given.dy.len() / g.batch;
        let mut dx = vec![0_f32; if input_gradient { g.batch * g.sample() } else { 0 }];
        let slices = g.batch.div_ceil(SLICE);
        let mut dx_slices: Vec<Option<&mut [f32]>> = dx.chunks_mut(SLICE * g.sample()).map(Some).collect();
        dx_slices.resize_with(slices, || None);
        let parts: Vec<(Vec<f32>, Vec<f32>)> = dx_slices
            .into_par_iter()
            .enumerate()
            .map(|(slice, mut dx)| {
                let mut dw = vec![0_f32; products.weight_gradient_size()];
                let mut db = vec![0_f32; out];
                with_scratch(out * pixels + products.gradient_scratch(), |scratch| {
                    let (dout, scratch) = scratch.split_at_mut(out * pixels);
                    let first = slice * SLICE;
                    for sample in first..(first + SLICE).min(g.batch) {
                        let here = sample * length..(sample + 1) * length;
                        let routes = given.routes.get(here.clone()).unwrap_or(&[]);
                        self.output_gradient(g, &given.y[here.clone()], &given.dy[here], routes, dout);
                        for (db, plane) in db.iter_mut().zip(dout.chunks(pixels)) {
                            *db += sum(plane);
                        }
                        let x = &given.x[sample * g.sample()..(sample + 1) * g.sample()];
                        let at = (sample - first) * g.sample();
                        let dx = dx.as_mut().map(|dx| &mut dx[at..at + g.sample()]);
                        products.gradients(x, dout, scratch, &mut dw, dx);
                    }
                });
                (dw, db)
            })
            .collect();
        let mut dw = vec![0_f32; products.weight_gradient_size()];
        let mut db = vec![0_f32; out];
        for (dw_part, db_part) in &parts {
            add(&mut dw, dw_part);
            add(&mut db, db_part);
        }
        Gradients { dx: input_gradient.then_some(dx), dw: products.in_order(dw), db }
    }
}

vectorized! {
    /// The rows of a plane, which are `pitch` apart, side by side, with bias and perhaps relu.
    fn rows_with_bias(plane: &[f32], pitch: usize, bias: f32, relu: bool, y: &mut [f32], width: usize) {
        for (row, y) in plane.chunks(pitch).zip(y.chunks_mut(width)) {
            let outputs = y.iter_mut().zip(row);
            match relu {
                true => outputs.for_each(|(y, value)| *y = super::relu::relu(value + bias)),
                false => outputs.for_each(|(y, value)| *y = value + bias),
            }
        }
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
        let (y, routes) = self.forward(&g, x, weight, bias);
        if let Ok(mut kept) = self.routes.lock() {
            *kept = routes;
        }
        let (height, width) = if self.pool { (height / 2, width / 2) } else { (height, width) };
        Ok((CpuStorage::F32(y), (g.batch, g.window.out, height, width).into()))
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
