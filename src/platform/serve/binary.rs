//! The binary tensor data extension of the Open Inference Protocol: values as bytes behind the JSON.
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>

use super::Signature;
use super::input::Values;

/// Datatypes of inputs.
pub(super) const DATATYPES: [&str; 12] = [
    "BOOL", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64", "FP32", "FP64", "BYTES",
];

/// Appends the elements in `bytes`, little-endian and row-major, to `values`.
pub(super) fn read(
    datatype: &str,
    bytes: &[u8],
    values: &mut Values,
    signature: &Signature,
    most: usize,
) -> Result<(), String> {
    match datatype {
        "UINT8" => numbers(bytes, values, |[byte]: [u8; 1]| f64::from(byte)),
        "BOOL" => numbers(bytes, values, |[byte]: [u8; 1]| f64::from(u8::from(byte != 0))),
        "INT8" => numbers(bytes, values, |bytes| f64::from(i8::from_le_bytes(bytes))),
        "UINT16" => numbers(bytes, values, |bytes| f64::from(u16::from_le_bytes(bytes))),
        "INT16" => numbers(bytes, values, |bytes| f64::from(i16::from_le_bytes(bytes))),
        "UINT32" => numbers(bytes, values, |bytes| f64::from(u32::from_le_bytes(bytes))),
        "INT32" => numbers(bytes, values, |bytes| f64::from(i32::from_le_bytes(bytes))),
        "UINT64" => numbers(bytes, values, |bytes| u64::from_le_bytes(bytes) as f64),
        "INT64" => numbers(bytes, values, |bytes| i64::from_le_bytes(bytes) as f64),
        "FP32" => numbers(bytes, values, |bytes| f64::from(f32::from_le_bytes(bytes))),
        "FP64" => numbers(bytes, values, f64::from_le_bytes),
        _ => texts(bytes, values, signature, most),
    }
}

fn numbers<const N: usize>(
    bytes: &[u8],
    values: &mut Values,
    number: impl Fn([u8; N]) -> f64,
) -> Result<(), String> {
    let (elements, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are no whole number of elements of {N}", bytes.len()));
    }
    elements.iter().try_for_each(|element| values.push(number(*element)))
}

/// Elements of the datatype BYTES: a length in four bytes, then so many bytes of text.
fn texts(mut bytes: &[u8], values: &mut Values, signature: &Signature, most: usize) -> Result<(), String> {
    let encoding = signature.text.as_ref().ok_or("BYTES are texts, and the model takes none")?;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        // Each becomes as many values as the longest text has tokens, however short it is.
        if values.len() >= most {
            return Err("more texts than `shape` announces".to_owned());
        }
        let length = u32::from_le_bytes(*length) as usize;
        let (text, rest) =
            rest.split_at_checked(length).ok_or("an element of BYTES is longer than the tensor")?;
        let text = std::str::from_utf8(text).map_err(|_| "an element of BYTES is not UTF-8")?;
        values.text(text, encoding)?;
        bytes = rest;
    }
    if bytes.is_empty() { Ok(()) } else { Err("the last element of BYTES is cut off".to_owned()) }
}

/// Appends a text as an element of the datatype BYTES.
pub(super) fn write_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::data::Inputs;

    fn signature(pixels: bool) -> Signature {
        Signature { shape: vec![2], pixels, encoding: None, text: None }
    }

    fn read_as(datatype: &str, bytes: &[u8], pixels: bool) -> Result<Inputs, String> {
        let signature = signature(pixels);
        let mut values = Values::new(&signature);
        read(datatype, bytes, &mut values, &signature, 1000)?;
        Ok(values.into_inputs())
    }

    #[test]
    fn every_datatype_is_read_as_the_number_it_stands_for() {
        let cases: [(&str, Vec<u8>); 10] = [
            ("UINT8", vec![3, 200]),
            ("UINT16", [3u16, 200].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("INT16", [3i16, 200].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("UINT32", [3u32, 200].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("INT32", [3i32, 200].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("UINT64", [3u64, 200].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("INT64", [3i64, 200].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("FP32", [3f32, 200.0].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("FP64", [3f64, 200.0].iter().flat_map(|n| n.to_le_bytes()).collect()),
            ("BOOL", vec![0, 7]),
        ];
        for (datatype, bytes) in cases {
            let wanted = if datatype == "BOOL" { vec![0, 1] } else { vec![3, 200] };
            let Ok(Inputs::U8(pixels)) = read_as(datatype, &bytes, true) else { panic!("{datatype}") };
            assert_eq!(*pixels, wanted, "{datatype}");
        }
        let Ok(Inputs::F32(numbers)) = read_as("INT8", &[255, 1], false) else { panic!("INT8") };
        assert_eq!(*numbers, [-1.0, 1.0]);
    }

    #[test]
    fn bytes_that_are_no_whole_elements_or_no_numbers_are_refused() {
        assert!(read_as("FP32", &[0; 7], false).expect_err("is cut off").contains("7 bytes"));
        assert!(read_as("FP32", &f32::NAN.to_le_bytes(), false).expect_err("is NaN").contains("finite"));
        assert!(read_as("INT16", &[0, 1], true).expect_err("is 256").contains("256"));
        assert!(read_as("BYTES", b"\x01\0\0\0a", true).expect_err("is a text").contains("takes none"));
    }
}
