//! The Open Inference Protocol, version 2, REST form: the bodies of its requests and answers.
//! <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>

use std::fmt;

use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::input::{Array, Batch, MAX_INSTANCES, Signature, Values, short};
use super::{Answered, Refusal, binary};
use crate::base::{Digest, Id, Name};

/// Name of the one input tensor.
pub(super) const INPUT: &str = "input";
/// The header that says how long the JSON of a body is; what follows are values.
pub(super) const HEAD_LENGTH: &str = "inference-header-content-length";

/// What a request wants besides predictions for its inputs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// The client's identifier, given back.
    id: Option<String>,
    /// The outputs asked for; empty for all.
    outputs: Vec<Output>,
    /// Whether outputs that say nothing of it are to be bytes behind the JSON.
    binary: bool,
}

/// How long the JSON at the beginning of the body is, if something follows.
pub(super) fn head_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(HEAD_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    length.and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, "bad-input", format!("`{HEAD_LENGTH}` is not a length"))
    })
}

/// Reads the body of `POST /v2/models/{model}/infer`: one tensor `input` of shape `[n, ...]` or `[n, values]`. The first `head`
/// bytes of the body are its JSON, all of them if absent.
pub(super) fn infer(
    body: &[u8],
    head: Option<usize>,
    signature: &Signature,
) -> Result<(Batch, Asked), Refusal> {
    let (json, values) = body.split_at_checked(head.unwrap_or(body.len())).ok_or_else(|| {
        Refusal::input(format!("`{HEAD_LENGTH}` says more than the {} bytes of the body", body.len()))
    })?;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let seed = Object(RequestKeys { signature, asked: Asked::default(), tensor: None });
    let keys = seed
        .deserialize(&mut deserializer)
        .and_then(|keys| deserializer.end().map(|()| keys))
        .map_err(|error| Refusal::json(&error))?;
    let tensor = keys.tensor.ok_or_else(|| Refusal::input("missing field `inputs`"))?;
    Ok((tensor.finish(values).map_err(Refusal::input)?, keys.asked))
}

/// One tensor of an answer.
#[derive(Serialize)]
struct Tensor<'a> {
    name: &'static str,
    shape: Vec<usize>,
    datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    #[serde(skip)]
    bytes: Option<Vec<u8>>,
}

/// Where the values are not in the JSON.
#[derive(Serialize)]
struct Size {
    binary_data_size: usize,
}

/// Written as they are: 32-bit numbers keep their short form.
#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Texts(Vec<&'a str>),
    Numbers(Vec<f32>),
}

impl Data<'_> {
    /// The values as the binary extension writes them.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Numbers(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            Self::Texts(texts) => {
                let mut bytes = Vec::new();
                texts.iter().for_each(|text| binary::write_text(&mut bytes, text));
                bytes
            }
        }
    }
}

impl Asked {
    /// The outputs that answer the request.
    fn outputs<'a>(&self, answered: &'a Answered) -> Result<Vec<Tensor<'a>>, Refusal> {
        let (count, predictions) = (answered.count, &answered.predictions);
        let classes = answered.served.model.classes.len();
        let names: &[&'static str] = if classes > 0 { &["label", "probabilities"] } else { &["value"] };
        if let Some(unknown) = self.outputs.iter().find(|output| !names.contains(&output.name.as_str())) {
            let message = format!("unknown output `{}`: the model has {names:?}", short(&unknown.name));
            return Err(Refusal::input(message));
        }
        let mut tensors = Vec::with_capacity(names.len());
        for name in names {
            let output = self.outputs.iter().find(|output| output.name == *name);
            if output.is_none() && !self.outputs.is_empty() {
                continue;
            }
            let (shape, datatype, data) = match *name {
                "label" => {
                    let labels = predictions.iter().map(|p| p.label.as_deref().unwrap_or_default()).collect();
                    (vec![count], "BYTES", Data::Texts(labels))
                }
                "probabilities" => {
                    let all = predictions.iter().flat_map(|p| p.probabilities.iter().copied()).collect();
                    (vec![count, classes], "FP32", Data::Numbers(all))
                }
                _ => {
                    let values = predictions.iter().map(|p| p.value.unwrap_or(f32::NAN)).collect();
                    (vec![count], "FP32", Data::Numbers(values))
                }
            };
            let wants_binary = output.and_then(|output| output.parameters.binary_data).unwrap_or(self.binary);
            let bytes = wants_binary.then(|| data.bytes());
            tensors.push(Tensor {
                name,
                shape,
                datatype,
                parameters: bytes.as_ref().map(|bytes| Size { binary_data_size: bytes.len() }),
                data: (!wants_binary).then_some(data),
                bytes,
            });
        }
        Ok(tensors)
    }
}

/// What `infer` answers.
#[derive(Serialize)]
pub(super) struct Inferred<'a> {
    model_name: &'a Name,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    parameters: Parameters,
    outputs: Vec<Tensor<'a>>,
}

/// Which bytes answered, and what the answer is called.
#[derive(Serialize)]
struct Parameters {
    digest: Digest,
    prediction_id: Id,
}

impl<'a> Inferred<'a> {
    /// The answer to a request that asked for `asked`.
    pub(super) fn new(answered: &'a Answered, asked: Asked) -> Result<Self, Refusal> {
        let served = &answered.served;
        Ok(Self {
            model_name: &served.name,
            model_version: served.version.to_string(),
            parameters: Parameters { digest: served.tree, prediction_id: answered.id },
            outputs: asked.outputs(answered)?,
            id: asked.id,
        })
    }

    /// The values that stand behind the JSON; none if all are in it.
    pub(super) fn binary(&self) -> Option<Vec<u8>> {
        let tensors = || self.outputs.iter().filter_map(|tensor| tensor.bytes.as_deref());
        (tensors().count() > 0).then(|| tensors().collect::<Vec<_>>().concat())
    }
}

/// The tensors of a model, as its metadata tells.
pub(super) fn tensors(signature: &Signature, classes: usize) -> (Value, Value) {
    let mut shape = vec![json!(-1)];
    shape.extend(signature.shape.iter().map(|size| json!(size)));
    let datatype = match signature {
        Signature { pixels: true, .. } => "UINT8",
        Signature { text: Some(_), .. } => "INT64",
        _ => "FP32",
    };
    let inputs = json!([{"name": INPUT, "datatype": datatype, "shape": shape}]);
    let outputs = if classes > 0 {
        json!([
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
        ])
    } else {
        json!([{"name": "value", "datatype": "FP32", "shape": [-1]}])
    };
    (inputs, outputs)
}

/// An object that is read key by key.
trait Keys: Sized {
    const WHAT: &'static str;
    fn key<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads an object with [`Keys`].
struct Object<K>(K);

impl<'de, K: Keys> DeserializeSeed<'de> for Object<K> {
    type Value = K;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, K: Keys> Visitor<'de> for Object<K> {
    type Value = K;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<K, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.0.key(&key, &mut map)?;
        }
        Ok(self.0)
    }
}

struct RequestKeys<'a> {
    signature: &'a Signature,
    asked: Asked,
    tensor: Option<TensorKeys<'a>>,
}

impl Keys for RequestKeys<'_> {
    const WHAT: &'static str = "an inference request: an object with the key `inputs`";

    fn key<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "id" => self.asked.id = Some(map.next_value()?),
            "parameters" => self.asked.binary = map.next_value::<RequestParameters>()?.binary_data_output,
            "inputs" if self.tensor.is_some() => return Err(de::Error::duplicate_field("inputs")),
            "inputs" => self.tensor = Some(map.next_value_seed(Inputs { signature: self.signature })?),
            "outputs" => self.asked.outputs = map.next_value()?,
            _ => {
                let known = &["id", "parameters", "inputs", "outputs"];
                return Err(de::Error::unknown_field(&short(key), known));
            }
        }
        Ok(())
    }
}

/// Parameters of a request; others than these mean nothing here.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct RequestParameters {
    binary_data_output: bool,
}

/// An output that is asked for.
#[derive(Debug, PartialEq, serde::Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: OutputParameters,
}

#[derive(Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
struct OutputParameters {
    binary_data: Option<bool>,
}

/// Parameters of an input.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct InputParameters {
    binary_data_size: Option<usize>,
}

struct Inputs<'a> {
    signature: &'a Signature,
}

impl<'de, 'a> DeserializeSeed<'de> for Inputs<'a> {
    type Value = TensorKeys<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, 'a> Visitor<'de> for Inputs<'a> {
    type Value = TensorKeys<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array with one tensor")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let one = || de::Error::custom(format!("`inputs` holds exactly one tensor, named `{INPUT}`"));
        let seed = || Object(TensorKeys::new(self.signature));
        let tensor = seq.next_element_seed(seed())?.ok_or_else(one)?;
        if seq.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(one());
        }
        Ok(tensor)
    }
}

struct TensorKeys<'a> {
    signature: &'a Signature,
    name: Option<String>,
    shape: Option<Vec<usize>>,
    datatype: Option<String>,
    /// Bytes behind the JSON.
    binary: Option<usize>,
    values: Option<Values>,
    /// Texts among `values`.
    texts: usize,
}

impl<'a> TensorKeys<'a> {
    fn new(signature: &'a Signature) -> Self {
        Self { signature, name: None, shape: None, datatype: None, binary: None, values: None, texts: 0 }
    }

    /// The batch; `bytes` is what follows the JSON.
    fn finish(self, bytes: &[u8]) -> Result<Batch, String> {
        let name = self.name.ok_or("a tensor needs `name`")?;
        if name != INPUT {
            return Err(format!("unknown input `{}`: the model has `{INPUT}`", short(&name)));
        }
        let datatype = self.datatype.ok_or("a tensor needs `datatype`")?;
        if !binary::DATATYPES.contains(&datatype.as_str()) {
            return Err(format!("datatype `{}` is not one of {:?}", short(&datatype), binary::DATATYPES));
        }
        let shape = self.shape.ok_or("a tensor needs `shape`")?;
        let (wanted, size) = (&self.signature.shape, self.signature.size());
        let (count, rest) =
            shape.split_first().ok_or("`shape` is empty: the first dimension counts instances")?;
        let texts = datatype == "BYTES";
        let fits = if texts { rest.is_empty() || rest == [1] } else { rest == wanted || rest == [size] };
        if texts && self.signature.text.is_none() {
            return Err("BYTES are texts, and the model takes none".to_owned());
        }
        if !fits {
            return Err(match texts {
                true => format!("shape {shape:?} does not fit: texts have [n]"),
                false => format!("shape {shape:?} does not fit: the model takes [n] and {wanted:?}"),
            });
        }
        if *count == 0 || *count > MAX_INSTANCES {
            return Err(format!("{count} instances: from 1 to {MAX_INSTANCES} are taken"));
        }
        let values = match (self.values, self.binary) {
            (Some(_), Some(_)) => return Err("both `data` and `binary_data_size`".to_owned()),
            (None, None) => return Err("a tensor needs `data`".to_owned()),
            (Some(_), None) if !bytes.is_empty() => {
                return Err(format!("{} bytes behind the JSON that no tensor speaks of", bytes.len()));
            }
            (Some(_), None) if self.texts != if texts { *count } else { 0 } => {
                return Err(format!("{} texts where {datatype} of shape {shape:?} is announced", self.texts));
            }
            (Some(values), None) => values,
            (None, Some(length)) if length != bytes.len() => {
                return Err(format!(
                    "`binary_data_size` is {length}, and {} bytes follow the JSON",
                    bytes.len()
                ));
            }
            (None, Some(_)) => {
                let mut values = Values::new(self.signature);
                binary::read(&datatype, bytes, &mut values, self.signature, count * size)?;
                values
            }
        };
        if values.len() != count * size {
            return Err(format!("shape {shape:?} does not fit the {} values", values.len()));
        }
        Ok((*count, values.into_inputs()))
    }
}

impl Keys for TensorKeys<'_> {
    const WHAT: &'static str = "a tensor: an object with `name`, `shape`, `datatype` and `data`";

    fn key<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = Some(map.next_value()?),
            "shape" => self.shape = Some(map.next_value()?),
            "datatype" => self.datatype = Some(map.next_value()?),
            "parameters" => self.binary = map.next_value::<InputParameters>()?.binary_data_size,
            "data" => {
                let mut values = Values::new(self.signature);
                let limit = MAX_INSTANCES * self.signature.size();
                let array = Array::new(&mut values, limit).with_texts(self.signature.text.as_ref());
                self.texts = map.next_value_seed(array)?.texts;
                self.values = Some(values);
            }
            _ => {
                let known = &["name", "shape", "datatype", "parameters", "data"];
                return Err(de::Error::unknown_field(&short(key), known));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
