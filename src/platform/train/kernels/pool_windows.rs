//! Pooling over windows that overlap or reach beyond the image. `pool.rs` does those that divide it.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Lent, tensor, values};
use crate::platform::train::spec::Pool;

/// Sizes of a plane and its windows.
struct Planes {
    height: usize,
    width: usize,
    pool: Pool,
}

impl Planes {
    fn of(x: &[usize], pool: Pool) -> Self {
        Self { height: x[2], width: x[3], pool }
    }

    fn size(&self) -> usize {
        self.height * self.width
    }

    fn positions(&self) -> (usize, usize) {
        (self.pool.windows(self.height), self.pool.windows(self.width))
    }

    /// For each window in order the indices of its pixels inside the plane.
    fn windows(&self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        let (rows, columns) = self.positions();
        let Self { height, width, pool: Pool { kernel, stride, padding } } = *self;
        // The pixels from..to of one side under window number `at`.
        let under = move |at: usize, side: usize| {
            (at * stride).saturating_sub(padding)..(at * stride + kernel - padding).min(side)
        };
        (0..rows).flat_map(move |row| {
            (0..columns).map(move |column| {
                under(row, height).flat_map(move |y| under(column, width).map(move |x| y * width + x))
            })
        })
    }
}

fn shape(x: &[usize], planes: &Planes) -> Shape {
    let (rows, columns) = planes.positions();
    (x[0], x[1], rows, columns).into()
}

/// The largest value of each window; of equal ones the first.
pub(in crate::platform::train) struct MaxPoolWindows {
    pool: Pool,
    /// Index in its plane of each largest value.
    places: Mutex<Vec<u32>>,
}

impl MaxPoolWindows {
    pub(in crate::platform::train) fn new(pool: Pool) -> Self {
        Self { pool, places: Mutex::default() }
    }
}

impl CustomOp1 for MaxPoolWindows {
    fn name(&self) -> &'static str {
        "max-pool-windows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, planes) = (values(x, layout)?, Planes::of(layout.dims(), self.pool));
        let best = |plane: &[f32]| {
            // What is not a number wins, so that it is seen.
            let better = |best: usize, at: usize| plane[at] > plane[best] || plane[at].is_nan();
            let largest = |a: usize, b: usize| if better(a, b) { b } else { a };
            let place = planes.windows().map(|window| window.reduce(largest).unwrap_or(0) as u32);
            place.collect::<Vec<u32>>()
        };
        let places: Vec<Vec<u32>> = x.par_chunks(planes.size()).map(best).collect();
        let both = x.chunks(planes.size()).zip(&places);
        let y = both.flat_map(|(plane, places)| places.iter().map(|&place| plane[place as usize])).collect();
        if let Ok(mut kept) = self.places.lock() {
            *kept = places.concat();
        }
        Ok((CpuStorage::F32(y), shape(layout.dims(), &planes)))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let planes = Planes::of(x.dims(), self.pool);
        let places = self.places.lock().map(|mut places| std::mem::take(&mut *places)).unwrap_or_default();
        let dy = dy.contiguous()?;
        let dy = Lent::of(&dy)?;
        let windows = y.dims()[2] * y.dims()[3];
        let mut dx = vec![0_f32; x.elem_count()];
        let sources = dy.par_chunks(windows).zip(places.par_chunks(windows));
        dx.par_chunks_mut(planes.size()).zip(sources).for_each(|(dx, (dy, places))| {
            for (dy, &place) in dy.iter().zip(places) {
                dx[place as usize] += dy;
            }
        });
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// The mean of each window, in which pixels beyond the image count as zeros, as in PyTorch.
pub(in crate::platform::train) struct AvgPoolWindows(pub(in crate::platform::train) Pool);

impl AvgPoolWindows {
    fn share(&self) -> f32 {
        1.0 / (self.0.kernel * self.0.kernel) as f32
    }
}

impl CustomOp1 for AvgPoolWindows {
    fn name(&self) -> &'static str {
        "avg-pool-windows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, planes) = (values(x, layout)?, Planes::of(layout.dims(), self.0));
        let mean = |plane: &[f32]| {
            let means = planes.windows().map(|window| self.share() * window.map(|at| plane[at]).sum::<f32>());
            means.collect::<Vec<f32>>()
        };
        let y: Vec<Vec<f32>> = x.par_chunks(planes.size()).map(mean).collect();
        Ok((CpuStorage::F32(y.concat()), shape(layout.dims(), &planes)))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let planes = Planes::of(x.dims(), self.0);
        let dy = dy.contiguous()?;
        let dy = Lent::of(&dy)?;
        let mut dx = vec![0_f32; x.elem_count()];
        let sources = dy.par_chunks(y.dims()[2] * y.dims()[3]);
        dx.par_chunks_mut(planes.size()).zip(sources).for_each(|(dx, dy)| {
            for (window, dy) in planes.windows().zip(dy) {
                window.for_each(|at| dx[at] += self.share() * dy);
            }
        });
        Ok(Some(tensor(dx, x.shape())?))
    }
}
