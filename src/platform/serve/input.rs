//! From the JSON of a request to the inputs of a model, in one pass and without a tree of values in between:
//! a body of so many bytes never takes more than some times its size in memory.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Refusal;
use crate::platform::data::{Inputs, TableEncoding, TextEncoding};

/// Instances that one request may hold.
pub const MAX_INSTANCES: usize = 4096;

/// What one input of a model looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Shape without the batch dimension.
    pub shape: Vec<usize>,
    /// Whether values are pixels, whole numbers from 0 to 255, and not any numbers.
    pub pixels: bool,
    /// How rows of a table become inputs; absent for images.
    pub encoding: Option<TableEncoding>,
    /// How texts become inputs; absent where the model takes none.
    pub text: Option<TextEncoding>,
}

impl Signature {
    /// Values in one input.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Values on their way to a model.
#[derive(Debug)]
pub(super) enum Values {
    Pixels(Vec<u8>),
    Numbers(Vec<f32>),
}

impl Values {
    pub(super) fn new(signature: &Signature) -> Self {
        if signature.pixels { Self::Pixels(Vec::new()) } else { Self::Numbers(Vec::new()) }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Pixels(values) => values.len(),
            Self::Numbers(values) => values.len(),
        }
    }

    /// Keeps the first `length` values.
    pub(super) fn truncate(&mut self, length: usize) {
        match self {
            Self::Pixels(values) => values.truncate(length),
            Self::Numbers(values) => values.truncate(length),
        }
    }

    /// Adds one value, if the model takes it.
    pub(super) fn push(&mut self, value: f64) -> Result<(), String> {
        match self {
            Self::Pixels(values) => {
                if !(0.0..=255.0).contains(&value) || value.fract() != 0.0 {
                    return Err(format!("{value} is not a pixel: a whole number from 0 to 255"));
                }
                values.push(value as u8);
            }
            Self::Numbers(values) => {
                let number = value as f32;
                if !number.is_finite() {
                    return Err(format!("{value} is not a finite 32-bit number"));
                }
                values.push(number);
            }
        }
        Ok(())
    }

    /// Adds the token ids of a text.
    pub(super) fn text(&mut self, text: &str, encoding: &TextEncoding) -> Result<(), String> {
        encoding.encode(text)?.into_iter().try_for_each(|id| self.push(f64::from(id)))
    }

    /// Adds all values of `inputs`, which must be of the same kind.
    pub(super) fn append(&mut self, inputs: &Inputs) -> Result<(), String> {
        match (self, inputs) {
            (Self::Pixels(values), Inputs::U8(more)) => values.extend_from_slice(more),
            (Self::Numbers(values), Inputs::F32(more)) => values.extend_from_slice(more),
            (Self::Pixels(_), Inputs::F32(_)) => {
                return Err("numbers where the model takes pixels".to_owned());
            }
            (Self::Numbers(_), Inputs::U8(_)) => {
                return Err("pixels where the model takes numbers".to_owned());
            }
        }
        Ok(())
    }

    pub(super) fn into_inputs(self) -> Inputs {
        match self {
            Self::Pixels(values) => Inputs::U8(Arc::new(values)),
            Self::Numbers(values) => Inputs::F32(Arc::new(values)),
        }
    }
}

/// How many instances, and their values.
pub(super) type Batch = (usize, Inputs);

/// Reads `{"instances": [...]}`. Each instance is an array of the model's shape (dimensions of 1 may be left out),
/// a flat array of its values, for tables an object by column name, or for texts a string.
pub(super) fn instances(body: &[u8], signature: &Signature) -> Result<Batch, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let batch = deserializer
        .deserialize_map(Request { signature })
        .and_then(|batch| deserializer.end().map(|()| batch))
        .map_err(|error| Refusal::json(&error))?;
    Ok(batch)
}

/// Reads one instance, such as one line of a JSON lines file.
pub(super) fn instance(line: &[u8], signature: &Signature) -> Result<Inputs, Refusal> {
    let mut values = Values::new(signature);
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    Instance { index: 0, signature, values: &mut values }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| Refusal::json(&error))?;
    Ok(values.into_inputs())
}

struct Request<'a> {
    signature: &'a Signature,
}

impl<'de> Visitor<'de> for Request<'_> {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the key `instances`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Batch, A::Error> {
        let mut batch = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "instances" if batch.is_some() => return Err(de::Error::duplicate_field("instances")),
                "instances" => batch = Some(map.next_value_seed(Instances { signature: self.signature })?),
                _ => return Err(de::Error::unknown_field(&short(&key), &["instances"])),
            }
        }
        batch.ok_or_else(|| de::Error::missing_field("instances"))
    }
}

struct Instances<'a> {
    signature: &'a Signature,
}

impl<'de> DeserializeSeed<'de> for Instances<'_> {
    type Value = Batch;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Batch, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Instances<'_> {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of instances")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Batch, A::Error> {
        let mut values = Values::new(self.signature);
        let mut count = 0;
        while let Some(()) =
            seq.next_element_seed(Instance { index: count, signature: self.signature, values: &mut values })?
        {
            count += 1;
            if count > MAX_INSTANCES {
                return Err(de::Error::custom(format!("more than {MAX_INSTANCES} instances")));
            }
        }
        if count == 0 {
            return Err(de::Error::custom("`instances` is empty"));
        }
        Ok((count, values.into_inputs()))
    }
}

/// One instance, appended to `values`.
struct Instance<'a> {
    index: usize,
    signature: &'a Signature,
    values: &'a mut Values,
}

impl<'de> DeserializeSeed<'de> for Instance<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Instance<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signature.encoding {
            None if self.signature.text.is_some() => {
                write!(f, "a text or an array of {} token ids", self.signature.size())
            }
            None => write!(f, "an array of numbers of shape {:?}", self.signature.shape),
            Some(_) => write!(f, "an object by column name or an array of {} numbers", self.signature.size()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let before = self.values.len();
        let mut array = Array::new(self.values, before + self.signature.size());
        array.level(0, seq)?;
        let found = array.dimensions;
        let fits = self.values.len() - before == self.signature.size()
            && (found.len() == 1 || without_ones(&found) == without_ones(&self.signature.shape));
        if fits {
            return Ok(());
        }
        Err(de::Error::custom(format!(
            "instance {} has shape {found:?}, the model takes {:?}",
            self.index, self.signature.shape
        )))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let Some(encoding) = &self.signature.text else {
            return Err(E::invalid_type(de::Unexpected::Str("a text"), &self));
        };
        let refuse = |message: String| E::custom(format!("instance {}: {message}", self.index));
        self.values.text(text, encoding).map_err(refuse)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(encoding) = &self.signature.encoding else {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        let refuse = |message: String| de::Error::custom(format!("instance {}: {message}", self.index));
        let mut row = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if !encoding.columns.iter().any(|column| column.name == key) {
                let names = encoding.columns.iter().map(|column| column.name.as_str());
                let near = crate::base::nearest(&key, names);
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(refuse(format!("unknown column `{}`{near}", short(&key))));
            }
            let Cell(value) = map.next_value()?;
            if row.insert(key.clone(), value).is_some() {
                return Err(refuse(format!("column `{key}` twice")));
            }
        }
        for value in encoding.encode_object(&row).map_err(|error| refuse(error.to_string()))? {
            self.values.push(f64::from(value)).map_err(refuse)?;
        }
        Ok(())
    }
}

/// A cell of a table: anything but arrays and objects.
struct Cell(Value);

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, true, false or null")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(Cell(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        Ok(Cell(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell(Value::Null))
    }
}

/// Dimensions larger than 1: what tells two ways of writing one image apart from two images.
fn without_ones(dimensions: &[usize]) -> Vec<usize> {
    dimensions.iter().copied().filter(|size| *size != 1).collect()
}

/// At most 40 characters of a client's word, for messages.
pub(super) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A rectangular nested array of numbers, or of texts: its dimensions, its values appended to `values`.
pub(super) struct Array<'a> {
    values: &'a mut Values,
    /// How texts become values; absent where only numbers may stand.
    encoding: Option<&'a TextEncoding>,
    /// How many texts there are.
    pub(super) texts: usize,
    /// Values that `values` may hold at most.
    limit: usize,
    /// Length of the arrays at each depth, outermost first.
    pub(super) dimensions: Vec<usize>,
    /// Depth at which the numbers stand.
    leaf: Option<usize>,
}

impl<'a> Array<'a> {
    pub(super) fn new(values: &'a mut Values, limit: usize) -> Self {
        Self { values, encoding: None, texts: 0, limit, dimensions: Vec::new(), leaf: None }
    }

    /// Texts may stand in place of numbers.
    pub(super) fn with_texts(self, encoding: Option<&'a TextEncoding>) -> Self {
        Self { encoding, ..self }
    }

    fn level<'de, A: SeqAccess<'de>>(&mut self, depth: usize, mut seq: A) -> Result<(), A::Error> {
        if self.leaf.is_some_and(|leaf| leaf <= depth) {
            return Err(de::Error::custom("numbers and arrays side by side"));
        }
        let first = self.dimensions.len() <= depth;
        if first {
            self.dimensions.push(0);
        }
        let mut count = 0;
        while let Some(()) = seq.next_element_seed(Element { array: &mut *self, depth: depth + 1 })? {
            count += 1;
        }
        if first {
            self.dimensions[depth] = count;
        } else if self.dimensions[depth] != count {
            return Err(de::Error::custom("arrays of different lengths side by side"));
        }
        Ok(())
    }

    fn number<E: de::Error>(&mut self, depth: usize, value: f64) -> Result<(), E> {
        if *self.leaf.get_or_insert(depth) != depth || self.dimensions.len() > depth {
            return Err(E::custom("numbers and arrays side by side"));
        }
        if self.values.len() >= self.limit {
            return Err(E::custom("more values than the model or the shape takes"));
        }
        self.values.push(value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Array<'_> {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Element { array: &mut self, depth: 0 })?;
        Ok(self)
    }
}

/// A number or an array inside an [`Array`].
struct Element<'a, 'b> {
    array: &'a mut Array<'b>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or an array of numbers")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.array.number(self.depth, value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.array.number(self.depth, value as f64)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.array.number(self.depth, value as f64)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let Some(encoding) = self.array.encoding else {
            return Err(E::invalid_type(de::Unexpected::Str("a text"), &self));
        };
        if self.array.values.len() >= self.array.limit {
            return Err(E::custom("more values than the model or the shape takes"));
        }
        self.array.texts += 1;
        self.array.values.text(text, encoding).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.array.level(self.depth, seq)
    }
}

#[cfg(test)]
mod tests;
