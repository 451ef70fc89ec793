//! CSV files.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::table_file::{TableFile, malformed};
use super::{CsvFault, CsvRows, DataError};

/// A CSV file whose header has been read.
pub(super) struct CsvFile {
    path: PathBuf,
    shown: String,
    rows: CsvRows<File>,
}

impl CsvFile {
    pub(super) fn open(path: &Path, shown: &str) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("read", path))?;
        let rows = CsvRows::open(file, false).map_err(|fault| told(fault, path, shown))?;
        Ok(Self { path: path.to_owned(), shown: shown.to_owned(), rows })
    }
}

impl TableFile for CsvFile {
    fn header(&self) -> &StringRecord {
        self.rows.header()
    }

    fn rows(&mut self, each: &mut dyn FnMut(u32, StringRecord)) -> Result<(), DataError> {
        let mut cells = StringRecord::new();
        loop {
            match self.rows.read(&mut cells) {
                Ok(Some(line)) => each(line as u32, cells.clone()),
                Ok(None) => return Ok(()),
                Err(fault) => return Err(told(fault, &self.path, &self.shown)),
            }
        }
    }

    fn format(&self) -> &'static str {
        "CSV"
    }
}

fn told(fault: CsvFault, path: &Path, shown: &str) -> DataError {
    match fault {
        CsvFault::Io(source) => DataError::Io { action: "read", path: path.to_owned(), source },
        CsvFault::Row { line, detail } => malformed(&format!("{shown}:{line}"), "CSV", detail),
    }
}
