//! Infers shapes layer by layer, and says of a layer that does not fit what does not.

use super::shape::{channels, globally_pooled, image, join, pooled, sequence, windows};
use super::words::describe;
use super::{DEEPEST, Initial, LIMIT, MOST_LAYERS, Operation, Resolved, TensorSpec, product};
use crate::platform::train::TrainError;
use crate::platform::train::spec::{
    Attention, Conv1d, Conv2d, ConvTranspose2d, Embedding, Layer, Recurrent, RecurrentOutput, Residual,
};

/// What a layer comes to: its operation and the shape of its output. What does not fit is told in words.
type Fits = Result<(Operation, Vec<usize>), String>;

/// An error within the layers of a layer names that one; any other is about the layer itself.
enum Misfit {
    Here(String),
    Inside(TrainError),
}

impl From<String> for Misfit {
    fn from(detail: String) -> Self {
        Self::Here(detail)
    }
}

impl From<TrainError> for Misfit {
    fn from(error: TrainError) -> Self {
        Self::Inside(error)
    }
}

pub(super) struct Resolver {
    pub(super) tensors: Vec<TensorSpec>,
    /// Values that the network must give.
    outputs: usize,
    layers: usize,
    dropouts: u64,
}

impl Resolver {
    pub(super) fn new(outputs: usize) -> Self {
        Self { tensors: Vec::new(), outputs, layers: 0, dropouts: 0 }
    }

    /// The layers of one list; `prefix` is what stands before their numbers: `3.`.
    pub(super) fn list(
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
            let (operation, output) =
                self.layer(layer, &shape, &index, depth).map_err(|misfit| match misfit {
                    Misfit::Here(detail) => layer_error(&index, layer, detail),
                    Misfit::Inside(error) => error,
                })?;
            let mut shapes = self.tensors[first..].iter().map(|tensor| &tensor.shape);
            if product(&output).is_none() || shapes.any(|shape| product(shape).is_none()) {
                let detail = format!("its output {output:?} or its weights are too large");
                return Err(layer_error(&index, layer, detail));
            }
            let parameters = self.tensors[first..].iter().filter(|tensor| tensor.trained);
            let parameters = parameters.map(|tensor| product(&tensor.shape).unwrap_or(LIMIT)).sum();
            shape.clone_from(&output);
            resolved.push(Resolved { name: describe(layer), output, parameters, operation });
        }
        Ok((resolved, shape))
    }

    fn layer(
        &mut self,
        layer: &Layer,
        input: &[usize],
        index: &str,
        depth: usize,
    ) -> Result<(Operation, Vec<usize>), Misfit> {
        let weight = self.tensors.len();
        let same = |operation| Ok((operation, input.to_owned()));
        match layer {
            &Layer::Linear(outputs) => Ok(self.linear(index, outputs, input)?),
            Layer::Output => Ok(self.linear(index, self.outputs, input)?),
            Layer::Conv1d(conv) => Ok(self.conv1d(index, *conv, input)?),
            Layer::Conv2d(conv) => Ok(self.conv2d(index, *conv, input)?),
            Layer::ConvTranspose2d(conv) => Ok(self.conv_transpose2d(index, *conv, input)?),
            &Layer::MaxPool2d(pool) => {
                let operation = pool.side().map_or(Operation::MaxPoolWindows(pool), Operation::MaxPool2d);
                Ok((operation, pooled(pool, input)?))
            }
            &Layer::AvgPool2d(pool) => {
                let operation = pool.side().map_or(Operation::AvgPoolWindows(pool), Operation::AvgPool2d);
                Ok((operation, pooled(pool, input)?))
            }
            Layer::GlobalMaxPool => Ok((Operation::GlobalMaxPool, vec![globally_pooled(input)?])),
            Layer::GlobalAvgPool => Ok((Operation::GlobalAvgPool, vec![globally_pooled(input)?])),
            Layer::BatchNorm => {
                let features = [channels(input)];
                self.tensor(index, "weight", &features, Initial::Constant(1.0));
                self.tensor(index, "bias", &features, Initial::Constant(0.0));
                self.statistic(index, "running_mean", &features, 0.0);
                self.statistic(index, "running_var", &features, 1.0);
                same(Operation::BatchNorm { weight, frozen: false })
            }
            Layer::LayerNorm => {
                if image(input).is_ok() {
                    let detail = "it takes features or a sequence but gets an image; use `group_norm: 1`";
                    return Err(Misfit::Here(detail.to_owned()));
                }
                self.scale_and_bias(index, input[input.len() - 1]);
                same(Operation::LayerNorm { weight })
            }
            &Layer::GroupNorm(groups) => {
                if input.len() == 2 {
                    let detail = "it takes images or features but gets a sequence; use `layer_norm`";
                    return Err(Misfit::Here(detail.to_owned()));
                }
                if !input[0].is_multiple_of(groups) {
                    let detail = format!("{groups} groups do not divide {} channels", input[0]);
                    return Err(Misfit::Here(detail));
                }
                self.scale_and_bias(index, input[0]);
                same(Operation::GroupNorm { weight, groups })
            }
            &Layer::Dropout(share) => {
                if !(0.0..1.0).contains(&share) {
                    return Err(Misfit::Here("the share must be at least 0 and below 1".to_owned()));
                }
                self.dropouts += 1;
                same(Operation::Dropout { share, number: self.dropouts })
            }
            Layer::Relu => same(Operation::Relu),
            &Layer::LeakyRelu(slope) => {
                if !(0.0..1.0).contains(&slope) {
                    return Err(Misfit::Here("the factor must be at least 0 and below 1".to_owned()));
                }
                same(Operation::LeakyRelu(slope))
            }
            Layer::Gelu => same(Operation::Gelu),
            Layer::Silu => same(Operation::Silu),
            Layer::Sigmoid => same(Operation::Sigmoid),
            Layer::Tanh => same(Operation::Tanh),
            Layer::Flatten => Ok((Operation::Flatten, vec![product(input).unwrap_or(LIMIT)])),
            Layer::Reshape(shape) => {
                if !(1..=3).contains(&shape.len()) {
                    return Err(Misfit::Here("a shape has one to three dimensions".to_owned()));
                }
                if product(shape) != product(input) {
                    return Err(Misfit::Here(format!("{input:?} does not hold as many values")));
                }
                Ok((Operation::Reshape(shape.clone()), shape.clone()))
            }
            Layer::Embedding(embedding) => Ok(self.embedding(index, *embedding, input)?),
            Layer::PositionalEmbedding => {
                let (length, features) = sequence(input)?;
                // As in GPT-2 (Radford and others, 2019).
                self.tensor(index, "weight", &[length, features], Initial::Normal(0.02));
                same(Operation::PositionalEmbedding { weight })
            }
            Layer::Attention(attention) => Ok(self.attention(index, *attention, input)?),
            Layer::Lstm(lstm) => Ok(self.recurrent(index, *lstm, 4, input)?),
            Layer::Gru(gru) => Ok(self.recurrent(index, *gru, 3, input)?),
            Layer::Residual(residual) => self.residual(index, residual, input, depth),
            Layer::Parallel(branches) => self.parallel(index, branches, input, depth),
        }
    }

    fn linear(&mut self, index: &str, outputs: usize, input: &[usize]) -> Fits {
        if input.len() > 2 {
            return Err(format!("it takes one dimension but gets {input:?}; add `flatten` before it"));
        }
        if outputs == 0 {
            return Err("it needs at least one output".to_owned());
        }
        let inputs = input[input.len() - 1];
        let weight = self.tensors.len();
        let bound = Initial::Uniform(1.0 / (inputs as f32).sqrt());
        self.tensor(index, "weight", &[outputs, inputs], bound);
        self.tensor(index, "bias", &[outputs], bound);
        let mut output = input.to_owned();
        output[input.len() - 1] = outputs;
        Ok((Operation::Linear { weight }, output))
    }

    fn conv1d(&mut self, index: &str, conv: Conv1d, input: &[usize]) -> Fits {
        let (length, features) = sequence(input)?;
        if conv.out == 0 {
            return Err("`out` must be over 0".to_owned());
        }
        let length = windows(conv.kernel, conv.stride, conv.padding, conv.dilation, length)?
            .ok_or_else(|| format!("its kernel of {} does not fit {length} positions", conv.kernel))?;
        let weight = self.tensors.len();
        self.weight_and_bias(index, &[conv.out, features, conv.kernel], conv.out, features, conv.kernel)?;
        Ok((Operation::Conv1d { weight, window: conv }, vec![length, conv.out]))
    }

    fn conv2d(&mut self, index: &str, conv: Conv2d, input: &[usize]) -> Fits {
        let (channels, height, width) = image(input)?;
        if conv.out == 0 || conv.groups == 0 {
            return Err("`out` and `groups` must be over 0".to_owned());
        }
        if !channels.is_multiple_of(conv.groups) || !conv.out.is_multiple_of(conv.groups) {
            let groups = conv.groups;
            return Err(format!(
                "{groups} groups do not divide {channels} input and {} output channels",
                conv.out
            ));
        }
        let windows = |side| windows(conv.kernel, conv.stride, conv.padding, conv.dilation, side);
        let (Some(rows), Some(columns)) = (windows(height)?, windows(width)?) else {
            return Err(format!("its {0}x{0} kernel does not fit an input of {height}x{width}", conv.kernel));
        };
        let weight = self.tensors.len();
        let (inner, kernel) = (channels / conv.groups, conv.kernel);
        let elements = kernel.checked_mul(kernel).ok_or("its kernel is too large")?;
        self.weight_and_bias(index, &[conv.out, inner, kernel, kernel], conv.out, inner, elements)?;
        Ok((Operation::Conv2d { weight, window: conv }, vec![conv.out, rows, columns]))
    }

    fn conv_transpose2d(&mut self, index: &str, conv: ConvTranspose2d, input: &[usize]) -> Fits {
        let (channels, height, width) = image(input)?;
        let ConvTranspose2d { out, kernel, stride, padding, output_padding } = conv;
        if out == 0 || kernel == 0 || stride == 0 {
            return Err("`out`, `kernel` and `stride` must be over 0".to_owned());
        }
        if padding >= kernel || output_padding >= stride {
            return Err("`padding` must be below `kernel` and `output_padding` below `stride`".to_owned());
        }
        let side = |side: usize| {
            let whole = (side - 1).checked_mul(stride)?.checked_add(kernel)?.checked_add(output_padding)?;
            whole.checked_sub(2 * padding).filter(|side| *side > 0)
        };
        let (Some(rows), Some(columns)) = (side(height), side(width)) else {
            return Err(format!("nothing is left of an input of {height}x{width}"));
        };
        let weight = self.tensors.len();
        let elements = kernel.checked_mul(kernel).ok_or("its kernel is too large")?;
        // As in PyTorch, whose fan is that of the transposed weight.
        self.weight_and_bias(index, &[channels, out, kernel, kernel], out, out, elements)?;
        Ok((Operation::ConvTranspose2d { weight, window: conv }, vec![out, rows, columns]))
    }

    fn embedding(&mut self, index: &str, embedding: Embedding, input: &[usize]) -> Fits {
        let Embedding { tokens, size, padding } = embedding;
        if index != "1" {
            return Err("it can only be the first layer of the network: it takes token numbers".to_owned());
        }
        if input.len() != 1 {
            return Err(format!(
                "it takes a list of tokens, such as the columns of a table, but gets {input:?}"
            ));
        }
        if tokens == 0 || size == 0 {
            return Err("`tokens` and `size` must be over 0".to_owned());
        }
        if let Some(padding) = padding.filter(|padding| *padding >= tokens) {
            return Err(format!("its padding is the token {padding}, but there are only {tokens}, from 0"));
        }
        let weight = self.tensors.len();
        self.tensor(index, "weight", &[tokens, size], Initial::Normal(1.0));
        Ok((Operation::Embedding { weight, padding }, vec![input[0], size]))
    }

    fn attention(&mut self, index: &str, attention: Attention, input: &[usize]) -> Fits {
        let Attention { heads, causal } = attention;
        let (length, features) = sequence(input)?;
        if !features.is_multiple_of(heads) {
            return Err(format!("{heads} heads do not divide {features} features"));
        }
        if product(&[heads, length, length]).is_none() {
            return Err(format!("{length} positions are too many"));
        }
        let weight = self.tensors.len();
        // As in PyTorch: Xavier (Glorot and Bengio, 2010) for the three input projections in one.
        let bound = Initial::Uniform((6.0 / (4.0 * features as f32)).sqrt());
        self.tensor(index, "in_proj_weight", &[3 * features, features], bound);
        self.tensor(index, "in_proj_bias", &[3 * features], Initial::Constant(0.0));
        let bound = Initial::Uniform(1.0 / (features as f32).sqrt());
        self.tensor(index, "out_proj.weight", &[features, features], bound);
        self.tensor(index, "out_proj.bias", &[features], Initial::Constant(0.0));
        Ok((Operation::Attention { weight, heads, causal }, input.to_owned()))
    }

    /// LSTM with 4 gates, GRU with 3.
    fn recurrent(&mut self, index: &str, layer: Recurrent, gates: usize, input: &[usize]) -> Fits {
        let Recurrent { size, output } = layer;
        let (length, features) = sequence(input)?;
        if size == 0 {
            return Err("`size` must be over 0".to_owned());
        }
        let weight = self.tensors.len();
        let bound = Initial::Uniform(1.0 / (size as f32).sqrt());
        let rows = size.checked_mul(gates).ok_or("`size` is too large")?;
        self.tensor(index, "weight_ih", &[rows, features], bound);
        self.tensor(index, "weight_hh", &[rows, size], bound);
        self.tensor(index, "bias_ih", &[rows], bound);
        self.tensor(index, "bias_hh", &[rows], bound);
        let operation = match gates {
            4 => Operation::Lstm { weight, output },
            _ => Operation::Gru { weight, output },
        };
        let shape = match output {
            RecurrentOutput::Sequence => vec![length, size],
            RecurrentOutput::Last => vec![size],
        };
        Ok((operation, shape))
    }

    fn residual(
        &mut self,
        index: &str,
        residual: &Residual,
        input: &[usize],
        depth: usize,
    ) -> Result<(Operation, Vec<usize>), Misfit> {
        deeper(depth)?;
        if residual.layers.is_empty() {
            return Err(Misfit::Here("it holds no layers".to_owned()));
        }
        let (layers, output) = self.list(&residual.layers, input, &format!("{index}."), depth + 1)?;
        let around = format!("{index}.shortcut.");
        let (shortcut, arrived) = self.list(&residual.shortcut, input, &around, depth + 1)?;
        if output != arrived {
            let detail = if residual.shortcut.is_empty() {
                format!(
                    "its layers turn {input:?} into {output:?}: they must keep the shape, or need a `shortcut`"
                )
            } else {
                format!("its layers give {output:?} but its shortcut gives {arrived:?}")
            };
            return Err(Misfit::Here(detail));
        }
        Ok((Operation::Residual { layers, shortcut }, output))
    }

    fn parallel(
        &mut self,
        index: &str,
        branches: &[Vec<Layer>],
        input: &[usize],
        depth: usize,
    ) -> Result<(Operation, Vec<usize>), Misfit> {
        deeper(depth)?;
        if branches.is_empty() {
            return Err(Misfit::Here("it holds no branches".to_owned()));
        }
        let mut resolved = Vec::new();
        let mut joined: Option<Vec<usize>> = None;
        for (branch, layers) in branches.iter().enumerate() {
            let (layers, output) =
                self.list(layers, input, &format!("{index}.{}.", branch + 1), depth + 1)?;
            resolved.push(layers);
            joined = Some(match joined {
                None => output,
                Some(before) => join(&before, &output).ok_or_else(|| {
                    format!("branch {} gives {output:?}, which cannot be joined to {before:?}", branch + 1)
                })?,
            });
        }
        Ok((Operation::Parallel(resolved), joined.unwrap_or_default()))
    }

    /// Weight and bias of a convolution, uniform as in PyTorch.
    fn weight_and_bias(
        &mut self,
        index: &str,
        shape: &[usize],
        out: usize,
        channels: usize,
        elements: usize,
    ) -> Result<(), String> {
        let fan_in = product(&[channels, elements]).ok_or("its kernel is too large")?;
        let bound = Initial::Uniform(1.0 / (fan_in as f32).sqrt());
        self.tensor(index, "weight", shape, bound);
        self.tensor(index, "bias", &[out], bound);
        Ok(())
    }

    /// Weight and bias of a normalisation.
    fn scale_and_bias(&mut self, index: &str, features: usize) {
        self.tensor(index, "weight", &[features], Initial::Constant(1.0));
        self.tensor(index, "bias", &[features], Initial::Constant(0.0));
    }

    fn tensor(&mut self, index: &str, name: &str, shape: &[usize], initial: Initial) {
        let name = format!("layers.{index}.{name}");
        self.tensors.push(TensorSpec {
            name,
            shape: shape.to_owned(),
            initial,
            trained: true,
            frozen: false,
        });
    }

    fn statistic(&mut self, index: &str, name: &str, shape: &[usize], value: f32) {
        self.tensor(index, name, shape, Initial::Constant(value));
        if let Some(tensor) = self.tensors.last_mut() {
            tensor.trained = false;
        }
    }
}

pub(super) fn layer_error(index: &str, layer: &Layer, detail: String) -> TrainError {
    TrainError::Layer { index: index.to_owned(), layer: describe(layer), detail }
}

fn deeper(depth: usize) -> Result<(), String> {
    if depth == DEEPEST { Err(format!("layers are nested over {DEEPEST} deep")) } else { Ok(()) }
}
