//! The sizes of a convolution.

use crate::platform::train::spec;

/// Sizes of one convolution.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) window: spec::Conv2d,
}

impl Geometry {
    /// Height and width of the output.
    pub(super) fn output(&self) -> (usize, usize) {
        let side =
            |side: usize| (side + 2 * self.window.padding - self.window.kernel) / self.window.stride + 1;
        (side(self.height), side(self.width))
    }

    /// Pixels of one output plane.
    pub(super) fn pixels(&self) -> usize {
        let (height, width) = self.output();
        height * width
    }

    /// Rows of the unfolded input: values under one window.
    pub(super) fn rows(&self) -> usize {
        self.channels * self.window.kernel * self.window.kernel
    }

    /// Values of one input.
    pub(super) fn sample(&self) -> usize {
        self.channels * self.height * self.width
    }
}
