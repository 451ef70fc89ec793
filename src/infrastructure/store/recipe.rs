//! Recipes: how a file of more than a megabyte is put together from chunks.
//!
//! ```text
//! class u8 | chunks varint | per chunk: id 32 B, length varint | file id 32 B | BLAKE3 of all before (recipe context) 32 B
//! ```

use super::chunk::Class;
use super::object::recipe_digest;
use super::wire::{Fields, put_varint};
use super::{StoreError, WHOLE_FILE_LIMIT};
use crate::base::Digest;

/// How a long file is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// How finely it was cut.
    pub(crate) class: Class,
    /// Ids and lengths of its chunks, in order.
    pub(crate) chunks: Vec<(Digest, u32)>,
    /// The digest of the whole file.
    pub(crate) file: Digest,
}

impl Recipe {
    /// The stored bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.chunks.len() * 36 + 80);
        out.push(self.class as u8);
        put_varint(&mut out, self.chunks.len() as u64);
        for (id, length) in &self.chunks {
            out.extend_from_slice(id.as_bytes());
            put_varint(&mut out, u64::from(*length));
        }
        out.extend_from_slice(self.file.as_bytes());
        let digest = recipe_digest(&out);
        out.extend_from_slice(digest.as_bytes());
        out
    }

    /// Reads a recipe whose digest was verified.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::parse(bytes).ok_or_else(|| StoreError::damaged("a recipe", "its fields make no sense"))
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.chunks.iter().map(|(_, length)| u64::from(*length)).sum()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let class = Class::from_byte(fields.byte()?)?;
        let count = fields.varint()?;
        // 33 bytes are the least a chunk takes: a lying count cannot make us allocate more than the input is long.
        if count > (fields.0.len() / 33) as u64 {
            return None;
        }
        let mut chunks = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let id = fields.digest()?;
            let length = fields.varint()?;
            if length == 0 || length > class.most() as u64 {
                return None;
            }
            chunks.push((id, length as u32));
        }
        let recipe = Self { class, chunks, file: fields.digest()? };
        fields.digest()?;
        (fields.is_empty() && recipe.size() > WHOLE_FILE_LIMIT).then_some(recipe)
    }
}

/// Whether `bytes` are an undamaged recipe of the file `id`.
pub(crate) fn names_file(bytes: &[u8], id: &Digest) -> bool {
    let Some(body) = bytes.len().checked_sub(32).map(|end| &bytes[..end]) else { return false };
    body.ends_with(id.as_bytes()) && bytes[body.len()..] == *recipe_digest(body).as_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Recipe::decode(&bytes);
        }
    }

    #[test]
    fn a_recipe_survives_a_round_trip_and_has_the_bytes_of_format_1() {
        let recipe = Recipe {
            class: Class::Small,
            chunks: (0..40u8).map(|i| (Digest::of(&[i]), 40_000 + u32::from(i))).collect(),
            file: Digest::of(b"file"),
        };
        let bytes = recipe.encode();
        assert!(names_file(&bytes, &recipe.file));
        assert!(!names_file(&bytes, &Digest::of(b"other")));
        assert_eq!(Recipe::decode(&bytes).expect("reads"), recipe);
        assert_eq!(Digest::of(&bytes).short(), "b50296b0d522");
    }
}
