//! `train:` of a model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSpec {
    /// What is minimised.
    pub loss: Loss,
    /// The update rule.
    pub optimizer: Optimizer,
    /// Learning rate over time.
    pub schedule: Schedule,
    /// Passes over the training part.
    pub epochs: u32,
    /// Examples per step.
    pub batch_size: usize,
    /// Random changes to training images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Augment>,
    /// Seed of weights, order, dropout and augmentation.
    pub seed: u64,
    /// Stop when a metric no longer gets better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            loss: Loss::CrossEntropy,
            optimizer: Optimizer::Adamw(AdamW::default()),
            schedule: Schedule::Constant,
            epochs: 10,
            batch_size: 64,
            augment: Vec::new(),
            seed: 0,
            early_stop: None,
        }
    }
}

/// What is minimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Mean cross entropy of softmax against class labels.
    CrossEntropy,
    /// Mean squared error against numbers.
    Mse,
}

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    Adamw(AdamW),
}

/// Stochastic gradient descent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum, 0 to 1.
    #[serde(default)]
    pub momentum: f64,
    /// Weight decay (L2).
    #[serde(default)]
    pub weight_decay: f64,
}

/// AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 0.001, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// Learning rate over time, updated every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The optimiser's rate throughout.
    Constant,
    /// From the optimiser's rate to zero along half a cosine.
    Cosine,
    /// Up to `max_lr` and down again (Smith, 2018).
    OneCycle(OneCycle),
    /// Multiplied by `gamma` every `every` epochs.
    Step(StepDecay),
}

/// One cycle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// The highest rate.
    pub max_lr: f64,
    /// Share of the steps spent going up.
    #[serde(default = "warm_up")]
    pub warm_up: f64,
}

fn warm_up() -> f64 {
    0.3
}

/// Stepwise decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepDecay {
    /// Epochs between two decays.
    pub every: u32,
    /// Factor.
    pub gamma: f64,
}

/// One random change to training images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Augment {
    /// Shift by up to so many pixels in both directions.
    Shift(u32),
    /// Rotate by up to so many degrees either way.
    Rotate(f32),
    /// Add Gaussian noise of this standard deviation (after normalisation).
    Noise(f32),
}

/// Stop when a metric no longer gets better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// `val.loss`, `val.accuracy`, …
    pub metric: String,
    /// Epochs without improvement.
    pub patience: u32,
}
