//! Square windows over an image, with dilation, for the convolutions that `conv2d.rs` does not do; and the sum of a
//! batch's gradients in a fixed order.

use rayon::prelude::*;

use super::add;

/// Samples whose weight gradients are added up in one task.
const SLICE: usize = 8;

/// Sizes of an image and of the windows over it.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) dilation: usize,
}

impl Windows {
    /// Rows and columns of windows.
    pub(super) fn positions(&self) -> (usize, usize) {
        let span = (self.kernel - 1) * self.dilation + 1;
        let count = |side: usize| (side + 2 * self.padding - span) / self.stride + 1;
        (count(self.height), count(self.width))
    }

    /// Number of windows.
    pub(super) fn count(&self) -> usize {
        let (rows, columns) = self.positions();
        rows * columns
    }

    /// Values under one window.
    pub(super) fn rows(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    /// Values of one image.
    pub(super) fn image(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Calls `visit(columns, image)` with the index of each value of the unfolded image that is not padding and the index
    /// of the pixel that it is.
    fn for_inside(&self, mut visit: impl FnMut(usize, usize)) {
        let (rows, columns) = self.positions();
        let Self { height, width, kernel, stride, padding, dilation, .. } = *self;
        // Positions `from..to` along one side of whose windows the element at `offset` is inside the image.
        let inside = |offset: usize, side: usize, positions: usize| {
            let from = padding.saturating_sub(offset).div_ceil(stride);
            let to = (side + padding).saturating_sub(offset).div_ceil(stride).min(positions);
            from.min(to)..to
        };
        let elements = (0..self.channels)
            .flat_map(|channel| (0..kernel).map(move |ky| (channel, ky)))
            .flat_map(|(channel, ky)| (0..kernel).map(move |kx| (channel, ky * dilation, kx * dilation)));
        for (row, (channel, down, right)) in elements.enumerate() {
            for y in inside(down, height, rows) {
                let line = (channel * height + y * stride + down - padding) * width;
                let at = (row * rows + y) * columns;
                for x in inside(right, width, columns) {
                    visit(at + x, line + x * stride + right - padding);
                }
            }
        }
    }

    /// im2col: `columns[row, window]` is the value under element `row` of the window.
    pub(super) fn unfold(&self, image: &[f32], columns: &mut [f32]) {
        columns.fill(0.0);
        self.for_inside(|at, pixel| columns[at] = image[pixel]);
    }

    /// col2im, the reverse of `unfold`: adds every value to the pixel it is under.
    pub(super) fn fold(&self, columns: &[f32], image: &mut [f32]) {
        self.for_inside(|at, pixel| image[pixel] += columns[at]);
    }
}

/// Gradients of a layer with weight and bias.
pub(super) struct Gradients {
    pub(super) dx: Option<Vec<f32>>,
    pub(super) dw: Vec<f32>,
    pub(super) db: Vec<f32>,
}

impl Gradients {
    /// Of a batch: `work(sample, dx, dw, db)` adds those of one sample. Slices of the batch are computed in parallel and
    /// added in their order. `sample` is the length of an input if its gradient is wanted.
    pub(super) fn of_batch(
        batch: usize,
        sample: Option<usize>,
        (weights, biases): (usize, usize),
        work: impl Fn(usize, Option<&mut [f32]>, &mut [f32], &mut [f32]) + Sync,
    ) -> Self {
        let length = sample.unwrap_or(0);
        let mut dx = vec![0_f32; batch * length];
        let mut slices: Vec<Option<&mut [f32]>> =
            if length > 0 { dx.chunks_mut(SLICE * length).map(Some).collect() } else { Vec::new() };
        slices.resize_with(batch.div_ceil(SLICE), || None);
        let parts: Vec<(Vec<f32>, Vec<f32>)> = slices
            .into_par_iter()
            .enumerate()
            .map(|(slice, mut dx)| {
                let (mut dw, mut db) = (vec![0_f32; weights], vec![0_f32; biases]);
                let first = slice * SLICE;
                for sample in first..(first + SLICE).min(batch) {
                    let at = (sample - first) * length..(sample - first + 1) * length;
                    work(sample, dx.as_mut().map(|dx| &mut dx[at]), &mut dw, &mut db);
                }
                (dw, db)
            })
            .collect();
        let (mut dw, mut db) = (vec![0_f32; weights], vec![0_f32; biases]);
        for (dw_part, db_part) in &parts {
            add(&mut dw, dw_part);
            add(&mut db, db_part);
        }
        Self { dx: sample.map(|_| dx), dw, db }
    }
}
