//! Inputs and targets as two arrays of equal length, for one part or several: what IDX, NPY and safetensors have in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::array::{Array, Element};
use super::storage::{Room, Writer};
use super::stored::{Answers, Stored, assemble, keys};
use super::{DataError, Dataset, Parts, TargetKind};
use crate::base::plural;

/// Inputs and targets of one part.
pub(super) struct Pair {
    /// The format, for messages.
    pub(super) format: &'static str,
    pub(super) inputs: Array,
    pub(super) targets: Array,
    /// File, or file and key, for messages and origins.
    pub(super) inputs_name: String,
    pub(super) targets_name: String,
}

/// The parts of `pairs`, which are train, validation and test in this order. Without the first there is nothing to load.
pub(super) fn load(
    dataset: &Dataset,
    shape: Option<&[usize]>,
    format: &'static str,
    pairs: [Option<Pair>; 3],
) -> Result<Parts, DataError> {
    let shape = self::shape(dataset, shape, format, &pairs)?;
    let Some(first) = &pairs[0] else { return Err(nothing(dataset, format)) };
    let as_numbers = match dataset.target {
        TargetKind::Value => true,
        TargetKind::Class => false,
        TargetKind::Auto => first.targets.element.is_float(),
    };
    let classes = if as_numbers { Vec::new() } else { classes(&pairs)? };
    let room = dataset.room(pairs.iter().flatten().map(Pair::decoded).sum());
    let [train, val, test] =
        pairs.map(|pair| pair.map(|pair| pair.stored(&classes, as_numbers, &room)).transpose());
    let Some(train) = train? else { return Err(nothing(dataset, format)) };
    let classes = classes.iter().map(i64::to_string).collect();
    assemble(train, val?, test?, &dataset.spec.split, &shape, classes)
}

/// The shape that the examples of all `pairs` have, or are asked to have.
pub(super) fn shape(
    dataset: &Dataset,
    asked: Option<&[usize]>,
    format: &'static str,
    pairs: &[Option<Pair>; 3],
) -> Result<Vec<usize>, DataError> {
    let Some(first) = &pairs[0] else { return Err(nothing(dataset, format)) };
    let stored = first.shape();
    for other in pairs.iter().flatten() {
        if other.shape() != stored || other.inputs.element != first.inputs.element {
            let detail = format!(
                "examples of `{}` are {:?}, those of `{}` {:?}",
                first.inputs_name,
                stored,
                other.inputs_name,
                other.shape()
            );
            return Err(layout(dataset, format, detail));
        }
    }
    wanted(dataset, &stored, asked, first.format)
}

fn nothing(dataset: &Dataset, format: &'static str) -> DataError {
    layout(dataset, format, "it has nothing to train on".to_owned())
}

fn layout(dataset: &Dataset, format: &'static str, detail: String) -> DataError {
    DataError::Layout { path: dataset.path.display().to_string(), format, detail }
}

/// The shape of examples: as asked, if it has as many values as the stored one.
fn wanted(
    dataset: &Dataset,
    stored: &[usize],
    asked: Option<&[usize]>,
    format: &str,
) -> Result<Vec<usize>, DataError> {
    match asked {
        Some(shape) if shape.iter().product::<usize>() != stored.iter().product::<usize>() => {
            Err(DataError::Shape {
                name: dataset.name.to_string(),
                wanted: shape.to_vec(),
                detail: format!("its {format} files hold {stored:?}"),
            })
        }
        Some(shape) => Ok(shape.to_vec()),
        None => Ok(stored.to_vec()),
    }
}

/// All labels that occur, sorted.
fn classes(pairs: &[Option<Pair>; 3]) -> Result<Vec<i64>, DataError> {
    let mut classes = BTreeSet::new();
    for pair in pairs.iter().flatten() {
        for (index, number) in pair.targets.numbers().enumerate() {
            if number.fract() != 0.0 || number.abs() > 1e15 {
                return Err(pair.malformed_targets(format!("label {} is {number}, no class", index + 1)));
            }
            classes.insert(number as i64);
        }
    }
    Ok(classes.into_iter().collect())
}

impl Pair {
    /// Refuses arrays that do not belong together.
    pub(super) fn checked(self) -> Result<Self, DataError> {
        // Some write a column of labels as a matrix.
        if !matches!(self.targets.dimensions[..], [_] | [_, 1]) {
            let detail = format!(
                "labels have one dimension, one number per example; it has the shape {:?}",
                self.targets.dimensions
            );
            return Err(self.malformed_targets(detail));
        }
        if self.inputs.count() != self.targets.count() {
            return Err(self.malformed_inputs(format!(
                "it holds {}, `{}` holds {}",
                plural(self.inputs.count() as u64, "example"),
                self.targets_name,
                plural(self.targets.count() as u64, "label")
            )));
        }
        if self.inputs.dimensions.len() < 2 || self.inputs.width() == 0 || self.inputs.count() == 0 {
            let detail = format!("its examples are empty: {:?}", self.inputs.dimensions);
            return Err(self.malformed_inputs(detail));
        }
        if self.inputs.count() > u32::MAX as usize {
            return Err(self.malformed_inputs("it holds more than 4294967295 examples".to_owned()));
        }
        Ok(self)
    }

    /// Shape of one example; images of one channel get their channel dimension.
    fn shape(&self) -> Vec<usize> {
        match self.inputs.dimensions[1..] {
            [height, width] => vec![1, height, width],
            ref shape => shape.to_vec(),
        }
    }

    /// Bytes that its inputs take when they are decoded.
    fn decoded(&self) -> u64 {
        let size = if self.inputs.element == Element::U8 { 1 } else { size_of::<f32>() };
        (self.inputs.count() * self.inputs.width() * size) as u64
    }

    fn stored(self, classes: &[i64], as_numbers: bool, room: &Room) -> Result<Stored, DataError> {
        let width = self.inputs.width();
        let keys = keys(&self.inputs.bytes, width * self.inputs.element.size());
        let answers = if as_numbers {
            let numbers: Vec<f32> = self.targets.numbers().map(|number| number as f32).collect();
            if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                return Err(self.malformed_targets(format!("target {} is no finite number", at + 1)));
            }
            Answers::Value(numbers)
        } else {
            let index = |number: f64| classes.partition_point(|class| *class < number as i64) as u32;
            Answers::Class(self.targets.numbers().map(index).collect())
        };
        let values = match self.inputs.element {
            Element::U8 => room.hold(self.inputs.bytes, width)?,
            _ => {
                let mut writer = Writer::new(room, false, keys.len(), width)?;
                let mut example = Vec::with_capacity(width);
                let mut numbers = self.inputs.numbers().map(|number| number as f32);
                for at in 1..=keys.len() {
                    example.clear();
                    example.extend(numbers.by_ref().take(width));
                    if example.iter().any(|number| !number.is_finite()) {
                        let detail = format!("example {at} holds a value that is no finite number");
                        return Err(self.malformed_inputs(detail));
                    }
                    writer.numbers(&example)?;
                }
                writer.finish()?
            }
        };
        let places = (1..=keys.len() as u32).map(|index| (0, index)).collect();
        Ok(Stored { width, values, answers, keys, files: Arc::new(vec![self.inputs_name]), places })
    }

    fn malformed_inputs(&self, detail: String) -> DataError {
        DataError::Malformed { path: self.inputs_name.clone(), format: self.format, detail }
    }

    fn malformed_targets(&self, detail: String) -> DataError {
        DataError::Malformed { path: self.targets_name.clone(), format: self.format, detail }
    }
}
