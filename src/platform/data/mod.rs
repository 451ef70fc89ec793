//! Datasets: versions, pointers, loaders, splits, expectations, leakage.
//! `docs/design/data.md` says why they are as they are.

mod array;
mod array_files;
mod bounded;
pub mod card;
mod csv_file;
mod csv_rows;
mod dataset;
mod decoded;
pub mod digits;
mod download;
mod encoding;
mod error;
mod examples;
mod expectations;
pub mod foreign;
mod glance;
mod idx;
mod idx_folder;
mod ignore;
mod image_folder;
pub mod images;
mod inputs;
mod leakage;
mod measured;
mod merge;
mod near;
mod npy;
mod pairs;
mod parquet_file;
mod parquet_pages;
mod phash;
mod pointer;
mod rows;
mod sheet;
mod spec;
mod split;
mod storage;
mod stored;
mod table;
mod table_file;
#[cfg(test)]
mod tests;
mod text;
mod text_encoding;

pub use csv_rows::{CsvFault, CsvRows};
pub use dataset::{Dataset, TargetKind};
pub use decoded::Decoded;
pub use download::{Download, DownloadOptions, Outcome, download};
pub use encoding::{Column, ColumnKind, TableEncoding};
pub use error::{DataError, EXPLAIN};
pub use examples::{ColumnStatistics, Examples, Inputs, Origins, Parts, Targets};
pub use expectations::expectations;
pub use glance::Glance;
pub use ignore::{ignore, unignore};
pub use image_folder::image_classes;
pub use inputs::{idx_inputs, npy_inputs, parquet_rows};
pub use leakage::leakage;
pub use measured::{ColumnMeasured, Histogram, Measured};
pub use merge::{Choice, Choose, Conflict, Merged, ReadTree, Sides, merge};
pub use pointer::Pointer;
pub use sheet::contact_sheet;
pub use spec::{
    ColumnExpectation, DataSpec, Digits, Expectation, Fold, Format, Guard, NearGuard, Range, Source, Split,
    SplitBy,
};
pub use storage::{Batch, Scratch, Storage};
pub use text_encoding::TextEncoding;
