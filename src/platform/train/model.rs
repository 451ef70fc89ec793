//! A trained model: `model.safetensors` (weights) and `model.json` (network, preprocessing, labels, signature).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::platform::data::Inputs;

/// A model ready to predict. Cheap to share between threads.
pub struct Model {
    /// Class names in order; empty for regression.
    pub classes: Vec<String>,
    /// Shape of one input without the batch dimension.
    pub shape: Vec<usize>,
}

/// What a model says about one example; one line of a predictions file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Stable key of the example (hex); absent when serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The most likely class, or the predicted number as text is never needed: absent for regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The predicted number; regression only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f32>,
    /// Probability of each class, in the order of the model's classes; empty for regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probabilities: Vec<f32>,
    /// The truth: class name or number as text; absent when serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<String>,
}

impl Model {
    /// Loads the model in `folder`, refusing anything that is not exactly what `model.json` says.
    pub fn load(folder: &Path) -> Result<Self, TrainError> {
        let _ = folder;
        todo!()
    }

    /// A model from the bytes of its two files, checked as by [`Model::load`].
    pub fn from_bytes(json: &[u8], safetensors: &[u8]) -> Result<Self, TrainError> {
        let _ = (json, safetensors);
        todo!()
    }

    /// Predicts `n` examples; `inputs` holds `n * shape.product()` values before normalisation.
    pub fn predict(&self, inputs: &Inputs) -> Result<Vec<Prediction>, TrainError> {
        let _ = inputs;
        todo!()
    }
}
