//! Rows of a CSV file (RFC 4180), each with the line that it begins on. The `csv` crate takes the end of a file for the end of a quoted
//! cell, so that a quote that is never closed would swallow the rest in silence: here it is an error.

use std::io::{self, BufRead, BufReader, Chain, Read};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};

/// Put after the end of a file: where it comes out as a row of its own, all quotes were closed.
const END: &[u8] = b"\n\x1c\n";
/// The only cell of that row.
const LAST: &str = "\u{1c}";

/// What is wrong with a CSV file.
#[derive(Debug)]
pub enum CsvFault {
    /// It cannot be read on.
    Io(io::Error),
    /// A row is none.
    Row {
        /// The line that it begins on, from 1.
        line: u64,
        /// Why.
        detail: String,
    },
}

impl std::fmt::Display for CsvFault {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(to),
            Self::Row { detail, .. } => to.write_str(detail),
        }
    }
}

/// A CSV file whose header has been read. Blanks around cells do not count, nor does a byte order mark.
pub struct CsvRows<R: Read> {
    reader: Reader<Chain<BufReader<R>, &'static [u8]>>,
    header: StringRecord,
    /// Lines that end with CR LF are counted when the next one begins.
    behind: u64,
}

impl<R: Read> CsvRows<R> {
    /// Reads the header. Rows of another length than it are faults unless `flexible`.
    pub fn open(source: R, flexible: bool) -> Result<Self, CsvFault> {
        let mut source = BufReader::with_capacity(64 << 10, source);
        let begin = source.fill_buf().map_err(CsvFault::Io)?;
        let first = begin.iter().position(|byte| *byte == b'\n').unwrap_or_default();
        let behind = u64::from(begin[..first].ends_with(b"\r"));
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .trim(Trim::All)
            .flexible(flexible)
            .from_reader(source.chain(END));
        let mut cells = StringRecord::new();
        reader.read_record(&mut cells).map_err(|error| fault(error, 0))?;
        if cells.get(0) == Some(LAST) {
            cells.clear();
        }
        closed(&cells, 1)?;
        let header = cells.iter().enumerate();
        let header =
            header.map(|(i, name)| if i == 0 { name.trim_start_matches('\u{feff}') } else { name }).collect();
        Ok(Self { reader, header, behind })
    }

    /// Names of the columns.
    pub fn header(&self) -> &StringRecord {
        &self.header
    }

    /// Reads the next row into `cells`; its line, or none at the end. Another row may follow one that is a fault.
    pub fn read(&mut self, cells: &mut StringRecord) -> Result<Option<u64>, CsvFault> {
        let read = self.reader.read_record(cells);
        let is_end = cells.len() == 1 && cells.get(0) == Some(LAST);
        match read {
            Ok(false) => Ok(None),
            _ if is_end => Ok(None),
            Err(error) => Err(fault(error, self.behind)),
            Ok(true) => {
                let line = cells.position().map_or(0, csv::Position::line) + self.behind;
                closed(cells, line)?;
                Ok(Some(line))
            }
        }
    }
}

fn closed(cells: &StringRecord, line: u64) -> Result<(), CsvFault> {
    match cells.iter().next_back().is_some_and(|cell| cell.ends_with(LAST)) {
        true => Err(CsvFault::Row { line, detail: "a quote that begins here is never closed".to_owned() }),
        false => Ok(()),
    }
}

fn fault(error: csv::Error, behind: u64) -> CsvFault {
    let line = error.position().map_or(0, csv::Position::line) + behind;
    let detail = match error.into_kind() {
        ErrorKind::Io(source) => return CsvFault::Io(source),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} cells, the header {expected_len}")
        }
        ErrorKind::Utf8 { err, .. } => format!("cell {} is not UTF-8", err.field() + 1),
        _ => "the row cannot be read".to_owned(),
    };
    CsvFault::Row { line, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines and cells of all rows; faults as lines and words.
    fn rows(text: &str) -> Vec<(u64, String)> {
        let mut rows = match CsvRows::open(text.as_bytes(), false) {
            Ok(rows) => rows,
            Err(CsvFault::Row { line, detail }) => return vec![(line, detail)],
            Err(CsvFault::Io(error)) => panic!("{error}"),
        };
        let (mut found, mut cells) = (Vec::new(), StringRecord::new());
        loop {
            match rows.read(&mut cells) {
                Ok(None) => return found,
                Ok(Some(line)) => found.push((line, cells.iter().collect::<Vec<_>>().join("|"))),
                Err(CsvFault::Row { line, detail }) => found.push((line, detail)),
                Err(CsvFault::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn rows_are_told_with_the_line_that_they_begin_on_whatever_ends_lines() {
        for end in ["\n", "\r\n"] {
            for last in ["", end] {
                let lines = ["\u{feff}a, b", "1,\"x", " y\"", "2,3", "4", "\"5\" ,6"];
                let text = lines.join(end) + last;
                let found = rows(&text);
                let cell = format!("1|x{end} y");
                let wanted =
                    [(2, cell.as_str()), (4, "2|3"), (5, "the row has 1 cells, the header 2"), (6, "5|6")];
                let found: Vec<(u64, &str)> =
                    found.iter().map(|(line, cells)| (*line, cells.as_str())).collect();
                assert_eq!(found, wanted, "{text:?}");
            }
        }
        let table = CsvRows::open("\u{feff}a , b\n".as_bytes(), false).expect("reads");
        assert_eq!(table.header(), vec!["a", "b"]);
    }

    #[test]
    fn a_file_without_rows_has_none_and_one_without_anything_no_columns() {
        for text in ["a,b", "a,b\n", "a,b\r\n\r\n"] {
            assert!(rows(text).is_empty(), "{text:?}");
        }
        assert!(CsvRows::open("".as_bytes(), false).expect("reads").header().is_empty());
    }

    #[test]
    fn a_quote_that_is_never_closed_swallows_nothing() {
        for (text, line) in [
            ("a,b\n1,2\n3,\"4\n5,6\n", 3),
            ("a\n1\n\"2\n3", 3),
            ("a,b\r\n1,2\r\n3,\"4\r\n5,6\r\n", 3),
            ("a,\"b\n1,2\n", 1),
        ] {
            let last = rows(text).pop().expect("a fault");
            assert_eq!(last, (line, "a quote that begins here is never closed".to_owned()), "{text:?}");
        }
        let found = rows("a,b\n\"1\n2,3\n");
        assert!(found[0].0 == 2 && found[0].1.contains("cells"), "{found:?}");
        // One within a cell is no beginning of one.
        assert_eq!(rows("a,b\n1,5\" pipe\n"), [(2, "1|5\" pipe".to_owned())]);
    }
}
