//! git-lfs: small texts in git that stand for files (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).

use super::{Algorithm, ForeignId};

/// The beginning of every pointer of git-lfs (and of its forerunner).
const BEGINNINGS: [&str; 2] =
    ["version https://git-lfs.github.com/spec/v1\n", "version https://hawser.github.com/spec/v1\n"];
/// No pointer has more bytes, says the specification.
const LONGEST: usize = 1024;

/// The id of the file that a blob in git stands for; none if it is an ordinary file.
pub fn pointer(blob: &[u8]) -> Option<ForeignId> {
    let text = std::str::from_utf8(blob).ok().filter(|text| text.len() < LONGEST)?;
    let rest = BEGINNINGS.iter().find_map(|beginning| text.strip_prefix(beginning))?;
    let oid = rest.lines().find_map(|line| line.strip_prefix("oid sha256:"))?;
    ForeignId::new(Algorithm::Sha256, oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_told_from_files() {
        let oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n");
        assert_eq!(pointer(text.as_bytes()).expect("a pointer").to_string(), format!("sha256:{oid}"));
        for blob in [
            String::new(),
            "version https://git-lfs.github.com/spec/v1\n".to_owned(),
            text.replace("4d7a", "../."),
            format!("x{text}"),
            text.replace("size", &" ".repeat(1024)),
        ] {
            assert!(pointer(blob.as_bytes()).is_none(), "{blob}");
        }
    }
}
