//! Pooling over windows whose stride is their side; rows and columns that do not fill a window are left out.
//!
//! The gradient of candle's own max pooling is wrong (it divides what belongs to the largest value by the size of the
//! window), and that of its average pooling refuses sizes that the window does not divide.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Lent, tensor, values, vectorized};

/// In routes: no gradient goes back (relu was at zero, or dropout).
pub(super) const NOWHERE: u8 = 255;

vectorized! {
    /// relu of the largest value of each 2x2 window of one plane (whose rows are `pitch` apart) plus `bias`, and where in the window it
    /// was (0 to 3 by rows, or [`NOWHERE`] where relu gives zero).
    ///
    /// A whole block of windows at a time, by selection: of a fixed size, so that it is done in vectors, and without a branch to mispredict.
    pub(super) fn pool_pair_rows(
        full: &[f32],
        size: (usize, usize),
        pitch: usize,
        bias: f32,
        pooled: &mut [f32],
        routes: &mut [u8],
    ) {
        /// Output columns done at a time.
        const BLOCK: usize = 16;
        let (height, width) = size;
        let columns = width / 2;
        for row in 0..height / 2 {
            let lines = [2 * row, 2 * row + 1].map(|line| full[line * pitch..][..2 * columns].chunks(2 * BLOCK));
            let out = row * columns..(row + 1) * columns;
            let outputs = pooled[out.clone()].chunks_mut(BLOCK).zip(routes[out].chunks_mut(BLOCK));
            let [upper, lower] = lines;
            for ((upper, lower), (pooled, routes)) in upper.zip(lower).zip(outputs) {
                let (mut up, mut low) = ([0_f32; 2 * BLOCK], [0_f32; 2 * BLOCK]);
                up[..upper.len()].copy_from_slice(upper);
                low[..lower.len()].copy_from_slice(lower);
                let (mut largest, mut places) = ([0_f32; BLOCK], [0_u8; BLOCK]);
                for column in 0..BLOCK {
                    let (first, second) = (2 * column, 2 * column + 1);
                    let (below, below_too) = (low[first] > up[first], low[second] > up[second]);
                    let left = if below { low[first] } else { up[first] };
                    let right = if below_too { low[second] } else { up[second] };
                    // Of the width of the values, so that they are selected by the same masks.
                    let (left_at, right_at) = (if below { 2_u32 } else { 0 }, if below_too { 3_u32 } else { 1 });
                    let value = if right > left { right } else { left } + bias;
                    let place = if right > left { right_at } else { left_at };
                    largest[column] = if value < 0.0 { 0.0 } else { value };
                    places[column] = if value > 0.0 { place } else { u32::from(NOWHERE) } as u8;
                }
                pooled.copy_from_slice(&largest[..pooled.len()]);
                routes.copy_from_slice(&places[..routes.len()]);
            }
        }
    }
}

vectorized! {
    /// The reverse of [`pool_pair_rows`] for all planes of a sample: `scale * dy` where it came from, zero elsewhere.
    pub(super) fn route_back(
        size: (usize, usize),
        dy: &[f32],
        routes: &[u8],
        scale: f32,
        out: &mut [f32],
    ) {
        let (height, width) = size;
        let (rows, columns) = (height / 2, width / 2);
        let planes = dy.chunks(rows * columns).zip(routes.chunks(rows * columns));
        for (out, (dy, routes)) in out.chunks_mut(height * width).zip(planes) {
            let pairs = out.chunks_mut(2 * width).zip(dy.chunks(columns).zip(routes.chunks(columns)));
            for (pair, (dy, routes)) in pairs {
                let (upper, lower) = pair.split_at_mut(width);
                let windows = upper.chunks_exact_mut(2).zip(lower.chunks_exact_mut(2));
                for ((upper, lower), (dy, route)) in windows.zip(dy.iter().zip(routes)) {
                    let value = |place: u8| if *route == place { scale * dy } else { 0.0 };
                    (upper[0], upper[1]) = (value(0), value(1));
                    (lower[0], lower[1]) = (value(2), value(3));
                }
                // What fills no window.
                upper[2 * columns..].fill(0.0);
                lower[2 * columns..].fill(0.0);
            }
            out[2 * rows * width..].fill(0.0);
        }
    }
}

/// Planes of an image batch and the windows that divide them.
struct Planes {
    height: usize,
    width: usize,
    side: usize,
    /// Shape of the result.
    output: Shape,
}

impl Planes {
    fn new(x: &[usize], side: usize) -> Self {
        let (height, width) = (x[2], x[3]);
        Self { height, width, side, output: (x[0], x[1], height / side, width / side).into() }
    }

    /// Values of one plane of the result.
    fn pooled(&self) -> usize {
        (self.height / self.side) * (self.width / self.side)
    }

    /// Index of the first element of each window in its plane, in the order of the result.
    fn windows(&self) -> impl Iterator<Item = usize> + '_ {
        let rows = 0..self.height / self.side;
        rows.flat_map(move |row| {
            (0..self.width / self.side).map(move |column| self.side * (row * self.width + column))
        })
    }

    /// Distances of a window's elements from its first, by rows.
    fn elements(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.side).flat_map(move |row| (0..self.side).map(move |column| row * self.width + column))
    }
}

/// The largest value of each window; of equal ones the first. Its gradient goes to that one alone.
pub(in crate::platform::train) struct MaxPool2d {
    side: usize,
    /// Index in its plane of each largest value.
    places: Mutex<Vec<u32>>,
}

impl MaxPool2d {
    pub(in crate::platform::train) fn new(side: usize) -> Self {
        Self { side, places: Mutex::default() }
    }
}

impl CustomOp1 for MaxPool2d {
    fn name(&self) -> &'static str {
        "max-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, planes) = (values(x, layout)?, Planes::new(layout.dims(), self.side));
        let mut y = vec![0_f32; planes.output.elem_count()];
        let mut places = vec![0_u32; y.len()];
        y.par_chunks_mut(planes.pooled())
            .zip(places.par_chunks_mut(planes.pooled()))
            .zip(x.par_chunks(planes.height * planes.width))
            .for_each(|((y, places), x)| {
                for ((y, place), first) in y.iter_mut().zip(places).zip(planes.windows()) {
                    let mut best = first;
                    for element in planes.elements() {
                        // What is not a number wins, so that it is seen.
                        if x[first + element] > x[best] || x[first + element].is_nan() {
                            best = first + element;
                        }
                    }
                    (*y, *place) = (x[best], best as u32);
                }
            });
        if let Ok(mut kept) = self.places.lock() {
            *kept = places;
        }
        Ok((CpuStorage::F32(y), planes.output))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let planes = Planes::new(x.dims(), self.side);
        let places = self.places.lock().map(|mut places| std::mem::take(&mut *places)).unwrap_or_default();
        let dy = dy.contiguous()?;
        let dy = Lent::of(&dy)?;
        let mut dx = vec![0_f32; x.elem_count()];
        dx.par_chunks_mut(planes.height * planes.width)
            .zip(dy.par_chunks(planes.pooled()))
            .zip(places.par_chunks(planes.pooled()))
            .for_each(|((dx, dy), places)| {
                for (dy, place) in dy.iter().zip(places) {
                    dx[*place as usize] += dy;
                }
            });
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// relu and then the largest value of each 2x2 window.
#[derive(Default)]
pub(in crate::platform::train) struct ReluPool2d {
    /// Where in its window each value came from, as in [`pool_pair_rows`].
    routes: Mutex<Vec<u8>>,
}

impl CustomOp1 for ReluPool2d {
    fn name(&self) -> &'static str {
        "relu-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, planes) = (values(x, layout)?, Planes::new(layout.dims(), 2));
        let (size, pooled) = ((planes.height, planes.width), planes.pooled());
        let mut y = vec![0_f32; planes.output.elem_count()];
        let mut routes = vec![0_u8; y.len()];
        // All planes of an example are one task.
        let channels = layout.dims()[1];
        y.par_chunks_mut(channels * pooled)
            .zip(routes.par_chunks_mut(channels * pooled))
            .zip(x.par_chunks(channels * size.0 * size.1))
            .for_each(|((y, routes), x)| {
                let outputs = y.chunks_mut(pooled).zip(routes.chunks_mut(pooled));
                for (x, (y, routes)) in x.chunks(size.0 * size.1).zip(outputs) {
                    pool_pair_rows(x, size, size.1, 0.0, y, routes);
                }
            });
        if let Ok(mut kept) = self.routes.lock() {
            *kept = routes;
        }
        Ok((CpuStorage::F32(y), planes.output))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let planes = Planes::new(x.dims(), 2);
        let routes = self.routes.lock().map(|mut routes| std::mem::take(&mut *routes)).unwrap_or_default();
        let dy = dy.contiguous()?;
        let dy = Lent::of(&dy)?;
        let mut dx = vec![0_f32; x.elem_count()];
        let (sample, pooled) = (x.elem_count() / x.dims()[0], planes.pooled() * x.dims()[1]);
        dx.par_chunks_mut(sample)
            .zip(dy.par_chunks(pooled).zip(routes.par_chunks(pooled)))
            .for_each(|(dx, (dy, routes))| route_back((planes.height, planes.width), dy, routes, 1.0, dx));
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// The mean of each window of this side.
pub(in crate::platform::train) struct AvgPool2d(pub(in crate::platform::train) usize);

impl CustomOp1 for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, planes) = (values(x, layout)?, Planes::new(layout.dims(), self.0));
        let share = 1.0 / (self.0 * self.0) as f32;
        let mut y = vec![0_f32; planes.output.elem_count()];
        let sources = x.par_chunks(planes.height * planes.width);
        y.par_chunks_mut(planes.pooled()).zip(sources).for_each(|(y, x)| {
            for (y, first) in y.iter_mut().zip(planes.windows()) {
                *y = share * planes.elements().map(|element| x[first + element]).sum::<f32>();
            }
        });
        Ok((CpuStorage::F32(y), planes.output))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let planes = Planes::new(x.dims(), self.0);
        let share = 1.0 / (self.0 * self.0) as f32;
        let dy = dy.contiguous()?;
        let dy = Lent::of(&dy)?;
        let mut dx = vec![0_f32; x.elem_count()];
        let sources = dy.par_chunks(planes.pooled());
        dx.par_chunks_mut(planes.height * planes.width).zip(sources).for_each(|(dx, dy)| {
            for (dy, first) in dy.iter().zip(planes.windows()) {
                planes.elements().for_each(|element| dx[first + element] = share * dy);
            }
        });
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// The largest value of each row of `[..., values]`; of equal ones the first.
pub(in crate::platform::train) struct MaxOfRow {
    /// Index in its row of each largest value.
    places: Mutex<Vec<u32>>,
}

impl MaxOfRow {
    pub(in crate::platform::train) fn new() -> Self {
        Self { places: Mutex::default() }
    }
}

impl CustomOp1 for MaxOfRow {
    fn name(&self) -> &'static str {
        "max-of-row"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, dims) = (values(x, layout)?, layout.dims());
        let (last, shape) = dims.split_last().map_or((1, &[][..]), |(last, shape)| (*last, shape));
        let best = |row: &[f32]| {
            // What is not a number wins, so that it is seen.
            let better = |best: usize, index: usize| row[index] > row[best] || row[index].is_nan();
            (1..row.len()).fold(0, |best, index| if better(best, index) { index } else { best })
        };
        let places: Vec<u32> = x.chunks(last).map(|row| best(row) as u32).collect();
        let y = x.chunks(last).zip(&places).map(|(row, &place)| row[place as usize]).collect();
        if let Ok(mut kept) = self.places.lock() {
            *kept = places;
        }
        Ok((CpuStorage::F32(y), Shape::from(shape)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let places = self.places.lock().map(|mut places| std::mem::take(&mut *places)).unwrap_or_default();
        let dy = dy.contiguous()?;
        let dy = Lent::of(&dy)?;
        let mut dx = vec![0_f32; x.elem_count()];
        let last = x.dims().last().copied().unwrap_or(1);
        for ((row, dy), place) in dx.chunks_mut(last).zip(dy.iter()).zip(&places) {
            row[*place as usize] = *dy;
        }
        Ok(Some(tensor(dx, x.shape())?))
    }
}
