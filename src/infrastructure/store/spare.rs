//! Buffers of whole packs, used again: memory that is freed and asked for anew many times a second stays with the allocator for a
//! while, and a push of large files then held twice what it fills.

use std::sync::{Mutex, PoisonError};

use super::pack::DATA_TARGET;

/// Bytes of a buffer: a pack is closed at its target, by the object that reaches it.
const SIZE: usize = DATA_TARGET + (4 << 20);
/// Buffers kept, at most: as many as packs are under way at once.
const MOST: usize = 4;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty buffer with room for a pack.
pub(super) fn take() -> Vec<u8> {
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    spare.unwrap_or_else(|| Vec::with_capacity(SIZE))
}

/// Gives a buffer back; a small one is not kept.
pub(super) fn give(mut buffer: Vec<u8>) {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    if buffer.capacity() >= SIZE && spare.len() < MOST {
        buffer.clear();
        spare.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_a_small_one_does_not() {
        let mut buffer = take();
        buffer.extend_from_slice(b"old");
        give(buffer);
        give(vec![1; 10]);
        let again = take();
        assert!(again.is_empty() && again.capacity() >= SIZE);
    }
}
