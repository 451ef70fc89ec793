//! Tables: how their columns, which are numbers or categories, become inputs.

use std::collections::BTreeSet;

use super::encoding::{is_missing, number};
use super::rows::{Row, Table};
use super::split::Part;
use super::table_file::malformed;
use super::{Column, ColumnKind, DataError, Dataset, Parts, TableEncoding};
use crate::base::{Level, Sink};

/// Most categories of one column: more is an identifier or free text, of which nothing can be learnt.
const MOST_CATEGORIES: usize = 1000;

pub(super) fn load(dataset: &Dataset, sink: &dyn Sink) -> Result<Parts, DataError> {
    let extension = dataset.spec.format.one_file().unwrap_or_default();
    let table = Table::read(dataset, extension, None, dataset.spec.target.as_deref(), sink)?;
    if !table.rows.iter().any(|row| row.part == Part::Train) {
        return Err(layout(
            dataset,
            format!("it has no row to train on among its {}: add some, or change `split:`", table.rows.len()),
        ));
    }
    let encoding = match &dataset.encoding {
        Some(encoding) => table.known(encoding)?,
        None => table.learn(dataset, sink)?,
    };
    let (classes, answers) = table.answers(dataset)?;
    let width = encoding.width();
    let mut writer = table.writer(dataset, width)?;
    let mut values = Vec::with_capacity(width);
    for row in &table.rows {
        values.clear();
        encoding.encode(table.inputs(row), &mut values).map_err(|error| table.at(row, error))?;
        writer.numbers(&values)?;
    }
    let [train, val, test] = table.divided(width, writer.finish()?, answers);
    let (columns, statistics) = (encoding.inputs(), table.statistics());
    Ok(Parts { classes, columns, encoding: Some(encoding), statistics, train, val, test, ..Parts::default() })
}

impl Table {
    fn inputs<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = &'a str> {
        row.cells.iter().enumerate().filter(|(column, _)| *column != self.target).map(|(_, cell)| cell)
    }

    /// An encoding learnt before, if it is one of these columns.
    fn known(&self, encoding: &TableEncoding) -> Result<TableEncoding, DataError> {
        let header = self.header.iter().enumerate().filter(|(index, _)| *index != self.target);
        if header.map(|(_, name)| name).eq(encoding.columns.iter().map(|column| column.name.as_str())) {
            return Ok(encoding.clone());
        }
        let detail = "its columns are not those that the model was trained on, in their order";
        Err(malformed(&self.files[0], self.format, detail))
    }

    /// Learns the encoding of each column from the training rows.
    fn learn(&self, dataset: &Dataset, sink: &dyn Sink) -> Result<TableEncoding, DataError> {
        let train = || self.rows.iter().filter(|row| row.part == Part::Train);
        let mut columns = Vec::new();
        for (index, name) in self.header.iter().enumerate().filter(|(index, _)| *index != self.target) {
            let cells = || train().map(|row| &row.cells[index]).filter(|cell| !is_missing(cell));
            let (mut sum, mut count) = (0f64, 0u64);
            let numeric = cells().all(|cell| match number(cell) {
                Some(number) => {
                    sum += f64::from(number);
                    count += 1;
                    true
                }
                None => false,
            });
            if !numeric {
                self.warn_of_words(index, name, sink)?;
            }
            let kind = if numeric && count > 0 {
                ColumnKind::Number { mean: (sum / count as f64) as f32 }
            } else {
                let values: BTreeSet<&str> = cells().collect();
                if values.len() > MOST_CATEGORIES {
                    let detail = format!(
                        "column `{}` has {} different texts, more than {MOST_CATEGORIES}: take it out or make it a number",
                        name.escape_debug(),
                        values.len()
                    );
                    return Err(layout(dataset, detail));
                }
                ColumnKind::Category { values: values.into_iter().map(str::to_owned).collect() }
            };
            columns.push(Column { name: name.to_owned(), kind });
        }
        let encoding = TableEncoding { columns };
        if encoding.width() == 0 {
            let detail = "it has no column with values besides the target".into();
            return Err(layout(dataset, detail));
        }
        Ok(encoding)
    }

    /// Says so where nearly all cells of a column are numbers: one odd cell makes categories of all of them. One that is infinite is a
    /// number, and none that could be used.
    fn warn_of_words(&self, column: usize, name: &str, sink: &dyn Sink) -> Result<(), DataError> {
        let rows = || self.rows.iter().filter(|row| row.part == Part::Train);
        let given = || rows().filter(|row| !is_missing(&row.cells[column]));
        let all = given().count();
        let is_word = |row: &&Row| number(&row.cells[column]).is_none();
        let words = given().filter(is_word).count();
        let infinite = |row: &&Row| row.cells[column].parse::<f64>().is_ok_and(|number| !number.is_finite());
        if words < all
            && let Some(row) = given().find(infinite)
        {
            return Err(malformed(
                &self.place(row),
                self.format,
                format!(
                    "`{}` in column `{}` is no finite number",
                    row.cells[column].escape_debug(),
                    name.escape_debug()
                ),
            ));
        }
        if let Some(first) = given().find(is_word)
            && words * 10 <= all
        {
            let (column, cell) = (name.escape_debug(), first.cells[column].escape_debug().to_string());
            let cell: String = cell.chars().take(40).collect();
            let text = format!(
                "column `{column}` is taken as categories: {} of its {all} cells are numbers, but not `{cell}` ({}); leave such cells empty",
                all - words,
                self.place(first)
            );
            sink.log(Level::Warn, &text);
        }
        Ok(())
    }

    /// An error of a row, with its place.
    fn at(&self, row: &Row, error: DataError) -> DataError {
        match error {
            DataError::Cell { column, value, .. } => {
                DataError::Cell { place: self.place(row), column, value }
            }
            error => error,
        }
    }
}

fn layout(dataset: &Dataset, detail: String) -> DataError {
    let format = dataset.spec.format.one_file().unwrap_or_default();
    DataError::Layout { path: dataset.path.display().to_string(), format, detail }
}

#[cfg(test)]
mod tests;
