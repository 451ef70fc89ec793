//! Data that another tool versioned and whose bytes are still where that tool put them: a DVC remote, a DVC cache, git-lfs' objects.
//!
//! The pointer of such data is a *promise*: it names them by the other tool's id until their bytes are first needed. Then they are
//! fetched, compared with that id, made a version of mlp's own, and an ordinary pointer takes the promise's place.
//!
//! ```yaml
//! mlp: 1
//! kind: foreign
//! id: md5:c157a79031e1c40f85931829bc5fc552.dir
//! size: 19010203
//! files: 70000
//! from: origin
//! ```

mod bucket;
mod checksum;
pub mod dvc;
mod gather;
mod keep;
pub mod lfs;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

pub use self::bucket::bucket;
pub use self::keep::{Object, Places, keep};
use super::DataError;
use crate::base::{Name, yaml_scalar};

/// How another tool names content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// DVC 3: MD5 of the bytes.
    Md5,
    /// DVC 2 and older: MD5 of the bytes, of texts with their line ends made Unix's.
    Md5Text,
    /// git-lfs: SHA-256 of the bytes.
    Sha256,
}

impl Algorithm {
    const ALL: [(&'static str, Self, usize); 3] =
        [("md5", Self::Md5, 32), ("md5-dos2unix", Self::Md5Text, 32), ("sha256", Self::Sha256, 64)];
}

/// The id of a file, or of a listing of files, in another tool: `md5:<hex>`, with `.dir` behind it for a listing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForeignId {
    algorithm: Algorithm,
    hex: String,
    directory: bool,
}

impl ForeignId {
    /// The id of `text`, the tool's own form: hexadecimal digits, with `.dir` behind them for DVC's listings.
    pub fn new(algorithm: Algorithm, text: &str) -> Option<Self> {
        let (hex, directory) = text.strip_suffix(".dir").map_or((text, false), |hex| (hex, true));
        let length = Algorithm::ALL.iter().find(|(_, known, _)| *known == algorithm)?.2;
        let is_hex = hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let listed = !directory || algorithm != Algorithm::Sha256;
        (is_hex && listed).then(|| Self { algorithm, hex: hex.to_owned(), directory })
    }

    /// Where the tool keeps the object, below its cache or remote.
    fn key(&self) -> String {
        let end = if self.directory { ".dir" } else { "" };
        let (first, rest) = self.hex.split_at(2);
        match self.algorithm {
            Algorithm::Md5 => format!("files/md5/{first}/{rest}{end}"),
            Algorithm::Md5Text => format!("{first}/{rest}{end}"),
            Algorithm::Sha256 => format!("{first}/{}/{}", &rest[..2], self.hex),
        }
    }
}

impl fmt::Display for ForeignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Algorithm::ALL.iter().find(|(_, known, _)| *known == self.algorithm);
        let name = name.map_or("", |(name, _, _)| name);
        write!(f, "{name}:{}{}", self.hex, if self.directory { ".dir" } else { "" })
    }
}

impl FromStr for ForeignId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || {
            let (name, rest) = text.split_once(':')?;
            let (_, algorithm, _) = Algorithm::ALL.iter().find(|(known, _, _)| *known == name)?;
            Self::new(*algorithm, rest)
        };
        let shown = || text.chars().take(80).collect::<String>().escape_debug().to_string();
        known().ok_or_else(|| format!("`{}` is not an id of DVC or git-lfs", shown()))
    }
}

impl<'de> Deserialize<'de> for ForeignId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a pointer of the kind `foreign` says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Promise {
    /// The content, as the other tool names it.
    pub id: ForeignId,
    /// Its size in bytes, where the tool says it.
    #[serde(default)]
    pub size: Option<u64>,
    /// The number of files in a directory, where the tool says it.
    #[serde(default)]
    pub files: Option<u64>,
    /// Whether a file is a program.
    #[serde(default)]
    pub executable: bool,
    /// The entry under `imports:` in `mlp.yaml` that has the bytes; without, only this clone's cache of the tool can.
    #[serde(default)]
    pub from: Option<Name>,
}

impl Promise {
    /// The promise in the text of a pointer; none if it is an ordinary pointer. `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Option<Self>, DataError> {
        if !text.lines().any(|line| line.trim_end() == "kind: foreign") {
            return Ok(None);
        }
        let options = serde_yaml::options! {
            budget: serde_yaml::budget! { max_depth: 8, flow_nesting_limit: 8, max_aliases: 0, max_anchors: 0 },
            with_snippet: false,
            strict_booleans: true,
        };
        serde_yaml::from_str_with_options(text, options).map(Some).map_err(|error| DataError::Pointer {
            path: path.display().to_string(),
            detail: error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned(),
            label: None,
        })
    }

    /// The pointer's text: the same for the same promise.
    pub fn text(&self) -> String {
        let mut text = format!("mlp: 1\nkind: foreign\nid: {}\n", self.id);
        let mut line = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("{key}: {value}\n"));
            }
        };
        line("executable", self.executable.then(|| "true".to_owned()));
        line("size", self.size.map(|size| size.to_string()));
        line("files", self.files.map(|files| files.to_string()));
        line("from", self.from.as_ref().map(|from| yaml_scalar(from.as_str())));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_survives_a_round_trip() {
        for id in
            ["md5:0123456789abcdef0123456789abcdef.dir", "md5-dos2unix:0123456789abcdef0123456789abcdef"]
        {
            for from in [None, Some("1".parse().expect("a name")), Some("origin".parse().expect("a name"))] {
                let id = id.parse().expect("an id");
                let promise = Promise { id, size: Some(3), files: None, executable: true, from };
                let read = Promise::parse(&promise.text(), Path::new("x.mlp")).expect("reads");
                assert_eq!(read, Some(promise));
            }
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "md5:",
            "md5:xyz",
            "md5:0123456789ABCDEF0123456789ABCDEF",
            "md5:../../../../../../../../../../etc",
            "sha256:0123456789abcdef0123456789abcdef",
            "b3:0123456789abcdef0123456789abcdef",
        ] {
            assert!(text.parse::<ForeignId>().is_err(), "{text}");
            let pointer = format!("mlp: 1\nkind: foreign\nid: {text}\n");
            assert!(Promise::parse(&pointer, Path::new("x.mlp")).is_err(), "{text}");
        }
        let listing = format!("sha256:{}.dir", "0".repeat(64));
        assert!(listing.parse::<ForeignId>().is_err());
    }

    #[test]
    fn objects_lie_where_the_tools_put_them() {
        let key = |text: &str| text.parse::<ForeignId>().expect("an id").key();
        let hex = "0123456789abcdef0123456789abcdef";
        assert_eq!(key(&format!("md5:{hex}.dir")), "files/md5/01/23456789abcdef0123456789abcdef.dir");
        assert_eq!(key(&format!("md5-dos2unix:{hex}")), "01/23456789abcdef0123456789abcdef");
        assert_eq!(key(&format!("sha256:{hex}{hex}")), format!("01/23/{hex}{hex}"));
    }
}
