//! How the rows of a table become numbers: learnt on the training part, kept in the model, used again when serving.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::DataError;
use crate::base::nearest;

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
    /// to a server brings it. A column that is absent or unknown is an error: what has no value says so.
    pub fn encode_object(&self, row: &Map<String, Value>) -> Result<Vec<f32>, DataError> {
        let known = |name: &str| self.columns.iter().any(|column| column.name == name);
        if let Some(name) = row.keys().find(|name| !known(name)) {
            let names = self.columns.iter().map(|column| column.name.as_str());
            return Err(DataError::Row {
                detail: format!("unknown column `{}`", name.escape_debug()),
                nearest: nearest(name, names).map(str::to_owned),
            });
        }
        let mut out = Vec::with_capacity(self.width());
        for column in &self.columns {
            match row.get(&column.name) {
                None => {
                    return Err(DataError::Row {
                        detail: format!(
                            "column `{}` is not there; one without a value is null",
                            column.name.escape_debug()
                        ),
                        nearest: None,
                    });
                }
                Some(Value::Null) => column.encode("", &mut out)?,
                Some(Value::String(text)) => column.encode(text.trim(), &mut out)?,
                Some(Value::Number(number)) => column.encode(&number.to_string(), &mut out)?,
                Some(Value::Bool(truth)) => column.encode(column.spelling(*truth), &mut out)?,
                Some(Value::Array(_) | Value::Object(_)) => {
                    return Err(DataError::Row {
                        detail: format!("column `{}` is neither number, text, boolean nor null", column.name),
                        nearest: None,
                    });
                }
            }
        }
        Ok(out)
    }
}

/// Whether a cell of a table says that there is no value.
pub(super) fn is_missing(cell: &str) -> bool {
    matches!(cell, "" | "NA" | "N/A" | "NaN" | "nan" | "null" | "NULL" | "None" | "?")
}

/// The finite number that a cell holds.
pub(super) fn number(cell: &str) -> Option<f32> {
    cell.parse::<f32>().ok().filter(|number| number.is_finite())
}

impl Column {
    /// Number of inputs a cell becomes.
    pub fn width(&self) -> usize {
        match &self.kind {
            ColumnKind::Number { .. } => 1,
            ColumnKind::Category { values } => values.len(),
        }
    }

    fn encode(&self, cell: &str, out: &mut Vec<f32>) -> Result<(), DataError> {
        match &self.kind {
            ColumnKind::Number { mean } if is_missing(cell) => out.push(*mean),
            ColumnKind::Number { .. } => out.push(number(cell).ok_or_else(|| DataError::Cell {
                place: "the row".into(),
                column: self.name.clone(),
                value: cell.chars().take(40).collect::<String>().escape_debug().to_string(),
            })?),
            ColumnKind::Category { values } => {
                let start = out.len();
                out.resize(start + values.len(), 0.0);
                if let Ok(index) = values.binary_search_by(|value| value.as_str().cmp(cell)) {
                    out[start + index] = 1.0;
                }
            }
        }
        Ok(())
    }

    /// How the table writes a truth value: `true`, `True`, `TRUE`; else 1 and 0.
    fn spelling(&self, truth: bool) -> &str {
        let word = if truth { "true" } else { "false" };
        match &self.kind {
            ColumnKind::Number { .. } => {
                if truth {
                    "1"
                } else {
                    "0"
                }
            }
            ColumnKind::Category { values } => values
                .iter()
                .map(String::as_str)
                .find(|value| value.eq_ignore_ascii_case(word))
                .unwrap_or(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoding() -> TableEncoding {
        let category = |values: &[&str]| ColumnKind::Category {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        TableEncoding {
            columns: vec![
                Column { name: "age".into(), kind: ColumnKind::Number { mean: 40.0 } },
                Column { name: "city".into(), kind: category(&["Bonn", "Rome"]) },
                Column { name: "member".into(), kind: category(&["False", "True"]) },
            ],
        }
    }

    fn object(value: Value) -> Result<Vec<f32>, DataError> {
        encoding().encode_object(value.as_object().expect("object"))
    }

    #[test]
    fn cells_and_objects_are_encoded_alike() {
        let mut cells = Vec::new();
        encoding().encode(["31.5", "Rome", "True"], &mut cells).expect("encodes");
        assert_eq!(cells, [31.5, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(object(json!({"age": 31.5, "city": "Rome", "member": true})).expect("encodes"), cells);
        assert_eq!(encoding().inputs(), ["age", "city=Bonn", "city=Rome", "member=False", "member=True"]);
    }

    #[test]
    fn what_is_missing_or_unknown_becomes_the_mean_or_no_category() {
        assert_eq!(
            object(json!({"age": null, "city": "Oslo", "member": ""})).expect("encodes"),
            [40.0, 0.0, 0.0, 0.0, 0.0]
        );
        let row = json!({"age": "NA", "city": null, "member": null});
        assert_eq!(object(row).expect("encodes"), [40.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        for (row, column) in [
            (json!({"age": 3, "member": true}), "city"),
            (json!({}), "age"),
            (json!({"age": 3, "city": "Rome"}), "member"),
        ] {
            let error = object(row).expect_err("is not whole").to_string();
            assert!(error.contains(&format!("column `{column}` is not there")), "{error}");
        }
    }

    #[test]
    fn an_unknown_column_suggests_the_one_that_was_meant() {
        let error = object(json!({"agee": 3})).expect_err("unknown");
        assert_eq!(error.to_string(), "unknown column `agee`");
        assert_eq!(crate::base::Diagnose::hint(&error).as_deref(), Some("did you mean `age`?"));
    }

    #[test]
    fn what_is_no_number_is_refused_in_a_column_of_numbers() {
        for value in [json!("old"), json!([1]), json!("inf"), json!(1e300)] {
            let row = json!({"age": value.clone(), "city": "Rome", "member": true});
            assert!(object(row).is_err(), "{value}");
        }
    }

    #[test]
    fn the_encoding_survives_its_json_form() {
        let text = serde_json::to_string(&encoding()).expect("writes");
        assert_eq!(serde_json::from_str::<TableEncoding>(&text).expect("reads"), encoding());
    }
}
