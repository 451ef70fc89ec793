//! A network with its shapes: what the layers of `mlp.yaml` come to for one input shape, before anything is allocated.

use super::spec::{Conv2d, Layer};
use super::{ModelSpec, TrainError};

/// Elements of one tensor (per example for activations) beyond which a network is taken for a mistake: 2^28, 1 GiB of f32.
const LIMIT: usize = 1 << 28;

/// Parameters beyond which a network is taken for a mistake: 8 GiB of f32.
const MOST_PARAMETERS: usize = 1 << 31;

/// Layers beyond which a network is taken for a mistake.
const MOST_LAYERS: usize = 10_000;

/// Levels of `residual` inside `residual` that are followed.
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
    /// False for the running statistics of batch normalisation.
    pub(crate) trained: bool,
}

/// How a tensor begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Initial {
    /// Uniform between minus and plus this bound.
    Uniform(f32),
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
    /// Cross-correlation plus bias, weight `[out, channels, kernel, kernel]`; the bias is the tensor after the weight.
    Conv2d { weight: usize, window: Conv2d },
    /// Largest value of each window of this side and stride.
    MaxPool2d(usize),
    /// Mean of each window of this side and stride.
    AvgPool2d(usize),
    /// Weight, bias, running mean and running variance are four tensors in a row.
    BatchNorm { weight: usize },
    /// Share of values set to zero, and the layer's own number in the key of its random numbers.
    Dropout { share: f32, number: u64 },
    /// max(x, 0).
    Relu,
    /// Gaussian error linear unit.
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// To one dimension.
    Flatten,
    /// Adds its input to the output of the layers.
    Residual(Vec<Resolved>),
}

impl Network {
    /// Infers the shape of every layer for inputs of `input` and counts the parameters.
    pub(crate) fn resolve(layers: &[Layer], input: &[usize], outputs: usize) -> Result<Self, TrainError> {
        let mut resolver = Resolver { tensors: Vec::new(), layers: 0, dropouts: 0 };
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
                    "the network ends with {found} outputs but the data have {}; make the last layer `linear: {outputs}`",
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
                Operation::BatchNorm { weight } if *weight == wanted => {
                    Some(layer.output[1..].iter().product())
                }
                Operation::Residual(inner) => search(inner, wanted),
                _ => None,
            })
        }
        search(&self.layers, weight)
    }

    /// Number of trained parameters.
    pub(crate) fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }
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
    let network = Network::resolve(&spec.network, input, outputs)?;
    Ok(network.layers.into_iter().map(|layer| (layer.name, layer.output, layer.parameters)).collect())
}

/// Number of elements of a shape, if it is within the limit.
fn product(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side))
        .filter(|&elements| elements <= LIMIT)
}

fn layer_error(index: &str, layer: &Layer, detail: String) -> TrainError {
    TrainError::Layer { index: index.to_owned(), layer: describe(layer), detail }
}

/// The layer in a few words.
fn describe(layer: &Layer) -> String {
    match layer {
        Layer::Linear(outputs) => format!("linear {outputs}"),
        Layer::Conv2d(conv) => {
            let mut text = format!("conv2d {}x{}x{}", conv.out, conv.kernel, conv.kernel);
            if conv.stride != 1 {
                text += &format!(" stride {}", conv.stride);
            }
            if conv.padding != 0 {
                text += &format!(" padding {}", conv.padding);
            }
            text
        }
        Layer::MaxPool2d(side) => format!("max_pool2d {side}"),
        Layer::AvgPool2d(side) => format!("avg_pool2d {side}"),
        Layer::BatchNorm => "batch_norm".to_owned(),
        Layer::Dropout(share) => format!("dropout {share}"),
        Layer::Relu => "relu".to_owned(),
        Layer::Gelu => "gelu".to_owned(),
        Layer::Tanh => "tanh".to_owned(),
        Layer::Flatten => "flatten".to_owned(),
        Layer::Residual(inner) => format!("residual of {} layers", inner.len()),
    }
}

struct Resolver {
    tensors: Vec<TensorSpec>,
    layers: usize,
    dropouts: u64,
}

impl Resolver {
    fn list(
        &mut self,
        layers: &[Layer],
        input: &[usize],
        prefix: &str,
        depth: usize,
    ) -> Result<(Vec<Resolved>, Vec<usize>), TrainError> {
        let mut shape = input.to_owned();
        let mut resolved = Vec::new();
        for (position, layer) in layers.iter().enumerate() {
            let index = format!("{prefix}{}", position + 1);
            self.layers += 1;
            if self.layers > MOST_LAYERS {
                return Err(layer_error(&index, layer, format!("the network has over {MOST_LAYERS} layers")));
            }
            let first = self.tensors.len();
            let next = self.layer(layer, &shape, &index, depth)?;
            let mut shapes = self.tensors[first..].iter().map(|tensor| &tensor.shape);
            if product(&next.output).is_none() || shapes.any(|shape| product(shape).is_none()) {
                let detail = format!("its output {:?} or its weights are too large", next.output);
                return Err(layer_error(&index, layer, detail));
            }
            shape.clone_from(&next.output);
            resolved.push(next);
        }
        Ok((resolved, shape))
    }

    fn layer(
        &mut self,
        layer: &Layer,
        input: &[usize],
        index: &str,
        depth: usize,
    ) -> Result<Resolved, TrainError> {
        let fail = |detail: String| layer_error(index, layer, detail);
        let first = self.tensors.len();
        let (operation, output) = match layer {
            &Layer::Linear(outputs) => {
                let &[inputs] = input else {
                    let detail =
                        format!("it takes one dimension but gets {input:?}; add `flatten` before it");
                    return Err(fail(detail));
                };
                if outputs == 0 {
                    return Err(fail("it has no outputs".to_owned()));
                }
                let bound = Initial::Uniform(1.0 / (inputs as f32).sqrt());
                self.tensor(index, "weight", &[outputs, inputs], bound, true);
                self.tensor(index, "bias", &[outputs], bound, true);
                (Operation::Linear { weight: first }, vec![outputs])
            }
            &Layer::Conv2d(conv) => {
                let (channels, height, width) = image(input).ok_or_else(|| fail(not_an_image(input)))?;
                if conv.out == 0 || conv.kernel == 0 || conv.stride == 0 {
                    return Err(fail("`out`, `kernel` and `stride` must be over 0".to_owned()));
                }
                if conv.padding >= conv.kernel {
                    return Err(fail("`padding` must be below `kernel`".to_owned()));
                }
                let side = |side: usize| {
                    let room =
                        conv.padding.saturating_mul(2).saturating_add(side).checked_sub(conv.kernel)?;
                    Some(room / conv.stride + 1)
                };
                let (Some(height), Some(width)) = (side(height), side(width)) else {
                    let detail =
                        format!("its {0}x{0} kernel does not fit an input of {height}x{width}", conv.kernel);
                    return Err(fail(detail));
                };
                let fan_in = product(&[channels, conv.kernel, conv.kernel]);
                let fan_in = fan_in.ok_or_else(|| fail("its kernel is too large".to_owned()))?;
                let bound = Initial::Uniform(1.0 / (fan_in as f32).sqrt());
                self.tensor(index, "weight", &[conv.out, channels, conv.kernel, conv.kernel], bound, true);
                self.tensor(index, "bias", &[conv.out], bound, true);
                (Operation::Conv2d { weight: first, window: conv }, vec![conv.out, height, width])
            }
            &(Layer::MaxPool2d(side) | Layer::AvgPool2d(side)) => {
                let (channels, height, width) = image(input).ok_or_else(|| fail(not_an_image(input)))?;
                if side == 0 || side > height || side > width {
                    let detail =
                        format!("a window of {side}x{side} does not fit an input of {height}x{width}");
                    return Err(fail(detail));
                }
                let operation = match layer {
                    Layer::MaxPool2d(_) => Operation::MaxPool2d(side),
                    _ => Operation::AvgPool2d(side),
                };
                (operation, vec![channels, height / side, width / side])
            }
            Layer::BatchNorm => {
                let features = [input[0]];
                self.tensor(index, "weight", &features, Initial::Constant(1.0), true);
                self.tensor(index, "bias", &features, Initial::Constant(0.0), true);
                self.tensor(index, "running_mean", &features, Initial::Constant(0.0), false);
                self.tensor(index, "running_var", &features, Initial::Constant(1.0), false);
                (Operation::BatchNorm { weight: first }, input.to_owned())
            }
            &Layer::Dropout(share) => {
                if !(0.0..1.0).contains(&share) {
                    return Err(fail("the share must be at least 0 and below 1".to_owned()));
                }
                self.dropouts += 1;
                (Operation::Dropout { share, number: self.dropouts }, input.to_owned())
            }
            Layer::Relu => (Operation::Relu, input.to_owned()),
            Layer::Gelu => (Operation::Gelu, input.to_owned()),
            Layer::Tanh => (Operation::Tanh, input.to_owned()),
            Layer::Flatten => (Operation::Flatten, vec![product(input).unwrap_or(LIMIT)]),
            Layer::Residual(inner) => {
                if depth == DEEPEST {
                    return Err(fail(format!("residuals are nested over {DEEPEST} deep")));
                }
                if inner.is_empty() {
                    return Err(fail("it holds no layers".to_owned()));
                }
                let (inner, output) = self.list(inner, input, &format!("{index}."), depth + 1)?;
                if output != input {
                    let detail =
                        format!("its layers turn {input:?} into {output:?}: they must keep the shape");
                    return Err(fail(detail));
                }
                (Operation::Residual(inner), output)
            }
        };
        let parameters = self.tensors[first..].iter().filter(|tensor| tensor.trained);
        let parameters = parameters.map(|tensor| product(&tensor.shape).unwrap_or(LIMIT)).sum();
        Ok(Resolved { name: describe(layer), output, parameters, operation })
    }

    fn tensor(&mut self, index: &str, name: &str, shape: &[usize], initial: Initial, trained: bool) {
        let name = format!("layers.{index}.{name}");
        self.tensors.push(TensorSpec { name, shape: shape.to_owned(), initial, trained });
    }
}

fn image(shape: &[usize]) -> Option<(usize, usize, usize)> {
    match *shape {
        [channels, height, width] => Some((channels, height, width)),
        _ => None,
    }
}

fn not_an_image(shape: &[usize]) -> String {
    format!("it takes images (channels, height, width) but gets {shape:?}")
}

#[cfg(test)]
mod tests;
