//! What a model was trained on, in little: distributions of its inputs and answers, and points of its embedding. Made when a
//! training ends, and kept in the model's folder as `sketches.json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::features::{self, Features};
use super::{MonitorError, Value};
use crate::base::Digest;
use crate::infrastructure::store::{Local, NodeKind};
use crate::platform::data::{Examples, Inputs, Parts};
use crate::platform::train::{Model, TrainError};

/// The file in a model's folder.
pub const SKETCHES: &str = "sketches.json";

const SCHEMA: &str = "mlp/sketches/1";
/// Largest file that is read.
const LARGEST: usize = 64 << 20;
/// Examples of the training part whose inputs are sketched.
const INPUTS: usize = 20_000;
/// Examples whose answers are sketched.
const ANSWERS: usize = 5_000;
/// Examples whose embeddings are kept.
const POINTS: usize = 500;
/// A validation part with fewer examples says too little of answers.
const FEW: usize = 50;
/// Ends of bins of a number.
const BINS: usize = 128;
/// Categories that are kept; all others count as one.
const CATEGORIES: usize = 1000;
/// Examples at a time.
const CHUNK: usize = 256;

/// What a model was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sketches {
    /// `mlp/sketches/1`.
    schema: String,
    /// The features of the inputs, of the training part.
    pub inputs: Vec<Sketch>,
    /// The answers, of the part in `answered`.
    pub outputs: Vec<Sketch>,
    /// `val`, or `train` where that is too small: a model is surer of what it was trained on.
    pub answered: String,
    /// Embeddings of some examples of the same part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Vec<f32>>,
}

/// The distribution of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    /// The feature.
    pub name: String,
    /// Examples that have no value.
    pub missing: u64,
    /// The others.
    pub kind: SketchKind,
}

/// Values of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SketchKind {
    /// Numbers, in at most 128 bins of about as many each.
    Number {
        /// The smallest value.
        lowest: f32,
        /// Upper ends of the bins, rising, each in its bin; the last is the largest value.
        ends: Vec<f32>,
        /// Values in each bin.
        counts: Vec<u64>,
    },
    /// Categories.
    Category {
        /// Examples of each.
        counts: BTreeMap<String, u64>,
    },
}

impl Sketches {
    /// Of what `model` was trained on. The same model and parts give the same sketches, whatever the number of threads.
    pub fn of(model: &Model, parts: &Parts) -> Result<Self, TrainError> {
        let features = Features::of(model);
        let width = model.shape.iter().product();
        let mut inputs = Table::default();
        each(&parts.train, INPUTS, width, |chunk| {
            features.read(&chunk).into_iter().for_each(|row| inputs.push(row));
            Ok(())
        })?;
        let (answered, examples) = match parts.val.len() >= FEW {
            true => ("val", &parts.val),
            false => ("train", &parts.train),
        };
        let (mut outputs, mut names) = (Table::default(), Vec::new());
        each(examples, ANSWERS, width, |chunk| {
            for prediction in model.predict(&chunk)? {
                let (name, row): (Vec<_>, Vec<_>) = features::of_answer(&prediction).into_iter().unzip();
                names = name.into_iter().map(str::to_owned).collect();
                outputs.push(row);
            }
            Ok(())
        })?;
        let mut points = Vec::new();
        each(examples, POINTS, width, |chunk| {
            points.extend(model.embed(&chunk)?.iter().map(|point| short(point)));
            Ok(())
        })?;
        Ok(Self {
            schema: SCHEMA.to_owned(),
            inputs: inputs.sketches(features.names()),
            outputs: outputs.sketches(names),
            answered: answered.to_owned(),
            points,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Plain strings and numbers: writing to memory cannot fail.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Those of the version whose files are `tree`; none of one that was trained before there were any.
    ///
    /// # Errors
    /// [`MonitorError::Store`] if the store cannot give them; [`MonitorError::Sketches`].
    pub fn of_version(store: &Local, tree: &Digest) -> Result<Option<Self>, MonitorError> {
        match store.find(tree, SKETCHES)? {
            Some(node) if node.size > LARGEST as u64 => {
                Err(MonitorError::Sketches { detail: "it is over 64 MiB".to_owned() })
            }
            Some(node) if matches!(node.kind, NodeKind::File | NodeKind::Executable) => {
                Self::from_bytes(&store.read(&node.id)?).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// From the bytes of the file.
    ///
    /// # Errors
    /// [`MonitorError::Sketches`] if they are not what a training writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MonitorError> {
        let refuse = |detail: String| MonitorError::Sketches { detail };
        if bytes.len() > LARGEST {
            return Err(refuse("it is over 64 MiB".to_owned()));
        }
        let sketches: Self = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        if sketches.schema != SCHEMA {
            return Err(refuse(format!(
                "its format is `{}`, not `{SCHEMA}`",
                sketches.schema.escape_debug()
            )));
        }
        if sketches.points.len() > POINTS {
            return Err(refuse(format!("it has more than {POINTS} points")));
        }
        for sketch in sketches.inputs.iter().chain(&sketches.outputs) {
            // Sums of counts, and of those of a window, must not overflow.
            let counts: Vec<u64> = match &sketch.kind {
                SketchKind::Number { counts, .. } => counts.clone(),
                SketchKind::Category { counts } => counts.values().copied().collect(),
            };
            let most = counts.len() <= BINS.max(CATEGORIES) && counts.iter().all(|count| *count < 1 << 40);
            if !most || sketch.missing >= 1 << 40 {
                return Err(refuse(format!("the counts of `{}` are none", sketch.name.escape_debug())));
            }
            if let SketchKind::Number { ends, counts, .. } = &sketch.kind
                && (ends.len() != counts.len() || !ends.is_sorted_by(|a, b| a < b))
            {
                return Err(refuse(format!("the bins of `{}` are none", sketch.name.escape_debug())));
            }
        }
        let length = sketches.points.first().map_or(0, Vec::len);
        let whole = |point: &Vec<f32>| point.len() == length && point.iter().all(|value| value.is_finite());
        if !sketches.points.iter().all(whole) {
            return Err(refuse("its points have different lengths".to_owned()));
        }
        Ok(sketches)
    }
}

/// At most `most` examples, as far apart from each other as that allows, some at a time.
fn each(
    examples: &Examples,
    most: usize,
    width: usize,
    mut take: impl FnMut(Inputs) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let count = examples.len().min(most);
    let chosen: Vec<u32> =
        (0..count).map(|n| (n as u64 * examples.len() as u64 / count as u64) as u32).collect();
    for chunk in chosen.chunks(CHUNK) {
        let batch = examples.inputs.batch(chunk.iter().copied())?;
        let places = chunk.iter().enumerate().map(|(asked, example)| batch.place(asked, *example));
        take(match batch.inputs() {
            Inputs::U8(values) => Inputs::U8(Arc::new(gather(values, places, width))),
            Inputs::F32(values) => Inputs::F32(Arc::new(gather(values, places, width))),
        })?;
    }
    Ok(())
}

fn gather<T: Copy>(values: &[T], places: impl Iterator<Item = usize>, width: usize) -> Vec<T> {
    places.flat_map(|place| values[place * width..(place + 1) * width].iter().copied()).collect()
}

/// Four digits of each number: more than distances need.
pub(super) fn short(point: &[f32]) -> Vec<f32> {
    point.iter().map(|value| format!("{value:.3e}").parse().unwrap_or(*value)).collect()
}

/// Values by feature.
#[derive(Default)]
struct Table(Vec<Vec<Value>>);

impl Table {
    fn push(&mut self, row: Vec<Value>) {
        self.0.resize_with(row.len(), Vec::new);
        self.0.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }

    fn sketches(self, names: Vec<String>) -> Vec<Sketch> {
        names.into_iter().zip(self.0).map(|(name, values)| Sketch::of(name, values)).collect()
    }
}

impl Sketch {
    /// Of these values.
    pub(super) fn of(name: String, values: Vec<Value>) -> Self {
        let mut missing = 0;
        let mut numbers = Vec::new();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for value in values {
            match value {
                Value::Missing => missing += 1,
                Value::Number(number) => numbers.push(number),
                Value::Text(text) => *counts.entry(text).or_default() += 1,
            }
        }
        let kind = if counts.is_empty() {
            let lowest = numbers.iter().copied().reduce(f32::min).unwrap_or(0.0);
            let (ends, counts) = bins(numbers);
            SketchKind::Number { lowest, ends, counts }
        } else {
            let mut largest: Vec<(String, u64)> = counts.into_iter().collect();
            largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            largest.truncate(CATEGORIES);
            SketchKind::Category { counts: largest.into_iter().collect() }
        };
        Self { name, missing, kind }
    }
}

/// Bins of about as many values each; one for each value where there are few.
fn bins(mut values: Vec<f32>) -> (Vec<f32>, Vec<u64>) {
    values.sort_by(f32::total_cmp);
    let size = values.len().div_ceil(BINS).max(1);
    let (mut ends, mut counts): (Vec<f32>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut begin = 0;
    while begin < values.len() {
        let end = values[(begin + size).min(values.len()) - 1];
        // Equal values lie in one bin.
        let next = begin + values[begin..].partition_point(|value| *value <= end);
        ends.push(end);
        counts.push((next - begin) as u64);
        begin = next;
    }
    (ends, counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bins_hold_every_value_once_and_equal_ones_together(values in prop::collection::vec(-20_i32..20, 0..600), fine in any::<bool>()) {
            let spread = |(n, value): (usize, &i32)| if fine { *value as f32 + n as f32 / 1000.0 } else { *value as f32 };
            let values: Vec<f32> = values.iter().enumerate().map(spread).collect();
            let (ends, counts) = bins(values.clone());
            prop_assert!(ends.len() <= BINS && ends.is_sorted_by(|a, b| a < b));
            let mut below = 0;
            for (end, count) in ends.iter().zip(&counts) {
                below += count;
                prop_assert_eq!(values.iter().filter(|value| *value <= end).count() as u64, below);
            }
            prop_assert_eq!(below, values.len() as u64);
        }

        #[test]
        fn hostile_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Sketches::from_bytes(&bytes);
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_contradicts_itself_is_not() {
        let sketch = |name: &str, values: Vec<Value>| Sketch::of(name.to_owned(), values);
        let sketches = Sketches {
            schema: SCHEMA.to_owned(),
            inputs: vec![sketch("age", vec![Value::Number(3.5), Value::Missing, Value::Number(-1.0)])],
            outputs: vec![sketch("class", vec![Value::Text("a\n".to_owned()); 2])],
            answered: "val".to_owned(),
            points: vec![short(&[1.234_567, 0.0]), vec![1e-30, 2.0]],
        };
        assert_eq!(sketches.points[0][0], 1.235);
        assert_eq!(sketches.inputs[0].missing, 1);
        let bytes = sketches.to_bytes();
        assert_eq!(Sketches::from_bytes(&bytes).expect("reads"), sketches);
        let text = String::from_utf8(bytes).expect("is text");
        for (from, to) in [
            ("[-1.0,3.5]", "[3.5,-1.0]"),
            ("[-1.0,3.5]", "[3.5]"),
            ("sketches/1", "sketches/9"),
            ("1.235,", ""),
            ("\"missing\":1", "\"missing\":18446744073709551615"),
        ] {
            assert!(text.contains(from), "{text}");
            assert!(Sketches::from_bytes(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} {to}");
        }
        // The distances of so many would take gigabytes.
        let many = Sketches { points: vec![vec![0.5, 0.5]; POINTS + 1], ..sketches };
        assert!(Sketches::from_bytes(&many.to_bytes()).is_err());
    }
}
