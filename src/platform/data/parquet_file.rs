//! Parquet files: flat columns of numbers, texts, truth values and dates, as cells that CSV would have.

use std::path::Path;

use bytes::Bytes;
use csv::StringRecord;
use parquet::basic::{Compression, ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::DataError;
use super::bounded::HIGHEST_RATIO;
use super::parquet_pages;
use super::table_file::{TableFile, malformed};
use crate::base::caught;

/// Values read at a time.
const BATCH: usize = 4096;
/// Bytes of cells that any file may have, however small; beyond, a byte of the file makes at most so many as one of gzip.
const FREE_BYTES: u64 = 64 << 20;
/// What a cell takes besides its text, and a row besides its cells.
const CELL: u64 = 16;
const ROW: u64 = 128;
/// How pandas calls columns that hold the labels of rows: no data.
const ROW_LABELS: &str = "__index_level_";

/// A Parquet file whose footer has been read.
pub(super) struct ParquetFile {
    shown: String,
    bytes: Bytes,
    reader: SerializedFileReader<Bytes>,
    header: StringRecord,
    /// Where the columns of the header stand in the file.
    columns: Vec<usize>,
    /// Bytes that its cells may take: a few bytes can stand for any number of equal ones.
    budget: u64,
}

impl ParquetFile {
    pub(super) fn open(path: &Path, shown: &str) -> Result<Self, DataError> {
        // The whole file: a place in it that does not exist is then refused before memory is asked for.
        let bytes = Bytes::from(std::fs::read(path).map_err(DataError::io("read", path))?);
        let budget = FREE_BYTES.saturating_add((bytes.len() as u64).saturating_mul(HIGHEST_RATIO));
        let fail = |detail: String| malformed(shown, "Parquet", detail);
        let reader = caught(|| SerializedFileReader::new(bytes.clone())).map_err(fail)?;
        let reader = reader.map_err(|error| fail(detail(&error)))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let columns: Vec<usize> = (0..schema.num_columns())
            .filter(|at| !schema.column(*at).name().starts_with(ROW_LABELS))
            .collect();
        columns.iter().try_for_each(|at| check(&schema.column(*at))).map_err(fail)?;
        let header = columns.iter().map(|at| schema.column(*at).name().trim().to_owned()).collect::<Vec<_>>();
        Ok(Self { shown: shown.to_owned(), bytes, reader, header: header.into(), columns, budget })
    }

    /// The rows of one group of rows, of which `before` come before it.
    fn group(&self, index: usize, before: u32, budget: &mut u64) -> Result<Vec<StringRecord>, DataError> {
        let place = format!("{}:{}", self.shown, before + 1);
        let fail = |error: ParquetError| malformed(&place, "Parquet", detail(&error));
        let group = self.reader.get_row_group(index).map_err(fail)?;
        let mut rows = Vec::new();
        for (name, &index) in self.header.iter().zip(&self.columns) {
            let descriptor = group.metadata().schema_descr().column(index);
            self.check_pages(group.metadata().column(index)).map_err(|detail| {
                malformed(&place, "Parquet", format!("column `{}`: {detail}", name.escape_debug()))
            })?;
            let mut cells = Cells {
                shown: &self.shown,
                column: name,
                before,
                optional: descriptor.max_def_level() > 0,
                is_first: index == self.columns[0],
                count: 0,
                rows: &mut rows,
                budget,
            };
            cells.column(&descriptor, group.get_column_reader(index).map_err(fail)?)?;
        }
        Ok(rows)
    }

    /// Refuses pages that promise too much: the crate's decoders set memory aside on their word, up to 2 GiB.
    fn check_pages(&self, column: &ColumnChunkMetaData) -> Result<(), String> {
        if column.compression() == Compression::UNCOMPRESSED {
            return Ok(());
        }
        let (start, length) = column.byte_range();
        let place = |at: u64| usize::try_from(at).ok();
        let chunk = place(start).zip(start.checked_add(length).and_then(place));
        let chunk = chunk.and_then(|(start, end)| self.bytes.get(start..end));
        parquet_pages::check(chunk.ok_or("it lies outside of the file")?)
    }
}

impl TableFile for ParquetFile {
    fn header(&self) -> &StringRecord {
        &self.header
    }

    fn rows(&mut self, each: &mut dyn FnMut(u32, StringRecord)) -> Result<(), DataError> {
        let mut before = 0;
        let mut budget = self.budget;
        for index in 0..self.reader.num_row_groups() {
            let place = format!("{}:{}", self.shown, before + 1);
            // The decoders of the crate assert what a damaged file does not hold to.
            let rows = caught(|| self.group(index, before, &mut budget));
            for row in rows.map_err(|detail| malformed(&place, "Parquet", detail))?? {
                before += 1;
                each(before, row);
            }
        }
        Ok(())
    }

    fn format(&self) -> &'static str {
        "Parquet"
    }
}

/// One column of a group of rows on its way into these rows.
struct Cells<'a> {
    shown: &'a str,
    column: &'a str,
    /// Rows of the file before this group.
    before: u32,
    /// Whether a value may be missing.
    optional: bool,
    /// Whether the column makes the rows; the others must have as many values.
    is_first: bool,
    /// Values so far.
    count: usize,
    rows: &'a mut Vec<StringRecord>,
    budget: &'a mut u64,
}

impl Cells<'_> {
    fn column(&mut self, descriptor: &ColumnDescriptor, reader: ColumnReader) -> Result<(), DataError> {
        let unsigned = matches!(
            descriptor.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        );
        let is_date = descriptor.converted_type() == ConvertedType::DATE;
        // What is no number (NaN) is missing, as in a CSV file; what is infinite is a mistake.
        match reader {
            ColumnReader::BoolColumnReader(reader) => self.read(reader, "", |truth| Some(truth.to_string())),
            ColumnReader::Int32ColumnReader(reader) => {
                self.read(reader, "no date of the calendar", |number| {
                    if is_date {
                        return date(*number);
                    }
                    Some(if unsigned { number.cast_unsigned().to_string() } else { number.to_string() })
                })
            }
            ColumnReader::Int64ColumnReader(reader) => self.read(reader, "", |number| {
                Some(if unsigned { number.cast_unsigned().to_string() } else { number.to_string() })
            }),
            ColumnReader::FloatColumnReader(reader) => {
                self.read(reader, "infinite", |number| (!number.is_infinite()).then(|| number.to_string()))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                self.read(reader, "infinite", |number| (!number.is_infinite()).then(|| number.to_string()))
            }
            ColumnReader::ByteArrayColumnReader(reader) => self.read(reader, "not UTF-8", |bytes| {
                std::str::from_utf8(bytes.data()).ok().map(|text| text.trim().to_owned())
            }),
            // Refused by `check`.
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => Ok(()),
        }
    }

    /// Adds all values of the column as text; `wrong` says what a value is that has none.
    fn read<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        wrong: &str,
        text: impl Fn(&T::T) -> Option<String>,
    ) -> Result<(), DataError> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        loop {
            levels.clear();
            values.clear();
            let read = reader.read_records(BATCH, Some(&mut levels), None, &mut values);
            let (records, _, _) = read.map_err(|error| self.fail(detail(&error)))?;
            if records == 0 {
                break;
            }
            let mut values = values.iter();
            for index in 0..records {
                let is_there = !self.optional || levels.get(index).is_some_and(|level| *level > 0);
                let value = if is_there { values.next() } else { None };
                let text = match value {
                    None if is_there => return Err(self.fail("a value is missing".to_owned())),
                    None => String::new(),
                    Some(value) => text(value).ok_or_else(|| self.fail(format!("the value is {wrong}")))?,
                };
                self.push(&text)?;
            }
        }
        if self.count < self.rows.len() {
            return Err(self.fail("the column ends before the others".to_owned()));
        }
        Ok(())
    }

    fn push(&mut self, text: &str) -> Result<(), DataError> {
        let takes = text.len() as u64 + CELL + if self.is_first { ROW } else { 0 };
        *self.budget = self.budget.checked_sub(takes).ok_or_else(|| {
            self.fail("its rows take far more memory than a file of its size should need".to_owned())
        })?;
        if self.is_first {
            self.rows.push(StringRecord::new());
        }
        match self.rows.get_mut(self.count) {
            Some(row) => row.push_field(text),
            None => return Err(self.fail("the column goes on behind the others".to_owned())),
        }
        self.count += 1;
        Ok(())
    }

    /// An error at the next value.
    fn fail(&self, detail: String) -> DataError {
        let row = self.before as usize + self.count + 1;
        let place = format!("{}:{row}", self.shown);
        malformed(&place, "Parquet", format!("column `{}`: {detail}", self.column.escape_debug()))
    }
}

/// Refuses columns that no cell of a CSV file could hold as a number, a category or a date.
fn check(column: &ColumnDescriptor) -> Result<(), String> {
    let refuse = |what: &str, instead: &str| {
        Err(format!("column `{}` holds {what}; {instead}", column.path().string().escape_debug()))
    };
    if column.path().parts().len() != 1 || column.max_rep_level() > 0 || column.max_def_level() > 1 {
        return refuse("lists or records", "a table has one value in a cell");
    }
    let simple = match (column.physical_type(), column.converted_type()) {
        (Type::INT32, ConvertedType::DATE) => true,
        (Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY, _) => false,
        (_, ConvertedType::DECIMAL | ConvertedType::BSON | ConvertedType::INTERVAL) => false,
        _ => !matches!(
            column.logical_type_ref(),
            Some(LogicalType::Timestamp { .. } | LogicalType::Time { .. } | LogicalType::Decimal { .. })
        ),
    };
    if simple {
        return Ok(());
    }
    refuse("times, decimals or bytes", "write it as numbers or as text")
}

/// The date so many days after 1 January 1970.
fn date(days: i32) -> Option<String> {
    let days = jiff::Span::new().try_days(days).ok()?;
    jiff::civil::date(1970, 1, 1).checked_add(days).ok().map(|date| date.to_string())
}

/// What the crate says, without the kind of error that it puts before it.
fn detail(error: &ParquetError) -> String {
    let text = error.to_string();
    if let Some((_, codec)) = text.split_once("Disabled feature at compile time: ") {
        return format!("it is compressed with {codec}; write it with snappy, zstd or gzip");
    }
    let text = ["Parquet error: ", "EOF: ", "External: "]
        .iter()
        .find_map(|kind| text.strip_prefix(kind))
        .unwrap_or(&text);
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests;
