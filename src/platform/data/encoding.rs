//! How the rows of a table become numbers: learnt on the training part, kept in the model, used again when serving.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::DataError;

/// The encoding of all input columns of a table, in the order of the header, without the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableEncoding {
    /// One entry per input column.
    pub columns: Vec<Column>,
}

/// One input column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// How its cells become numbers.
    pub kind: ColumnKind,
}

/// How the cells of one column become numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// A number as it stands; a missing one becomes the mean of the training part.
    Number {
        /// Mean over the training rows that have a value.
        mean: f32,
    },
    /// One input per category of the training part, 1 for the cell's own and 0 for the others; all 0 for a missing or
    /// unknown category.
    Category {
        /// The categories, sorted.
        values: Vec<String>,
    },
}

impl TableEncoding {
    /// Number of inputs a row becomes.
    pub fn width(&self) -> usize {
        self.columns.iter().map(Column::width).sum()
    }

    /// Names of the inputs: `age` for a number, `city=Paris` for each category.
    pub fn inputs(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.width());
        for column in &self.columns {
            match &column.kind {
                ColumnKind::Number { .. } => names.push(column.name.clone()),
                ColumnKind::Category { values } => {
                    names.extend(values.iter().map(|value| format!("{}={value}", column.name)));
                }
            }
        }
        names
    }

    /// Encodes one row of cells, in the order of `columns`; `width()` numbers are appended to `out`.
    ///
    /// Fails with `data::cell` where a cell of a numeric column is not a number.
    pub fn encode<'a>(
        &self,
        cells: impl IntoIterator<Item = &'a str>,
        out: &mut Vec<f32>,
    ) -> Result<(), DataError> {
        for (column, cell) in self.columns.iter().zip(cells) {
            column.encode(cell, out)?;
        }
        Ok(())
    }

    /// Encodes one row given as a JSON object of column names to numbers, texts, booleans or null (missing), as a request
    /// to a server brings it. A column that is absent is missing; an unknown one is an error.
    pub fn encode_object(&self, row: &Map<String, Value>) -> Result<Vec<f32>, DataError> {
        let _ = row;
        todo!()
    }
}

impl Column {
    fn width(&self) -> usize {
        match &self.kind {
            ColumnKind::Number { .. } => 1,
            ColumnKind::Category { values } => values.len(),
        }
    }

    fn encode(&self, cell: &str, out: &mut Vec<f32>) -> Result<(), DataError> {
        let _ = (cell, out);
        todo!()
    }
}
