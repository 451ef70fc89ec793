//! The NPY format of NumPy: a magic string, a version, a header that is a Python dictionary, then the elements.
//! Described on the page of `numpy.lib.format`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::DataError;
use super::array::{Array, Element, Order, promised};
use super::bounded::Holds;

/// Longest header that is read, as NumPy itself has it: longer ones describe records, which are no numbers.
const LONGEST_HEADER: u32 = 10_000;
/// Most dimensions an array may have, as NumPy has it.
const MOST_DIMENSIONS: usize = 64;

/// Reads the file at `path`. `shown` is its name in messages.
pub(super) fn read(path: &Path, shown: &str) -> Result<Array, DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let length = file.metadata().map_err(DataError::io("read", path))?.len();
    parse(&mut BufReader::new(file), Holds::Exactly(length), shown)
}

/// Reads one array to the end of `reader`, which holds as much as `holds` says.
pub(super) fn parse(reader: &mut dyn Read, holds: Holds, shown: &str) -> Result<Array, DataError> {
    array(reader, holds).map_err(|detail| malformed(shown, detail))
}

/// The array without its elements: what the header says.
pub(super) fn header(reader: &mut dyn Read, shown: &str) -> Result<Array, DataError> {
    promise(reader).map(|(array, ..)| array).map_err(|detail| malformed(shown, detail))
}

fn array(reader: &mut dyn Read, holds: Holds) -> Result<Array, String> {
    let (array, before, promised) = promise(reader)?;
    Ok(Array { bytes: holds.read(reader, before, promised)?, ..array })
}

/// What a header says: the array without its elements, the bytes of the header, and those of the elements.
fn promise(reader: &mut dyn Read) -> Result<(Array, u64, u64), String> {
    let mut start = [0; 8];
    fill(reader, &mut start, "its magic string")?;
    let [0x93, b'N', b'U', b'M', b'P', b'Y', major, _] = start else {
        return Err("its first bytes are not those of an NPY file".to_owned());
    };
    let (length, before) = match major {
        1 => {
            let mut length = [0; 2];
            fill(reader, &mut length, "the length of its header")?;
            (u32::from(u16::from_le_bytes(length)), 10)
        }
        2 | 3 => {
            let mut length = [0; 4];
            fill(reader, &mut length, "the length of its header")?;
            (u32::from_le_bytes(length), 12)
        }
        _ => return Err(format!("its version {major} is not known")),
    };
    if length > LONGEST_HEADER {
        return Err(format!("its header has {length} bytes, more than {LONGEST_HEADER}"));
    }
    let mut text = vec![0; length as usize];
    fill(reader, &mut text, "its header")?;
    let text = String::from_utf8(text).map_err(|_| "its header is not UTF-8".to_owned())?;
    let header = Literal { rest: &text }.header()?;
    let (element, order) = element(&header.descr)?;
    let dimensions = header.shape;
    if dimensions.is_empty() {
        return Err("it is a single number, not an array".to_owned());
    }
    if header.fortran_order && dimensions.len() > 1 {
        let hint = "write it row by row: `numpy.save(file, numpy.ascontiguousarray(x))`";
        return Err(format!("it is in Fortran order (column by column); {hint}"));
    }
    let promised = promised(element, &dimensions)
        .ok_or_else(|| format!("its header promises {dimensions:?} elements, more than any memory holds"))?;
    let array = Array { element, order, dimensions, bytes: Vec::new() };
    Ok((array, before + u64::from(length), promised))
}

/// The type that NumPy writes as `<f4` or `|u1`.
fn element(descr: &str) -> Result<(Element, Order), String> {
    let order = if descr.starts_with('>') { Order::Big } else { Order::Little };
    let element = match descr.trim_start_matches(['<', '>', '|', '=']) {
        "b1" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "O" => return Err("it holds Python objects, which only Python can read: save numbers".to_owned()),
        _ => {
            let hint = "save it as numbers of another type: `x.astype(\"float32\")`";
            return Err(format!("elements of type `{}` are not read; {hint}", descr.escape_debug()));
        }
    };
    Ok((element, order))
}

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// What is left of a Python literal: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn header(mut self) -> Result<Header, String> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.take('}') {
            let key = self.string()?;
            self.expect(':')?;
            match key {
                "descr" => descr = Some(self.string()?.to_owned()),
                "fortran_order" => fortran_order = Some(self.truth()?),
                "shape" => shape = Some(self.lengths()?),
                _ => return Err(format!("its header has the key `{}`", key.escape_debug())),
            }
            if !self.take(',') && !self.rest.starts_with('}') {
                return Err(self.unreadable());
            }
        }
        if !self.rest.trim().is_empty() {
            return Err(self.unreadable());
        }
        let missing = |key: &str| format!("its header has no `{key}`");
        Ok(Header {
            descr: descr.ok_or_else(|| missing("descr"))?,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }

    /// Takes `wanted` and the blanks around it, if it comes next.
    fn take(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(self.unreadable()) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.take('"') { '"' } else { '\'' };
        if quote == '\'' && !self.take('\'') {
            // A list of fields: an array of records.
            if self.rest.starts_with('[') {
                return Err("it holds records; save each field as an array of its own".to_owned());
            }
            return Err(self.unreadable());
        }
        let (text, rest) = self.rest.split_once(quote).ok_or_else(|| self.unreadable())?;
        self.rest = rest;
        Ok(text)
    }

    fn truth(&mut self) -> Result<bool, String> {
        for (word, truth) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(truth);
            }
        }
        Err(self.unreadable())
    }

    fn lengths(&mut self) -> Result<Vec<usize>, String> {
        self.expect('(')?;
        let mut lengths = Vec::new();
        while !self.take(')') {
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            lengths.push(digits.parse().map_err(|_| self.unreadable())?);
            // Python 2 marked long numbers so.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if lengths.len() > MOST_DIMENSIONS {
                return Err(format!("it has more than {MOST_DIMENSIONS} dimensions"));
            }
            if !self.take(',') && !self.rest.starts_with(')') {
                return Err(self.unreadable());
            }
        }
        Ok(lengths)
    }

    fn unreadable(&self) -> String {
        let near: String = self.rest.chars().take(20).collect();
        format!("its header cannot be read at `{}`", near.escape_debug())
    }
}

fn fill(reader: &mut dyn Read, into: &mut [u8], what: &str) -> Result<(), String> {
    reader.read_exact(into).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("it ends within {what}"),
        _ => format!("in {what}: {error}"),
    })
}

fn malformed(shown: &str, detail: impl Into<String>) -> DataError {
    DataError::Malformed { path: shown.to_owned(), format: "NPY", detail: detail.into() }
}

#[cfg(test)]
pub(super) mod tests;
