//! The rows of a table, whatever its format: cells as text, a part and a key for each, and what is to be predicted.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use csv::StringRecord;

use super::encoding::{is_missing, number};
use super::split::{self, Part};
use super::storage::{Storage, Writer};
use super::stored::{Answers, Stored};
use super::table_file::{self, TableFile, malformed};
use super::{ColumnStatistics, DataError, Dataset, Examples, TargetKind};
use crate::base::{Sink, Unit, nearest};

/// More different whole numbers than this as targets are a quantity, not classes.
const MOST_NUMBERED_CLASSES: usize = 100;

/// One row and where it stands.
pub(super) struct Row {
    pub(super) cells: StringRecord,
    pub(super) file: u32,
    pub(super) line: u32,
    pub(super) part: Part,
    pub(super) key: u64,
}

/// All rows of a dataset.
pub(super) struct Table {
    /// The format of its files, for messages.
    pub(super) format: &'static str,
    pub(super) header: StringRecord,
    pub(super) files: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Index of the column that is predicted.
    pub(super) target: usize,
}

impl Table {
    /// A table of two columns, an input and its target, without rows.
    pub(super) fn pairs(format: &'static str, header: [&str; 2]) -> Self {
        let header = StringRecord::from(header.to_vec());
        Self { format, header, files: Vec::new(), rows: Vec::new(), target: 1 }
    }

    /// Reads the file, or the files of the parts, of a dataset: all columns, or `text` and the target alone.
    pub(super) fn read(
        dataset: &Dataset,
        extension: &'static str,
        text: Option<&str>,
        target: Option<&str>,
        sink: &dyn Sink,
    ) -> Result<Self, DataError> {
        let files = files(dataset, extension)?;
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
            let mut file = table_file::open(path, &shown)?;
            let target = position(file.header(), target, dataset, &shown, file.format())?;
            let text = text.map(|text| position(file.header(), Some(text), dataset, &shown, file.format()));
            table.read_file(&mut *file, shown, *part, text.transpose()?, target)?;
        }
        sink.progress("reading", files.len() as u64, Some(files.len() as u64), Unit::Files);
        table.divide(dataset, |part| files.iter().any(|(other, _)| *other == part));
        Ok(table)
    }

    fn read_file(
        &mut self,
        file: &mut dyn TableFile,
        shown: String,
        part: Part,
        text: Option<usize>,
        target: usize,
    ) -> Result<(), DataError> {
        // Of texts nothing but the two columns that count.
        let columns = |cells: StringRecord| match text {
            Some(text) => [text, target].into_iter().map(|at| cells.get(at).unwrap_or_default()).collect(),
            None => cells,
        };
        let header = columns(file.header().clone());
        if self.files.is_empty() {
            self.format = file.format();
            self.target = if text.is_some() { 1 } else { target };
            self.header = header;
        } else if header != self.header {
            let detail = format!("its columns are not those of `{}`", self.files[0]);
            return Err(malformed(&shown, self.format, detail));
        }
        self.files.push(shown);
        let number = self.files.len() as u32 - 1;
        file.rows(&mut |line, cells| self.push(columns(cells), number, line, part))
    }

    /// Adds a row of the file with this number.
    pub(super) fn push(&mut self, cells: StringRecord, file: u32, line: u32, part: Part) {
        let key = self.key(&cells);
        self.rows.push(Row { cells, file, line, part, key });
    }

    /// Divides the rows for training, unless the dataset brings the other parts itself.
    pub(super) fn divide(&mut self, dataset: &Dataset, brings: impl Fn(Part) -> bool) {
        let split = dataset.spec.split.without(brings(Part::Val), brings(Part::Test));
        // Folds divide all that is not the test.
        let divided = |part| part == Part::Train || (part == Part::Val && split.fold.is_some());
        for row in self.rows.iter_mut().filter(|row| divided(row.part)) {
            row.part = split.part(row.key);
        }
    }

    /// Takes an input of `width` numbers for each row.
    pub(super) fn writer(&self, dataset: &Dataset, width: usize) -> Result<Writer, DataError> {
        let bytes = (self.rows.len() as u64).saturating_mul((width * size_of::<f32>()) as u64);
        Writer::new(&dataset.room(bytes), false, self.rows.len(), width)
    }

    /// The parts of the rows, of which each has become `width` of `values`.
    pub(super) fn divided(&self, width: usize, values: Storage, answers: Answers) -> [Examples; 3] {
        let stored = Stored {
            width,
            values,
            answers,
            keys: self.rows.iter().map(|row| row.key).collect(),
            places: self.rows.iter().map(|row| (row.file, row.line)).collect(),
            files: Arc::new(self.files.clone()),
        };
        let parts: Vec<Part> = self.rows.iter().map(|row| row.part).collect();
        stored.divide(&parts).map(|part| part.examples(&[width]))
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

    /// Class names and targets of all rows.
    pub(super) fn answers(&self, dataset: &Dataset) -> Result<(Vec<String>, Answers), DataError> {
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

    /// What was seen in each column.
    pub(super) fn statistics(&self) -> Vec<ColumnStatistics> {
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

    /// File and line of a row.
    pub(super) fn place(&self, row: &Row) -> String {
        format!("{}:{}", self.files[row.file as usize], row.line)
    }
}

/// The files of the parts.
fn files(dataset: &Dataset, extension: &'static str) -> Result<Vec<(Part, PathBuf)>, DataError> {
    let files = table_file::parts(&dataset.path, extension)?;
    if files.first().is_none_or(|(part, _)| *part != Part::Train) {
        return Err(DataError::Layout {
            path: dataset.path.display().to_string(),
            format: extension,
            detail: format!("the folder has no `train.{extension}`"),
        });
    }
    Ok(files)
}

/// Names of all columns, by the headers alone: `text` and the target are among them, and all files have the same.
pub(super) fn columns(
    dataset: &Dataset,
    extension: &'static str,
    text: Option<&str>,
    target: Option<&str>,
) -> Result<Vec<String>, DataError> {
    let mut first: Option<(String, StringRecord)> = None;
    for (_, path) in files(dataset, extension)? {
        let shown = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = table_file::open(&path, &shown)?;
        position(file.header(), target, dataset, &shown, file.format())?;
        if text.is_some() {
            position(file.header(), text, dataset, &shown, file.format())?;
        }
        match &first {
            None => first = Some((shown, file.header().clone())),
            Some((other, header)) if text.is_none() && header != file.header() => {
                return Err(malformed(
                    &shown,
                    file.format(),
                    format!("its columns are not those of `{other}`"),
                ));
            }
            Some(_) => {}
        }
    }
    Ok(first.iter().flat_map(|(_, header)| header.iter().map(str::to_owned)).collect())
}

/// Index of the column `name`.
fn position(
    header: &StringRecord,
    name: Option<&str>,
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
    let Some(name) = name else {
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
