//! Reading what a header promises, and nothing on its word alone.

use std::io::Read;

/// Deflate packs at most 1032 bytes into one: a header that promises more than that lies.
pub(super) const HIGHEST_RATIO: u64 = 1032;
/// Memory set aside before any byte has come.
const FIRST_MEMORY: u64 = 64 << 20;

/// What a file can hold, known before any of its data is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holds {
    /// A plain file: its length.
    Exactly(u64),
    /// A compressed file: the most that its length can unpack to.
    AtMost(u64),
}

impl Holds {
    /// What a gzip or zip file of `length` bytes can hold at best.
    pub(super) fn deflated(length: u64) -> Self {
        Self::AtMost(length.saturating_mul(HIGHEST_RATIO))
    }

    /// Reads the `promised` bytes that stand behind a header of `header` bytes and that must be all there is.
    /// The error is the detail of a message about the file.
    pub(super) fn read(self, reader: impl Read, header: u64, promised: u64) -> Result<Vec<u8>, String> {
        self.check(header, promised)?;
        // Grows as bytes arrive; one byte more than promised shows that there is more.
        let mut bytes = Vec::with_capacity(promised.min(FIRST_MEMORY) as usize);
        reader
            .take(promised.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| format!("after {} bytes of data: {error}", bytes.len()))?;
        match (bytes.len() as u64).cmp(&promised) {
            std::cmp::Ordering::Less => Err(truncated(promised, bytes.len() as u64)),
            std::cmp::Ordering::Greater => Err(trailing(promised)),
            std::cmp::Ordering::Equal => Ok(bytes),
        }
    }

    fn check(self, header: u64, promised: u64) -> Result<(), String> {
        let whole = header.saturating_add(promised);
        match self {
            Self::Exactly(length) if length < whole => {
                Err(truncated(promised, length.saturating_sub(header)))
            }
            Self::Exactly(length) if length > whole => Err(trailing(promised)),
            Self::AtMost(length) if length < whole => Err(format!(
                "its header promises {promised} bytes of data, more than a compressed file of its size can hold"
            )),
            _ => Ok(()),
        }
    }
}

fn truncated(promised: u64, found: u64) -> String {
    format!("it is truncated: its header promises {promised} bytes of data, it holds {found}")
}

fn trailing(promised: u64) -> String {
    format!("it holds more than the {promised} bytes of data that its header promises")
}
