//! CSV files.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};

use super::DataError;
use super::table_file::{TableFile, malformed};

/// A CSV file whose header has been read.
pub(super) struct CsvFile {
    path: PathBuf,
    shown: String,
    reader: Reader<File>,
    header: StringRecord,
}

impl CsvFile {
    pub(super) fn open(path: &Path, shown: &str) -> Result<Self, DataError> {
        let failed = |error| csv_error(error, path, shown);
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_path(path).map_err(failed)?;
        // Some spreadsheets begin a file with a byte order mark.
        let header = reader.headers().map_err(failed)?.iter().enumerate();
        let header =
            header.map(|(i, name)| if i == 0 { name.trim_start_matches('\u{feff}') } else { name }).collect();
        Ok(Self { path: path.to_owned(), shown: shown.to_owned(), reader, header })
    }
}

impl TableFile for CsvFile {
    fn header(&self) -> &StringRecord {
        &self.header
    }

    fn rows(&mut self, each: &mut dyn FnMut(u32, StringRecord)) -> Result<(), DataError> {
        let mut cells = StringRecord::new();
        loop {
            let read = self.reader.read_record(&mut cells);
            if !read.map_err(|error| csv_error(error, &self.path, &self.shown))? {
                return Ok(());
            }
            each(cells.position().map_or(0, |position| position.line() as u32), cells.clone());
        }
    }

    fn format(&self) -> &'static str {
        "CSV"
    }
}

fn csv_error(error: csv::Error, path: &Path, shown: &str) -> DataError {
    let place = error.position().map_or(shown.to_owned(), |position| format!("{shown}:{}", position.line()));
    match error.into_kind() {
        ErrorKind::Io(source) => DataError::Io { action: "read", path: path.to_owned(), source },
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            malformed(&place, "CSV", format!("the row has {len} cells, the header {expected_len}"))
        }
        ErrorKind::Utf8 { err, .. } => {
            malformed(&place, "CSV", format!("cell {} is not UTF-8", err.field() + 1))
        }
        _ => malformed(&place, "CSV", "the row cannot be read"),
    }
}
