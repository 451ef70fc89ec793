//! A trained model: `model.safetensors` (weights) and `model.json` (network, preprocessing, labels, signature).

mod embedding;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::checkpoint::{Tensors, deserialize};
use super::forward::Pass;
use super::kernels::Panels;
use super::network::Network;
use super::preprocess::{self, Normalization, TargetScale};
use super::spec::Layer;
use crate::base::Digest;
use crate::platform::data::{Inputs, TableEncoding, TextEncoding};

/// Version of the format of `model.json`.
const SCHEMA: &str = "mlp/model/1";
/// Largest `model.json` that is read.
const LARGEST_JSON: u64 = 64 << 20;
/// Examples run at a time by [`Model::predict`].
const BATCH: usize = 256;

/// A model ready to predict. Cheap to share between threads.
pub struct Model {
    /// Class names in order; empty for regression.
    pub classes: Vec<String>,
    /// Shape of one input without the batch dimension.
    pub shape: Vec<usize>,
    /// Whether inputs are pixels from 0 to 255.
    pub pixels: bool,
    /// Names of the input columns of a table; empty for images.
    pub columns: Vec<String>,
    /// How rows of a table become inputs.
    pub encoding: Option<TableEncoding>,
    /// How texts become inputs.
    pub text: Option<TextEncoding>,
    /// BLAKE3 of `model.safetensors`.
    pub digest: Digest,
    /// Trained parameters.
    pub parameters: usize,
    network: Network,
    normalization: Normalization,
    target: TargetScale,
    weights: Vec<Tensor>,
    /// [`Pass::turned`] of the weights.
    turned: Vec<Option<Arc<Panels>>>,
}

/// `model.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Description {
    /// `mlp/model/1`.
    pub(super) schema: String,
    /// What it does.
    pub(super) task: Task,
    /// What it eats.
    pub(super) input: InputDescription,
    /// Class names in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) classes: Vec<String>,
    /// Whether one output is the log odds of the second of two classes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) binary: bool,
    /// Scale of the predicted number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<TargetScale>,
    /// Layers as written.
    pub(super) network: Vec<Layer>,
    /// The other file.
    pub(super) weights: WeightsDescription,
    /// What made it: `mlp 0.1.0`.
    pub(super) framework: String,
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Task {
    /// One class of several.
    Classification,
    /// A number.
    Regression,
}

/// What a model eats.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InputDescription {
    /// Without the batch dimension.
    pub(super) shape: Vec<usize>,
    /// How values are normalised.
    pub(super) normalization: Normalization,
    /// Names of the values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<String>,
    /// How rows of a table become values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encoding: Option<TableEncoding>,
    /// How texts become values, with the tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<TextEncoding>,
}

/// `model.safetensors`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WeightsDescription {
    /// BLAKE3 of the file.
    pub(super) digest: Digest,
    /// Trained parameters.
    pub(super) parameters: usize,
}

impl Description {
    /// The bytes of `model.json`.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Plain strings and finite numbers: writing to memory cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The schema of the descriptions that this program writes.
pub(super) fn schema() -> String {
    SCHEMA.to_owned()
}

/// What a model says about one example; one line of a predictions file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Stable key of the example (hex); absent when serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The most likely class; absent for regression.
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
    ///
    /// # Errors
    /// [`TrainError::Io`] if a file cannot be read; [`TrainError::Model`] as for [`Model::from_bytes`].
    pub fn load(folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join("model.json");
        let mut json = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST_JSON + 1).read_to_end(&mut json));
        read.map_err(TrainError::io("read", &path))?;
        let path = folder.join("model.safetensors");
        let weights = std::fs::read(&path).map_err(TrainError::io("read", &path))?;
        Self::from_bytes(&json, &weights)
    }

    /// A model from the bytes of its two files.
    ///
    /// # Errors
    /// [`TrainError::Model`] if `model.json` cannot be read or contradicts itself; if the weights do not have the digest
    /// it names; if a tensor is missing, left over or of another shape; if a weight is not a finite number.
    pub fn from_bytes(json: &[u8], safetensors: &[u8]) -> Result<Self, TrainError> {
        if json.len() as u64 > LARGEST_JSON {
            return Err(TrainError::Model("`model.json` is over 64 MiB".to_owned()));
        }
        let description: Description = serde_json::from_slice(json)
            .map_err(|error| TrainError::Model(format!("`model.json` cannot be read: {error}")))?;
        let network = check(&description)?;
        let digest = Digest::of(safetensors);
        if digest != description.weights.digest {
            let wanted = description.weights.digest;
            let detail = format!("`model.safetensors` is {digest}, but `model.json` names {wanted}");
            return Err(TrainError::Model(detail));
        }
        let tensors = deserialize(safetensors)
            .map_err(|reason| TrainError::Model(format!("`model.safetensors` cannot be read: {reason}")))?;
        let weights = assemble(&network, tensors)?;
        let turned = Pass::turned(&network.layers, &weights)?;
        let Description { input, classes, target, .. } = description;
        Ok(Self {
            classes,
            shape: input.shape,
            pixels: input.normalization.pixels,
            columns: input.columns,
            encoding: input.encoding,
            text: input.text,
            digest,
            parameters: network.parameters(),
            network,
            normalization: input.normalization,
            target: target.unwrap_or(TargetScale { mean: 0.0, std: 1.0 }),
            weights,
            turned,
        })
    }

    /// Whether it predicts a class, not a number.
    pub fn classifies(&self) -> bool {
        !self.classes.is_empty()
    }

    /// Its layers.
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// Its tensors, in the order of the network.
    pub(super) fn tensors(&self) -> &[Tensor] {
        &self.weights
    }

    /// Mean and deviation that inputs are normalised with: one for all values, or one for each.
    pub(super) fn normalization(&self) -> (&[f32], &[f32]) {
        (&self.normalization.mean, &self.normalization.std)
    }

    /// Scale of the predicted number.
    pub(super) fn target(&self) -> TargetScale {
        self.target
    }

    /// Deviation of input `index` in the training part, or what `input.normalize` says.
    pub(super) fn deviation(&self, index: usize) -> f32 {
        let std = &self.normalization.std;
        std.get(index).or(std.first()).copied().unwrap_or(1.0)
    }

    /// Predicts `n` examples; `inputs` holds `n * shape.product()` values before normalisation, pixels from 0 to 255 even
    /// if given as numbers. The same example always gets the same answer, bit for bit, whatever stands beside it in a call and
    /// whatever the number of threads.
    ///
    /// # Errors
    /// [`TrainError::Input`] if the values do not fill whole examples or are not finite.
    pub fn predict(&self, inputs: &Inputs) -> Result<Vec<Prediction>, TrainError> {
        let order = self.order(inputs)?;
        let mut predictions = Vec::with_capacity(order.len());
        for order in order.chunks(BATCH) {
            let outputs = self.outputs(inputs, order)?;
            predictions.extend(outputs.chunks(self.network.outputs).map(|outputs| self.prediction(outputs)));
        }
        Ok(predictions)
    }

    /// The places of the examples, if the inputs are whole examples of numbers that the network takes.
    fn order(&self, inputs: &Inputs) -> Result<Vec<u32>, TrainError> {
        let length: usize = self.shape.iter().product();
        let values = match inputs {
            Inputs::U8(values) => values.len(),
            Inputs::F32(values) if inputs.are_finite() => values.len(),
            Inputs::F32(_) => {
                return Err(TrainError::Input("a value is not a finite number".to_owned()));
            }
        };
        if values % length != 0 {
            let detail = format!("{values} values are no whole number of inputs of shape {:?}", self.shape);
            return Err(TrainError::Input(detail));
        }
        if let Some(tokens) = self.network.tokens().filter(|tokens| !preprocess::are_tokens(inputs, *tokens))
        {
            let detail = format!("a value is no token, a whole number from 0 to {}", tokens - 1);
            return Err(TrainError::Input(detail));
        }
        Ok((0..(values / length) as u32).collect())
    }

    /// What comes out of the network for the examples at `order`, one row after the other.
    ///
    /// For networks that share one example among threads this happens on a thread of the pool: from outside of it, each kernel would put
    /// its caller to sleep and wake it.
    fn outputs(&self, inputs: &Inputs, order: &[u32]) -> Result<Vec<f32>, TrainError> {
        /// Below it crossing to the pool takes longer than a prediction.
        const LARGE: usize = 1 << 19;
        let answer = || {
            let x =
                preprocess::inputs(&self.normalization, &self.shape, &inputs.batch(), order, &Device::Cpu)?;
            let mut pass = Pass::inference(&self.weights).with(&self.turned);
            let y = pass.run(&self.network.layers, &x)?;
            Ok(y.flatten_all()?.to_vec1()?)
        };
        let size: usize = self.weights.iter().map(Tensor::elem_count).sum();
        if size < LARGE { answer() } else { rayon::scope(|_| answer()) }
    }

    fn prediction(&self, outputs: &[f32]) -> Prediction {
        if !self.classifies() {
            let value = outputs[0] * self.target.std + self.target.mean;
            return Prediction { value: Some(value), ..Prediction::default() };
        }
        let probabilities = match *outputs {
            // The log odds of the second class.
            [logit] if self.classes.len() == 2 => softmax(&[0.0, logit]),
            _ => softmax(outputs),
        };
        let label = Some(self.classes[largest(&probabilities)].clone());
        Prediction { label, probabilities, ..Prediction::default() }
    }
}

/// Refuses a description that contradicts itself; gives its network.
fn check(description: &Description) -> Result<Network, TrainError> {
    let refuse = |detail: String| Err(TrainError::Model(format!("`model.json`: {detail}")));
    if description.schema != SCHEMA {
        return refuse(format!("its format is `{}`, not `{SCHEMA}`", description.schema.escape_debug()));
    }
    let outputs = match (description.task, description.classes.len()) {
        (Task::Classification, 2) if description.binary => 1,
        (Task::Classification, classes @ 1..) if !description.binary => classes,
        (Task::Regression, 0) => 1,
        (task, classes) => return refuse(format!("{classes} classes do not go with {task:?}")),
    };
    let input = &description.input;
    let network = match Network::resolve(&description.network, &input.shape, outputs) {
        Ok(network) => network,
        Err(error) => return refuse(error.to_string()),
    };
    if !input.normalization.fits(&input.shape) {
        return refuse("its normalisation does not fit its input".to_owned());
    }
    let width = input.encoding.as_ref().map(TableEncoding::width);
    if width.is_some_and(|width| input.shape != [width]) {
        return refuse("its table encoding does not fit its input".to_owned());
    }
    if input.text.as_ref().is_some_and(|text| input.shape != [text.length]) {
        return refuse("its texts do not fit its input".to_owned());
    }
    if !input.columns.is_empty() && input.shape != [input.columns.len()] {
        return refuse("its columns do not fit its input".to_owned());
    }
    if description.target.is_some_and(|target| !(target.mean.is_finite() && target.std.is_finite())) {
        return refuse("its target is not scaled by finite numbers".to_owned());
    }
    Ok(network)
}

/// The tensors in the order of the network; refuses missing, left over, misshapen and not finite ones.
fn assemble(network: &Network, mut tensors: Tensors) -> Result<Vec<Tensor>, TrainError> {
    let refuse = |detail: String| TrainError::Model(format!("`model.safetensors`: {detail}"));
    let mut weights = Vec::with_capacity(network.tensors.len());
    for wanted in &network.tensors {
        let name = &wanted.name;
        let (shape, values) =
            tensors.remove(name).ok_or_else(|| refuse(format!("tensor `{name}` is missing")))?;
        if shape != wanted.shape {
            return Err(refuse(format!("tensor `{name}` is {shape:?}, not {:?}", wanted.shape)));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(refuse(format!("tensor `{name}` holds a value that is not a finite number")));
        }
        weights.push(Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    match tensors.keys().next() {
        Some(name) => Err(refuse(format!("tensor `{}` belongs to no layer", name.escape_debug()))),
        None => Ok(weights),
    }
}

/// Index of the largest value; of equal ones the first.
pub(super) fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

#[cfg(test)]
mod tests;
