//! A network with its shapes: what the layers of `mlp.yaml` come to for one input shape, before anything is allocated.

mod resolver;
mod shape;
mod words;

use resolver::{Resolver, layer_error};

pub(super) use shape::channel_axis;

use super::spec::{Conv1d, Conv2d, ConvTranspose2d, Layer, Pool, RecurrentOutput};
use super::{ModelSpec, TrainError};
use crate::base::{nearest, plural};

/// Elements of one tensor (per example for activations) beyond which a network is taken for a mistake: 2^28, 1 GiB of f32.
const LIMIT: usize = 1 << 28;

/// Parameters beyond which a network is taken for a mistake: 8 GiB of f32.
const MOST_PARAMETERS: usize = 1 << 31;

/// Layers beyond which a network is taken for a mistake.
const MOST_LAYERS: usize = 10_000;

/// Levels of `residual` or `parallel` inside each other that are followed.
const DEEPEST: usize = 32;

/// A network whose layers fit the input, each other and the number of outputs.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// Layers in order.
    pub(crate) layers: Vec<Resolved>,
    /// All tensors of the model, in the order of the layers.
    pub(crate) tensors: Vec<TensorSpec>,
    /// Shape of one input.
    pub(crate) input: Vec<usize>,
    /// Values that come out.
    pub(crate) outputs: usize,
}

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorSpec {
    /// `layers.3.weight`; `layers.3.2.weight` inside a residual. Layers count from 1, as in messages.
    pub(crate) name: String,
    /// Dimensions.
    pub(crate) shape: Vec<usize>,
    /// How it begins.
    pub(crate) initial: Initial,
    /// False for the running statistics of batch normalisation, and for what is frozen.
    pub(crate) trained: bool,
    /// Whether `train.freeze` says that it stays as it is.
    pub(crate) frozen: bool,
}

/// How a tensor begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Initial {
    /// Uniform between minus and plus this bound.
    Uniform(f32),
    /// Normal with mean 0 and this deviation.
    Normal(f32),
    /// All the same.
    Constant(f32),
}

/// A layer with its shapes.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// In words: `conv2d 32x3x3`.
    pub(crate) name: String,
    /// Shape of its output for one example.
    pub(crate) output: Vec<usize>,
    /// Trained parameters, of inner layers too.
    pub(crate) parameters: usize,
    /// What it does.
    pub(crate) operation: Operation,
}

/// What a layer does. Fields such as `weight` are indices into [`Network::tensors`].
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// `x w^T + b`, weight `[outputs, inputs]`; the bias is the tensor after the weight.
    Linear { weight: usize },
    /// Cross-correlation along a sequence plus bias, weight `[out, features, kernel]`; the bias is the tensor after it.
    Conv1d { weight: usize, window: Conv1d },
    /// Cross-correlation plus bias, weight `[out, channels / groups, kernel, kernel]`; the bias is the tensor after it.
    Conv2d { weight: usize, window: Conv2d },
    /// Transposed convolution plus bias, weight `[channels, out, kernel, kernel]`; the bias is the tensor after it.
    ConvTranspose2d { weight: usize, window: ConvTranspose2d },
    /// Largest value of each window of this side and stride.
    MaxPool2d(usize),
    /// Mean of each window of this side and stride.
    AvgPool2d(usize),
    /// Largest value of each window that may overlap others or reach beyond the image.
    MaxPoolWindows(Pool),
    /// Mean of each such window.
    AvgPoolWindows(Pool),
    /// Largest value of each channel.
    GlobalMaxPool,
    /// Mean of each channel.
    GlobalAvgPool,
    /// Weight, bias, running mean and running variance are four tensors in a row. Frozen, it goes by the running ones also
    /// while training.
    BatchNorm { weight: usize, frozen: bool },
    /// Over the last dimension; the bias is the tensor after the weight.
    LayerNorm { weight: usize },
    /// Over this many groups of channels; the bias is the tensor after the weight.
    GroupNorm { weight: usize, groups: usize },
    /// Share of values set to zero, and the layer's own number in the key of its random numbers.
    Dropout { share: f32, number: u64 },
    /// max(x, 0).
    Relu,
    /// x over 0, else this factor times x.
    LeakyRelu(f32),
    /// Gaussian error linear unit.
    Gelu,
    /// x times its logistic function.
    Silu,
    /// Logistic function.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// To one dimension.
    Flatten,
    /// The same values in this shape.
    Reshape(Vec<usize>),
    /// A row of the weight `[tokens, size]` for each token.
    Embedding { weight: usize, padding: Option<usize> },
    /// Adds the weight `[length, size]`.
    PositionalEmbedding { weight: usize },
    /// Four tensors: weight and bias of the three input projections in one, then of the output projection.
    Attention { weight: usize, heads: usize, causal: bool },
    /// Four tensors: weights for input and state, biases for input and state; gates in the order i, f, g, o.
    Lstm { weight: usize, output: RecurrentOutput },
    /// As for the LSTM; gates in the order r, z, n.
    Gru { weight: usize, output: RecurrentOutput },
    /// Adds what the shortcut makes of its input to the output of the layers.
    Residual { layers: Vec<Resolved>, shortcut: Vec<Resolved> },
    /// Joins the outputs of the branches along their channels.
    Parallel(Vec<Vec<Resolved>>),
}

impl Resolved {
    /// The lists of layers inside it.
    pub(crate) fn inner(&self) -> Vec<&[Resolved]> {
        match &self.operation {
            Operation::Residual { layers, shortcut } => vec![layers, shortcut],
            Operation::Parallel(branches) => branches.iter().map(Vec::as_slice).collect(),
            _ => Vec::new(),
        }
    }
}

impl Network {
    /// Infers the shape of every layer for inputs of `input` and counts the parameters.
    pub(crate) fn resolve(layers: &[Layer], input: &[usize], outputs: usize) -> Result<Self, TrainError> {
        let mut resolver = Resolver::new(outputs);
        if input.is_empty() || input.contains(&0) || product(input).is_none() {
            return Err(TrainError::setting("input.shape", format!("cannot be {input:?}")));
        }
        if layers.is_empty() {
            return Err(TrainError::setting("network", "has no layers"));
        }
        let (resolved, last) = resolver.list(layers, input, "", 0)?;
        if resolved.iter().map(|layer| layer.parameters).sum::<usize>() > MOST_PARAMETERS {
            return Err(TrainError::setting("network", format!("has over {MOST_PARAMETERS} parameters")));
        }
        let fail = |detail| layer_error(&layers.len().to_string(), &layers[layers.len() - 1], detail);
        match last[..] {
            [found] if found == outputs => {}
            [found] => {
                return Err(fail(format!(
                    "the network ends with {} but the data have {}; make the last layer `linear: {outputs}`",
                    plural(found as u64, "output"),
                    if outputs == 1 {
                        "one number to predict".to_owned()
                    } else {
                        format!("{outputs} classes")
                    },
                )));
            }
            _ => {
                return Err(fail(format!(
                    "the network ends with the shape {last:?}; end it with `flatten` and `linear: {outputs}`"
                )));
            }
        }
        Ok(Self { layers: resolved, tensors: resolver.tensors, input: input.to_owned(), outputs })
    }

    /// Values per example that the batch normalisation with this weight averages over.
    pub(crate) fn positions(&self, weight: usize) -> Option<usize> {
        fn search(layers: &[Resolved], wanted: usize) -> Option<usize> {
            layers.iter().find_map(|layer| match &layer.operation {
                Operation::BatchNorm { weight, .. } if *weight == wanted => {
                    let channels = layer.output[channel_axis(&layer.output)];
                    Some(layer.output.iter().product::<usize>() / channels)
                }
                _ => layer.inner().into_iter().find_map(|inner| search(inner, wanted)),
            })
        }
        search(&self.layers, weight)
    }

    /// How many different tokens its inputs are made of, if they are tokens.
    pub(crate) fn tokens(&self) -> Option<usize> {
        match self.layers.first()?.operation {
            Operation::Embedding { weight, .. } => Some(self.tensors[weight].shape[0]),
            _ => None,
        }
    }

    /// The token that fills up its inputs, if they are tokens and it leaves that one out.
    pub(crate) fn padding(&self) -> Option<usize> {
        match self.layers.first()?.operation {
            Operation::Embedding { padding, .. } => padding,
            _ => None,
        }
    }

    /// Keeps the tensors whose names begin with one of `names` from being trained; batch normalisation with such a weight
    /// goes by its running statistics.
    pub(crate) fn freeze(&mut self, names: &[String]) -> Result<(), TrainError> {
        for name in names {
            if !self.tensors.iter().any(|tensor| begins(&tensor.name, name)) {
                let known = self.tensors.iter().map(|tensor| tensor.name.as_str());
                let near = nearest(name, known).unwrap_or("layers.1.weight");
                let detail = format!("names no tensor `{name}`; there is `{near}`");
                return Err(TrainError::setting("train.freeze", detail));
            }
        }
        for tensor in &mut self.tensors {
            tensor.frozen = names.iter().any(|name| begins(&tensor.name, name));
            tensor.trained &= !tensor.frozen;
        }
        freeze_statistics(&mut self.layers, &self.tensors);
        if !names.is_empty() && !self.tensors.iter().any(|tensor| tensor.trained) {
            return Err(TrainError::setting("train.freeze", "leaves nothing to train"));
        }
        Ok(())
    }

    /// Number of trained parameters.
    pub(crate) fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }
}

/// Whether `tensor` is called `name` or lies in the layer of that name: `layers.1` holds `layers.1.weight`, not `layers.10.weight`.
pub(super) fn begins(tensor: &str, name: &str) -> bool {
    tensor.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Checks network and training settings against an input shape and a number of outputs, without allocating anything;
/// describes each layer (`conv2d 32x3x3`, `[32, 26, 26]`, trained parameters).
///
/// # Errors
/// [`TrainError::Layer`] names the layer and what does not fit; [`TrainError::Setting`] the key.
pub fn check(
    spec: &ModelSpec,
    input: &[usize],
    outputs: usize,
) -> Result<Vec<(String, Vec<usize>, usize)>, TrainError> {
    super::settings::check(spec)?;
    let mut network = Network::resolve(&spec.network, input, outputs)?;
    network.freeze(&spec.train.freeze)?;
    Ok(network.layers.into_iter().map(|layer| (layer.name, layer.output, layer.parameters)).collect())
}

/// How many outputs the layers themselves say they have, where the number of classes is not known: those of the last
/// `linear`; `output` goes with any number, so that 1 stands for it.
pub fn last_outputs(layers: &[Layer]) -> Option<usize> {
    layers.iter().rev().find_map(|layer| match layer {
        Layer::Linear(outputs) => Some(*outputs),
        Layer::Output => Some(1),
        _ => None,
    })
}

/// Tells each batch normalisation whether its weight is frozen.
fn freeze_statistics(layers: &mut [Resolved], tensors: &[TensorSpec]) {
    for layer in layers {
        match &mut layer.operation {
            Operation::BatchNorm { weight, frozen } => *frozen = tensors[*weight].frozen,
            Operation::Residual { layers, shortcut } => {
                freeze_statistics(layers, tensors);
                freeze_statistics(shortcut, tensors);
            }
            Operation::Parallel(branches) => {
                branches.iter_mut().for_each(|branch| freeze_statistics(branch, tensors));
            }
            _ => {}
        }
    }
}

/// Number of elements of a shape, if it is within the limit.
fn product(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side))
        .filter(|&elements| elements <= LIMIT)
}

#[cfg(test)]
mod tests;
