//! The files of a table, whatever their format: a header and rows of cells as text, as CSV has them.

use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::split::Part;
use super::{DataError, csv_file::CsvFile, parquet_file::ParquetFile};

/// One file of a table.
pub(super) trait TableFile {
    /// Names of the columns.
    fn header(&self) -> &StringRecord;

    /// Gives every row to `each`, with its place: the line of a CSV file, the number of a Parquet file's row, from 1.
    fn rows(&mut self, each: &mut dyn FnMut(u32, StringRecord)) -> Result<(), DataError>;

    /// The format, for messages.
    fn format(&self) -> &'static str;
}

/// Opens the file at `path`: Parquet if its name says so, else CSV. `shown` is its name in messages.
pub(super) fn open(path: &Path, shown: &str) -> Result<Box<dyn TableFile>, DataError> {
    let is_parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
    Ok(if is_parquet {
        Box::new(ParquetFile::open(path, shown)?)
    } else {
        Box::new(CsvFile::open(path, shown)?)
    })
}

/// The file at `path`, or the files of its parts in the folder at `path`: `train.csv`, and `val.csv` and `test.csv` if they
/// are there.
pub(super) fn parts(path: &Path, extension: &str) -> Result<Vec<(Part, PathBuf)>, DataError> {
    if !std::fs::metadata(path).map_err(DataError::io("read", path))?.is_dir() {
        return Ok(vec![(Part::Train, path.to_owned())]);
    }
    let named = [(Part::Train, "train"), (Part::Val, "val"), (Part::Test, "test")];
    let files = named.into_iter().map(|(part, name)| (part, path.join(format!("{name}.{extension}"))));
    Ok(files.filter(|(_, path)| path.is_file()).collect())
}

pub(super) fn malformed(place: &str, format: &'static str, detail: impl Into<String>) -> DataError {
    DataError::Malformed { path: place.to_owned(), format, detail: detail.into() }
}
