//! A version as a tar file: POSIX ustar, with pax headers where a field is too short. The same version gives the same bytes: entries in
//! the order of the tree, no owner, all times zero.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::super::{Local, Node, NodeKind, StoreError, files};
use super::read::Meter;
use super::{names, survey};
use crate::base::Sink;
use crate::infrastructure::durable;

const BLOCK: usize = 512;
/// Sizes of more octal digits than the field has go into a pax header.
const LARGEST: u64 = 0o77_777_777_777;

/// Writes the version `root` to `out` as a tar file; a root that is a file has the name `name` in it. All of it must be here.
/// After an error what was written must not be used. Returns the number of files.
pub fn archive(
    root: &Node,
    name: &str,
    store: &Local,
    out: &mut dyn Write,
    sink: &dyn Sink,
) -> Result<u64, StoreError> {
    store.closure(&[root.id], &mut |_| Ok(()))?;
    survey::check(store, root)?;
    let mut archive = Archive { store, out, meter: Meter::new(sink, "exporting", root.size), files: 0 };
    if root.kind == NodeKind::Directory {
        archive.folder(root, &[], 0)?;
    } else {
        archive.entry(root, name.as_bytes(), 0)?;
    }
    archive.write(&[0; 2 * BLOCK])?;
    Ok(archive.files)
}

/// As [`archive`], into the file `path`, which appears whole or not at all; compressed if its name ends in `.zst`.
pub fn archive_file(
    root: &Node,
    name: &str,
    store: &Local,
    path: &Path,
    sink: &dyn Sink,
) -> Result<u64, StoreError> {
    let failed = |error| StoreError::io("write", path)(error);
    let mut file = files::temporary(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
    let count = if path.extension().is_some_and(|extension| extension == "zst") {
        let mut encoder = zstd::Encoder::new(&mut out, 3).map_err(failed)?;
        encoder.include_checksum(true).map_err(failed)?;
        let count = archive(root, name, store, &mut encoder, sink)?;
        encoder.finish().map_err(failed)?;
        count
    } else {
        archive(root, name, store, &mut out, sink)?
    };
    out.flush().map_err(failed)?;
    drop(out);
    durable::persist(file, path).map_err(failed)?;
    files::sync_dir(&files::parent(path))?;
    Ok(count)
}

struct Archive<'a> {
    store: &'a Local,
    out: &'a mut dyn Write,
    meter: Meter<'a>,
    files: u64,
}

impl Archive<'_> {
    fn folder(&mut self, folder: &Node, path: &[u8], depth: usize) -> Result<(), StoreError> {
        for node in self.store.tree(&folder.id)?.nodes {
            let path = names::join(path, &node.name);
            names::check(&node.name, &path)?;
            self.entry(&node, &path, depth)?;
            if node.kind == NodeKind::Directory {
                self.folder(&node, &path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, node: &Node, path: &[u8], depth: usize) -> Result<(), StoreError> {
        let mut path = path.to_vec();
        let (mode, kind) = match node.kind {
            NodeKind::File => (0o644, b'0'),
            NodeKind::Executable => (0o755, b'0'),
            NodeKind::Link => (0o777, b'2'),
            NodeKind::Directory => (0o755, b'5'),
        };
        let mut target = Vec::new();
        match node.kind {
            NodeKind::Directory => path.push(b'/'),
            NodeKind::Link => {
                target = self.store.read(&node.id)?;
                if !names::link_stays_inside(&target, depth) {
                    let (path, target) = (names::shown(&path), names::shown(&target));
                    return Err(StoreError::Link { path, target });
                }
            }
            _ => {}
        }
        let size = if kind == b'0' { node.size } else { 0 };
        let mut pax = Vec::new();
        if path.len() > 100 {
            pax_record(&mut pax, "path", &path);
        }
        if target.len() > 100 {
            pax_record(&mut pax, "linkpath", &target);
        }
        if size > LARGEST {
            pax_record(&mut pax, "size", size.to_string().as_bytes());
        }
        if !pax.is_empty() {
            self.write(&header(b"pax", pax.len() as u64, 0o644, b'x', b""))?;
            self.padded(&pax)?;
        }
        self.write(&header(&path, size.min(LARGEST), mode, kind, &target))?;
        if kind == b'0' {
            let written = self.store.copy(&node.id, self.out)?;
            if written != node.size {
                let path = names::shown(&path);
                return Err(StoreError::damaged(
                    format!("the tree of `{path}`"),
                    "it says another size than the file has",
                ));
            }
            self.pad(written)?;
        }
        self.files += u64::from(node.kind != NodeKind::Directory);
        self.meter.advance(size);
        Ok(())
    }

    fn padded(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Fills up the last block of something of this size.
    fn pad(&mut self, size: u64) -> Result<(), StoreError> {
        let over = (size % BLOCK as u64) as usize;
        if over > 0 { self.write(&[0; BLOCK][over..]) } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.out.write_all(bytes).map_err(StoreError::io("write", "the output"))
    }
}

/// One record of a pax header: its length (with the digits of the length), key and value.
fn pax_record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// One block. A name or target that is too long for its field is cut: the pax header before it has all of it.
fn header(path: &[u8], size: u64, mode: u32, kind: u8, target: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &path[..path.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    // The checksum counts its own field as blanks.
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &target[..target.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
