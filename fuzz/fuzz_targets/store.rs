//! The binary formats and records of the store; the first byte chooses the reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlp::infrastructure::store::fuzzing::READERS;

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, rest)) = bytes.split_first() {
        READERS[usize::from(*first) % READERS.len()].1(rest);
    }
});
