//! A convolution by im2col: the values under each window in a column of their own, then one matrix product per sample.

use super::add;
use super::conv2d::Products;
use super::geometry::Geometry;
use super::matrix::{Matrix, multiply};
use crate::platform::train::spec;

/// Any stride.
pub(super) struct Unfolded {
    g: Geometry,
    /// For the input gradient.
    weight: Vec<f32>,
}

impl Unfolded {
    pub(super) fn new(g: Geometry, backward: Option<(&[f32], bool)>) -> Self {
        let weight =
            backward.filter(|(_, input_gradient)| *input_gradient).map(|(weight, _)| weight.to_vec());
        Self { g, weight: weight.unwrap_or_default() }
    }
}

impl Products for Unfolded {
    fn pitch(&self) -> usize {
        self.g.output().1
    }

    fn scratch(&self) -> usize {
        self.g.rows() * self.g.pixels()
    }

    fn convolve(&self, x: &[f32], weight: &[f32], columns: &mut [f32], planes: &mut [f32]) {
        let (pixels, rows) = (self.g.pixels(), self.g.rows());
        self.unfold(x, columns);
        let (weight, columns) = (Matrix::new(weight, rows), Matrix::new(columns, pixels));
        multiply((self.g.window.out, pixels, rows), weight, columns, planes, false);
    }

    fn weight_gradient_size(&self) -> usize {
        self.g.window.out * self.g.rows()
    }

    fn gradient_scratch(&self) -> usize {
        self.scratch()
    }

    fn gradients(
        &self,
        x: &[f32],
        dout: &[f32],
        columns: &mut [f32],
        dw: &mut [f32],
        dx: Option<&mut [f32]>,
    ) {
        let (pixels, rows, out) = (self.g.pixels(), self.g.rows(), self.g.window.out);
        self.unfold(x, columns);
        let dout = Matrix::new(dout, pixels);
        multiply((out, rows, pixels), dout, Matrix::new(columns, pixels).transposed(), dw, true);
        if let Some(dx) = dx {
            let weight = Matrix::new(&self.weight, rows).transposed();
            multiply((rows, pixels, out), weight, dout, columns, false);
            self.fold(columns, dx);
        }
    }

    fn in_order(&self, dw: Vec<f32>) -> Vec<f32> {
        dw
    }
}

impl Unfolded {
    /// Calls `visit(columns, input, count)` for each run of output pixels whose input lies inside the image: `count`
    /// values from index `columns` of the unfolded input, one after the other, and from index `input` of the sample, a
    /// stride apart. Everything else of the unfolded input is padding.
    fn for_runs(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (height, width) = self.g.output();
        let spec::Conv2d { kernel, stride, padding, .. } = self.g.window;
        // Output positions `from..to` along one side of whose windows the element at `offset` is inside the image.
        let inside = |offset: usize, side: usize, positions: usize| {
            let from = padding.saturating_sub(offset).div_ceil(stride);
            let to = (side + padding).saturating_sub(offset).div_ceil(stride).min(positions);
            (from.min(to), to)
        };
        let mut row = 0;
        for channel in 0..self.g.channels {
            for ky in 0..kernel {
                let (top, bottom) = inside(ky, self.g.height, height);
                for kx in 0..kernel {
                    let (left, right) = inside(kx, self.g.width, width);
                    if left < right {
                        for y in top..bottom {
                            let line = channel * self.g.height + y * stride + ky - padding;
                            let input = line * self.g.width + left * stride + kx - padding;
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
        let stride = self.g.window.stride;
        if self.g.window.padding > 0 {
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
        let stride = self.g.window.stride;
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
