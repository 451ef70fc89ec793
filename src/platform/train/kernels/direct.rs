//! A convolution with a stride of 1 by matrix products that read the image where it lies.
//!
//! In an image of width `w`, the values under element `(ky, kx)` of all windows are the image from `ky * w + kx` on: a row of the
//! unfolded image is the image itself, shifted. So nothing is unfolded; the price is that windows which would cross the right edge are
//! computed, too, and thrown away. The gradients are products of the same kind: that of the weights of shifted images with the
//! output's gradient, that of the input of the shifted gradient with the weights.

use super::conv2d::Products;
use super::geometry::Geometry;
use super::tile::{Left, Right, Vectors, product};

/// Values in a line of cache, and in the widest vector.
const LINE: usize = 16;

/// A stride of 1.
pub(super) struct Direct {
    g: Geometry,
    vectors: Vectors,
    /// Height and width of the input with its padding.
    padded: (usize, usize),
    /// Where in the padded input the values under each element of the window begin.
    shifts: Vec<usize>,
    /// Where each output's weights begin.
    weights: Vec<usize>,
    input_gradient: Option<InputGradient>,
}

/// What the input gradient needs: the full convolution of the output's gradient, with zeros around it, with the weights the other way
/// round.
struct InputGradient {
    /// `[channels, out, kernel, kernel]`, each kernel from its end.
    weight: Vec<f32>,
    /// Where each channel's weights begin.
    channels: Vec<usize>,
    /// Height and width of a plane of the output's gradient with the zeros around it.
    plane: (usize, usize),
    /// Where in the planes the values under each element of the window begin.
    shifts: Vec<usize>,
}

/// Where in planes of this size the values under each element of the window begin.
fn shifts(planes: usize, (height, width): (usize, usize), kernel: usize, begin: usize) -> Vec<usize> {
    let elements = |plane| (0..kernel * kernel).map(move |at| (plane, at / kernel, at % kernel));
    let all = (0..planes).flat_map(elements);
    all.map(|(plane, ky, kx)| begin + plane * height * width + ky * width + kx).collect()
}

impl InputGradient {
    fn new(g: &Geometry, weight: &[f32]) -> Self {
        let (out, channels, kernel) = (g.window.out, g.channels, g.window.kernel);
        let elements = kernel * kernel;
        let mut turned = Vec::with_capacity(weight.len());
        for channel in 0..channels {
            for output in 0..out {
                let from = (output * channels + channel) * elements;
                turned.extend(weight[from..from + elements].iter().rev());
            }
        }
        let (height, width) = g.output();
        let plane = (height + 2 * (kernel - 1), width + 2 * (kernel - 1));
        // Nothing is computed for the padding.
        let begin = g.window.padding * (plane.1 + 1);
        Self {
            weight: turned,
            channels: (0..channels).map(|channel| channel * out * elements).collect(),
            plane,
            shifts: shifts(out, plane, kernel, begin),
        }
    }
}

impl Direct {
    /// `backward`: the weights, if gradients are wanted, and whether the input's is.
    pub(super) fn new(g: Geometry, backward: Option<(&[f32], bool)>) -> Self {
        let padded = (g.height + 2 * g.window.padding, g.width + 2 * g.window.padding);
        let wanted = backward.filter(|(_, input_gradient)| *input_gradient);
        Self {
            g,
            vectors: Vectors::here(),
            padded,
            shifts: shifts(g.channels, padded, g.window.kernel, 0),
            weights: (0..g.window.out).map(|output| output * g.rows()).collect(),
            input_gradient: wanted.map(|(weight, _)| InputGradient::new(&g, weight)),
        }
    }

    /// Values of a sample with its padding; none if it needs no copy.
    fn padded_size(&self) -> usize {
        if self.g.window.padding == 0 { 0 } else { self.g.channels * self.padded.0 * self.padded.1 }
    }

    /// The sample with zeros around its planes.
    fn pad<'a>(&self, x: &'a [f32], scratch: &'a mut [f32]) -> &'a [f32] {
        let (g, padding) = (&self.g, self.g.window.padding);
        if padding == 0 {
            return x;
        }
        scratch.fill(0.0);
        let planes = scratch.chunks_mut(self.padded.0 * self.padded.1).zip(x.chunks(g.height * g.width));
        for (padded, plane) in planes {
            let rows = padded.chunks_mut(self.padded.1).skip(padding).zip(plane.chunks(g.width));
            rows.for_each(|(padded, row)| padded[padding..padding + g.width].copy_from_slice(row));
        }
        scratch
    }

    /// Output positions from the first to the last, with those between rows that are no windows.
    fn reach(&self) -> usize {
        let (height, width) = self.g.output();
        (height - 1) * self.padded.1 + width
    }

    /// Whether the weight gradient is computed with its rows and columns exchanged: then the gradient at the output is what is turned,
    /// otherwise the unfolded image, whichever is smaller.
    fn is_turned(&self) -> bool {
        self.g.rows() >= self.g.window.out
    }

    /// Values from one row to the next of what is turned: whole lines, an odd number of them, so that rows do not share places in the
    /// cache.
    fn turned_pitch(&self) -> usize {
        let columns = if self.is_turned() { self.g.window.out } else { self.g.rows() };
        (columns.div_ceil(LINE) | 1) * LINE
    }

    fn turned_size(&self) -> usize {
        self.turned_pitch() * if self.is_turned() { self.reach() } else { self.g.pixels() }
    }

    fn add_weight_gradient(&self, x: &[f32], dout: &[f32], turned: &mut [f32], dw: &mut [f32]) {
        let (g, pitch) = (&self.g, self.turned_pitch());
        let (out, rows, pixels) = (g.window.out, g.rows(), g.pixels());
        if self.is_turned() {
            // [position, output], zero between the rows.
            let width = g.output().1;
            for (at, row) in turned.chunks_mut(self.padded.1 * pitch).enumerate() {
                let (row, gap) = row.split_at_mut(width * pitch);
                gap.fill(0.0);
                for (column, values) in row.chunks_mut(pitch).enumerate() {
                    let from = dout[at * width + column..].iter().step_by(pixels);
                    values.iter_mut().zip(from).for_each(|(value, dout)| *value = *dout);
                }
            }
            let steps: Vec<usize> = (0..self.reach()).map(|position| position * pitch).collect();
            let left = Left { values: x, rows: &self.shifts, stride: 1 };
            product(self.vectors, left, Right { values: turned, steps: &steps }, out, dw, out, true);
            return;
        }
        // [pixel, element of the window].
        let (height, width) = g.output();
        for y in 0..height {
            for column in 0..width {
                let values = &mut turned[(y * width + column) * pitch..][..rows];
                let at = y * self.padded.1 + column;
                values.iter_mut().zip(&self.shifts).for_each(|(value, shift)| *value = x[at + shift]);
            }
        }
        let outputs: Vec<usize> = (0..out).map(|output| output * pixels).collect();
        let steps: Vec<usize> = (0..pixels).map(|pixel| pixel * pitch).collect();
        let left = Left { values: dout, rows: &outputs, stride: 1 };
        product(self.vectors, left, Right { values: turned, steps: &steps }, rows, dw, rows, true);
    }
}

impl InputGradient {
    /// Values of the planes, and of the gradient with its gaps.
    fn sizes(&self, g: &Geometry) -> (usize, usize) {
        (g.window.out * self.plane.0 * self.plane.1, g.channels * g.height * self.plane.1)
    }

    fn write(&self, g: &Geometry, vectors: Vectors, dout: &[f32], scratch: &mut [f32], dx: &mut [f32]) {
        let (planes, full) = scratch.split_at_mut(self.sizes(g).0);
        let ((height, width), pitch, margin) = (g.output(), self.plane.1, g.window.kernel - 1);
        for (plane, dout) in planes.chunks_mut(self.plane.0 * pitch).zip(dout.chunks(height * width)) {
            let (above, rest) = plane.split_at_mut(margin * pitch);
            let (inside, below) = rest.split_at_mut(height * pitch);
            above.fill(0.0);
            below.fill(0.0);
            for (plane, row) in inside.chunks_mut(pitch).zip(dout.chunks(width)) {
                plane[..margin].fill(0.0);
                plane[margin..margin + width].copy_from_slice(row);
                plane[margin + width..].fill(0.0);
            }
        }
        let left = Left { values: &self.weight, rows: &self.channels, stride: 1 };
        let right = Right { values: planes, steps: &self.shifts };
        let reach = (g.height - 1) * pitch + g.width;
        product(vectors, left, right, reach, full, g.height * pitch, false);
        for (dx, full) in dx.chunks_mut(g.height * g.width).zip(full.chunks(g.height * pitch)) {
            let rows = dx.chunks_mut(g.width).zip(full.chunks(pitch));
            rows.for_each(|(dx, full)| dx.copy_from_slice(&full[..g.width]));
        }
    }
}

impl Products for Direct {
    fn pitch(&self) -> usize {
        self.padded.1
    }

    fn scratch(&self) -> usize {
        self.padded_size()
    }

    fn convolve(&self, x: &[f32], weight: &[f32], scratch: &mut [f32], planes: &mut [f32]) {
        let x = self.pad(x, scratch);
        let left = Left { values: weight, rows: &self.weights, stride: 1 };
        let pitch = self.g.output().0 * self.padded.1;
        product(
            self.vectors,
            left,
            Right { values: x, steps: &self.shifts },
            self.reach(),
            planes,
            pitch,
            false,
        );
    }

    fn weight_gradient_size(&self) -> usize {
        self.g.window.out * self.g.rows()
    }

    fn gradient_scratch(&self) -> usize {
        let (planes, full) = self.input_gradient.as_ref().map_or((0, 0), |input| input.sizes(&self.g));
        self.padded_size() + self.turned_size().max(planes + full)
    }

    fn gradients(
        &self,
        x: &[f32],
        dout: &[f32],
        scratch: &mut [f32],
        dw: &mut [f32],
        dx: Option<&mut [f32]>,
    ) {
        let (padded, scratch) = scratch.split_at_mut(self.padded_size());
        let x = self.pad(x, padded);
        self.add_weight_gradient(x, dout, &mut scratch[..self.turned_size()], dw);
        if let (Some(input), Some(dx)) = (&self.input_gradient, dx) {
            let (planes, full) = input.sizes(&self.g);
            input.write(&self.g, self.vectors, dout, &mut scratch[..planes + full], dx);
        }
    }

    fn in_order(&self, dw: Vec<f32>) -> Vec<f32> {
        if !self.is_turned() {
            return dw;
        }
        let (rows, out) = (self.g.rows(), self.g.window.out);
        let value = |at: usize| dw[at % rows * out + at / rows];
        (0..dw.len()).map(value).collect()
    }
}
