//! `train:` of a model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CrossEntropy, Loss};
use crate::base::{Resources, Retry};

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
    /// Examples per step, or per part of a step with `accumulate`.
    pub batch_size: usize,
    /// Batches whose gradients make one step, 1 if absent: as a batch that many times as large, but for batch normalisation.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Largest norm of the gradient of all weights together; it is scaled down to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Steps at the beginning in which the learning rate rises to what the schedule says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// A moving average of the weights, which is what is validated and saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<Ema>,
    /// Which examples an epoch has, `uniform` if absent.
    #[serde(skip_serializing_if = "Sampler::is_uniform")]
    pub sampler: Sampler,
    /// The tensors that it begins with, those of another model; random ones if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// Tensors that keep their first values, by the beginning of their names: `layers.1`. Batch normalisation in them does
    /// not follow the data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Random changes to training images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Augment>,
    /// Seed of weights, order, dropout and augmentation.
    pub seed: u64,
    /// Stop when a metric no longer gets better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
    /// What the training needs, and how much it may take; nothing of it changes the result.
    #[serde(skip_serializing_if = "Resources::is_default")]
    pub resources: Resources,
    /// When it is started again by itself; it goes on from its last checkpoint.
    #[serde(skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            loss: Loss::CrossEntropy(CrossEntropy::default()),
            optimizer: Optimizer::Adamw(AdamW::default()),
            schedule: Schedule::Constant,
            epochs: 10,
            batch_size: 64,
            accumulate: 1,
            clip_norm: None,
            warm_up: None,
            ema: None,
            sampler: Sampler::Uniform,
            init: None,
            freeze: Vec::new(),
            augment: Vec::new(),
            seed: 0,
            early_stop: None,
            resources: Resources::default(),
            retry: Retry::default(),
        }
    }
}

impl TrainSpec {
    /// Takes out what changes nothing about the result.
    pub fn take_limits(&mut self) -> (Resources, Retry) {
        (std::mem::take(&mut self.resources), std::mem::take(&mut self.retry))
    }
}

/// Tensors of another model to begin with. All of its tensors and all of this network must go together by name and shape,
/// but for those left out; what is left out here begins with random values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// A registered version of a model (`digits@3`, `digits@production`, `digits` for its newest), or a file that ends in
    /// `.safetensors`, relative to `mlp.yaml`.
    pub from: String,
    /// Takes only the tensors whose names begin so (`layers.1`); all if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Leaves out the tensors whose names begin so: `layers.10`, a new head.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

impl Init {
    /// Whether `from` is a file, not a model.
    pub fn is_file(&self) -> bool {
        self.from.ends_with(".safetensors")
    }
}

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    Adamw(AdamW),
    /// Gradients divided by the root of their mean square (Hinton, 2012).
    Rmsprop(RmsProp),
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

/// RMSprop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean square.
    pub alpha: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Momentum, 0 to 1.
    pub momentum: f64,
    /// Weight decay (L2).
    pub weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { lr: 0.01, alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0 }
    }
}

/// Learning rate over time, updated every step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Multiplied by `factor` when a metric no longer gets better.
    Plateau(Plateau),
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

/// Lower rates when a metric no longer gets better by more than 0.01 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// `val.loss`, `val.accuracy`, …
    pub metric: String,
    /// Epochs without improvement after which the next one lowers the rate.
    pub patience: u32,
    /// Factor.
    pub factor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { metric: "val.loss".to_owned(), patience: 10, factor: 0.1 }
    }
}

/// How long the learning rate rises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WarmUp {
    /// So many steps.
    Steps(u64),
    /// So many epochs; parts of one are allowed.
    Epochs(f64),
}

/// An exponential moving average of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ema {
    /// Share of the average that stays at each step, such as 0.999; less in the first steps, (1 + step) / (10 + step).
    pub decay: f64,
}

/// Which examples an epoch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Each one once.
    #[default]
    Uniform,
    /// As many as there are, drawn so that every class is as likely; some come more than once, some not at all.
    Balanced,
}

impl Sampler {
    fn is_uniform(&self) -> bool {
        *self == Self::Uniform
    }
}

fn is_one(value: &usize) -> bool {
    *value == 1
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
    /// Mirror half of the images.
    Flip(Flip),
    /// Cut out a part and bring it to full size.
    Crop(Crop),
    /// With this probability, paint over a rectangle of 2 to 33 % of the image (Zhong and others, 2020).
    Erase(f32),
    /// Mix each example and its target with another example (Zhang and others, 2018), after all other changes.
    Mixup(Mixup),
}

/// The axis that an image is mirrored along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Left and right change places.
    Horizontal,
    /// Top and bottom change places.
    Vertical,
}

/// A random part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Crop {
    /// Pixels by which the part may reach beyond each side.
    pub padding: u32,
    /// Smallest side of the part as a share of the image's side; 1 leaves the size as it is.
    pub scale: f32,
}

impl Default for Crop {
    fn default() -> Self {
        Self { padding: 0, scale: 1.0 }
    }
}

/// How examples are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    /// Both parameters of the beta distribution that the share is drawn from; 0.2 to 0.4 is usual.
    pub alpha: f32,
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
