//! Trees: sorted lists of names to blobs and trees.
//!
//! A directory of at most [`MOST`] entries is one node. A larger one is cut into ranges, each a node, under a node of ranges, so
//! that changing one file rewrites two small nodes. Cuts depend on names alone: where `blake3(name) mod 512 == 0`.
//!
//! ```text
//! level u8 (0: entries, n: ranges of level n-1) | entries varint |
//! per entry: kind u8 | bytes shared with the previous name varint | further bytes: length varint, bytes | size varint | id 32 B
//! ```
//! The upper half of `kind` names the algorithm of the id: 0 is BLAKE3, nothing else is written by format 1.

use super::StoreError;
use super::object::tree_id;
use super::wire::{Fields, common_prefix, put_bytes, put_varint};
use crate::base::Digest;

/// Most entries of one node.
const MOST: usize = 2048;
/// Least entries of a range (the last one may be shorter).
const LEAST: usize = 128;
/// A name begins a new range when its hash is 0 modulo this.
const MODULUS: u64 = 512;
/// No file system takes longer names.
const LONGEST_NAME: usize = 255;
/// More levels than a directory of all the files in the world needs.
const DEEPEST_LEVEL: u8 = 5;

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

/// One stored node: entries, or ranges of a large directory (named by their first entry).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// 0 for entries; ranges of level n name nodes of level n-1.
    pub(super) level: u8,
    /// Entries; ranges are of kind directory.
    pub(super) nodes: Vec<Node>,
}

impl Tree {
    /// The id of this directory.
    pub fn id(&self) -> Digest {
        encode(&self.nodes, &mut |_, _| Ok(()))
            .unwrap_or_else(|never: std::convert::Infallible| match never {})
    }

    /// Sum over the sizes of all entries.
    pub fn size(&self) -> u64 {
        self.nodes.iter().fold(0, |sum, node| sum.saturating_add(node.size))
    }

    /// The entry called `name`.
    pub fn get(&self, name: &[u8]) -> Option<&Node> {
        self.nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok().map(|at| &self.nodes[at])
    }
}

/// Encodes a directory into one or more stored nodes, children first, hands each to `put` and returns the id of the topmost.
pub(super) fn encode<E>(
    nodes: &[Node],
    put: &mut dyn FnMut(Digest, Vec<u8>) -> Result<(), E>,
) -> Result<Digest, E> {
    let mut write = |level: u8, nodes: &[Node]| {
        let bytes = encode_node(level, nodes);
        let id = tree_id(&bytes);
        put(id, bytes).map(|()| id)
    };
    if nodes.len() <= MOST {
        return write(0, nodes);
    }
    let (mut level, mut ranges) = (0, Vec::new());
    let mut current = nodes;
    let mut owned;
    loop {
        for range in ranges_of(level, current) {
            let id = write(level, range)?;
            let size = range.iter().fold(0u64, |sum, node| sum.saturating_add(node.size));
            ranges.push(Node { name: range[0].name.clone(), kind: NodeKind::Directory, size, id });
        }
        level += 1;
        if ranges.len() <= MOST {
            return write(level, &ranges);
        }
        owned = std::mem::take(&mut ranges);
        current = &owned;
    }
}

/// Reads a stored node whose id was verified. It is still untrusted: whoever made it may have made the id too.
pub(super) fn decode(bytes: &[u8]) -> Result<Stored, StoreError> {
    parse(bytes).ok_or_else(|| StoreError::damaged("a tree", "its fields make no sense"))
}

/// Cuts entries into ranges. Each level looks at other bits of the hash: the first names of ranges all have zeros in those
/// that cut the level below.
fn ranges_of(level: u8, nodes: &[Node]) -> Vec<&[Node]> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for at in 1..nodes.len() {
        let length = at - start;
        if length >= MOST || (length >= LEAST && begins_range(level, &nodes[at].name)) {
            ranges.push(&nodes[start..at]);
            start = at;
        }
    }
    ranges.push(&nodes[start..]);
    ranges
}

fn begins_range(level: u8, name: &[u8]) -> bool {
    let hash = blake3::hash(name);
    let mut low = [0; 8];
    low.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_le_bytes(low) >> (9 * u32::from(level))).is_multiple_of(MODULUS)
}

fn encode_node(level: u8, nodes: &[Node]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nodes.len() * 48 + 8);
    out.push(level);
    put_varint(&mut out, nodes.len() as u64);
    let mut previous: &[u8] = &[];
    for node in nodes {
        out.push(match node.kind {
            NodeKind::File => 0,
            NodeKind::Executable => 1,
            NodeKind::Link => 2,
            NodeKind::Directory => 3,
        });
        let shared = common_prefix(previous, &node.name);
        put_varint(&mut out, shared as u64);
        put_bytes(&mut out, &node.name[shared..]);
        put_varint(&mut out, node.size);
        out.extend_from_slice(node.id.as_bytes());
        previous = &node.name;
    }
    out
}

fn parse(bytes: &[u8]) -> Option<Stored> {
    let mut fields = Fields(bytes);
    let level = fields.byte()?;
    let count = fields.varint()?;
    if level > DEEPEST_LEVEL || count > MOST as u64 || (level > 0 && count == 0) {
        return None;
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let kind = match fields.byte()? {
            0 => NodeKind::File,
            1 => NodeKind::Executable,
            2 => NodeKind::Link,
            3 => NodeKind::Directory,
            _ => return None,
        };
        let previous = nodes.last().map_or(&[][..], |node| &node.name);
        let shared = usize::try_from(fields.varint()?).ok()?;
        let further = fields.bytes()?;
        let mut name = Vec::with_capacity(shared.min(LONGEST_NAME) + further.len().min(LONGEST_NAME));
        name.extend_from_slice(previous.get(..shared)?);
        name.extend_from_slice(further);
        let ascending = nodes.is_empty() || previous < name.as_slice();
        let canonical = common_prefix(previous, &name) == shared;
        if !ascending || !canonical || !is_name(&name) || (level > 0 && kind != NodeKind::Directory) {
            return None;
        }
        nodes.push(Node { name, kind, size: fields.varint()?, id: fields.digest()? });
    }
    fields.is_empty().then_some(Stored { level, nodes })
}

/// Whether this can be the name of a file at all. Names that may be stored but not checked out are `checkout`'s affair.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&0)
}

#[cfg(test)]
mod tests;
