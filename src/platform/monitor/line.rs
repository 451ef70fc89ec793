//! One line of the prediction log: one answer with what is watched of its input.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::features::Features;
use super::sketch::short;
use super::{MonitorError, Value};
use crate::base::{Digest, Id, Time};
use crate::platform::data::Inputs;
use crate::platform::train::{Model, Prediction};

/// An answered request, as a server hands it over.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The prediction id that the client was told.
    pub id: Id,
    /// When it was answered.
    pub time: Time,
    /// The inputs of all its instances.
    pub inputs: Inputs,
    /// One per instance.
    pub predictions: Vec<Prediction>,
    /// From the request to the answer.
    pub latency: Duration,
}

impl Answered {
    /// Bytes that it takes in memory, about.
    pub fn size(&self) -> usize {
        let inputs = match &self.inputs {
            Inputs::U8(values) => values.len(),
            Inputs::F32(values) => 4 * values.len(),
        };
        let answers: usize = self.predictions.iter().map(|one| 100 + 4 * one.probabilities.len()).sum();
        inputs + answers
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The prediction id; `ID/n` for the n-th instance, from 0, of a request with several.
    pub id: String,
    /// Tree of the model's files.
    pub model: Digest,
    /// When it was answered.
    pub time: Time,
    /// Milliseconds from the request to the answer; in the first line of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Features of the input, in the model's order.
    pub features: IndexMap<String, Value>,
    /// The answer.
    pub output: Prediction,
    /// Embedding of the input; not of every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embedding: Vec<f32>,
    /// The whole input, where `serve.log.inputs` asks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<f32>,
}

/// The lines of an answered request. `embed` says of how many instances, from the first, the embedding is made.
///
/// # Errors
/// As for [`Model::embed`].
pub fn lines(
    model: &Model,
    features: &Features,
    tree: Digest,
    answered: &Answered,
    whole: bool,
    embed: usize,
) -> Result<Vec<Line>, MonitorError> {
    let count = answered.predictions.len();
    let size: usize = model.shape.iter().product();
    let names = features.names();
    let embed = embed.min(count);
    let points = if embed > 0 { model.embed(&first(&answered.inputs, embed * size))? } else { Vec::new() };
    let rows = features.read(&answered.inputs);
    let both = rows.into_iter().zip(&answered.predictions).enumerate();
    let line = |(index, (row, output)): (usize, (Vec<Value>, &Prediction))| Line {
        id: if count == 1 { answered.id.to_string() } else { format!("{}/{index}", answered.id) },
        model: tree,
        time: answered.time,
        latency_ms: (index == 0).then(|| (answered.latency.as_secs_f64() * 1e6).round() / 1e3),
        features: names.iter().cloned().zip(row).collect(),
        output: output.clone(),
        embedding: points.get(index).map(|point| short(point)).unwrap_or_default(),
        input: if whole { input(&answered.inputs, index * size..(index + 1) * size) } else { Vec::new() },
    };
    Ok(both.map(line).collect())
}

fn first(inputs: &Inputs, values: usize) -> Inputs {
    match inputs {
        Inputs::U8(all) if all.len() > values => Inputs::U8(Arc::new(all[..values].to_vec())),
        Inputs::F32(all) if all.len() > values => Inputs::F32(Arc::new(all[..values].to_vec())),
        all => all.clone(),
    }
}

fn input(inputs: &Inputs, at: std::ops::Range<usize>) -> Vec<f32> {
    match inputs {
        Inputs::U8(values) => values[at].iter().map(|value| f32::from(*value)).collect(),
        Inputs::F32(values) => values[at].to_vec(),
    }
}
