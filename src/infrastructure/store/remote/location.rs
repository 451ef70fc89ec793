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
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// Folder in the bucket.
        prefix: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The container.
        container: String,
        /// Folder in the container.
        prefix: String,
    },
    /// A folder on a WebDAV server.
    WebDav {
        /// `http://host:port` or `https://host:port`.
        endpoint: String,
        /// The folder.
        path: String,
    },
    /// A folder that a web server shows; it cannot be written.
    Http {
        /// `http://host:port` or `https://host:port`.
        endpoint: String,
        /// The folder.
        path: String,
    },
    /// A folder of HDFS, through WebHDFS.
    WebHdfs {
        /// `http://host:port`.
        endpoint: String,
        /// The folder.
        path: String,
    },
    /// A folder on a host that ssh reaches.
    Sftp {
        /// `user@host` or `host`, as ssh knows it.
        destination: String,
        /// The port, if it is not ssh's own choice.
        port: Option<u16>,
        /// The folder.
        path: String,
    },
    /// Memory of this process, shared by all that use the name; for tests.
    Memory(String),
}

impl StoreSpec {
    /// Whether the URL can be one of a store. Nothing is sent.
    pub fn check(&self, store: &Name) -> Result<(), StoreError> {
        Location::parse(store, self).map(drop)
    }
}

impl Location {
    /// Understands the URL of `spec`.
    pub(super) fn parse(store: &Name, spec: &StoreSpec) -> Result<Self, StoreError> {
        let wrong = |detail: String| StoreError::Spec { store: store.to_string(), detail };
        if spec.endpoint.as_ref().is_some_and(|endpoint| endpoint.contains('@')) {
            return Err(wrong("credentials do not belong in `endpoint`".to_owned()));
        }
        let Some((scheme, rest)) = spec.url.split_once("://") else {
            return folder(&spec.url).ok_or_else(|| {
                wrong(format!(
                    "`{}` is neither a URL nor an absolute path: write s3://bucket/prefix or fs:///path",
                    printable(&spec.url)
                ))
            });
        };
        match scheme {
            "fs" | "file" => folder(rest).ok_or_else(|| {
                wrong(format!("`{}` needs an absolute path: fs:///path", printable(&spec.url)))
            }),
            "s3" | "gs" | "az" | "azblob" | "webdav" | "webdavs" | "http" | "https" | "webhdfs"
                if authority(rest).contains('@') =>
            {
                Err(wrong(format!(
                    "credentials do not belong in a URL: set {}",
                    super::credentials::variables(store, scheme).join(" and ")
                )))
            }
            "sftp" if authority(rest).rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) => Err(
                wrong("passwords do not belong in a URL: use a key (`key_file`) or ssh's agent".to_owned()),
            ),
            "s3" => bucket(rest).map(|(bucket, prefix)| Self::S3 { bucket, prefix }).map_err(wrong),
            "gs" => bucket(rest).map(|(bucket, prefix)| Self::Gcs { bucket, prefix }).map_err(wrong),
            "az" | "azblob" => {
                bucket(rest).map(|(container, prefix)| Self::Azure { container, prefix }).map_err(wrong)
            }
            "webdav" | "webdavs" | "http" | "https" | "webhdfs" => {
                let (host, path) = place(rest).map_err(wrong)?;
                let secure = matches!(scheme, "webdavs" | "https");
                let endpoint = format!("{}://{host}", if secure { "https" } else { "http" });
                Ok(match scheme {
                    "webdav" | "webdavs" => Self::WebDav { endpoint, path },
                    "webhdfs" => Self::WebHdfs { endpoint, path },
                    _ => Self::Http { endpoint, path },
                })
            }
            "sftp" => {
                let (host, path) = place(rest).map_err(wrong)?;
                let (destination, port) = match host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))
                {
                    Some((host, port)) => {
                        let port = port
                            .parse()
                            .map_err(|_| wrong(format!("`{}` is not a port", printable(port))))?;
                        (host.to_owned(), Some(port))
                    }
                    None => (host, None),
                };
                // The brackets of an IPv6 address belong to the URL, not to the address.
                let destination = destination.replace(['[', ']'], "");
                Ok(Self::Sftp { destination, port, path })
            }
            "memory" if is_safe_segment(rest) => Ok(Self::Memory(rest.to_owned())),
            "memory" => Err(wrong("memory:// needs a name of letters and digits".to_owned())),
            other => Err(wrong(format!(
                "`{}://` is not supported; use s3://, gs://, az://, sftp://, webdavs://, https:// or fs://",
                printable(other)
            ))),
        }
    }
}

/// What stands before the first slash: host and port, or a bucket.
fn authority(rest: &str) -> &str {
    rest.split('/').next().unwrap_or_default()
}

/// Bucket and prefix.
fn bucket(rest: &str) -> Result<(String, String), String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(format!("`{}` is not a bucket name", printable(bucket)));
    }
    Ok((bucket.to_owned(), prefixed(prefix)?))
}

/// Host (with user and port) and path.
fn place(rest: &str) -> Result<(String, String), String> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    // Whoever runs a program with it must not take it for an option.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-:[]@".contains(&b);
    if host.is_empty() || host.starts_with('-') || host.contains("@-") || !host.bytes().all(allowed) {
        return Err(format!("`{}` is not a host", printable(host)));
    }
    Ok((host.to_owned(), format!("/{}", prefixed(path)?)))
}

/// A path of safe segments, without slashes at its ends.
fn prefixed(path: &str) -> Result<String, String> {
    let path = path.trim_matches('/');
    if path.is_empty() || path.split('/').all(is_safe_segment) {
        return Ok(path.to_owned());
    }
    Err(format!("the path `{}` may hold letters, digits, `.`, `_`, `-` and `/` only", printable(path)))
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
        Location::parse(&"origin".parse().expect("a name"), &StoreSpec::new(url))
    }

    #[test]
    fn every_kind_is_understood() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(parse("s3://data").expect("parses"), s3("data", ""));
        assert_eq!(parse("s3://data/a/b/").expect("parses"), s3("data", "a/b"));
        assert_eq!(parse("fs:///srv/mlp").expect("parses"), Location::Folder("/srv/mlp".into()));
        assert_eq!(parse("/srv/mlp").expect("parses"), Location::Folder("/srv/mlp".into()));
        assert_eq!(parse("memory://t1").expect("parses"), Location::Memory("t1".into()));
        let gcs = Location::Gcs { bucket: "b".into(), prefix: "p".into() };
        assert_eq!(parse("gs://b/p").expect("parses"), gcs);
        let azure = Location::Azure { container: "c".into(), prefix: String::new() };
        assert_eq!(parse("az://c").expect("parses"), azure);
        let dav = Location::WebDav { endpoint: "https://h:8443".into(), path: "/a/b".into() };
        assert_eq!(parse("webdavs://h:8443/a/b/").expect("parses"), dav);
        let web = Location::Http { endpoint: "http://h".into(), path: "/".into() };
        assert_eq!(parse("http://h").expect("parses"), web);
        let sftp = |destination: &str, port| Location::Sftp {
            destination: destination.into(),
            port,
            path: "/x".into(),
        };
        assert_eq!(parse("sftp://ada@h:22/x").expect("parses"), sftp("ada@h", Some(22)));
        assert_eq!(parse("sftp://h/x").expect("parses"), sftp("h", None));
        assert_eq!(parse("sftp://[::1]/x").expect("parses"), sftp("::1", None));
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
            "sftp://-oProxyCommand=x/p",
            "sftp://ada@-oProxyCommand=x/p",
            "sftp://h:port/p",
            "sftp://h/../p",
            "webdav:///p",
            "https://h/p?x=1",
            "https://h/$(touch x)",
        ] {
            let error = parse(url).expect_err(url);
            assert!(matches!(error, StoreError::Spec { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_without_being_repeated() {
        for (url, key) in [
            ("s3://AKIA:hunter2@bucket", "MLP_STORE_ORIGIN_SECRET_ACCESS_KEY"),
            ("webdavs://ada:hunter2@host/p", "MLP_STORE_ORIGIN_PASSWORD"),
            ("https://ada:hunter2@host/p", "MLP_STORE_ORIGIN_PASSWORD"),
            ("sftp://ada:hunter2@host/p", "key_file"),
        ] {
            let error = parse(url).expect_err("refused").to_string();
            assert!(!error.contains("hunter2") && error.contains(key), "{error}");
        }
        let endpoint = Some("http://ada:hunter2@host".to_owned());
        let spec = StoreSpec { endpoint, ..StoreSpec::new("s3://bucket") };
        let error =
            Location::parse(&"origin".parse().expect("a name"), &spec).expect_err("refused").to_string();
        assert!(!error.contains("hunter2") && error.contains("endpoint"), "{error}");
    }
}
