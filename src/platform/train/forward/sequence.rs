//! Layers along a sequence `[batch, length, features]`.

use candle_core::{DType, Result, Tensor};

use super::padding::Present;
use super::path::Path;
use crate::platform::train::kernels::Cell;
use crate::platform::train::spec::{Conv1d, RecurrentOutput};

/// The row of `weight` `[tokens, size]` for each token; tokens are whole numbers in f32.
pub(super) fn embedding(tokens: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (batch, length) = tokens.dims2()?;
    let rows = weight.index_select(&tokens.flatten_all()?.to_dtype(DType::U32)?, 0)?;
    rows.reshape((batch, length, weight.dim(1)?))
}

/// Cross-correlation along the sequence: the windows side by side, times the weight `[out, features, kernel]`.
pub(super) fn conv1d(
    path: Path,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    window: Conv1d,
    length: usize,
) -> Result<Tensor> {
    let (batch, _, features) = x.dims3()?;
    let Conv1d { out, kernel, stride, padding, dilation } = window;
    let x = x.pad_with_zeros(1, padding, padding)?;
    let at =
        |position: usize| (0..kernel).map(move |element| (position * stride + element * dilation) as u32);
    let at: Vec<u32> = (0..length).flat_map(at).collect();
    let windows = x.index_select(&Tensor::new(at, x.device())?, 1)?;
    let windows = windows.reshape((batch, length, kernel * features))?;
    let weight = weight.transpose(1, 2)?.contiguous()?.reshape((out, kernel * features))?;
    path.linear(&windows, &weight, bias)
}

/// Multi-head self-attention: softmax(q k^T / sqrt(size of a head)) v for each head (Vaswani and others, 2017); `tensors` are
/// weight and bias of the input projections in one and of the output projection. No position looks at one that is not `present`.
pub(super) fn attention(
    path: Path,
    x: &Tensor,
    tensors: &[Tensor],
    heads: usize,
    causal: bool,
    present: Option<&Present>,
) -> Result<Tensor> {
    let (batch, length, features) = x.dims3()?;
    let size = features / heads;
    let projected = path.linear(x, &tensors[0], &tensors[1])?;
    let projected = projected.reshape(vec![batch, length, 3, heads, size])?.permute([2, 0, 3, 1, 4])?;
    let projected = projected.contiguous()?.reshape((3, batch * heads, length, size))?;
    let [q, k, v] = [0, 1, 2].map(|index| projected.get(index));
    let scores = (path.products_transposed(&q?, &k?)? * (1.0 / (size as f64).sqrt()))?;
    let scores = if causal { scores.broadcast_add(&future(length, x)?)? } else { scores };
    let scores = present.map_or_else(|| Ok(scores.clone()), |present| present.masked(&scores))?;
    let seen = path.products(&path.softmax(&scores)?, &v?)?;
    let seen = seen.reshape((batch, heads, length, size))?.transpose(1, 2)?.contiguous()?;
    path.linear(&seen.reshape((batch, length, features))?, &tensors[2], &tensors[3])
}

/// `[length, length]`: minus infinity where the column comes after the row, else 0.
fn future(length: usize, like: &Tensor) -> Result<Tensor> {
    let after = |index: usize| if index % length > index / length { f32::NEG_INFINITY } else { 0.0 };
    let values: Vec<f32> = (0..length * length).map(after).collect();
    Tensor::from_vec(values, (length, length), like.device())
}

/// LSTM or GRU; `tensors` are the weights for input and state and the biases for both.
pub(super) fn recurrent(
    path: Path,
    cell: Cell,
    x: &Tensor,
    tensors: &[Tensor],
    output: RecurrentOutput,
    present: Option<&Present>,
) -> Result<Tensor> {
    let gates = path.linear(x, &tensors[0], &tensors[2])?;
    let states = path.recurrent(cell, &gates, &tensors[1], &tensors[3])?;
    match (output, present) {
        (RecurrentOutput::Sequence, _) => Ok(states),
        (RecurrentOutput::Last, Some(present)) => present.last(&states),
        (RecurrentOutput::Last, None) => states.get_on_dim(1, x.dim(1)? - 1)?.contiguous(),
    }
}
