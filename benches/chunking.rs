//! How finely to cut: what an edit stores anew, and what an index and the processor pay for it, by average chunk size. The classes of
//! `src/infrastructure/store/chunk.rs` were chosen by it; `benches/README.md` has the table.
//!
//! `cargo bench --profile dev --bench chunking`

#![allow(clippy::print_stdout)]

use std::collections::HashSet;
use std::time::Instant;

use fastcdc::v2020::{FastCDC, Normalization};

/// Bytes of the file.
const SIZE: usize = 512 << 20;
/// Bytes of an index for each chunk.
const ENTRY: usize = 48;

/// Lengths and ids of the chunks of a file, with `average` bytes each.
fn chunks(bytes: &[u8], average: usize) -> Vec<(usize, [u8; 32])> {
    let cutter = FastCDC::with_level(bytes, average / 4, average, average * 4, Normalization::Level1);
    let (mut chunks, mut start) = (Vec::new(), 0);
    while start < bytes.len() {
        let (_, end) = cutter.cut(start, bytes.len() - start);
        chunks.push((end - start, *blake3::hash(&bytes[start..end]).as_bytes()));
        start = end;
    }
    chunks
}

fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// What is done to a file.
type Edit = Box<dyn Fn(&mut Vec<u8>)>;

fn edits() -> Vec<(&'static str, Edit)> {
    let scattered = |count: u64, length: usize| {
        move |bytes: &mut Vec<u8>| {
            for n in 0..count {
                let at = u64::from_le_bytes(noise(&n.to_string(), 8).try_into().unwrap_or_default());
                let at = at as usize % (bytes.len() - length);
                bytes[at..at + length].copy_from_slice(&noise("edit", length));
            }
        }
    };
    vec![
        ("a byte in front", Box::new(|bytes: &mut Vec<u8>| bytes.insert(0, 1))),
        ("1 MiB at the end", Box::new(|bytes: &mut Vec<u8>| bytes.extend(noise("tail", 1 << 20)))),
        ("100 single bytes", Box::new(scattered(100, 1))),
        ("5 MiB in one place", Box::new(scattered(1, 5 << 20))),
        ("1,000 rows of 200 bytes", Box::new(scattered(1000, 200))),
    ]
}

fn main() {
    let file = noise("file", SIZE);
    let edits = edits();
    let names: Vec<&str> = edits.iter().map(|(name, _)| *name).collect();
    println!("| average | chunks | index a TiB | cut and hash, CPU s a GiB | {} |", names.join(" | "));
    println!("|---|---|---|---|{}", "---|".repeat(names.len()));
    for kib in [16, 32, 64, 128, 256, 512, 1024] {
        let began = Instant::now();
        let before = chunks(&file, kib << 10);
        let seconds = began.elapsed().as_secs_f64() * (1 << 30) as f64 / SIZE as f64;
        let known: HashSet<[u8; 32]> = before.iter().map(|(_, id)| *id).collect();
        let stored = edits.iter().map(|(_, edit)| {
            let mut edited = file.clone();
            edit(&mut edited);
            let new: usize = chunks(&edited, kib << 10)
                .iter()
                .filter(|(_, id)| !known.contains(id))
                .map(|(length, _)| length)
                .sum();
            format!("{:.2} MiB", new as f64 / (1 << 20) as f64)
        });
        let index = (before.len() * ENTRY) as f64 * (1u64 << 40) as f64 / SIZE as f64 / 1e6;
        let stored: Vec<String> = stored.collect();
        println!("| {kib} KiB | {} | {index:.0} MB | {seconds:.2} | {} |", before.len(), stored.join(" | "));
    }
}
