//! Examples in memory: what every loader gives and every trainer takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Storage, TableEncoding, TextEncoding};

/// The inputs of `n` examples, each of `shape` (without the batch dimension), row-major.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// Bytes as stored, 0 to 255 (images): normalised per batch as `(x / 255 - mean) / std`.
    U8(Arc<Vec<u8>>),
    /// Numbers as stored (tables, IDX files of other element types).
    F32(Arc<Vec<f32>>),
}

/// What is to be predicted, one per example.
#[derive(Clone, Debug)]
pub enum Targets {
    /// Class indices below the number of classes.
    Class(Arc<Vec<u32>>),
    /// Numbers.
    Value(Arc<Vec<f32>>),
}

/// Some examples.
#[derive(Clone, Debug)]
pub struct Examples {
    /// Shape of one input: `[1, 28, 28]` (channels, height, width) or `[columns]`.
    pub shape: Vec<usize>,
    /// Inputs, `n * shape.product()` values.
    pub inputs: Storage,
    /// Targets, `n` values.
    pub targets: Targets,
    /// Stable key of each example: the first 8 bytes, little-endian, of the BLAKE3 digest of its input as stored.
    pub keys: Arc<Vec<u64>>,
    /// Where each example comes from, for people; may be empty.
    pub origins: Origins,
}

impl Default for Examples {
    fn default() -> Self {
        Self {
            shape: Vec::new(),
            inputs: Inputs::U8(Arc::default()).into(),
            targets: Targets::Class(Arc::default()),
            keys: Arc::default(),
            origins: Origins::default(),
        }
    }
}

impl Examples {
    /// How many.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Where examples come from: a file, or a place in one.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Files, relative to the dataset.
    pub(super) files: Arc<Vec<String>>,
    /// Per example its file, and its line or index in it from 1 (0: the whole file).
    pub(super) places: Arc<Vec<(u32, u32)>>,
}

impl Origins {
    /// The origin of example `index`: `cat/7.png`, `train.csv:17`, `t10k-images-idx3-ubyte:17`; none if it is not known.
    pub fn name(&self, index: usize) -> Option<String> {
        let (file, place) = *self.places.get(index)?;
        let file = self.files.get(file as usize)?;
        Some(if place == 0 { file.clone() } else { format!("{file}:{place}") })
    }
}

/// What was seen in one column while loading, over all parts together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStatistics {
    /// The column; `label` is the target of images and IDX files.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Rows without a value.
    pub missing: u64,
    /// Smallest number, if there is any number.
    pub min: Option<f64>,
    /// Largest number, if there is any number.
    pub max: Option<f64>,
    /// The different values as text, of which at most [`ColumnStatistics::DISTINCT`] are kept.
    pub distinct: BTreeSet<String>,
    /// Whether there were more different values than are kept.
    pub more: bool,
}

impl ColumnStatistics {
    /// How many different values are kept.
    pub const DISTINCT: usize = 1000;
}

/// A dataset, loaded and divided.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Class names in order; empty for regression.
    pub classes: Vec<String>,
    /// Names of the inputs of a table (`age`, `city=Paris`); empty for everything else.
    pub columns: Vec<String>,
    /// How rows of a table became inputs: to be kept in the model, so that serving does the same.
    pub encoding: Option<TableEncoding>,
    /// How texts became inputs: likewise.
    pub text: Option<TextEncoding>,
    /// What was seen in each column of the stored data, for expectations.
    pub statistics: Vec<ColumnStatistics>,
    /// For training.
    pub train: Examples,
    /// For choosing among models while training.
    pub val: Examples,
    /// For the last word.
    pub test: Examples,
}

impl Parts {
    /// The part by name: `train`, `val` or `test`.
    pub fn part(&self, name: &str) -> Option<&Examples> {
        match name {
            "train" => Some(&self.train),
            "val" => Some(&self.val),
            "test" => Some(&self.test),
            _ => None,
        }
    }
}
