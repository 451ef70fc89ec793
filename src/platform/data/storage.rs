//! Where the inputs of examples lie: in memory or, where they would not fit, decoded in a scratch file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::split::{self, Part};
use super::{DataError, Dataset, Inputs};
use crate::hardware::memory;

/// Share of the memory that is available which decoded inputs may take if `memory:` says nothing.
const SHARE: u64 = 2;
/// Bytes of a scratch file that are read at a time when all of it is read.
const CHUNK: usize = 8 << 20;

/// The inputs of some examples.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In memory.
    Memory(Inputs),
    /// In a scratch file.
    Scratch(Scratch),
}

impl From<Inputs> for Storage {
    fn from(inputs: Inputs) -> Self {
        Self::Memory(inputs)
    }
}

/// Inputs in a file that has no name and is gone with its last user. Any example can be read at any time, by several threads at once.
#[derive(Clone, Debug)]
pub struct Scratch {
    file: Arc<File>,
    /// The folder whose file system holds it, for messages.
    folder: PathBuf,
    /// Whether values are bytes, else numbers of four bytes.
    is_bytes: bool,
    /// Values of one example.
    width: usize,
    /// Where each example lies, counted in examples.
    rows: Arc<Vec<u32>>,
}

/// Some examples at hand.
pub struct Batch<'a> {
    inputs: Cow<'a, Inputs>,
    /// Whether they are just those that were asked for, in this order.
    gathered: bool,
}

impl Batch<'_> {
    /// The inputs.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Where `example`, which was asked for as number `asked`, stands in the inputs.
    pub fn place(&self, asked: usize, example: u32) -> usize {
        if self.gathered { asked } else { example as usize }
    }
}

impl Inputs {
    /// Whether all are finite numbers.
    pub fn are_finite(&self) -> bool {
        match self {
            Self::U8(_) => true,
            Self::F32(values) => values.iter().all(|value| value.is_finite()),
        }
    }

    /// All of them.
    pub fn batch(&self) -> Batch<'_> {
        Batch { inputs: Cow::Borrowed(self), gathered: false }
    }
}

impl Storage {
    /// Whether values are bytes, 0 to 255, else numbers.
    pub fn is_bytes(&self) -> bool {
        match self {
            Self::Memory(inputs) => matches!(inputs, Inputs::U8(_)),
            Self::Scratch(scratch) => scratch.is_bytes,
        }
    }

    /// How many values.
    pub fn values(&self) -> usize {
        match self {
            Self::Memory(Inputs::U8(values)) => values.len(),
            Self::Memory(Inputs::F32(values)) => values.len(),
            Self::Scratch(scratch) => scratch.rows.len() * scratch.width,
        }
    }

    /// These examples, each of `width` values, at hand.
    ///
    /// # Errors
    /// [`DataError::Io`] if a scratch file cannot be read.
    pub fn batch(&self, examples: impl Iterator<Item = u32>) -> Result<Batch<'_>, DataError> {
        Ok(match self {
            Self::Memory(inputs) => inputs.batch(),
            Self::Scratch(scratch) => {
                let rows: Vec<u32> = examples.map(|example| scratch.rows[example as usize]).collect();
                Batch { inputs: Cow::Owned(scratch.read(&rows)?), gathered: true }
            }
        })
    }

    /// The examples of a range, each of `width` values.
    ///
    /// # Errors
    /// [`DataError::Io`] if a scratch file cannot be read.
    pub fn range(&self, range: Range<usize>, width: usize) -> Result<Inputs, DataError> {
        let values = range.start * width..range.end * width;
        match self {
            Self::Memory(inputs) if values == (0..self.values()) => Ok(inputs.clone()),
            Self::Memory(Inputs::U8(all)) => Ok(Inputs::U8(Arc::new(all[values].to_vec()))),
            Self::Memory(Inputs::F32(all)) => Ok(Inputs::F32(Arc::new(all[values].to_vec()))),
            Self::Scratch(scratch) => scratch.read(&scratch.rows[range]),
        }
    }

    /// Gives all examples in order, as many at a time as is convenient.
    ///
    /// # Errors
    /// [`DataError::Io`] if a scratch file cannot be read.
    pub fn each(&self, mut take: impl FnMut(&Inputs)) -> Result<(), DataError> {
        match self {
            Self::Memory(inputs) => take(inputs),
            Self::Scratch(scratch) => {
                let rows = (CHUNK / scratch.row_bytes().max(1)).max(1);
                for rows in scratch.rows.chunks(rows) {
                    take(&scratch.read(rows)?);
                }
            }
        }
        Ok(())
    }
}

impl Storage {
    /// The inputs of both, one behind the other: in memory if both are there, else in a scratch file.
    pub(super) fn with(self, other: Self, width: usize) -> Result<Self, DataError> {
        let is_bytes = self.is_bytes() && other.is_bytes();
        let room = match (&self, &other) {
            (Self::Memory(_), Self::Memory(_)) => Room { fits: true, folder: PathBuf::new() },
            (Self::Scratch(scratch), _) | (_, Self::Scratch(scratch)) => {
                Room { fits: false, folder: scratch.folder.clone() }
            }
        };
        let examples = (self.values() + other.values()) / width.max(1);
        let mut writer = Writer::new(&room, is_bytes, examples, width)?;
        let mut written = Ok(());
        for storage in [self, other] {
            storage.each(|inputs| {
                if written.is_ok() {
                    written = match inputs {
                        Inputs::U8(values) => writer.bytes(values),
                        Inputs::F32(values) => writer.numbers(values),
                    };
                }
            })?;
        }
        written?;
        writer.finish()
    }

    /// Divides inputs of `width` values into train, validation and test; those in a file stay where they are.
    pub(super) fn divide(self, width: usize, parts: &[Part]) -> [Self; 3] {
        match self {
            Self::Memory(Inputs::U8(values)) => split::divide(Arc::unwrap_or_clone(values), width, parts)
                .map(|values| Inputs::U8(Arc::new(values)).into()),
            Self::Memory(Inputs::F32(values)) => split::divide(Arc::unwrap_or_clone(values), width, parts)
                .map(|values| Inputs::F32(Arc::new(values)).into()),
            Self::Scratch(scratch) => split::divide(scratch.rows.to_vec(), 1, parts)
                .map(|rows| Self::Scratch(Scratch { rows: Arc::new(rows), ..scratch.clone() })),
        }
    }
}

impl Scratch {
    fn row_bytes(&self) -> usize {
        self.width * if self.is_bytes { 1 } else { size_of::<f32>() }
    }

    /// The examples at these rows; rows that lie behind one another are read in one go.
    fn read(&self, rows: &[u32]) -> Result<Inputs, DataError> {
        let size = self.row_bytes();
        let mut bytes = vec![0; rows.len() * size];
        let mut rest = bytes.as_mut_slice();
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            let (part, after) = rest.split_at_mut(run.len() * size);
            read_at(&self.file, part, u64::from(run[0]) * size as u64)
                .map_err(DataError::io("read the scratch file in", &self.folder))?;
            rest = after;
        }
        if self.is_bytes {
            return Ok(Inputs::U8(Arc::new(bytes)));
        }
        let numbers = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        Ok(Inputs::F32(Arc::new(numbers.collect())))
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, at)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        (buffer, at) = (&mut buffer[read..], at + read as u64);
    }
    Ok(())
}

/// Whether the inputs of a dataset fit into the memory that it may take, and where they go if not.
#[derive(Clone, Debug)]
pub(super) struct Room {
    fits: bool,
    folder: PathBuf,
}

impl Dataset {
    /// Room for decoded inputs of so many bytes in all.
    pub(super) fn room(&self, bytes: u64) -> Room {
        let may = match self.spec.memory {
            Some(memory) => Some(memory.0),
            None => memory::available().map(|bytes| bytes / SHARE),
        };
        Room { fits: may.is_none_or(|may| bytes <= may), folder: self.scratch.clone() }
    }
}

impl Room {
    /// Bytes of inputs of `width` each, that were read in one go.
    pub(super) fn hold(&self, bytes: Vec<u8>, width: usize) -> Result<Storage, DataError> {
        if self.fits {
            return Ok(Inputs::U8(Arc::new(bytes)).into());
        }
        let mut writer = Writer::new(self, true, 0, width)?;
        writer.bytes(&bytes)?;
        writer.finish()
    }
}

/// Takes the inputs of examples one after the other.
pub(super) enum Writer {
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
    Scratch { file: BufWriter<File>, is_bytes: bool, width: usize, folder: PathBuf, rows: u32 },
}

impl Writer {
    /// For `examples` inputs of `width` values each, bytes or numbers.
    pub(super) fn new(room: &Room, is_bytes: bool, examples: usize, width: usize) -> Result<Self, DataError> {
        Ok(match (room.fits, is_bytes) {
            (true, true) => Self::Bytes(Vec::with_capacity(examples * width)),
            (true, false) => Self::Numbers(Vec::with_capacity(examples * width)),
            (false, _) => {
                let folder = room.folder.clone();
                let file = tempfile::tempfile_in(&folder)
                    .map_err(DataError::io("make a scratch file in", &folder))?;
                Self::Scratch { file: BufWriter::new(file), is_bytes, width, folder, rows: 0 }
            }
        })
    }

    /// Adds whole examples, of bytes; as numbers where numbers are kept.
    pub(super) fn bytes(&mut self, values: &[u8]) -> Result<(), DataError> {
        match self {
            Self::Bytes(all) => all.extend_from_slice(values),
            Self::Numbers(all) => all.extend(values.iter().map(|value| f32::from(*value))),
            Self::Scratch { is_bytes: false, .. } => {
                let numbers: Vec<f32> = values.iter().map(|value| f32::from(*value)).collect();
                self.numbers(&numbers)?;
            }
            Self::Scratch { file, width, folder, rows, .. } => {
                *rows += (values.len() / *width) as u32;
                file.write_all(values).map_err(DataError::io("write the scratch file in", &*folder))?;
            }
        }
        Ok(())
    }

    /// Adds whole examples, of numbers.
    pub(super) fn numbers(&mut self, values: &[f32]) -> Result<(), DataError> {
        match self {
            Self::Bytes(_) => {}
            Self::Numbers(all) => all.extend_from_slice(values),
            Self::Scratch { file, width, folder, rows, .. } => {
                *rows += (values.len() / *width) as u32;
                for value in values {
                    file.write_all(&value.to_le_bytes())
                        .map_err(DataError::io("write the scratch file in", &*folder))?;
                }
            }
        }
        Ok(())
    }

    /// What was written.
    pub(super) fn finish(self) -> Result<Storage, DataError> {
        Ok(match self {
            Self::Bytes(values) => Inputs::U8(Arc::new(values)).into(),
            Self::Numbers(values) => Inputs::F32(Arc::new(values)).into(),
            Self::Scratch { file, is_bytes, width, folder, rows } => {
                let file = file.into_inner().map_err(|error| error.into_error());
                let file = Arc::new(file.map_err(DataError::io("write the scratch file in", &folder))?);
                Storage::Scratch(Scratch {
                    file,
                    folder,
                    is_bytes,
                    width,
                    rows: Arc::new((0..rows).collect()),
                })
            }
        })
    }
}

#[cfg(test)]
mod tests;
