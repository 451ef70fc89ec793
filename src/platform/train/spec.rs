//! `models:` in `mlp.yaml`.

mod form;
mod layer;
mod loss;
mod preset;
mod train;

use preset::{NetworkForm, read_network};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use layer::{
    Attention, Conv1d, Conv2d, ConvTranspose2d, Embedding, Layer, Pool, Recurrent, RecurrentOutput, Residual,
};
pub use loss::{Balanced, ClassWeights, CrossEntropy, Huber, Loss};
pub use train::{
    AdamW, Augment, Crop, EarlyStop, Ema, Flip, Init, Mixup, OneCycle, Optimizer, Plateau, RmsProp, Sampler,
    Schedule, Sgd, StepDecay, TrainSpec, WarmUp,
};

/// One model: what it eats, its network, how it is trained and judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The dataset in `data:`.
    pub data: crate::base::Name,
    /// Shape and preprocessing of one input.
    #[serde(default)]
    pub input: InputSpec,
    /// Layers in order, or the name of a preset with or without settings, which stands for its layers.
    #[serde(deserialize_with = "read_network")]
    #[schemars(with = "NetworkForm")]
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
    /// The licence that the model is given under, an SPDX identifier: `Apache-2.0`.
    #[serde(default, alias = "license", skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
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

/// How a model is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateSpec {
    /// Names of metrics; the first is the one shown first. Of classes: `accuracy`, `balanced_accuracy`, `top_3_accuracy` (any
    /// number; 3 and 5 are always given), `macro_precision`, `macro_recall`, `macro_f1` and the same with `weighted_` and
    /// `micro_`, `mcc`, `auc`, `average_precision`, `log_loss`, `brier`, `ece`; of two classes besides `precision`, `recall`
    /// and `f1` of the second; with `corruptions` also `mean_corruption_error`. Of numbers: `mae`, `rmse`, `r2`, `median_ae`, `mape`.
    pub metrics: Vec<String>,
    /// Slices, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slices: Option<Slices>,
    /// Corruptions of the inputs on which it is judged besides, each at five severities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corruptions: Vec<Corruption>,
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self { metrics: vec!["accuracy".into()], slices: None, corruptions: Vec::new() }
    }
}

/// Groups of examples that are judged apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slices {
    /// `label`, or a column of the table.
    pub by: String,
}

/// A corruption of inputs (Hendrycks and Dietterich, 2019), the same for the same example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Corruption {
    /// Gaussian noise on every value; in tables on the numbers, in units of the column's deviation.
    GaussianNoise,
    /// Images: Poisson noise, as of few photons.
    ShotNoise,
    /// Images: salt and pepper.
    ImpulseNoise,
    /// Images: a Gaussian blur.
    GaussianBlur,
    /// Images: brighter.
    Brightness,
    /// Images: less contrast.
    Contrast,
    /// Images: coarser pixels.
    Pixelate,
    /// Images: moved along both axes by 1 to 5 pixels where a side has 28; black moves in.
    Translate,
    /// Images: turned by 11 to 57 degrees; black moves in.
    Rotate,
    /// Tables: cells that are missing.
    Missing,
    /// Texts: 2 to 30 % of the tokens are missing: characters, or words where there is a tokenizer.
    TokenDrop,
    /// Texts: tokens change places with the next one, with a chance of 2 to 30 %.
    TokenSwap,
}
