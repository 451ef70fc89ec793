//! The layers by candle's own operations: the path on accelerators, and the reference that the kernels are tested against.

use candle_core::{D, Result, Tensor};

use super::kernels::EPSILON;
use super::spec::Conv2d;

/// `x w^T + b`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
}

/// Cross-correlation plus bias.
pub(super) fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, window: Conv2d) -> Result<Tensor> {
    let y = x.conv2d(weight, window.padding, window.stride, 1, 1)?;
    y.broadcast_add(&bias.reshape((1, (), 1, 1))?)
}

/// The windows of side `side` along dimensions of their own: `[batch, channels, rows, side, columns, side]`.
fn windows(x: &Tensor, side: usize) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (rows, columns) = (height / side, width / side);
    let x = x.narrow(2, 0, rows * side)?.narrow(3, 0, columns * side)?.contiguous()?;
    x.reshape(vec![batch, channels, rows, side, columns, side])
}

/// The largest value of each window. Written with reductions because the gradient of candle's own pooling is wrong; of
/// equal values each gets the gradient.
pub(super) fn max_pool2d(x: &Tensor, side: usize) -> Result<Tensor> {
    windows(x, side)?.max(D::Minus1)?.max(3)
}

/// The mean of each window.
pub(super) fn avg_pool2d(x: &Tensor, side: usize) -> Result<Tensor> {
    windows(x, side)?.mean(D::Minus1)?.mean(3)
}

/// `[1, channels, 1, 1]` or `[1, features]`, to go with `x`.
fn along_channels(values: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; x.rank()];
    shape[1] = values.elem_count();
    values.reshape(shape)
}

/// Mean and biased variance of each channel.
pub(super) fn moments(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let channels = x.dim(1)?;
    let flat = x.transpose(0, 1)?.contiguous()?.reshape((channels, ()))?;
    let mean = flat.mean_keepdim(1)?;
    let variance = flat.broadcast_sub(&mean)?.sqr()?.mean(1)?;
    Ok((mean.flatten_all()?, variance))
}

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
pub(super) fn normalize(
    x: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let deviation = along_channels(&(variance + f64::from(EPSILON))?.sqrt()?, x)?;
    x.broadcast_sub(&along_channels(mean, x)?)?
        .broadcast_div(&deviation)?
        .broadcast_mul(&along_channels(weight, x)?)?
        .broadcast_add(&along_channels(bias, x)?)
}

/// Mean cross entropy of logits against class indices.
pub(super) fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    candle_nn::loss::cross_entropy(logits, &Tensor::new(targets, logits.device())?)
}

/// Mean squared error against numbers.
pub(super) fn mean_squared_error(predictions: &Tensor, targets: &[f32]) -> Result<Tensor> {
    candle_nn::loss::mse(&predictions.flatten_all()?, &Tensor::new(targets, predictions.device())?)
}
