//! Labels that come later, joined to answers by prediction id.

use std::collections::HashMap;
use std::path::Path;

use super::MonitorError;

/// Labels of more answers than this are refused.
const MOST: usize = 50_000_000;

/// The truth by prediction id.
#[derive(Clone, Debug, Default)]
pub struct Labels(HashMap<String, String>);

impl Labels {
    /// Reads a CSV file with the columns `id` and `label`. Of two labels of one answer the last counts.
    ///
    /// # Errors
    /// [`MonitorError::Labels`] if it has no such columns or a line cannot be read; [`MonitorError::Io`].
    pub fn read(path: &Path) -> Result<Self, MonitorError> {
        let wrong = |detail: String| MonitorError::Labels { path: path.to_owned(), detail };
        let failed = |error: csv::Error| match error.into_kind() {
            csv::ErrorKind::Io(source) => MonitorError::io("read", path)(source),
            kind => wrong(format!("{kind:?}").chars().take(200).collect()),
        };
        let file = std::fs::File::open(path).map_err(MonitorError::io("read", path))?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(std::io::BufReader::new(file));
        let header = reader.headers().map_err(failed)?.clone();
        let column = |name: &str| {
            let place = header.iter().position(|own| own.trim_start_matches('\u{feff}').trim() == name);
            place.ok_or_else(|| wrong(format!("it has no column `{name}`")))
        };
        let (id, label) = (column("id")?, column("label")?);
        let mut labels = HashMap::new();
        for (line, record) in (2..).zip(reader.records()) {
            let record = record.map_err(failed)?;
            let (Some(id), Some(label)) = (record.get(id), record.get(label)) else {
                return Err(wrong(format!("line {line} has too few columns")));
            };
            if !label.trim().is_empty() {
                labels.insert(id.trim().to_ascii_lowercase(), label.trim().to_owned());
            }
            if labels.len() > MOST {
                return Err(wrong(format!("it has more than {MOST} labels")));
            }
        }
        Ok(Self(labels))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The label of an answer.
    pub fn get(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}
