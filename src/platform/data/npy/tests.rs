use proptest::prelude::*;

use super::*;

/// The bytes that `numpy.save` writes for an array in row-major order.
pub(in crate::platform::data) fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    with_header(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"), data)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let padded = format!("{header}{}\n", " ".repeat(63 - (10 + header.len()) % 64));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.as_bytes());
    bytes.extend(data);
    bytes
}

fn read(bytes: &[u8]) -> Result<Array, String> {
    parse(&mut &*bytes, Holds::Exactly(bytes.len() as u64), "x.npy").map_err(|error| error.to_string())
}

#[test]
fn every_element_type_is_read_in_either_order_of_bytes() {
    let cases: [(&str, Vec<u8>, f64); 9] = [
        ("|b1", vec![1, 0], 0.0),
        ("|u1", vec![1, 200], 200.0),
        ("|i1", vec![1, 200], -56.0),
        ("<i4", [1i32.to_le_bytes(), (-70_000i32).to_le_bytes()].concat(), -70_000.0),
        (">i4", [1i32.to_be_bytes(), (-70_000i32).to_be_bytes()].concat(), -70_000.0),
        ("<i8", [1i64.to_le_bytes(), (-7i64).to_le_bytes()].concat(), -7.0),
        ("<f4", [1f32.to_le_bytes(), 0.25f32.to_le_bytes()].concat(), 0.25),
        ("<f8", [1f64.to_le_bytes(), (-1e300f64).to_le_bytes()].concat(), -1e300),
        (">f8", [1f64.to_be_bytes(), (-1e300f64).to_be_bytes()].concat(), -1e300),
    ];
    for (descr, data, last) in cases {
        let array = read(&npy(descr, "(2,)", &data)).expect("reads");
        assert_eq!(array.numbers().collect::<Vec<_>>(), [1.0, last], "{descr}");
    }
}

#[test]
fn headers_of_all_versions_and_spellings_are_read() {
    let shape = |bytes: &[u8]| read(bytes).expect("reads").dimensions;
    assert_eq!(shape(&npy("|u1", "(2, 3)", &[0; 6])), [2, 3]);
    assert_eq!(shape(&npy("|u1", "(2L, 3L)", &[0; 6])), [2, 3]);
    assert_eq!(shape(&with_header("{\"shape\":(1,),\"fortran_order\":True,\"descr\":\"|u1\"}", &[0])), [1]);
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}\n";
    let mut second = b"\x93NUMPY\x02\x00".to_vec();
    second.extend((header.len() as u32).to_le_bytes());
    second.extend(header.as_bytes());
    second.push(9);
    assert_eq!(shape(&second), [1]);
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let fortran = with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", &[0; 8]);
    let records = with_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", &[0; 4]);
    let mut future = npy("|u1", "(1,)", &[1]);
    future[6] = 9;
    for (bytes, says) in [
        (fortran, "numpy.ascontiguousarray"),
        (records, "each field as an array"),
        (future, "version 9"),
        (npy("|O", "(1,)", &[0; 8]), "Python objects"),
        (npy("<f2", "(1,)", &[0; 2]), "astype(\"float32\")"),
        (npy("<U5", "(1,)", &[0; 20]), "elements of type `<U5`"),
        (npy("|u1", "()", &[0]), "single number"),
        (npy("|u1", "(3,)", &[0; 2]), "promises 3 bytes of data, it holds 2"),
        (npy("|u1", "(1,)", &[0; 2]), "more than the 1 bytes"),
        (npy("<f8", "(99999999999, 99999999999)", &[]), "more than any memory"),
        (npy("<f8", "(99999999999999999999999,)", &[]), "cannot be read at"),
        (npy("|u1", "(99999999999,)", &[0; 9]), "truncated"),
        (npy("|u1", "(-1,)", &[]), "cannot be read at `-1,)"),
        (npy("|u1", "(1,), 'x': 1", &[0]), "the key `x`"),
        (with_header("{'shape': (1,)}", &[0]), "no `descr`"),
        (b"\x93NUMPY\x01\x00".to_vec(), "the length of its header"),
        (b"PK\x03\x04....".to_vec(), "first bytes"),
    ] {
        let error = read(&bytes).expect_err(says);
        assert!(error.contains(says) && error.contains("`x.npy`"), "{error}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn arbitrary_headers_never_panic(header in "\\{?[ '\"a-z:,(){}0-9TrueFalse_<|]{0,80}\\}?", value: u8) {
        let _ = read(&with_header(&header, &[value; 3]));
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..140, value: u8) {
        let mut bytes = npy("<f4", "(3, 1)", &[7; 12]);
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = read(&bytes);
    }
}
