//! What the headers of Parquet's pages promise, looked at before a decoder sets memory aside on their word.

use super::bounded::HIGHEST_RATIO;

/// Bytes that any page may unpack to, however small it is packed; writers make pages of about 1 MiB.
const FREE_BYTES: u64 = 64 << 20;
/// Structures within structures that a header may have; real ones have two.
const DEEPEST: u32 = 8;

/// Walks over the pages in `bytes`, a chunk of a column with packed pages, and refuses one that promises to unpack to more than
/// a page of its size should. The error is the detail of a message about the column.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut header = Compact(rest);
        let (Some(unpacked), Some(packed)) = header.page().ok_or("the header of a page is damaged")? else {
            return Err("the header of a page does not say how long it is".to_owned());
        };
        let (Ok(unpacked), Ok(packed)) = (u64::try_from(unpacked), u64::try_from(packed)) else {
            return Err("the header of a page promises less than nothing".to_owned());
        };
        if unpacked > FREE_BYTES.max(packed.saturating_mul(HIGHEST_RATIO)) {
            return Err(format!("a page of {packed} bytes promises to unpack to {unpacked}"));
        }
        let after = usize::try_from(packed).ok().and_then(|packed| header.0.get(packed..));
        rest = after.ok_or("a page is longer than its column")?;
    }
    Ok(())
}

/// Bytes in the compact protocol of Apache Thrift, which are read from the front.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    /// The second and the third field of a page header: its size unpacked and packed. Reads to the end of the header.
    fn page(&mut self) -> Option<(Option<i64>, Option<i64>)> {
        let (mut unpacked, mut packed, mut id) = (None, None, 0);
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (2, 5) => unpacked = Some(self.number()?),
                (3, 5) => packed = Some(self.number()?),
                _ => self.skip(kind, DEEPEST)?,
            }
        }
        Some((unpacked, packed))
    }

    /// The type of the next field of a structure, whose number goes into `id`; none at the end of the structure.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.number()?,
            more => id.checked_add(i64::from(more))?,
        };
        Some(Some(byte & 15))
    }

    fn skip(&mut self, kind: u8, deepest: u32) -> Option<()> {
        match kind {
            1 | 2 => {}
            3 => self.take(1)?,
            4..=6 => {
                self.varint()?;
            }
            7 => self.take(8)?,
            8 => {
                let length = self.varint()?;
                self.take(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                for _ in 0..count {
                    self.element(head & 15, deepest)?;
                }
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                for _ in 0..count {
                    self.element(kinds >> 4, deepest)?;
                    self.element(kinds & 15, deepest)?;
                }
            }
            12 => {
                let deepest = deepest.checked_sub(1)?;
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, deepest)?;
                }
            }
            13 => self.take(16)?,
            _ => return None,
        }
        Some(())
    }

    /// Truth values take a byte where they are elements of a list.
    fn element(&mut self, kind: u8, deepest: u32) -> Option<()> {
        if matches!(kind, 1 | 2) { self.take(1) } else { self.skip(kind, deepest.checked_sub(1)?) }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    /// A whole number in zigzag form.
    fn number(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page header with these sizes and a structure, followed by so many bytes.
    fn page(unpacked: u64, packed: u64, bytes: usize) -> Vec<u8> {
        let number = |mut value: u64| {
            value <<= 1;
            let mut out = Vec::new();
            while value > 127 {
                out.push((value & 127) as u8 | 128);
                value >>= 7;
            }
            out.push(value as u8);
            out
        };
        // Field 1 (type), 2 and 3 (sizes), 5 (a structure with a number and a binary), the end.
        let parts: [&[u8]; 8] = [
            &[0x15, 0],
            &[0x15],
            &number(unpacked),
            &[0x15],
            &number(packed),
            &[0x2c, 0x15, 8, 0x18, 2, 65, 66, 0],
            &[0],
            &vec![7; bytes],
        ];
        parts.concat()
    }

    #[test]
    fn a_page_may_not_promise_more_than_a_page_of_its_size_should() {
        let good =
            [page(1 << 20, 100, 100), page(60 << 20, 10, 10), page(100_000_000, 100_000, 100_000)].concat();
        assert_eq!(check(&good), Ok(()));
        let hostile = [good, page((1 << 31) - 1, 100, 100)].concat();
        assert_eq!(check(&hostile), Err("a page of 100 bytes promises to unpack to 2147483647".to_owned()));
        assert_eq!(check(&page(100, 200, 100)), Err("a page is longer than its column".to_owned()));
        assert!(check(&[0x15]).is_err() && check(&[0]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = check(&bytes);
        }
    }
}
