//! Examples in memory: what every loader gives and every trainer takes.

use std::sync::Arc;

/// The inputs of `n` examples, each of `shape` (without the batch dimension), row-major.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// Bytes as stored, 0 to 255 (images): normalised per batch as `(x / 255 - mean) / std`.
    U8(Arc<Vec<u8>>),
    /// Numbers as stored (tables).
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
    pub inputs: Inputs,
    /// Targets, `n` values.
    pub targets: Targets,
    /// Stable key of each example: hash of its content.
    pub keys: Arc<Vec<u64>>,
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

/// A dataset, loaded and divided.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Class names in order; empty for regression.
    pub classes: Vec<String>,
    /// Names of the input columns (CSV); empty for images.
    pub columns: Vec<String>,
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
