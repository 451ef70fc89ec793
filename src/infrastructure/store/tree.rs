//! Trees: sorted lists of names to blobs and trees.

use crate::base::Digest;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKind {
    /// A file that is not executable.
    File,
    /// An executable file.
    Executable,
    /// A symbolic link; its id is the digest of the target's text.
    Link,
    /// A directory.
    Directory,
}

/// One named entry of a tree, or a root without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// File name as bytes (Unix) or WTF-8 (Windows); empty for a root.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of a file; sum over the files of a directory.
    pub size: u64,
    /// File id (plain BLAKE3 of the bytes) or tree id.
    pub id: Digest,
}

/// One directory, with all its entries (split nodes already joined), sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Entries sorted by name, each name once.
    pub nodes: Vec<Node>,
}
