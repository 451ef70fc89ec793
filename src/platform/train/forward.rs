//! Runs a network on a batch: on the processor by the kernels of this module, elsewhere by candle's own operations.

mod padding;
mod path;
mod sequence;
mod tape;

use std::sync::{Arc, Mutex};

use candle_core::{D, Result, Tensor};

use padding::Present;
use path::Path;
use tape::{Join, Tape};

use super::kernels::{self, Cell, Mask, Moments, Panels};
use super::network::{Operation, Resolved, channel_axis};
use super::random::Stream;
use super::stock;

/// One run of a network.
pub(super) struct Pass<'a> {
    /// The tensors of the model, in the order of the network.
    pub(super) weights: &'a [Tensor],
    /// Those that were laid out beforehand, at the same places; may be shorter.
    turned: &'a [Option<Arc<Panels>>],
    /// Random numbers of this step; present while training.
    pub(super) training: Option<Stream>,
    /// While training: what each batch normalisation found, with the index of its weight.
    pub(super) statistics: Vec<(usize, Arc<Mutex<Moments>>)>,
    /// While training: the way back.
    tape: Option<Tape>,
    /// Which positions are no padding, where the network says what fills its inputs and the sequence still has their length.
    present: Option<Present>,
}

impl<'a> Pass<'a> {
    /// A run that predicts: no dropout, running statistics.
    pub(super) fn inference(weights: &'a [Tensor]) -> Self {
        Self { weights, turned: &[], training: None, statistics: Vec::new(), tape: None, present: None }
    }

    /// The weights of linear layers of whole examples as a run reads them, at their places among the `weights`: for networks that
    /// predict one example at a time, where laying them out anew would take as long as multiplying by them.
    pub(super) fn turned(layers: &[Resolved], weights: &[Tensor]) -> Result<Vec<Option<Arc<Panels>>>> {
        let mut turned = vec![None; weights.len()];
        for layer in layers {
            if let &Operation::Linear { weight } = &layer.operation {
                turned[weight] = Some(Arc::new(kernels::turned(&weights[weight])?));
            }
        }
        Ok(turned)
    }

    /// The same with what [`Pass::turned`] gave for its weights.
    pub(super) fn with(self, turned: &'a [Option<Arc<Panels>>]) -> Self {
        Self { turned, ..self }
    }

    /// A run that trains; `random` is the stream of the step.
    pub(super) fn training(weights: &'a [Tensor], random: Stream) -> Self {
        Self { training: Some(random), tape: Some(Tape::default()), ..Self::inference(weights) }
    }

    /// The outputs `[batch, outputs]` for inputs `[batch, ...]`.
    pub(super) fn run(&mut self, layers: &[Resolved], x: &Tensor) -> Result<Tensor> {
        let path = if x.device().is_cpu() { Path::Kernels } else { Path::Stock };
        self.run_by(path, layers, x)
    }

    /// The gradient of each tensor that wants one, for the gradient `dy` of what `run` gave.
    pub(super) fn backward(self, dy: Tensor) -> Result<Vec<Option<Tensor>>> {
        self.tape.unwrap_or_default().backward(self.weights, dy)
    }

    fn run_by(&mut self, path: Path, layers: &[Resolved], x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        let mut rest = layers;
        while !rest.is_empty() {
            let by_kernel = match path {
                Path::Kernels => self.kernel(rest, &x)?,
                Path::Stock => None,
            };
            let used;
            (x, used) = match by_kernel {
                Some(done) => done,
                None => (self.graph(path, &rest[0], &x)?, 1),
            };
            rest = &rest[used..];
        }
        Ok(x)
    }

    /// Runs one layer with operations whose way back is candle's.
    fn graph(&mut self, path: Path, layer: &Resolved, x: &Tensor) -> Result<Tensor> {
        match self.tape.take() {
            Some(mut tape) => {
                let y = tape.graph(x, |x| self.layer(path, layer, x));
                self.tape = Some(tape);
                y
            }
            None => self.layer(path, layer, x),
        }
    }

    /// Runs the first layer by a kernel, and those after it that the same kernel does, and says how many; none if there is no kernel
    /// that does all of a layer.
    fn kernel(&mut self, layers: &[Resolved], x: &Tensor) -> Result<Option<(Tensor, usize)>> {
        let operation = |index: usize| layers.get(index).map(|layer| &layer.operation);
        let weights = self.weights;
        Ok(Some(match &layers[0].operation {
            &Operation::Linear { weight } if x.rank() == 2 => {
                let relu = matches!(operation(1), Some(Operation::Relu));
                let dropout = operation(2).filter(|_| relu).and_then(Self::dropout);
                let kernel = kernels::Linear::new(relu, dropout.and_then(|dropout| self.mask(dropout)))
                    .with(self.turned.get(weight).cloned().flatten());
                let y = Tape::three(&mut self.tape, kernel, x, weights, weight)?;
                (y, 1 + usize::from(relu) + usize::from(dropout.is_some()))
            }
            &Operation::Conv2d { weight, window } if window.is_plain() => {
                let relu = matches!(operation(1), Some(Operation::Relu));
                let pool = relu && matches!(operation(2), Some(Operation::MaxPool2d(2)));
                let before = 1 + usize::from(relu) + usize::from(pool);
                let dropout = operation(before).filter(|_| relu).and_then(Self::dropout);
                let mask = dropout.and_then(|dropout| self.mask(dropout));
                let kernel = kernels::Conv2d::new(window, relu, pool, mask);
                let y = Tape::three(&mut self.tape, kernel, x, weights, weight)?;
                (y, before + usize::from(dropout.is_some()))
            }
            &Operation::MaxPool2d(side) => (Tape::one(&mut self.tape, kernels::MaxPool2d::new(side), x)?, 1),
            &Operation::AvgPool2d(side) => (Tape::one(&mut self.tape, kernels::AvgPool2d(side), x)?, 1),
            // The kernel has no gradient for given statistics.
            &Operation::BatchNorm { frozen: true, .. } if self.training.is_some() => return Ok(None),
            &Operation::BatchNorm { weight, .. } => {
                let kernel = if self.training.is_some() {
                    let found = Arc::<Mutex<Moments>>::default();
                    self.statistics.push((weight, Arc::clone(&found)));
                    kernels::BatchNorm::training(found)
                } else {
                    kernels::BatchNorm::inference(Moments {
                        mean: weights[weight + 2].to_vec1()?,
                        variance: weights[weight + 3].to_vec1()?,
                    })
                };
                let y = Tape::three(&mut self.tape, kernel, &rows(x)?, weights, weight)?;
                (y.reshape(x.shape())?, 1)
            }
            dropout @ &Operation::Dropout { .. } => {
                let mask = Self::dropout(dropout).and_then(|dropout| self.mask(dropout));
                match mask {
                    Some(mask) => (Tape::one(&mut self.tape, kernels::Dropout(mask), x)?, 1),
                    None => (x.clone(), 1),
                }
            }
            Operation::Relu if matches!(operation(1), Some(Operation::MaxPool2d(2))) => {
                (Tape::one(&mut self.tape, kernels::ReluPool2d::default(), x)?, 2)
            }
            Operation::Relu => (Tape::one(&mut self.tape, kernels::Relu, x)?, 1),
            Operation::Residual { layers: inner, shortcut } if self.tape.is_some() => {
                let ((y, own), (around, other)) = (self.aside(inner, x)?, self.aside(shortcut, x)?);
                let sum = (y + around)?;
                self.beside(x, vec![own, other], Join::Sum, &sum);
                (sum, 1)
            }
            Operation::Parallel(branches) if self.tape.is_some() => {
                let branches = branches.iter().map(|branch| self.aside(branch, x));
                let (outputs, tapes): (Vec<Tensor>, Vec<Tape>) =
                    branches.collect::<Result<Vec<_>>>()?.into_iter().unzip();
                let dimension = 1 + channel_axis(&layers[0].output);
                let lengths = outputs.iter().map(|y| y.dim(dimension)).collect::<Result<Vec<_>>>()?;
                let joined = Tensor::cat(&outputs, dimension)?;
                self.beside(x, tapes, Join::Along(dimension, lengths), &joined);
                (joined, 1)
            }
            // The way back gives every gradient the shape that it needs.
            Operation::Flatten | Operation::Reshape(_) => (self.either(Path::Kernels, &layers[0], x)?, 1),
            _ => return Ok(None),
        }))
    }

    /// Runs one layer with candle's own operations, but for those of [`Path`].
    fn layer(&mut self, path: Path, layer: &Resolved, x: &Tensor) -> Result<Tensor> {
        match path {
            Path::Kernels if !matches!(layer.operation, Operation::BatchNorm { .. }) => {
                self.either(path, layer, x)
            }
            _ => self.stock(layer, x),
        }
    }

    /// Runs one layer with candle's own operations.
    fn stock(&mut self, layer: &Resolved, x: &Tensor) -> Result<Tensor> {
        match &layer.operation {
            &Operation::MaxPool2d(side) => stock::max_pool2d(x, side),
            &Operation::AvgPool2d(side) => stock::avg_pool2d(x, side),
            &Operation::BatchNorm { weight, frozen } => {
                let (scale, bias) = (&self.weights[weight], &self.weights[weight + 1]);
                let of = rows(x)?;
                if frozen || self.training.is_none() {
                    let (mean, variance) = (&self.weights[weight + 2], &self.weights[weight + 3]);
                    return stock::normalize(&of, mean, variance, scale, bias)?.reshape(x.shape());
                }
                let (mean, variance) = stock::moments(&of)?;
                let found = Moments { mean: mean.to_vec1()?, variance: variance.to_vec1()? };
                self.statistics.push((weight, Arc::new(Mutex::new(found))));
                stock::normalize(&of, &mean, &variance, scale, bias)?.reshape(x.shape())
            }
            dropout @ &Operation::Dropout { .. } => {
                match Self::dropout(dropout).and_then(|dropout| self.mask(dropout)) {
                    Some(mask) => x * mask.factors(x.shape(), x.device())?,
                    None => Ok(x.clone()),
                }
            }
            Operation::Relu => x.relu(),
            _ => self.either(Path::Stock, layer, x),
        }
    }

    /// Runs one layer that both ways do with the same operations but for what [`Path`] has.
    fn either(&mut self, path: Path, layer: &Resolved, x: &Tensor) -> Result<Tensor> {
        let weights = self.weights;
        let present = self.present.as_ref().filter(|_| x.rank() == 3);
        match &layer.operation {
            &Operation::Linear { weight } => path.linear(x, &weights[weight], &weights[weight + 1]),
            &Operation::Conv1d { weight, window } => {
                let length = layer.output[0];
                if length != x.dim(1)? {
                    self.present = None;
                }
                sequence::conv1d(path, x, &weights[weight], &weights[weight + 1], window, length)
            }
            &Operation::Conv2d { weight, window } => {
                path.conv2d(x, &weights[weight], &weights[weight + 1], window)
            }
            &Operation::ConvTranspose2d { weight, window } => {
                path.conv_transpose2d(x, &weights[weight], &weights[weight + 1], window)
            }
            &Operation::MaxPoolWindows(pool) => path.max_pool(x, pool),
            &Operation::AvgPoolWindows(pool) => path.avg_pool(x, pool),
            Operation::GlobalMaxPool => match present {
                Some(present) => path.largest(&planes(&present.lowered(x)?)?),
                None => path.largest(&planes(x)?),
            },
            Operation::GlobalAvgPool => match present {
                Some(present) => present.mean(x),
                None => planes(x)?.mean(D::Minus1),
            },
            &Operation::LayerNorm { weight } => stock::layer_norm(x, &weights[weight], &weights[weight + 1]),
            &Operation::GroupNorm { weight, groups } => {
                stock::group_norm(x, &weights[weight], &weights[weight + 1], groups)
            }
            // x over 0, else slope x: max(x, 0) leaves (1 - slope) of the positive part to add.
            &Operation::LeakyRelu(slope) => {
                let positive = match path {
                    Path::Kernels => x.apply_op1(kernels::Relu)?,
                    Path::Stock => x.relu()?,
                };
                (positive * f64::from(1.0 - slope))? + (x * f64::from(slope))?
            }
            Operation::Gelu => x.gelu_erf(),
            Operation::Silu => x.silu(),
            Operation::Sigmoid => candle_nn::ops::sigmoid(x),
            Operation::Tanh => x.tanh(),
            Operation::Flatten => x.flatten_from(1),
            Operation::Reshape(shape) => {
                // Its positions, if it has any, are others.
                self.present = None;
                let mut dimensions = vec![x.dim(0)?];
                dimensions.extend_from_slice(shape);
                x.reshape(dimensions)
            }
            &Operation::Embedding { weight, padding } => {
                self.present = padding.map(|padding| Present::of(x, padding)).transpose()?;
                sequence::embedding(x, &weights[weight])
            }
            &Operation::PositionalEmbedding { weight } => x.broadcast_add(&weights[weight]),
            &Operation::Attention { weight, heads, causal } => {
                sequence::attention(path, x, &weights[weight..weight + 4], heads, causal, present)
            }
            &Operation::Lstm { weight, output } => {
                sequence::recurrent(path, Cell::Lstm, x, &weights[weight..weight + 4], output, present)
            }
            &Operation::Gru { weight, output } => {
                sequence::recurrent(path, Cell::Gru, x, &weights[weight..weight + 4], output, present)
            }
            Operation::Residual { layers, shortcut } => {
                self.branch(path, layers, x)? + self.branch(path, shortcut, x)?
            }
            Operation::Parallel(branches) => {
                let outputs = branches.iter().map(|branch| self.branch(path, branch, x));
                Tensor::cat(&outputs.collect::<Result<Vec<_>>>()?, 1 + channel_axis(&layer.output))
            }
            Operation::MaxPool2d(_)
            | Operation::AvgPool2d(_)
            | Operation::BatchNorm { .. }
            | Operation::Dropout { .. }
            | Operation::Relu => candle_core::bail!("`{}` is done in another way", layer.name),
        }
    }

    /// Runs layers beside others: what becomes of the positions in one branch is nothing to the next.
    fn branch(&mut self, path: Path, layers: &[Resolved], x: &Tensor) -> Result<Tensor> {
        let present = self.present.clone();
        let y = self.run_by(path, layers, x);
        self.present = present;
        y
    }

    /// Runs layers beside others by kernels, with a way back of their own.
    fn aside(&mut self, layers: &[Resolved], x: &Tensor) -> Result<(Tensor, Tape)> {
        let main = self.tape.replace(Tape::default());
        let y = self.branch(Path::Kernels, layers, x);
        let own = std::mem::replace(&mut self.tape, main);
        Ok((y?, own.unwrap_or_default()))
    }

    fn beside(&mut self, x: &Tensor, branches: Vec<Tape>, join: Join, y: &Tensor) {
        if let Some(tape) = &mut self.tape {
            tape.beside(x, branches, join, y);
        }
    }

    fn dropout(operation: &Operation) -> Option<(f32, u64)> {
        match *operation {
            Operation::Dropout { share, number } => Some((share, number)),
            _ => None,
        }
    }

    /// The mask of a dropout layer in this step; none when predicting.
    fn mask(&self, (share, number): (f32, u64)) -> Option<Mask> {
        let random = self.training.as_ref().filter(|_| share > 0.0)?;
        Some(Mask { share, stream: random.nested(number) })
    }
}

/// A sequence as rows of features, which is how batch normalisation sees it; everything else as it is.
fn rows(x: &Tensor) -> Result<Tensor> {
    if x.rank() == 3 { x.flatten(0, 1) } else { Ok(x.clone()) }
}

/// The values of each channel along the last dimension: `[batch, channels, values]`.
fn planes(x: &Tensor) -> Result<Tensor> {
    if x.rank() == 3 { x.transpose(1, 2)?.contiguous() } else { x.flatten_from(2) }
}

#[cfg(test)]
mod tests;
