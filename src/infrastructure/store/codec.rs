//! How the bytes of an object are stored: raw or compressed; and the check of every object that is read.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{
    self, CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, zstd_sys::ZSTD_EndDirective,
};

use super::{ObjectKind, PackEntry, StoreError, WHOLE_FILE_LIMIT, object, recipe};
use crate::base::Digest;

/// Stored as it is.
pub(crate) const RAW: u8 = 0;
/// One zstd frame.
pub(crate) const ZSTD: u8 = 1;
/// Bytes grouped by position modulo 2 (16-bit numbers), then one zstd frame.
pub(crate) const GROUPED_2: u8 = 2;
/// Bytes grouped by position modulo 4 (32-bit numbers), then one zstd frame.
pub(crate) const GROUPED_4: u8 = 3;
/// Bytes grouped by position modulo 8 (64-bit numbers), then one zstd frame.
pub(crate) const GROUPED_8: u8 = 4;

/// Bytes looked at to choose a codec for a file.
const SAMPLE: usize = 64 << 10;
/// Shorter objects are stored raw: a zstd frame alone takes about a dozen bytes.
const LEAST: usize = 64;

thread_local! {
    /// Contexts are hundreds of kilobytes: made once per thread.
    static CONTEXTS: RefCell<Contexts> = const { RefCell::new(Contexts { compress: None, group: None, decompress: None, grouped: Vec::new() }) };
}

struct Contexts {
    compress: Option<Compressor<'static>>,
    group: Option<CCtx<'static>>,
    decompress: Option<Decompressor<'static>>,
    grouped: Vec<u8>,
}

/// What to try for the objects of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan(u8);

impl Plan {
    /// Try zstd: for trees, recipes and whatever is short.
    pub(crate) const ZSTD: Self = Self(ZSTD);

    /// Chooses by the file's `name` and its first megabytes `head`: nothing for what is compressed already (by magic bytes,
    /// or when a sample saves less than 3 %), byte grouping for tensors when that is 3 % better than zstd alone.
    pub(crate) fn choose(name: &[u8], head: &[u8]) -> Self {
        let tensors = holds_tensors(name);
        if !tensors && is_compressed(head) {
            return Self(RAW);
        }
        if head.len() <= SAMPLE && !tensors {
            // `encode` finds out on the object itself.
            return Self(ZSTD);
        }
        let middle = (head.len().saturating_sub(SAMPLE)) / 2;
        let sample = &head[middle..head.len().min(middle + SAMPLE)];
        let mut packed = Vec::new();
        let mut size = |codec| {
            packed.clear();
            if compress(codec, sample, &mut packed) { packed.len() } else { sample.len() }
        };
        let mut best = (ZSTD, size(ZSTD));
        if tensors {
            for codec in [GROUPED_2, GROUPED_4, GROUPED_8] {
                let grouped = size(codec);
                if grouped * 100 <= best.1 * 97 {
                    best = (codec, grouped);
                }
            }
        }
        if saves(sample.len(), best.1) { Self(best.0) } else { Self(RAW) }
    }
}

/// Appends the stored form of `bytes` to `out` and returns the codec used: the plan's, or raw where that saves less than 3 %.
pub(crate) fn encode(plan: Plan, bytes: &[u8], out: &mut Vec<u8>) -> u8 {
    let start = out.len();
    if plan.0 != RAW && bytes.len() >= LEAST {
        if compress(plan.0, bytes, out) && saves(bytes.len(), out.len() - start) {
            return plan.0;
        }
        out.truncate(start);
    }
    out.extend_from_slice(bytes);
    RAW
}

fn saves(before: usize, after: usize) -> bool {
    after * 100 <= before * 97
}

/// Appends the compressed form; false if zstd could not (it never refuses a buffer of the size it asks for).
fn compress(codec: u8, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    CONTEXTS.with_borrow_mut(|contexts| {
        let width = group_width(codec);
        if width > 1 {
            let context = contexts.group.get_or_insert_with(CCtx::create);
            group(width, bytes, &mut contexts.grouped);
            return compress_groups(context, width, &contexts.grouped, out).is_ok();
        }
        if contexts.compress.is_none() {
            contexts.compress = Compressor::new(3).ok();
        }
        let Some(compressor) = contexts.compress.as_mut() else { return false };
        let start = out.len();
        out.resize(start + zstd_safe::compress_bound(bytes.len()), 0);
        let written = compressor.compress_to_buffer(bytes, &mut out[start..]);
        out.truncate(start + written.as_ref().copied().unwrap_or(0));
        written.is_ok()
    })
}

/// One frame in which each group begins a block: exponents and mantissas share no table of symbols, without which grouping chunks of
/// 64 KiB saves nothing.
fn compress_groups(
    context: &mut CCtx<'static>,
    width: usize,
    grouped: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), usize> {
    context.reset(ResetDirective::SessionOnly)?;
    context.set_parameter(CParameter::CompressionLevel(1))?;
    context.set_pledged_src_size(Some(grouped.len() as u64))?;
    // Each flush may end a block early.
    out.reserve(zstd_safe::compress_bound(grouped.len()) + 64 * width);
    let mut start = 0;
    for lane in 0..width {
        let end = start + (grouped.len() + width - 1 - lane) / width;
        let last = lane + 1 == width;
        let directive = if last { ZSTD_EndDirective::ZSTD_e_end } else { ZSTD_EndDirective::ZSTD_e_flush };
        let mut input = InBuffer::around(&grouped[start..end]);
        loop {
            let at = out.len();
            let left =
                context.compress_stream2(&mut OutBuffer::around_pos(out, at), &mut input, directive)?;
            if left == 0 {
                break;
            }
            out.reserve(left);
        }
        start = end;
    }
    Ok(())
}

/// Decodes the `stored` bytes of `entry` and verifies them against its id: what every reader of any object calls.
/// `place` names the object in the error: the pack's path or remote key.
pub(crate) fn decode_object(entry: &PackEntry, stored: &[u8], place: &str) -> Result<Vec<u8>, StoreError> {
    let bytes = decode(entry, stored).ok_or("cannot be decoded");
    bytes
        .and_then(|bytes| {
            verify(entry.kind, &entry.id, &bytes).then_some(bytes).ok_or("does not match its digest")
        })
        .map_err(|reason| {
            let detail = format!("object `{}` at byte {} {reason}", entry.id, entry.offset);
            StoreError::damaged(format!("`{place}`"), detail)
        })
}

/// Whether `bytes` are the object `id` of this kind. A recipe is checked by its own digest here, and by the file's digest
/// when the file is read.
pub(crate) fn verify(kind: ObjectKind, id: &Digest, bytes: &[u8]) -> bool {
    match kind {
        ObjectKind::Blob => Digest::of(bytes) == *id,
        ObjectKind::Chunk => object::chunk_id(bytes) == *id,
        ObjectKind::Tree => object::tree_id(bytes) == *id,
        ObjectKind::Recipe => recipe::names_file(bytes, id),
    }
}

/// The most decoded bytes an object of this kind may have: bounds what hostile input can make us allocate.
pub(crate) fn longest(kind: ObjectKind) -> u64 {
    match kind {
        ObjectKind::Blob | ObjectKind::Tree => WHOLE_FILE_LIMIT,
        ObjectKind::Chunk => 4 << 20,
        ObjectKind::Recipe => 48 << 20,
    }
}

fn decode(entry: &PackEntry, stored: &[u8]) -> Option<Vec<u8>> {
    let length = entry.length as usize;
    if u64::from(entry.length) > longest(entry.kind) || stored.len() != entry.stored as usize {
        return None;
    }
    if entry.codec == RAW {
        return (stored.len() == length).then(|| stored.to_vec());
    }
    if !matches!(entry.codec, ZSTD | GROUPED_2 | GROUPED_4 | GROUPED_8) {
        return None;
    }
    let bytes = CONTEXTS.with_borrow_mut(|contexts| {
        if contexts.decompress.is_none() {
            contexts.decompress = Decompressor::new().ok();
        }
        contexts.decompress.as_mut()?.decompress(stored, length).ok()
    })?;
    if bytes.len() != length {
        return None;
    }
    Some(match group_width(entry.codec) {
        1 => bytes,
        width => ungroup(width, &bytes),
    })
}

fn group_width(codec: u8) -> usize {
    match codec {
        GROUPED_2 => 2,
        GROUPED_4 => 4,
        GROUPED_8 => 8,
        _ => 1,
    }
}

/// All bytes at positions 0 modulo `width`, then those at 1, and so on.
fn group(width: usize, bytes: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(bytes.len());
    for lane in 0..width {
        out.extend(bytes.iter().skip(lane).step_by(width));
    }
}

fn ungroup(width: usize, grouped: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; grouped.len()];
    let mut rest = grouped.iter();
    for lane in 0..width {
        for (to, from) in bytes.iter_mut().skip(lane).step_by(width).zip(&mut rest) {
            *to = *from;
        }
    }
    bytes
}

/// Files whose bulk is numbers of a fixed width. `.pt` and `.npz` are zip archives that usually do not compress.
fn holds_tensors(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return false };
    let extension = name[dot + 1..].to_ascii_lowercase();
    matches!(&extension[..], b"safetensors" | b"npy" | b"npz" | b"gguf" | b"pt" | b"pth" | b"ckpt")
}

/// Whether the first bytes are those of a format that is compressed already.
fn is_compressed(head: &[u8]) -> bool {
    const MAGIC: &[&[u8]] = &[
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"GIF8",
        b"\x1f\x8b",
        b"PK\x03\x04",
        b"\x28\xb5\x2f\xfd",
        b"BZh",
        b"\xfd7zXZ",
        b"7z\xbc\xaf",
        b"\x04\x22\x4d\x18",
        b"PAR1",
        b"OggS",
        b"fLaC",
        b"ID3",
        b"\x1a\x45\xdf\xa3",
    ];
    MAGIC.iter().any(|magic| head.starts_with(magic))
        || (head.len() >= 12
            && (&head[4..8] == b"ftyp" || (&head[..4] == b"RIFF" && &head[8..12] == b"WEBP")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: Digest, kind: ObjectKind, codec: u8, stored: &[u8], length: usize) -> PackEntry {
        PackEntry { id, kind, codec, offset: 5, stored: stored.len() as u32, length: length as u32 }
    }

    proptest! {
        #[test]
        fn every_codec_survives_a_round_trip(bytes in prop::collection::vec(0u8..4, 0..5000), plan in 0u8..5) {
            let mut stored = Vec::new();
            let codec = encode(Plan(plan), &bytes, &mut stored);
            let entry = entry(Digest::of(&bytes), ObjectKind::Blob, codec, &stored, bytes.len());
            prop_assert_eq!(decode_object(&entry, &stored, "test").expect("decodes"), bytes);
        }

        #[test]
        fn hostile_stored_bytes_are_an_error(stored: Vec<u8>, codec: u8, kind in 0u8..4, length: u32) {
            let kind = ObjectKind::from_byte(kind).expect("a kind");
            let entry = entry(Digest::of(b"x"), kind, codec, &stored, length as usize);
            prop_assert!(decode_object(&entry, &stored, "test").is_err());
        }
    }

    #[test]
    fn what_is_compressed_already_is_stored_raw() {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        png.resize(4000, 0);
        assert_eq!(Plan::choose(b"a.png", &png), Plan(RAW));
        let mut noise = vec![0; 200_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(Plan::choose(b"noise.bin", &noise), Plan(RAW));
        assert_eq!(Plan::choose(b"text.csv", &b"1,2,3\n".repeat(50_000)), Plan(ZSTD));
    }

    #[test]
    fn tensors_of_floats_are_grouped_by_byte() {
        let weights =
            (0..60_000).flat_map(|i| ((i as f32 * 0.7).sin() * 0.05).to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(Plan::choose(b"model.safetensors", &weights), Plan(GROUPED_4));
        let mut stored = Vec::new();
        assert_eq!(encode(Plan(GROUPED_4), &weights, &mut stored), GROUPED_4);
        assert!(stored.len() < weights.len() * 9 / 10, "{} of {}", stored.len(), weights.len());
        // Also in the pieces in which a file is stored.
        let (mut plain, mut grouped) = (0, 0);
        for piece in weights.chunks(64 << 10) {
            for (codec, size) in [(ZSTD, &mut plain), (GROUPED_4, &mut grouped)] {
                let mut stored = Vec::new();
                encode(Plan(codec), piece, &mut stored);
                *size += stored.len();
            }
        }
        assert!(grouped * 100 < plain * 95, "{grouped} of {plain}");
        let wide: Vec<u8> = (0..30_000).flat_map(|i| (f64::from(i) * 0.7).sin().to_le_bytes()).collect();
        assert_eq!(Plan::choose(b"column.npy", &wide), Plan(GROUPED_8));
    }

    #[test]
    fn a_claimed_length_beyond_the_kind_is_refused_before_anything_is_allocated() {
        let mut stored = Vec::new();
        encode(Plan::ZSTD, &vec![0; 8 << 20], &mut stored);
        let entry = entry(Digest::of(b""), ObjectKind::Blob, ZSTD, &stored, 8 << 20);
        assert!(decode_object(&entry, &stored, "bomb").is_err());
    }
}
