//! The two ways of doing what is heavy in a layer: our kernels, which repeat bit for bit, or candle's own operations.

use candle_core::{D, Result, Tensor};

use crate::platform::train::kernels::{self, Cell};
use crate::platform::train::spec::{Conv2d, ConvTranspose2d, Pool};
use crate::platform::train::stock;

/// How a network is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// On the processor.
    Kernels,
    /// On accelerators, and as the reference in tests.
    Stock,
}

impl Path {
    /// `x w^T + b` for `x` `[..., inputs]`.
    pub(super) fn linear(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (inputs, outputs) = (weight.dim(1)?, weight.dim(0)?);
        let rows = x.reshape(((), inputs))?;
        let y = match self {
            Self::Kernels => rows.apply_op3(weight, bias, kernels::Linear::new(false, None))?,
            Self::Stock => stock::linear(&rows, weight, bias)?,
        };
        let mut shape = x.dims().to_vec();
        shape.pop();
        shape.push(outputs);
        y.reshape(shape)
    }

    /// The product of each pair of matrices of `[count, m, k]` and `[count, k, n]`.
    pub(super) fn products(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match self {
            Self::Kernels => a.apply_op2(b, kernels::MatrixProducts { transposed: false }),
            Self::Stock => a.matmul(b),
        }
    }

    /// The same with `b` `[count, n, k]` transposed.
    pub(super) fn products_transposed(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match self {
            Self::Kernels => a.apply_op2(b, kernels::MatrixProducts { transposed: true }),
            Self::Stock => a.matmul(&b.t()?),
        }
    }

    /// Softmax over the last dimension.
    pub(super) fn softmax(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Kernels => x.apply_op1(kernels::Softmax),
            Self::Stock => candle_nn::ops::softmax(x, D::Minus1),
        }
    }

    /// Convolution and bias.
    pub(super) fn conv2d(self, x: &Tensor, weight: &Tensor, bias: &Tensor, window: Conv2d) -> Result<Tensor> {
        match self {
            Self::Kernels => x.apply_op3(weight, bias, kernels::GroupedConv2d(window)),
            Self::Stock => stock::conv2d(x, weight, bias, window),
        }
    }

    /// Transposed convolution and bias.
    pub(super) fn conv_transpose2d(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        window: ConvTranspose2d,
    ) -> Result<Tensor> {
        match self {
            Self::Kernels => x.apply_op3(weight, bias, kernels::ConvTranspose2d(window)),
            Self::Stock => stock::conv_transpose2d(x, weight, bias, window),
        }
    }

    /// The states of an LSTM or GRU.
    pub(super) fn recurrent(
        self,
        cell: Cell,
        gates: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> Result<Tensor> {
        match self {
            Self::Kernels => gates.apply_op3(weight, bias, kernels::Recurrent::new(cell)),
            Self::Stock => stock::recurrent(cell, gates, weight, bias),
        }
    }

    /// The largest value along the last dimension.
    pub(super) fn largest(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Kernels => x.apply_op1(kernels::MaxOfRow::new()),
            Self::Stock => x.max(D::Minus1),
        }
    }

    /// The largest value of each window.
    pub(super) fn max_pool(self, x: &Tensor, pool: Pool) -> Result<Tensor> {
        match self {
            Self::Kernels => x.apply_op1(kernels::MaxPoolWindows::new(pool)),
            Self::Stock => stock::max_pool_windows(x, pool),
        }
    }

    /// The mean of each window.
    pub(super) fn avg_pool(self, x: &Tensor, pool: Pool) -> Result<Tensor> {
        match self {
            Self::Kernels => x.apply_op1(kernels::AvgPoolWindows(pool)),
            Self::Stock => stock::avg_pool_windows(x, pool),
        }
    }
}
