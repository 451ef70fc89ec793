//! Identity of what a pack holds: four kinds of objects, each with a digest domain of its own.

use crate::base::Digest;

/// Largest file that is stored as one blob; anything longer is cut into chunks.
pub const WHOLE_FILE_LIMIT: u64 = 1 << 20;

/// `derive_key` contexts: fixed for format 1, never to be changed.
const CHUNK: &str = "mlp store 1 chunk";
const TREE: &str = "mlp store 1 tree";
const RECIPE: &str = "mlp store 1 recipe";
const PACK: &str = "mlp store 1 pack";
const PACK_HEADER: &str = "mlp store 1 pack header";
const INDEX: &str = "mlp store 1 index";
const STAT_CACHE: &str = "mlp store 1 stat cache";

/// The kinds of objects in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectKind {
    /// A whole file of at most [`WHOLE_FILE_LIMIT`] bytes, or a link's target; its id is the file id, plain BLAKE3.
    Blob = 0,
    /// A piece of a longer file.
    Chunk = 1,
    /// A directory, or a range of a large directory.
    Tree = 2,
    /// How a longer file is put together; found by the *file's* id and verified by its own digest inside.
    Recipe = 3,
}

impl ObjectKind {
    /// The kind written as `byte`.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Blob,
            1 => Self::Chunk,
            2 => Self::Tree,
            3 => Self::Recipe,
            _ => return None,
        })
    }

    /// Whether objects of this kind live in metadata packs (trees and recipes) rather than data packs.
    pub(crate) fn is_metadata(self) -> bool {
        matches!(self, Self::Tree | Self::Recipe)
    }
}

/// The id of a chunk.
pub(crate) fn chunk_id(bytes: &[u8]) -> Digest {
    Digest::derive(CHUNK, bytes)
}

/// The id of an encoded tree node.
pub(crate) fn tree_id(bytes: &[u8]) -> Digest {
    Digest::derive(TREE, bytes)
}

/// The digest at the end of a recipe.
pub(crate) fn recipe_digest(bytes: &[u8]) -> Digest {
    Digest::derive(RECIPE, bytes)
}

/// The id, and so the name, of a pack.
pub(crate) fn pack_id(bytes: &[u8]) -> Digest {
    derive_large(PACK, bytes)
}

/// The digest at the end of a pack, over its header.
pub(crate) fn pack_header_digest(bytes: &[u8]) -> Digest {
    Digest::derive(PACK_HEADER, bytes)
}

/// The id, and so the name, of an index.
pub(crate) fn index_id(bytes: &[u8]) -> Digest {
    derive_large(INDEX, bytes)
}

/// The digest at the end of a stat cache.
pub(crate) fn stat_cache_digest(bytes: &[u8]) -> Digest {
    derive_large(STAT_CACHE, bytes)
}

/// Megabytes are hashed by all cores.
fn derive_large(context: &'static str, bytes: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    if bytes.len() >= 1 << 20 {
        hasher.update_rayon(bytes);
    } else {
        hasher.update(bytes);
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}
