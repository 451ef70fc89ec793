//! The IDX format: a four-byte magic number, one big-endian length per dimension, then the elements, row-major and
//! big-endian; plain or gzip. Described on the page of the MNIST database (LeCun, Cortes, Burges).

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::DataError;

/// Deflate packs at most 1032 bytes into one: a header that promises more than that lies.
const HIGHEST_RATIO: u64 = 1032;

/// The element types of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Element {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x08 => Self::U8,
            0x09 => Self::I8,
            0x0B => Self::I16,
            0x0C => Self::I32,
            0x0D => Self::F32,
            0x0E => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// One IDX file.
#[derive(Debug)]
pub(super) struct Idx {
    /// Type of the elements.
    pub(super) element: Element,
    /// Length of each dimension; at least one.
    pub(super) dimensions: Vec<usize>,
    /// The elements as stored: big-endian, row-major.
    pub(super) bytes: Vec<u8>,
}

impl Idx {
    /// Reads the file at `path`, plain or gzip (told apart by its first bytes). `shown` is its name in messages.
    ///
    /// Nothing is allocated on the word of the header alone: a plain file must have just the length that the header
    /// promises, and a compressed one must be able to hold it.
    pub(super) fn read(path: &Path, shown: &str) -> Result<Self, DataError> {
        let mut file = File::open(path).map_err(DataError::io("read", path))?;
        let metadata = file.metadata().map_err(DataError::io("read", path))?;
        if !metadata.is_file() {
            return Err(malformed(shown, "it is not a file"));
        }
        let mut magic = [0; 2];
        let begins_as_gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
        std::io::Seek::rewind(&mut file).map_err(DataError::io("read", path))?;
        if begins_as_gzip {
            let most = metadata.len().saturating_mul(HIGHEST_RATIO);
            Self::parse(&mut MultiGzDecoder::new(BufReader::new(file)), Holds::AtMost(most), shown)
        } else {
            Self::parse(&mut BufReader::new(file), Holds::Exactly(metadata.len()), shown)
        }
    }

    fn parse(reader: &mut dyn Read, holds: Holds, shown: &str) -> Result<Self, DataError> {
        let mut magic = [0; 4];
        fill(reader, &mut magic, "its magic number", shown)?;
        let [0, 0, code, dimension_count] = magic else {
            return Err(malformed(
                shown,
                format!("its first bytes are {magic:02x?}, not `00 00 TYPE DIMENSIONS`"),
            ));
        };
        let element = Element::from_code(code)
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
        let promised = dimensions
            .iter()
            .try_fold(element.size() as u64, |product, length| product.checked_mul(*length as u64))
            .filter(|bytes| *bytes <= isize::MAX as u64)
            .ok_or_else(|| {
                malformed(
                    shown,
                    format!("its header promises {dimensions:?} elements, more than any memory holds"),
                )
            })?;
        let header = 4 + lengths.len() as u64;
        holds.check(header, promised, shown)?;
        // Grows as bytes arrive; one byte more than promised shows that there is more.
        let mut bytes = Vec::with_capacity(promised.min(64 << 20) as usize);
        reader
            .take(promised + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| malformed(shown, format!("after {} bytes of data: {error}", bytes.len())))?;
        match (bytes.len() as u64).cmp(&promised) {
            std::cmp::Ordering::Less => Err(truncated(promised, bytes.len() as u64, shown)),
            std::cmp::Ordering::Greater => Err(trailing(promised, shown)),
            std::cmp::Ordering::Equal => Ok(Self { element, dimensions, bytes }),
        }
    }

    /// Length of the first dimension: the number of examples.
    pub(super) fn count(&self) -> usize {
        self.dimensions[0]
    }

    /// Elements of one example.
    pub(super) fn width(&self) -> usize {
        self.dimensions[1..].iter().product()
    }

    /// All elements as numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        self.bytes.chunks_exact(self.element.size()).map(|bytes| match (self.element, bytes) {
            (Element::U8, &[a]) => f64::from(a),
            (Element::I8, &[a]) => f64::from(a as i8),
            (Element::I16, &[a, b]) => f64::from(i16::from_be_bytes([a, b])),
            (Element::I32, &[a, b, c, d]) => f64::from(i32::from_be_bytes([a, b, c, d])),
            (Element::F32, &[a, b, c, d]) => f64::from(f32::from_be_bytes([a, b, c, d])),
            (Element::F64, &[a, b, c, d, e, f, g, h]) => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => f64::NAN, // not reached: chunks have the element's size
        })
    }
}

/// What a file can hold, known before any of its data is read.
enum Holds {
    /// A plain file: its length.
    Exactly(u64),
    /// A compressed file: the most that its length can unpack to.
    AtMost(u64),
}

impl Holds {
    fn check(&self, header: u64, promised: u64, shown: &str) -> Result<(), DataError> {
        match *self {
            Self::Exactly(length) if length < header + promised => {
                Err(truncated(promised, length.saturating_sub(header), shown))
            }
            Self::Exactly(length) if length > header + promised => Err(trailing(promised, shown)),
            Self::AtMost(length) if length < header + promised => Err(malformed(
                shown,
                format!(
                    "its header promises {promised} bytes of data, more than a gzip file of its size can hold"
                ),
            )),
            _ => Ok(()),
        }
    }
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

fn truncated(promised: u64, found: u64, shown: &str) -> DataError {
    malformed(
        shown,
        format!("it is truncated: its header promises {promised} bytes of data, it holds {found}"),
    )
}

fn trailing(promised: u64, shown: &str) -> DataError {
    malformed(shown, format!("it holds more than the {promised} bytes of data that its header promises"))
}

pub(super) fn malformed(shown: &str, detail: impl Into<String>) -> DataError {
    DataError::Malformed { path: shown.to_owned(), format: "IDX", detail: detail.into() }
}

#[cfg(test)]
mod tests;
