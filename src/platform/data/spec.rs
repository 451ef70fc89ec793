//! `data:` in `mlp.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Bytes;

/// One dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// Folder or file, relative to `mlp.yaml`.
    pub path: String,
    /// How examples are stored.
    pub format: Format,
    /// Tables (CSV, Parquet), and texts in such: the column that is predicted; of texts `label` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Texts in a table: the column that holds them; `text` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Texts: a HuggingFace `tokenizer.json` in the dataset's folder, relative to it; if absent, each byte is a token (its
    /// value and 1; 0 fills).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Texts: how many tokens an example has; longer texts are cut, shorter ones filled; 128 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Where `mlp data download` gets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
    /// What must be true of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
    /// How it is divided.
    #[serde(default)]
    pub split: Split,
    /// Limits on leakage between the parts.
    #[serde(default)]
    pub guard: Guard,
    /// Memory that decoded inputs may take, such as `2GiB`; half of what is available if absent. What needs more lies in a
    /// scratch file in the project's folder and is read from there as it is needed: the result is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// The data card, a Markdown file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// The licence of the data, an SPDX identifier: `CC-BY-4.0`.
    #[serde(default, alias = "license", skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// How examples are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A folder of IDX files (plain or gzip) named as MNIST's: `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, ….
    Idx,
    /// A folder with one folder of PNG, JPEG or WebP files per class; below `train/`, `val/`, `test/` if it brings its parts.
    Images,
    /// A CSV file with a header, or a folder with `train.csv`, and `val.csv` and `test.csv` if it brings its parts.
    Csv,
    /// A Parquet file, or a folder with `train.parquet`, and `val.parquet` and `test.parquet` if it brings its parts; its
    /// columns are read as those of a CSV file.
    Parquet,
    /// NumPy arrays: an NPZ file, or a folder of NPY files. They are called `x` and `y`, or `x_train` and `y_train`, and
    /// `x_val`, `y_val`, `x_test`, `y_test` if it brings its parts (`images` and `labels` will do for `x` and `y`).
    Npy,
    /// A safetensors file, or a folder with one; its tensors are called as the arrays of `npy`.
    Safetensors,
    /// Texts, which become token ids: a CSV or Parquet file (or a folder with `train.csv` or `train.parquet`, …) with a
    /// column `text` and a column `label`, or a folder with one file of lines per class, `pos.txt` and `neg.txt`; below
    /// `train/`, `val/`, `test/` if it brings its parts.
    Text,
}

impl Format {
    /// Whether examples are rows with named columns.
    pub fn is_table(self) -> bool {
        matches!(self, Self::Csv | Self::Parquet)
    }

    /// The extension of a dataset that is one file and no folder, if the format has such.
    pub fn one_file(self) -> Option<&'static str> {
        match self {
            Self::Idx | Self::Images | Self::Text => None,
            Self::Csv => Some("csv"),
            Self::Parquet => Some("parquet"),
            Self::Npy => Some("npz"),
            Self::Safetensors => Some("safetensors"),
        }
    }
}

/// One thing to download or make. Exactly one of `url` and `digits` is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// An http(s) URL of one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// SHA-256 of the file at `url`, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// File name below `path`; the last segment of the URL if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Synthetic handwritten-like digits, 28x28, as IDX files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<Digits>,
}

/// How many synthetic digits to render.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Digits {
    /// Training images.
    pub train: u32,
    /// Test images.
    pub test: u32,
    /// Seed of everything random.
    #[serde(default)]
    pub seed: u64,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expectation {
    /// Number of examples in all parts together.
    Rows(Range),
    /// Something about one column. Images, arrays and files of lines have the column `label`.
    Column(ColumnExpectation),
    /// Number of examples of each class.
    PerClass(Range),
}

/// An interval; an absent end is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// Something about one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnExpectation {
    /// The column.
    pub name: String,
    /// The only values it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Value>>,
    /// Smallest value it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Largest share of missing values, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<f64>,
}

/// How a dataset is divided. A dataset that brings its own test (or validation) part uses that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// Share of the training examples set aside for validation.
    pub val: f64,
    /// Share set aside for the test, where the data bring none.
    pub test: f64,
    /// What decides.
    pub by: SplitBy,
    /// Seed of the decision.
    pub seed: u64,
    /// One of several folds instead of the validation part: what is not the test is divided anew. Never written.
    #[serde(skip)]
    pub fold: Option<Fold>,
}

impl Default for Split {
    fn default() -> Self {
        Self { val: 0.1, test: 0.1, by: SplitBy::Hash, seed: 0, fold: None }
    }
}

/// One of several folds: it is the validation part, all others are the training part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// Which one, from 1.
    pub number: u32,
    /// Of so many.
    pub of: u32,
}

/// What decides the part of an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// The hash of its content: stable as data grow, and equal examples fall in one part.
    #[default]
    Hash,
}

/// Limits on leakage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// How many examples of one part may stand in another.
    pub overlap: u64,
    /// How many images of one part may be nearly images of another; not looked at if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<NearGuard>,
}

/// Limits on images that are nearly those of another part: the same picture in another encoding, size or light.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NearGuard {
    /// In how many of 256 bits their perceptual hashes may differ to be nearly the same; up to 24.
    pub distance: u32,
    /// How many there may be.
    pub max: u64,
}

impl NearGuard {
    /// Greatest distance that may be asked for: beyond it the bands of a hash become so narrow that each image has many to be
    /// compared with, and pictures of different things are as near.
    pub const FARTHEST: u32 = 24;
}

impl Default for NearGuard {
    fn default() -> Self {
        Self { distance: 12, max: 0 }
    }
}
