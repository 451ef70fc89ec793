use proptest::prelude::*;

use super::*;

fn plain(code: u8, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, dimensions.len() as u8];
    dimensions.iter().for_each(|length| bytes.extend(length.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

fn read(bytes: &[u8]) -> Result<Array, String> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("x");
    std::fs::write(&path, bytes).expect("writes");
    super::read(&path, "x-idx1-ubyte").map_err(|error| error.to_string())
}

#[test]
fn every_element_type_is_read_plain_and_compressed() {
    let cases: [(u8, Vec<u8>, f64); 6] = [
        (0x08, vec![1, 200], 200.0),
        (0x09, vec![1, 200], -56.0),
        (0x0B, [1i16.to_be_bytes(), (-300i16).to_be_bytes()].concat(), -300.0),
        (0x0C, [1i32.to_be_bytes(), (-70_000i32).to_be_bytes()].concat(), -70_000.0),
        (0x0D, [1f32.to_be_bytes(), 0.25f32.to_be_bytes()].concat(), 0.25),
        (0x0E, [1f64.to_be_bytes(), (-1e300f64).to_be_bytes()].concat(), -1e300),
    ];
    for (code, data, last) in cases {
        let bytes = plain(code, &[2], &data);
        for stored in [bytes.clone(), gzip(&bytes)] {
            let idx = read(&stored).expect("reads");
            assert_eq!(idx.numbers().collect::<Vec<_>>(), [1.0, last], "0x{code:02x}");
        }
    }
}

#[test]
fn a_truncated_file_says_what_it_promised_and_what_it_holds() {
    let bytes = plain(0x08, &[3, 2, 2], &[7; 11]);
    for stored in [bytes.clone(), gzip(&bytes)] {
        let error = read(&stored).expect_err("truncated");
        assert!(error.contains("x-idx1-ubyte") && error.contains("12") && error.contains("11"), "{error}");
    }
    let whole = gzip(&plain(0x08, &[3000], &(0..3000).map(|i| (i * 7 % 251) as u8).collect::<Vec<_>>()));
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn a_lying_header_is_refused_before_anything_is_allocated() {
    let huge = [u32::MAX; 3];
    for (bytes, says) in [
        (plain(0x0E, &huge, &[]), "more than any memory holds"),
        (plain(0x08, &[u32::MAX, 100], &[1; 100]), "truncated"),
        (gzip(&plain(0x08, &[u32::MAX, 100], &[1; 100])), "more than a compressed file of its size can hold"),
        (plain(0x08, &[2], &[1, 2, 3]), "more than the 2 bytes"),
        (plain(0x07, &[2], &[1, 2]), "no element type"),
        (plain(0x08, &[], &[]), "no dimensions"),
        (b"\x89PNG\r\n".to_vec(), "first bytes"),
        (vec![0, 0, 8], "magic number"),
        (vec![0, 0, 8, 3, 0, 0], "lengths of its dimensions"),
    ] {
        let error = read(&bytes).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_gzip_bomb_is_read_no_further_than_its_header_says() {
    let mut bytes = plain(0x08, &[10], &[]);
    bytes.resize(bytes.len() + (200 << 20), 0);
    let error = read(&gzip(&bytes)).expect_err("bomb");
    assert!(error.contains("more than the 10 bytes"), "{error}");
}

#[test]
fn what_is_written_is_read_back() {
    let mut file = Vec::new();
    write(&mut file, &[2, 2, 1], &[1, 2, 3, 4]).expect("writes");
    let idx = read(&file).expect("reads");
    assert_eq!((idx.dimensions.as_slice(), idx.bytes.as_slice()), (&[2, 2, 1][..], &[1, 2, 3, 4][..]));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&mut bytes.as_slice(), Holds::Exactly(bytes.len() as u64), "x");
    }

    #[test]
    fn arbitrary_bytes_behind_a_valid_magic_number_never_panic(
        code in prop_oneof![Just(8u8), Just(9), Just(11), Just(12), Just(13), Just(14)],
        dimensions in proptest::collection::vec(any::<u32>(), 1..5),
        data in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let bytes = plain(code, &dimensions, &data);
        let _ = parse(&mut bytes.as_slice(), Holds::Exactly(bytes.len() as u64), "x");
    }
}
