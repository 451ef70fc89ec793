//! Labels that come later, joined to answers by prediction id.

use std::collections::HashMap;
use std::path::Path;

use csv::StringRecord;

use super::MonitorError;
use crate::platform::data::{CsvFault, CsvRows};

/// Labels of more answers than this are refused.
const MOST: usize = 50_000_000;

/// The truth by prediction id.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    known: HashMap<String, String>,
    /// How many labels another one of the same answer replaced.
    replaced: usize,
}

impl Labels {
    /// Reads a CSV file with the columns `id` and `label`. Of two labels of one answer the last counts.
    ///
    /// # Errors
    /// [`MonitorError::Labels`] if it has no such columns or a line cannot be read; [`MonitorError::Io`].
    pub fn read(path: &Path) -> Result<Self, MonitorError> {
        let wrong = |detail: String| MonitorError::Labels { path: path.to_owned(), detail };
        let failed = |fault: CsvFault| match fault {
            CsvFault::Io(source) => MonitorError::io("read", path)(source),
            CsvFault::Row { line, detail } => wrong(format!("line {line}: {detail}")),
        };
        let file = std::fs::File::open(path).map_err(MonitorError::io("read", path))?;
        let mut rows = CsvRows::open(file, true).map_err(failed)?;
        let column = |name: &str| {
            let place = rows.header().iter().position(|own| own == name);
            place.ok_or_else(|| wrong(format!("it has no column `{name}`")))
        };
        let (id, label) = (column("id")?, column("label")?);
        let (mut labels, mut cells) = (Self::default(), StringRecord::new());
        while let Some(line) = rows.read(&mut cells).map_err(failed)? {
            let (Some(id), Some(label)) = (cells.get(id), cells.get(label)) else {
                return Err(wrong(format!("line {line} has too few columns")));
            };
            if !label.is_empty() {
                let before = labels.known.insert(id.to_ascii_lowercase(), label.to_owned());
                labels.replaced += usize::from(before.is_some_and(|before| before != label));
            }
            if labels.len() > MOST {
                return Err(wrong(format!("it has more than {MOST} labels")));
            }
        }
        Ok(labels)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// How many labels another one of the same answer replaced, by which it says something else.
    pub fn replaced(&self) -> usize {
        self.replaced
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The label of an answer.
    pub fn get(&self, id: &str) -> Option<&str> {
        self.known.get(id).map(String::as_str)
    }
}
