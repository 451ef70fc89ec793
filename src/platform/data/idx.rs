//! The IDX format: a four-byte magic number, one big-endian length per dimension, then the elements, row-major and
//! big-endian; plain or gzip. Described on the page of the MNIST database (LeCun, Cortes, Burges).

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::DataError;
use super::array::{Array, Element, Order, promised};
use super::bounded::Holds;

fn element(code: u8) -> Option<Element> {
    Some(match code {
        0x08 => Element::U8,
        0x09 => Element::I8,
        0x0B => Element::I16,
        0x0C => Element::I32,
        0x0D => Element::F32,
        0x0E => Element::F64,
        _ => return None,
    })
}

/// Reads the file at `path`, plain or gzip (told apart by its first bytes). `shown` is its name in messages.
///
/// Nothing is allocated on the word of the header alone: a plain file must have just the length that the header
/// promises, and a compressed one must be able to hold it.
pub(super) fn read(path: &Path, shown: &str) -> Result<Array, DataError> {
    let mut file = File::open(path).map_err(DataError::io("read", path))?;
    let metadata = file.metadata().map_err(DataError::io("read", path))?;
    if !metadata.is_file() {
        return Err(malformed(shown, "it is not a file"));
    }
    let mut magic = [0; 2];
    let begins_as_gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    std::io::Seek::rewind(&mut file).map_err(DataError::io("read", path))?;
    if begins_as_gzip {
        let holds = Holds::deflated(metadata.len());
        parse(&mut MultiGzDecoder::new(BufReader::new(file)), holds, shown)
    } else {
        parse(&mut BufReader::new(file), Holds::Exactly(metadata.len()), shown)
    }
}

fn parse(reader: &mut dyn Read, holds: Holds, shown: &str) -> Result<Array, DataError> {
    let mut magic = [0; 4];
    fill(reader, &mut magic, "its magic number", shown)?;
    let [0, 0, code, dimension_count] = magic else {
        return Err(malformed(
            shown,
            format!("its first bytes are {magic:02x?}, not `00 00 TYPE DIMENSIONS`"),
        ));
    };
    let element = element(code)
        .ok_or_else(|| malformed(shown, format!("0x{code:02x} is no element type of the format")))?;
    if dimension_count == 0 {
        return Err(malformed(shown, "it has no dimensions"));
    }
    let mut lengths = vec![0; 4 * usize::from(dimension_count)];
    fill(reader, &mut lengths, "the lengths of its dimensions", shown)?;
    let dimensions: Vec<usize> = lengths
        .chunks_exact(4)
        .map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
        .collect();
    let promised = promised(element, &dimensions).ok_or_else(|| {
        malformed(shown, format!("its header promises {dimensions:?} elements, more than any memory holds"))
    })?;
    let header = 4 + lengths.len() as u64;
    let bytes = holds.read(reader, header, promised).map_err(|detail| malformed(shown, detail))?;
    Ok(Array { element, order: Order::Big, dimensions, bytes })
}

/// Writes unsigned bytes as a gzip IDX file. The bytes are the same on every machine: no time, no name.
pub(super) fn write(out: impl Write, dimensions: &[u32], bytes: &[u8]) -> std::io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::fast());
    gzip.write_all(&[0, 0, 0x08, dimensions.len() as u8])?;
    for length in dimensions {
        gzip.write_all(&length.to_be_bytes())?;
    }
    gzip.write_all(bytes)?;
    gzip.finish()?.flush()
}

fn fill(reader: &mut dyn Read, into: &mut [u8], what: &str, shown: &str) -> Result<(), DataError> {
    reader.read_exact(into).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => malformed(shown, format!("it ends within {what}")),
        _ => malformed(shown, format!("in {what}: {error}")),
    })
}

pub(super) fn malformed(shown: &str, detail: impl Into<String>) -> DataError {
    DataError::Malformed { path: shown.to_owned(), format: "IDX", detail: detail.into() }
}

#[cfg(test)]
mod tests;
