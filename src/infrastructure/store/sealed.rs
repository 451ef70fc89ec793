//! A line of JSON and a line with its digest: ledger entries and pins, in which nothing else would show that a bit is another.

use crate::base::Digest;

/// The bytes of the line `json` with its digest.
pub(super) fn seal(json: &[u8]) -> Vec<u8> {
    [json, format!("\n{}\n", Digest::of(json)).as_bytes()].concat()
}

/// The line of JSON in sealed bytes, if its digest is right; or what is wrong.
pub(super) fn open(bytes: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let lines = text.strip_suffix('\n').and_then(|text| text.split_once('\n'));
    let (json, digest) = lines.ok_or("it does not end with a line that holds its digest")?;
    if digest.parse() == Ok(Digest::of(json.as_bytes())) {
        Ok(json)
    } else {
        Err("its bytes do not have the digest that it ends with")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_and_no_bit_may_be_another() {
        let sealed = seal(b"{\"a\":1}");
        assert_eq!(open(&sealed), Ok("{\"a\":1}"));
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bytes).is_err(), "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert!(open(&sealed[..end]).is_err(), "{end} bytes");
        }
    }
}
