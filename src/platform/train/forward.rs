//! Runs a network on a batch: on the processor by the kernels of this module, elsewhere by candle's own operations.

use std::sync::{Arc, Mutex};

use candle_core::{Result, Tensor};

use super::kernels::{self, Mask, Moments};
use super::network::{Operation, Resolved};
use super::random::Stream;
use super::stock;

/// One run of a network.
pub(super) struct Pass<'a> {
    /// The tensors of the model, in the order of the network.
    pub(super) weights: &'a [Tensor],
    /// Random numbers of this step; present while training.
    pub(super) training: Option<Stream>,
    /// While training: what each batch normalisation found, with the index of its weight.
    pub(super) statistics: Vec<(usize, Arc<Mutex<Moments>>)>,
}

impl<'a> Pass<'a> {
    /// A run that predicts: no dropout, running statistics.
    pub(super) fn inference(weights: &'a [Tensor]) -> Self {
        Self { weights, training: None, statistics: Vec::new() }
    }

    /// A run that trains; `random` is the stream of the step.
    pub(super) fn training(weights: &'a [Tensor], random: Stream) -> Self {
        Self { weights, training: Some(random), statistics: Vec::new() }
    }

    /// The outputs `[batch, outputs]` for inputs `[batch, ...]`.
    pub(super) fn run(&mut self, layers: &[Resolved], x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        let mut rest = layers;
        while !rest.is_empty() {
            let used;
            (x, used) =
                if x.device().is_cpu() { self.kernel(rest, &x)? } else { (self.stock(&rest[0], &x)?, 1) };
            rest = &rest[used..];
        }
        Ok(x)
    }

    /// Runs the first layer, and those after it that the same kernel does; says how many.
    fn kernel(&mut self, layers: &[Resolved], x: &Tensor) -> Result<(Tensor, usize)> {
        let operation = |index: usize| layers.get(index).map(|layer| &layer.operation);
        match &layers[0].operation {
            &Operation::Linear { weight } => {
                let relu = matches!(operation(1), Some(Operation::Relu));
                let dropout = operation(2).filter(|_| relu).and_then(Self::dropout);
                let kernel = kernels::Linear::new(relu, dropout.and_then(|dropout| self.mask(dropout)));
                let y = x.apply_op3(&self.weights[weight], &self.weights[weight + 1], kernel)?;
                Ok((y, 1 + usize::from(relu) + usize::from(dropout.is_some())))
            }
            &Operation::Conv2d { weight, window } => {
                let relu = matches!(operation(1), Some(Operation::Relu));
                let pool = relu && matches!(operation(2), Some(Operation::MaxPool2d(2)));
                let before = 1 + usize::from(relu) + usize::from(pool);
                let dropout = operation(before).filter(|_| relu).and_then(Self::dropout);
                let mask = dropout.and_then(|dropout| self.mask(dropout));
                let kernel = kernels::Conv2d::new(window, relu, pool, mask);
                let y = x.apply_op3(&self.weights[weight], &self.weights[weight + 1], kernel)?;
                Ok((y, before + usize::from(dropout.is_some())))
            }
            &Operation::MaxPool2d(side) => Ok((x.apply_op1(kernels::MaxPool2d::new(side))?, 1)),
            &Operation::AvgPool2d(side) => Ok((x.apply_op1(kernels::AvgPool2d(side))?, 1)),
            &Operation::BatchNorm { weight } => {
                let kernel = if self.training.is_some() {
                    let found = Arc::<Mutex<Moments>>::default();
                    self.statistics.push((weight, Arc::clone(&found)));
                    kernels::BatchNorm::training(found)
                } else {
                    kernels::BatchNorm::inference(Moments {
                        mean: self.weights[weight + 2].to_vec1()?,
                        variance: self.weights[weight + 3].to_vec1()?,
                    })
                };
                Ok((x.apply_op3(&self.weights[weight], &self.weights[weight + 1], kernel)?, 1))
            }
            dropout @ &Operation::Dropout { .. } => {
                let mask = Self::dropout(dropout).and_then(|dropout| self.mask(dropout));
                Ok((mask.map_or_else(|| Ok(x.clone()), |mask| x.apply_op1(kernels::Dropout(mask)))?, 1))
            }
            Operation::Relu => Ok((x.apply_op1(kernels::Relu)?, 1)),
            Operation::Gelu => Ok((x.gelu_erf()?, 1)),
            Operation::Tanh => Ok((x.tanh()?, 1)),
            Operation::Flatten => Ok((x.flatten_from(1)?, 1)),
            Operation::Residual(inner) => Ok(((x + self.run(inner, x)?)?, 1)),
        }
    }

    /// Runs one layer with candle's own operations.
    fn stock(&mut self, layer: &Resolved, x: &Tensor) -> Result<Tensor> {
        match &layer.operation {
            &Operation::Linear { weight } => {
                stock::linear(x, &self.weights[weight], &self.weights[weight + 1])
            }
            &Operation::Conv2d { weight, window } => {
                stock::conv2d(x, &self.weights[weight], &self.weights[weight + 1], window)
            }
            &Operation::MaxPool2d(side) => stock::max_pool2d(x, side),
            &Operation::AvgPool2d(side) => stock::avg_pool2d(x, side),
            &Operation::BatchNorm { weight } => {
                let (scale, bias) = (&self.weights[weight], &self.weights[weight + 1]);
                if self.training.is_none() {
                    let (mean, variance) = (&self.weights[weight + 2], &self.weights[weight + 3]);
                    return stock::normalize(x, mean, variance, scale, bias);
                }
                let (mean, variance) = stock::moments(x)?;
                let found = Moments { mean: mean.to_vec1()?, variance: variance.to_vec1()? };
                self.statistics.push((weight, Arc::new(Mutex::new(found))));
                stock::normalize(x, &mean, &variance, scale, bias)
            }
            dropout @ &Operation::Dropout { .. } => {
                match Self::dropout(dropout).and_then(|dropout| self.mask(dropout)) {
                    Some(mask) => x * mask.factors(x.shape(), x.device())?,
                    None => Ok(x.clone()),
                }
            }
            Operation::Relu => x.relu(),
            Operation::Gelu => x.gelu_erf(),
            Operation::Tanh => x.tanh(),
            Operation::Flatten => x.flatten_from(1),
            Operation::Residual(inner) => x + self.run(inner, x)?,
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

#[cfg(test)]
mod tests;
