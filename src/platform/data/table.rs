//! Tables, in CSV or Parquet files: a header, a target column, numbers and categories.

use std::collections::BTreeSet;
use std::sync::Arc;

use csv::StringRecord;

use super::encoding::{is_missing, number};
use super::split::{self, Part};
use super::stored::{Answers, Stored, Values};
use super::table_file::{self, TableFile, malformed};
use super::{Column, ColumnKind, ColumnStatistics, DataError, Dataset, Parts, TableEncoding, TargetKind};
use crate::base::{Sink, Unit, nearest};

/// Most categories of one column: more is an identifier or free text, of which nothing can be learnt.
const MOST_CATEGORIES: usize = 1000;
/// More different whole numbers than this as targets are a quantity, not classes.
const MOST_NUMBERED_CLASSES: usize = 100;

/// One row and where it stands.
struct Row {
    cells: StringRecord,
    file: u32,
    line: u32,
    part: Part,
    key: u64,
}

/// All rows of a dataset.
struct Table {
    /// The format of its files, for messages.
    format: &'static str,
    header: StringRecord,
    files: Vec<String>,
    rows: Vec<Row>,
    target: usize,
}

pub(super) fn load(dataset: &Dataset, sink: &dyn Sink) -> Result<Parts, DataError> {
    let table = Table::read(dataset, sink)?;
    if !table.rows.iter().any(|row| row.part == Part::Train) {
        return Err(layout(dataset, "it has no row to train on".into()));
    }
    let encoding = match &dataset.encoding {
        Some(encoding) => table.known(encoding)?,
        None => table.learn(dataset)?,
    };
    let (classes, answers) = table.answers(dataset)?;
    let mut values = Vec::new();
    for row in &table.rows {
        encoding.encode(table.inputs(row), &mut values).map_err(|error| table.at(row, error))?;
    }
    let width = encoding.width();
    let parts: Vec<Part> = table.rows.iter().map(|row| row.part).collect();
    let stored = Stored {
        width,
        values: Values::F32(values),
        answers,
        keys: table.rows.iter().map(|row| row.key).collect(),
        places: table.rows.iter().map(|row| (row.file, row.line)).collect(),
        files: Arc::new(table.files.clone()),
    };
    let [train, val, test] = stored.divide(&parts).map(|part| part.examples(&[width]));
    let statistics = table.statistics();
    Ok(Parts { classes, columns: encoding.inputs(), encoding: Some(encoding), statistics, train, val, test })
}

impl Table {
    fn read(dataset: &Dataset, sink: &dyn Sink) -> Result<Self, DataError> {
        let path = &dataset.path;
        let extension = dataset.spec.format.one_file().unwrap_or_default();
        let files = table_file::parts(path, extension)?;
        if files.first().is_none_or(|(part, _)| *part != Part::Train) {
            return Err(layout(dataset, format!("the folder has no `train.{extension}`")));
        }
        let mut table = Self {
            format: "",
            header: StringRecord::new(),
            files: Vec::new(),
            rows: Vec::new(),
            target: usize::MAX,
        };
        for (part, path) in &files {
            sink.progress("reading", table.files.len() as u64, Some(files.len() as u64), Unit::Files);
            let shown = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            table.read_file(&mut *table_file::open(path, &shown)?, shown, *part, dataset)?;
        }
        sink.progress("reading", files.len() as u64, Some(files.len() as u64), Unit::Files);
        let brings = |part| files.iter().any(|(other, _)| *other == part);
        let split = dataset.spec.split.without(brings(Part::Val), brings(Part::Test));
        for row in table.rows.iter_mut().filter(|row| row.part == Part::Train) {
            row.part = split.part(row.key);
        }
        Ok(table)
    }

    fn read_file(
        &mut self,
        rows: &mut dyn TableFile,
        shown: String,
        part: Part,
        dataset: &Dataset,
    ) -> Result<(), DataError> {
        if self.files.is_empty() {
            self.format = rows.format();
            self.target = target(rows.header(), dataset, &shown, self.format)?;
            self.header = rows.header().clone();
        } else if *rows.header() != self.header {
            let detail = format!("its columns are not those of `{}`", self.files[0]);
            return Err(malformed(&shown, self.format, detail));
        }
        let file = self.files.len() as u32;
        self.files.push(shown);
        rows.rows(&mut |line, cells| {
            let key = self.key(&cells);
            self.rows.push(Row { cells, file, line, part, key });
        })
    }

    /// The key of a row: of its inputs alone, so that rows that differ in nothing but the target stay in one part.
    fn key(&self, cells: &StringRecord) -> u64 {
        let mut bytes = Vec::with_capacity(cells.as_slice().len() + 4 * cells.len());
        for (_, cell) in cells.iter().enumerate().filter(|(column, _)| *column != self.target) {
            bytes.extend((cell.len() as u32).to_le_bytes());
            bytes.extend(cell.as_bytes());
        }
        split::key(&bytes)
    }

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
    fn learn(&self, dataset: &Dataset) -> Result<TableEncoding, DataError> {
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

    /// Class names and targets of all rows.
    fn answers(&self, dataset: &Dataset) -> Result<(Vec<String>, Answers), DataError> {
        let cell = |row: &Row| row.cells[self.target].to_owned();
        if let Some(row) = self.rows.iter().find(|row| is_missing(&row.cells[self.target])) {
            let detail =
                format!("column `{}`, the target, is empty", self.header[self.target].escape_debug());
            return Err(malformed(&self.place(row), self.format, detail));
        }
        let texts: BTreeSet<&str> = self.rows.iter().map(|row| &row.cells[self.target]).collect();
        let numbers: Option<Vec<f32>> = texts.iter().map(|text| number(text)).collect();
        let as_numbers = match (dataset.target, &numbers) {
            (TargetKind::Value, _) => true,
            (TargetKind::Class, _) | (TargetKind::Auto, None) => false,
            (TargetKind::Auto, Some(numbers)) => {
                numbers.len() > MOST_NUMBERED_CLASSES || numbers.iter().any(|number| number.fract() != 0.0)
            }
        };
        if as_numbers {
            let value = |row: &Row| {
                number(&row.cells[self.target]).ok_or_else(|| DataError::Cell {
                    place: self.place(row),
                    column: self.header[self.target].to_owned(),
                    value: cell(row).escape_debug().to_string(),
                })
            };
            return Ok((Vec::new(), Answers::Value(self.rows.iter().map(value).collect::<Result<_, _>>()?)));
        }
        let mut classes: Vec<&str> = texts.into_iter().collect();
        if numbers.is_some() {
            classes.sort_by(|a, b| {
                let order = |text: &str| number(text).unwrap_or_default();
                order(a).total_cmp(&order(b)).then_with(|| a.cmp(b))
            });
        }
        let index: std::collections::HashMap<&str, u32> = classes.iter().copied().zip(0..).collect();
        let answers = self.rows.iter().map(|row| index[&row.cells[self.target]]).collect();
        Ok((classes.into_iter().map(str::to_owned).collect(), Answers::Class(answers)))
    }

    fn statistics(&self) -> Vec<ColumnStatistics> {
        let mut columns: Vec<ColumnStatistics> = self
            .header
            .iter()
            .map(|name| ColumnStatistics { name: name.to_owned(), ..Default::default() })
            .collect();
        for row in &self.rows {
            for (column, cell) in columns.iter_mut().zip(&row.cells) {
                column.rows += 1;
                if is_missing(cell) {
                    column.missing += 1;
                } else {
                    column.note_value(cell);
                }
            }
        }
        columns
    }

    fn place(&self, row: &Row) -> String {
        format!("{}:{}", self.files[row.file as usize], row.line)
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

/// Index of the target column.
fn target(
    header: &StringRecord,
    dataset: &Dataset,
    shown: &str,
    format: &'static str,
) -> Result<usize, DataError> {
    let mut names = BTreeSet::new();
    if let Some(name) = header.iter().find(|name| !names.insert(*name)) {
        let detail = format!("its header has the column `{}` twice", name.escape_debug());
        return Err(malformed(shown, format, detail));
    }
    if header.len() < 2 {
        let hint = if format == "CSV" { "; columns are separated by commas" } else { "" };
        return Err(malformed(shown, format, format!("its header has one column{hint}")));
    }
    let refuse = |detail: String, hint: String| {
        Err(DataError::Target { name: dataset.name.to_string(), detail, hint })
    };
    let some_names = || {
        header
            .iter()
            .take(12)
            .map(str::escape_debug)
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let Some(name) = &dataset.spec.target else {
        let hint = format!("write `target: COLUMN` with one of {}", some_names());
        return refuse("a table needs a target column".into(), hint);
    };
    match header.iter().position(|column| column == name) {
        Some(index) => Ok(index),
        None => {
            let hint = match nearest(name, header.iter()) {
                Some(near) => format!("did you mean `{}`?", near.escape_debug()),
                None => format!("its columns are {}", some_names()),
            };
            refuse(format!("`{shown}` has no column `{}`", name.escape_debug()), hint)
        }
    }
}

fn layout(dataset: &Dataset, detail: String) -> DataError {
    let format = dataset.spec.format.one_file().unwrap_or_default();
    DataError::Layout { path: dataset.path.display().to_string(), format, detail }
}

#[cfg(test)]
mod tests;
