//! The layers by candle's own operations: the path on accelerators, and the reference that the kernels are tested against.

use candle_core::{D, Result, Tensor};

use super::kernels::{Cell, Distance, EPSILON};
use super::spec::{Conv2d, ConvTranspose2d, Pool};

/// `x w^T + b`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
}

/// Cross-correlation plus bias.
pub(super) fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, window: Conv2d) -> Result<Tensor> {
    let y = x.conv2d(weight, window.padding, window.stride, window.dilation, window.groups)?;
    y.broadcast_add(&bias.reshape((1, (), 1, 1))?)
}

/// Transposed convolution plus bias.
pub(super) fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    window: ConvTranspose2d,
) -> Result<Tensor> {
    let y = x.conv_transpose2d(weight, window.padding, window.output_padding, window.stride, 1)?;
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

/// The pixels under windows that may overlap, along dimensions of their own; `x` has its padding already, or pixels beyond it
/// are those at its edge.
fn spread(x: &Tensor, pool: Pool, before: usize) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let inner = |side: usize| side - 2 * (pool.padding - before);
    let (rows, columns) = (pool.windows(inner(height)), pool.windows(inner(width)));
    let places = |windows: usize, side: usize| -> Result<Tensor> {
        let place = |at: usize, element: usize| {
            (at * pool.stride + element).saturating_sub(before).min(side - 1) as u32
        };
        let places = (0..windows).flat_map(|at| (0..pool.kernel).map(move |element| place(at, element)));
        Tensor::new(places.collect::<Vec<u32>>(), x.device())
    };
    x.index_select(&places(rows, height)?, 2)?.index_select(&places(columns, width)?, 3)?.reshape(vec![
        batch,
        channels,
        rows,
        pool.kernel,
        columns,
        pool.kernel,
    ])
}

/// The largest value of each window. A pixel at the edge stands for those beyond it: it is under the same window.
pub(super) fn max_pool_windows(x: &Tensor, pool: Pool) -> Result<Tensor> {
    spread(x, pool, pool.padding)?.max(D::Minus1)?.max(3)
}

/// The mean of each window, zeros beyond the image.
pub(super) fn avg_pool_windows(x: &Tensor, pool: Pool) -> Result<Tensor> {
    let padded = x.pad_with_zeros(2, pool.padding, pool.padding)?;
    let padded = padded.pad_with_zeros(3, pool.padding, pool.padding)?;
    spread(&padded, pool, 0)?.mean(D::Minus1)?.mean(3)
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

/// To mean 0 and variance 1 along the last dimension.
fn standardize(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + f64::from(EPSILON))?.sqrt()?)
}

/// Layer normalisation (Ba and others, 2016) over the last dimension.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    standardize(x)?.broadcast_mul(weight)?.broadcast_add(bias)
}

/// Group normalisation (Wu and He, 2018) of `[batch, channels, ...]`.
pub(super) fn group_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize) -> Result<Tensor> {
    let grouped = standardize(&x.reshape((x.dim(0)?, groups, ()))?)?;
    grouped
        .reshape(x.shape())?
        .broadcast_mul(&along_channels(weight, x)?)?
        .broadcast_add(&along_channels(bias, x)?)
}

/// The states of an LSTM or GRU, position after position; the arguments are those of
/// [`kernels::Recurrent`](super::kernels::Recurrent).
pub(super) fn recurrent(cell: Cell, gates: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (batch, length, _) = gates.dims3()?;
    let size = weight.dim(1)?;
    let mut state = Tensor::zeros((batch, size), gates.dtype(), gates.device())?;
    let mut memory = state.clone();
    let mut states = Vec::with_capacity(length);
    for position in 0..length {
        let a = gates.narrow(1, position, 1)?.squeeze(1)?;
        let b = linear(&state, weight, bias)?;
        let part = |gates: &Tensor, gate: usize| gates.narrow(1, gate * size, size);
        let sigmoid = |gate: usize| candle_nn::ops::sigmoid(&(part(&a, gate)? + part(&b, gate)?)?);
        state = match cell {
            Cell::Lstm => {
                let new = (part(&a, 2)? + part(&b, 2)?)?.tanh()?;
                memory = ((sigmoid(1)? * &memory)? + (sigmoid(0)? * new)?)?;
                (sigmoid(3)? * memory.tanh()?)?
            }
            Cell::Gru => {
                let new = (part(&a, 2)? + (sigmoid(0)? * part(&b, 2)?)?)?.tanh()?;
                let update = sigmoid(1)?;
                // (1 - z) n + z h
                (&new + (update * (state - &new)?)?)?
            }
        };
        states.push(state.clone());
    }
    Tensor::stack(&states, 1)
}

/// Mean cross entropy of `[batch, classes]` logits against shares of each class.
pub(super) fn cross_entropy(logits: &Tensor, shares: Vec<f32>) -> Result<Tensor> {
    let shares = Tensor::from_vec(shares, logits.shape(), logits.device())?;
    let likelihood = (candle_nn::ops::log_softmax(logits, 1)? * shares)?.sum_all()?;
    likelihood * (-1.0 / logits.dim(0)? as f64)
}

/// Mean distance of `[batch, 1]` predictions from numbers.
pub(super) fn mean_distance(predictions: &Tensor, distance: Distance, targets: &[f32]) -> Result<Tensor> {
    let y = predictions.flatten_all()?;
    let t = Tensor::new(targets, predictions.device())?;
    let difference = (&y - &t)?;
    let losses = match distance {
        Distance::Squared => difference.sqr()?,
        Distance::Absolute => difference.abs()?,
        Distance::Huber(delta) => {
            // The part of the distance within delta is squared, the part beyond is not.
            let (delta, whole) = (f64::from(delta), difference.abs()?);
            let beyond = (&whole - delta)?.relu()?;
            let within = (whole - &beyond)?;
            ((within.sqr()? * 0.5)? + (beyond * delta)?)?
        }
        Distance::Logistic => {
            let logarithm = (y.abs()?.neg()?.exp()? + 1.0)?.log()?;
            ((y.relu()? - (&y * &t)?)? + logarithm)?
        }
    };
    losses.mean_all()
}
