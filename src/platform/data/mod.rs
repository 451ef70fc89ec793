//! Datasets: versions, pointers, loaders, splits, expectations, leakage.

mod error;
mod examples;
mod spec;

pub use error::DataError;
pub use examples::{Examples, Inputs, Parts, Targets};
pub use spec::{
    ColumnExpectation, DataSpec, Digits, Expectation, Format, Guard, Range, Source, Split, SplitBy,
};
