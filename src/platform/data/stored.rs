//! Examples as a loader found them, before they are divided.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::split::{self, Part};
use super::{ColumnStatistics, DataError, Examples, Origins, Parts, Split, Storage, Targets};

/// Targets, not yet shared.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    Class(Vec<u32>),
    Value(Vec<f32>),
}

/// One part as it is stored, or a share of it.
#[derive(Debug)]
pub(super) struct Stored {
    /// Values of one input.
    pub(super) width: usize,
    pub(super) values: Storage,
    pub(super) answers: Answers,
    pub(super) keys: Vec<u64>,
    pub(super) files: Arc<Vec<String>>,
    pub(super) places: Vec<(u32, u32)>,
}

impl Stored {
    /// Divides the examples into train, validation and test.
    pub(super) fn divide(self, parts: &[Part]) -> [Stored; 3] {
        let width = self.width;
        let values = self.values.divide(width, parts);
        let answers = match self.answers {
            Answers::Class(answers) => split::divide(answers, 1, parts).map(Answers::Class),
            Answers::Value(answers) => split::divide(answers, 1, parts).map(Answers::Value),
        };
        let keys = split::divide(self.keys, 1, parts);
        let places = split::divide(self.places, 1, parts);
        let mut stored = values.into_iter().zip(answers).zip(keys).zip(places).map(
            |(((values, answers), keys), places)| Stored {
                width,
                values,
                answers,
                keys,
                files: self.files.clone(),
                places,
            },
        );
        std::array::from_fn(|_| stored.next().expect("each iterator has three items"))
    }

    /// The examples of both, one behind the other.
    fn with(mut self, other: Self) -> Result<Self, DataError> {
        self.values = self.values.with(other.values, self.width)?;
        match (&mut self.answers, other.answers) {
            (Answers::Class(answers), Answers::Class(more)) => answers.extend(more),
            (Answers::Value(answers), Answers::Value(more)) => answers.extend(more),
            // All parts of a dataset have the same kind of target.
            (Answers::Class(_), Answers::Value(_)) | (Answers::Value(_), Answers::Class(_)) => {}
        }
        self.keys.extend(other.keys);
        let before = self.files.len() as u32;
        self.places.extend(other.places.into_iter().map(|(file, place)| (before + file, place)));
        self.files = Arc::new(self.files.iter().chain(other.files.iter()).cloned().collect());
        Ok(self)
    }

    pub(super) fn examples(self, shape: &[usize]) -> Examples {
        Examples {
            shape: shape.to_vec(),
            inputs: self.values,
            targets: match self.answers {
                Answers::Class(classes) => Targets::Class(Arc::new(classes)),
                Answers::Value(values) => Targets::Value(Arc::new(values)),
            },
            keys: Arc::new(self.keys),
            origins: Origins { files: self.files, places: Arc::new(self.places) },
        }
    }
}

/// Keys of examples that lie one behind the other, `width` bytes each.
pub(super) fn keys(bytes: &[u8], width: usize) -> Vec<u64> {
    bytes.par_chunks_exact(width).with_min_len(256).map(split::key).collect()
}

/// Divides what a dataset stores: `train` by its split, unless it brings a validation or test part itself.
pub(super) fn assemble(
    train: Stored,
    val: Option<Stored>,
    test: Option<Stored>,
    split: &Split,
    shape: &[usize],
    classes: Vec<String>,
) -> Result<Parts, DataError> {
    let mut label = ColumnStatistics { name: "label".to_owned(), ..Default::default() };
    for stored in [Some(&train), val.as_ref(), test.as_ref()].into_iter().flatten() {
        see_answers(&mut label, &stored.answers, &classes);
    }
    let split = split.without(val.is_some(), test.is_some());
    // Folds divide all that is not the test.
    let (train, val) = match val {
        Some(val) if split.fold.is_some() => (train.with(val)?, None),
        val => (train, val),
    };
    let parts: Vec<Part> = train.keys.par_iter().with_min_len(1024).map(|key| split.part(*key)).collect();
    let [train, split_val, split_test] = train.divide(&parts);
    Ok(Parts {
        classes,
        columns: Vec::new(),
        encoding: None,
        text: None,
        statistics: vec![label],
        train: train.examples(shape),
        val: val.unwrap_or(split_val).examples(shape),
        test: test.unwrap_or(split_test).examples(shape),
    })
}

/// Adds the targets of one part to the statistics of their column.
fn see_answers(column: &mut ColumnStatistics, answers: &Answers, classes: &[String]) {
    match answers {
        Answers::Class(indices) => {
            column.rows += indices.len() as u64;
            let seen: BTreeSet<u32> = indices.iter().copied().collect();
            for index in seen {
                column.note_value(&classes[index as usize]);
            }
        }
        Answers::Value(values) => {
            for value in values {
                column.rows += 1;
                column.note_value(&value.to_string());
            }
        }
    }
}

impl ColumnStatistics {
    /// Notes one value, without counting a row.
    pub(super) fn note_value(&mut self, text: &str) {
        if let Ok(number) = text.trim().parse::<f64>()
            && number.is_finite()
        {
            self.min = Some(self.min.map_or(number, |min| min.min(number)));
            self.max = Some(self.max.map_or(number, |max| max.max(number)));
        }
        if self.distinct.contains(text) {
            return;
        }
        if self.distinct.len() < Self::DISTINCT {
            self.distinct.insert(text.to_owned());
        } else {
            self.more = true;
        }
    }
}
