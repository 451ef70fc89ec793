//! `models:` in `mlp.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One model: what it eats, its network, how it is trained and judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The dataset in `data:`.
    pub data: crate::base::Name,
    /// Shape and preprocessing of one input.
    #[serde(default)]
    pub input: InputSpec,
    /// Layers in order.
    pub network: Vec<Layer>,
    /// How it is trained.
    #[serde(default)]
    pub train: TrainSpec,
    /// How it is judged.
    #[serde(default)]
    pub evaluate: EvaluateSpec,
    /// The model card, a Markdown file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
}

/// Shape and preprocessing of one input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InputSpec {
    /// Without the batch dimension: `[1, 28, 28]`. Taken from the data if absent; images are resized to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<usize>>,
    /// `(x / 255 - mean) / std` for images, `(x - mean) / std` for numbers; tables are standardised by column
    /// with mean and deviation of the training part if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalize>,
}

/// Mean and standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// Mean.
    pub mean: f32,
    /// Standard deviation, over 0.
    pub std: f32,
}

/// One layer as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// Fully connected to so many outputs, with bias.
    Linear(usize),
    /// Two-dimensional convolution with bias.
    Conv2d(Conv2d),
    /// Largest value of each window of this size and stride.
    MaxPool2d(usize),
    /// Mean of each window of this size and stride.
    AvgPool2d(usize),
    /// Batch normalisation over all but the channel (or feature) dimension.
    BatchNorm,
    /// Sets this share of values to zero while training.
    Dropout(f32),
    /// max(x, 0).
    Relu,
    /// Gaussian error linear unit, exact (erf) form.
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// To one dimension.
    Flatten,
    /// Adds the input of these layers to their output.
    Residual(Vec<Layer>),
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
}

fn one() -> usize {
    1
}

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

/// How a model is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateSpec {
    /// Names of metrics; the first is the one shown first.
    pub metrics: Vec<String>,
    /// Slices, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slices: Option<Slices>,
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self { metrics: vec!["accuracy".into()], slices: None }
    }
}

/// Groups of examples that are judged apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slices {
    /// `label`, or a column of the table.
    pub by: String,
}
