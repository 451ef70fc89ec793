//! Where a store is: its URL, understood and checked.

use std::path::PathBuf;

use crate::base::Name;
use crate::infrastructure::store::{StoreError, StoreSpec};

/// The kinds of places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A folder, perhaps of a network file system.
    Folder(PathBuf),
    /// A bucket of S3 or a compatible service.
    S3 {
        /// The bucket.
        bucket: String,
        /// Folder in the bucket, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// Memory of this process, shared by all that use the name; for tests.
    Memory(String),
}

impl Location {
    /// Understands the URL of `spec`.
    pub(super) fn parse(store: &Name, spec: &StoreSpec) -> Result<Self, StoreError> {
        let wrong = |detail: String| StoreError::Spec { store: store.to_string(), detail };
        let Some((scheme, rest)) = spec.url.split_once("://") else {
            return folder(&spec.url).ok_or_else(|| {
                wrong(format!(
                    "`{}` is neither a URL nor an absolute path: write s3://bucket/prefix or fs:///path",
                    printable(&spec.url)
                ))
            });
        };
        match scheme {
            "fs" | "file" => folder(rest)
                .ok_or_else(|| wrong(format!("`{}` needs an absolute path: fs:///path", printable(&spec.url)))),
            "s3" if rest.contains('@') => Err(wrong(
                "credentials do not belong in a URL: set MLP_STORE_<NAME>_ACCESS_KEY_ID and _SECRET_ACCESS_KEY"
                    .to_owned(),
            )),
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = prefix.trim_matches('/');
                if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
                    return Err(wrong(format!("`{}` is not a bucket name", printable(bucket))));
                }
                if !prefix.is_empty() && !prefix.split('/').all(is_safe_segment) {
                    return Err(wrong(format!(
                        "the prefix `{}` may hold letters, digits, `.`, `_`, `-` and `/` only",
                        printable(prefix)
                    )));
                }
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            "memory" if is_safe_segment(rest) => Ok(Self::Memory(rest.to_owned())),
            "memory" => Err(wrong("memory:// needs a name of letters and digits".to_owned())),
            other => Err(wrong(format!(
                "`{}://` is not supported; use s3://, fs:// or memory://",
                printable(other)
            ))),
        }
    }
}

fn folder(text: &str) -> Option<Location> {
    let path = PathBuf::from(text);
    (path.is_absolute() && !text.contains('\0')).then_some(Location::Folder(path))
}

fn is_safe_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// The beginning of a user's text, fit for a message.
fn printable(text: &str) -> String {
    text.chars().take(120).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Location, StoreError> {
        let spec = StoreSpec { url: url.to_owned(), endpoint: None, region: None, ..StoreSpec::default() };
        Location::parse(&"origin".parse().expect("a name"), &spec)
    }

    #[test]
    fn the_three_kinds_are_understood() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(parse("s3://data").expect("parses"), s3("data", ""));
        assert_eq!(parse("s3://data/a/b/").expect("parses"), s3("data", "a/b"));
        assert_eq!(parse("fs:///srv/mlp").expect("parses"), Location::Folder("/srv/mlp".into()));
        assert_eq!(parse("/srv/mlp").expect("parses"), Location::Folder("/srv/mlp".into()));
        assert_eq!(parse("memory://t1").expect("parses"), Location::Memory("t1".into()));
    }

    #[test]
    fn what_cannot_be_a_store_is_refused() {
        for url in [
            "",
            "relative",
            "fs://relative",
            "s3://",
            "s3:///x",
            "s3://b/../c",
            "s3://b/a b",
            "ftp://h/p",
            "memory://",
            "s3://b/a//b",
            "gs://b",
        ] {
            let error = parse(url).expect_err(url);
            assert!(matches!(error, StoreError::Spec { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_without_being_repeated() {
        let error = parse("s3://AKIA:hunter2@bucket").expect_err("refused").to_string();
        assert!(!error.contains("hunter2") && error.contains("MLP_STORE_<NAME>_ACCESS_KEY_ID"), "{error}");
    }
}
