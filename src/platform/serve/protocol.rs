//! The Open Inference Protocol, version 2, REST form: the bodies of its requests and answers.
//! <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>

use std::fmt;

use serde::Serialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::Refusal;
use super::input::{Array, Batch, MAX_INSTANCES, Signature, Values, short, skip};
use crate::base::{Digest, Id, Name};
use crate::platform::train::Prediction;

/// Name of the one input tensor.
pub(super) const INPUT: &str = "input";

/// An inference request, read against a signature.
#[derive(Debug)]
pub(super) struct Infer {
    /// The client's identifier, given back.
    pub(super) id: Option<String>,
    /// Names of the outputs asked for; empty for all.
    pub(super) outputs: Vec<String>,
    /// The inputs.
    pub(super) batch: Batch,
}

/// Reads the body of `POST /v2/models/{model}/infer`: one tensor `input` of shape `[n, ...]` or `[n, values]`.
pub(super) fn infer(body: &[u8], signature: &Signature) -> Result<Infer, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Object(RequestKeys { signature, id: None, outputs: Vec::new(), batch: None });
    let keys = seed
        .deserialize(&mut deserializer)
        .and_then(|keys| deserializer.end().map(|()| keys))
        .map_err(|error| Refusal::json(&error))?;
    let batch = keys.batch.ok_or_else(|| Refusal::input("missing field `inputs`"))?;
    Ok(Infer { id: keys.id, outputs: keys.outputs, batch })
}

/// One tensor of an answer.
#[derive(Serialize)]
pub(super) struct Tensor<'a> {
    name: &'static str,
    shape: Vec<usize>,
    datatype: &'static str,
    data: Data<'a>,
}

/// Written as they are: 32-bit numbers keep their short form.
#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Texts(Vec<&'a str>),
    Numbers(Vec<f32>),
}

/// The outputs that answer a request: those in `wanted`, or all if it is empty.
pub(super) fn outputs<'a>(
    predictions: &'a [Prediction],
    classes: usize,
    wanted: &[String],
) -> Result<Vec<Tensor<'a>>, Refusal> {
    let count = predictions.len();
    let names: &[&'static str] = if classes > 0 { &["label", "probabilities"] } else { &["value"] };
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        let message = format!("unknown output `{}`: the model has {names:?}", short(unknown));
        return Err(Refusal::input(message));
    }
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let tensor = |name: &'static str| match name {
        "label" => {
            let labels = predictions.iter().map(|p| p.label.as_deref().unwrap_or_default()).collect();
            Tensor { name, shape: vec![count], datatype: "BYTES", data: Data::Texts(labels) }
        }
        "probabilities" => {
            let all = predictions.iter().flat_map(|p| p.probabilities.iter().copied()).collect();
            Tensor { name, shape: vec![count, classes], datatype: "FP32", data: Data::Numbers(all) }
        }
        _ => {
            let values = predictions.iter().map(|p| p.value.unwrap_or(f32::NAN)).collect();
            Tensor { name, shape: vec![count], datatype: "FP32", data: Data::Numbers(values) }
        }
    };
    Ok(names.iter().copied().filter(|name| asked(name)).map(tensor).collect())
}

/// What `infer` answers.
#[derive(Serialize)]
pub(super) struct Inferred<'a> {
    pub(super) model_name: &'a Name,
    pub(super) model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) parameters: Parameters,
    pub(super) outputs: Vec<Tensor<'a>>,
}

/// Which bytes answered, and what the answer is called.
#[derive(Serialize)]
pub(super) struct Parameters {
    pub(super) digest: Digest,
    pub(super) prediction_id: Id,
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
    id: Option<String>,
    outputs: Vec<String>,
    batch: Option<Batch>,
}

impl Keys for RequestKeys<'_> {
    const WHAT: &'static str = "an inference request: an object with the key `inputs`";

    fn key<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "id" => self.id = Some(map.next_value()?),
            "parameters" => skip(map)?,
            "inputs" if self.batch.is_some() => return Err(de::Error::duplicate_field("inputs")),
            "inputs" => self.batch = Some(map.next_value_seed(Inputs { signature: self.signature })?),
            "outputs" => {
                self.outputs =
                    map.next_value::<Vec<Output>>()?.into_iter().map(|output| output.name).collect();
            }
            _ => {
                let known = &["id", "parameters", "inputs", "outputs"];
                return Err(de::Error::unknown_field(&short(key), known));
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Output {
    name: String,
}

struct Inputs<'a> {
    signature: &'a Signature,
}

impl<'de> DeserializeSeed<'de> for Inputs<'_> {
    type Value = Batch;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Batch, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Inputs<'_> {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array with one tensor")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Batch, A::Error> {
        let one = || de::Error::custom(format!("`inputs` holds exactly one tensor, named `{INPUT}`"));
        let seed = || Object(TensorKeys::new(self.signature));
        let tensor = seq.next_element_seed(seed())?.ok_or_else(one)?;
        if seq.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(one());
        }
        tensor.finish().map_err(de::Error::custom)
    }
}

struct TensorKeys<'a> {
    signature: &'a Signature,
    name: Option<String>,
    shape: Option<Vec<usize>>,
    datatype: Option<String>,
    values: Option<Values>,
}

impl<'a> TensorKeys<'a> {
    fn new(signature: &'a Signature) -> Self {
        Self { signature, name: None, shape: None, datatype: None, values: None }
    }

    fn finish(self) -> Result<Batch, String> {
        let name = self.name.ok_or("a tensor needs `name`")?;
        if name != INPUT {
            return Err(format!("unknown input `{}`: the model has `{INPUT}`", short(&name)));
        }
        let datatype = self.datatype.ok_or("a tensor needs `datatype`")?;
        let known = ["UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "INT64", "FP32", "FP64"];
        if !known.contains(&datatype.as_str()) {
            return Err(format!("datatype `{}` is not one of {known:?}", short(&datatype)));
        }
        let shape = self.shape.ok_or("a tensor needs `shape`")?;
        let values = self.values.ok_or("a tensor needs `data`")?;
        let wanted = &self.signature.shape;
        let (count, rest) =
            shape.split_first().ok_or("`shape` is empty: the first dimension counts instances")?;
        if rest != wanted && rest != [self.signature.size()] {
            return Err(format!("shape {shape:?} does not fit: the model takes [n] and {wanted:?}"));
        }
        if *count == 0 || *count > MAX_INSTANCES {
            return Err(format!("{count} instances: from 1 to {MAX_INSTANCES} are taken"));
        }
        if values.len() != count * self.signature.size() {
            return Err(format!("shape {shape:?} does not fit the {} values of `data`", values.len()));
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
            "parameters" => skip(map)?,
            "data" => {
                let mut values = Values::new(self.signature);
                map.next_value_seed(Array::new(&mut values, MAX_INSTANCES * self.signature.size()))?;
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
mod tests {
    use super::*;

    fn signature() -> Signature {
        Signature { shape: vec![1, 2, 2], pixels: true, encoding: None, text: None }
    }

    fn refused(body: &str) -> String {
        let refusal = infer(body.as_bytes(), &signature()).expect_err(body);
        assert_eq!(refusal.status, 400, "{body}");
        refusal.message
    }

    #[test]
    fn keys_in_any_order_and_nested_data_are_read() {
        let body = r#"{"outputs": [{"name": "label"}], "inputs": [{"data": [[[[1, 2], [3, 4]]]], "datatype": "FP32",
            "shape": [1, 1, 2, 2], "name": "input", "parameters": {"x": [1]}}], "id": "a", "parameters": {}}"#;
        let infer = infer(body.as_bytes(), &signature()).expect("reads");
        assert_eq!(
            (infer.id.as_deref(), infer.outputs.as_slice()),
            (Some("a"), ["label".to_owned()].as_slice())
        );
        let (1, crate::platform::data::Inputs::U8(values)) = infer.batch else { panic!("not one image") };
        assert_eq!(values.as_slice(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_tensor_that_does_not_fit_is_refused_by_name() {
        let tensor = |name: &str, shape: &str, datatype: &str, data: &str| {
            format!(
                r#"{{"inputs":[{{"name":"{name}","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#
            )
        };
        assert!(refused(&tensor("x", "[1,4]", "UINT8", "[1,2,3,4]")).contains("unknown input `x`"));
        assert!(refused(&tensor("input", "[1,5]", "UINT8", "[1,2,3,4,5]")).contains("shape [1, 5]"));
        assert!(refused(&tensor("input", "[2,4]", "UINT8", "[1,2,3,4]")).contains("4 values"));
        assert!(refused(&tensor("input", "[0,4]", "UINT8", "[]")).contains("0 instances"));
        assert!(refused(&tensor("input", "[1,4]", "BYTES", "[1,2,3,4]")).contains("`BYTES`"));
        assert!(refused(&tensor("input", "[-1,4]", "UINT8", "[1,2,3,4]")).contains("-1"));
        assert!(refused(&tensor("input", "[18446744073709551615,4]", "UINT8", "[1]")).contains("instances"));
        assert!(refused(r#"{"inputs":[]}"#).contains("exactly one"));
        assert!(refused(r#"{}"#).contains("`inputs`"));
    }
}
