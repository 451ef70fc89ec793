//! The layers of `network:`.
//!
//! Images are `[channels, height, width]`, sequences `[length, features]`, everything else is one dimension of features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::Form;

/// One layer as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// Fully connected to so many outputs, with bias; on a sequence, at each of its positions.
    Linear(usize),
    /// Fully connected to as many outputs as the data have classes, or to one for a number.
    Output,
    /// One-dimensional convolution with bias along a sequence.
    Conv1d(Conv1d),
    /// Two-dimensional convolution with bias.
    Conv2d(Conv2d),
    /// Transposed two-dimensional convolution with bias: what makes images larger.
    ConvTranspose2d(ConvTranspose2d),
    /// Largest value of each window of this size and stride.
    MaxPool2d(Pool),
    /// Mean of each window of this size and stride.
    AvgPool2d(Pool),
    /// Largest value of each channel of an image, or of each feature along a sequence.
    GlobalMaxPool,
    /// Mean of each channel of an image, or of each feature along a sequence.
    GlobalAvgPool,
    /// Batch normalisation over all but the channel (or feature) dimension.
    BatchNorm,
    /// Layer normalisation over the features; in a sequence, of each position.
    LayerNorm,
    /// Group normalisation over this many groups of channels.
    GroupNorm(usize),
    /// Sets this share of values to zero while training.
    Dropout(f32),
    /// max(x, 0).
    Relu,
    /// x where it is over 0, else this factor times x.
    LeakyRelu(f32),
    /// Gaussian error linear unit, exact (erf) form.
    Gelu,
    /// x times its logistic function; also called swish.
    Silu,
    /// Logistic function, 1 / (1 + exp(-x)).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// To one dimension.
    Flatten,
    /// The same values in this shape: `[28, 28]` makes an image of one channel a sequence of its rows.
    Reshape(Vec<usize>),
    /// A learned vector for each token; the input is a list of token numbers. Can only be the first layer.
    Embedding(Embedding),
    /// Adds a learned vector to each position of a sequence.
    PositionalEmbedding,
    /// Multi-head self-attention with input and output projection.
    Attention(Attention),
    /// Long short-term memory along a sequence.
    Lstm(Recurrent),
    /// Gated recurrent unit along a sequence.
    Gru(Recurrent),
    /// Adds the input of these layers, or what `shortcut` makes of it, to their output.
    Residual(Residual),
    /// Each list of layers gets the same input; their outputs are joined along channels (or features).
    Parallel(Vec<Vec<Layer>>),
}

/// A one-dimensional convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv1d {
    /// Output features.
    pub out: usize,
    /// Positions under the kernel.
    pub kernel: usize,
    /// Step between windows.
    #[serde(default = "one")]
    pub stride: usize,
    /// Zeros added at each end.
    #[serde(default)]
    pub padding: usize,
    /// Step between the positions under the kernel.
    #[serde(default = "one")]
    pub dilation: usize,
}

/// A two-dimensional convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    pub out: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Step between windows.
    #[serde(default = "one")]
    pub stride: usize,
    /// Zeros added on each side.
    #[serde(default)]
    pub padding: usize,
    /// Step between the pixels under the kernel, 1 if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub dilation: usize,
    /// Groups of channels that are convolved apart, 1 if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
}

impl Conv2d {
    /// Whether it is neither dilated nor grouped.
    pub(in crate::platform::train) fn is_plain(&self) -> bool {
        self.dilation == 1 && self.groups == 1
    }
}

/// A transposed two-dimensional convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose2d {
    /// Output channels.
    pub out: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Step between the windows of the output.
    #[serde(default = "one")]
    pub stride: usize,
    /// Rows and columns left out on each side of the output.
    #[serde(default)]
    pub padding: usize,
    /// Rows and columns added below and to the right of the output.
    #[serde(default)]
    pub output_padding: usize,
}

/// Square windows over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "PoolForm", into = "PoolForm")]
#[schemars(inline)]
pub struct Pool {
    /// Side of a window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Pixels by which windows reach beyond each side.
    pub padding: usize,
}

impl Pool {
    /// Windows that divide the image.
    pub(in crate::platform::train) fn square(side: usize) -> Self {
        Self { kernel: side, stride: side, padding: 0 }
    }

    /// The side of windows that divide the image.
    pub(in crate::platform::train) fn side(&self) -> Option<usize> {
        (*self == Self::square(self.kernel)).then_some(self.kernel)
    }

    /// Windows along a side that at least one fits.
    pub(in crate::platform::train) fn windows(&self, side: usize) -> usize {
        (side + 2 * self.padding - self.kernel) / self.stride + 1
    }
}

/// Windows with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Windows {
    /// Side of a window.
    kernel: usize,
    /// Step between windows; the side if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    /// Pixels by which windows reach beyond each side; a mean counts them as zeros.
    #[serde(default)]
    padding: usize,
}

type PoolForm = Form<usize, Windows>;

impl From<PoolForm> for Pool {
    fn from(form: PoolForm) -> Self {
        match form {
            Form::Short(side) => Self::square(side),
            Form::Long(Windows { kernel, stride, padding }) => {
                Self { kernel, stride: stride.unwrap_or(kernel), padding }
            }
        }
    }
}

impl From<Pool> for PoolForm {
    fn from(pool: Pool) -> Self {
        let Pool { kernel, stride, padding } = pool;
        match pool.side() {
            Some(side) => Self::Short(side),
            None => Self::Long(Windows { kernel, stride: Some(stride), padding }),
        }
    }
}

/// Learned vectors for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Number of different tokens: they are numbered from 0.
    pub tokens: usize,
    /// Length of a vector.
    pub size: usize,
    /// The token that fills short texts (0 where each byte is a token). Attention, global pooling and `output: last` then leave
    /// its positions out, as long as the sequence keeps its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<usize>,
}

/// Multi-head self-attention (Vaswani and others, 2017).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Heads, which share the features evenly.
    pub heads: usize,
    /// Whether a position sees only itself and those before it.
    #[serde(default)]
    pub causal: bool,
}

/// A recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recurrent {
    /// Length of the state.
    pub size: usize,
    /// What it gives.
    #[serde(default)]
    pub output: RecurrentOutput,
}

/// What a recurrent layer gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecurrentOutput {
    /// The state after each position.
    #[default]
    Sequence,
    /// The state after the last position.
    Last,
}

/// Layers with a way around them (He and others, 2016).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "ResidualForm", into = "ResidualForm")]
#[schemars(inline)]
pub struct Residual {
    /// The layers.
    pub layers: Vec<Layer>,
    /// What the input goes through on its way around; nothing if empty.
    pub shortcut: Vec<Layer>,
}

/// Layers with layers on the way around them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Projected {
    /// The layers.
    layers: Vec<Layer>,
    /// What the input goes through on its way around, such as a convolution that changes its shape.
    #[serde(default)]
    shortcut: Vec<Layer>,
}

type ResidualForm = Form<Vec<Layer>, Projected>;

impl From<ResidualForm> for Residual {
    fn from(form: ResidualForm) -> Self {
        match form {
            Form::Short(layers) => Self { layers, shortcut: Vec::new() },
            Form::Long(Projected { layers, shortcut }) => Self { layers, shortcut },
        }
    }
}

impl From<Residual> for ResidualForm {
    fn from(Residual { layers, shortcut }: Residual) -> Self {
        if shortcut.is_empty() { Self::Short(layers) } else { Self::Long(Projected { layers, shortcut }) }
    }
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}
