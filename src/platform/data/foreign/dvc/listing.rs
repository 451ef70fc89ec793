//! DVC's listing of a directory: the object `….dir`, a JSON list of `{"md5": …, "relpath": …}` sorted by path.

use serde::{Deserialize, Serialize};

use crate::platform::data::foreign::{Algorithm, ForeignId};

/// One file of a directory.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Its id.
    pub id: ForeignId,
    /// Its path in the directory, as it is written.
    pub path: String,
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    // In this order: Python's `json.dumps(sort_keys=True)`.
    md5: &'a str,
    #[serde(with = "owned")]
    relpath: String,
}

/// A path may have escapes, so that it cannot be borrowed from the JSON.
mod owned {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

/// Reads a listing whose files are named by `algorithm`.
pub fn read(bytes: &[u8], algorithm: Algorithm) -> Result<Vec<Entry>, String> {
    let written: Vec<Written<'_>> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let entry = |written: Written<'_>| {
        let id = ForeignId::new(algorithm, written.md5).filter(|id| !id.directory);
        let id = id.ok_or_else(|| format!("`{}` has no MD5", written.relpath.escape_debug()))?;
        Ok(Entry { id, path: written.relpath })
    };
    let mut entries = written.into_iter().map(entry).collect::<Result<Vec<_>, String>>()?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(format!("`{}` stands in it twice", pair[0].path.escape_debug()));
    }
    Ok(entries)
}

/// A listing byte for byte as DVC writes it: `json.dumps` with its default separators and escapes, sorted by path.
pub fn write(mut files: Vec<(String, String)>) -> Vec<u8> {
    files.sort();
    let mut text = String::from("[");
    for (n, (path, md5)) in files.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        text.push_str(&format!("{comma}{{\"md5\": \"{md5}\", \"relpath\": \"{}\"}}", escaped(path)));
    }
    text.push(']');
    text.into_bytes()
}

/// A text within a JSON string, in ASCII.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_written_as_dvc_does() {
        let hex = |n: u8| format!("{n:032x}");
        let files = [("b/ü\"😀.txt", 1), ("a.txt", 2), ("a/z", 3)];
        let bytes = write(files.iter().map(|(path, n)| ((*path).to_owned(), hex(*n))).collect());
        let entry = |n, path: &str| format!(r#"{{"md5": "{}", "relpath": "{path}"}}"#, hex(n));
        let last = entry(1, r#"b/\u00fc\"\ud83d\ude00.txt"#);
        let wanted = format!("[{}, {}, {last}]", entry(2, "a.txt"), entry(3, "a/z"));
        assert_eq!(String::from_utf8_lossy(&bytes), wanted);
        let read = read(&bytes, Algorithm::Md5).expect("reads");
        assert_eq!(
            read.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(),
            ["a.txt", "a/z", "b/ü\"😀.txt"]
        );
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for text in [
            "",
            "{}",
            r#"[{"md5": "x", "relpath": "a"}]"#,
            r#"[{"relpath": "a"}]"#,
            r#"[{"md5": "00000000000000000000000000000000.dir", "relpath": "a"}]"#,
            r#"[{"md5": "00000000000000000000000000000000", "relpath": "a"}, {"md5": "00000000000000000000000000000000", "relpath": "a"}]"#,
        ] {
            assert!(read(text.as_bytes(), Algorithm::Md5).is_err(), "{text}");
        }
    }
}
