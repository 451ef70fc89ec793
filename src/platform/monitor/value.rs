//! One value of a feature.

use serde::{Deserialize, Serialize};

/// A number, a category, or nothing; in JSON a number, a text or null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(f32),
    /// A category.
    Text(String),
    /// No value.
    Missing,
}
