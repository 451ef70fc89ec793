//! Reading DVC repositories (DVC 0.x to 3.x): configuration, `*.dvc` files, `dvc.lock`; and writing them, as the way back.
//!
//! DVC 3 marks its outputs with `hash: md5` and keeps them under `files/md5/`; before it, outputs had no mark, were kept at the top and,
//! if text, named after their content with Unix line ends (<https://dvc.org/doc/user-guide/project-structure/internal-files>).

mod config;
mod export;
pub mod listing;
mod stages;
mod template;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::config::{Config, Origin};
pub use self::export::{Exported, Target, export};
pub use self::listing::{Entry, read as read_listing};
pub use self::stages::{Converted, Unconverted, convert};
use super::{Algorithm, ForeignId};
use crate::platform::data::DataError;

/// No file of DVC's that is read has more bytes.
const LONGEST: u64 = 64 << 20;

/// One output that DVC keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Out {
    /// Its path, relative to the root of the git repository.
    pub path: String,
    /// The file that says so, relative to the root of the git repository.
    pub file: String,
    /// What it is, or why it cannot be imported.
    pub content: Result<Content, &'static str>,
}

/// What an output is.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Its id.
    pub id: ForeignId,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Number of files.
    pub files: Option<u64>,
    /// Whether it is a program.
    pub executable: bool,
    /// The DVC remote that it is pushed to, if not the default one.
    pub remote: Option<String>,
}

/// An output as `*.dvc` files and `dvc.lock` have it. Keys that do not matter here are passed over.
#[derive(Deserialize)]
struct Written {
    path: String,
    md5: Option<String>,
    hash: Option<String>,
    size: Option<u64>,
    nfiles: Option<u64>,
    #[serde(default)]
    isexec: bool,
    cache: Option<bool>,
    remote: Option<String>,
    /// The files of a directory that is versioned by its cloud.
    files: Option<Value>,
}

#[derive(Deserialize)]
struct DvcFile {
    #[serde(default)]
    outs: Vec<Written>,
    #[serde(default)]
    wdir: Option<String>,
}

/// `dvc.lock`, schema 2.0, or 1.0, which has the stages at its top.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lock {
    Staged { stages: IndexMap<String, Locked> },
    Plain(IndexMap<String, Locked>),
}

#[derive(Deserialize)]
struct Locked {
    #[serde(default)]
    outs: Vec<Written>,
}

/// The outputs of the DVC files among `files` (paths below `root`, the root of the git repository), each path once.
pub fn outs(root: &Path, files: &[String]) -> Result<Vec<Out>, DataError> {
    let mut outs: Vec<Out> = Vec::new();
    for file in files {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let written = if file.ends_with(".dvc") && !file.ends_with("/.dvc") && file != ".dvc" {
            let read: DvcFile = yaml(root, file)?;
            let folder = join(folder, read.wdir.as_deref().unwrap_or_default());
            read.outs.into_iter().map(|written| out(written, &folder, file)).collect()
        } else if file == "dvc.lock" || file.ends_with("/dvc.lock") {
            locked(root, file, folder)?
        } else {
            Vec::new()
        };
        for out in written.into_iter().flatten() {
            if !outs.iter().any(|other| other.path == out.path) {
                outs.push(out);
            }
        }
    }
    Ok(outs)
}

fn locked(root: &Path, file: &str, folder: &str) -> Result<Vec<Option<Out>>, DataError> {
    let (Lock::Staged { stages } | Lock::Plain(stages)) = yaml(root, file)?;
    // The paths count from the stage's folder, which stands in dvc.yaml alone.
    let folders = stages::folders(root, &join(folder, "dvc.yaml")).unwrap_or_default();
    let outs = stages.into_iter().flat_map(|(name, stage)| {
        let name = name.split('@').next().unwrap_or_default();
        let folder = join(folder, folders.get(name).map_or("", String::as_str));
        stage.outs.into_iter().map(move |written| out(written, &folder, file)).collect::<Vec<_>>()
    });
    Ok(outs.collect())
}

/// None for what git keeps itself.
fn out(written: Written, folder: &str, file: &str) -> Option<Out> {
    if written.cache == Some(false) {
        return None;
    }
    let path = join(folder, &written.path);
    let outside = written.path.contains("://") || path.starts_with('/') || path.starts_with("..");
    let algorithm = match written.hash.as_deref() {
        Some("md5") => Some(Algorithm::Md5),
        None | Some("md5-dos2unix") => Some(Algorithm::Md5Text),
        Some(_) => None,
    };
    let id =
        algorithm.zip(written.md5.as_deref()).and_then(|(algorithm, md5)| ForeignId::new(algorithm, md5));
    let content = match id {
        _ if outside => Err("it lies outside of the repository"),
        Some(id) => Ok(Content {
            id,
            size: written.size,
            files: written.nfiles,
            executable: written.isexec,
            remote: written.remote,
        }),
        None if written.files.is_some() => Err("its cloud versions it; get it with `dvc pull` and add it"),
        None => Err("it has no MD5; get it with `dvc pull` and add it"),
    };
    let path = if outside { written.path } else { path };
    Some(Out { path, file: file.to_owned(), content })
}

/// `folder/path` without `.` and, as far as it goes, `..`.
fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Reads a YAML file of somebody else's, within limits.
fn yaml<T: DeserializeOwned>(root: &Path, file: &str) -> Result<T, DataError> {
    let malformed =
        |detail: String| DataError::Malformed { path: file.to_owned(), format: "DVC file", detail };
    let text = text(&root.join(file))?.ok_or_else(|| malformed("it is not there".to_owned()))?;
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_depth: 64, max_events: 20_000_000, max_nodes: 10_000_000 },
        with_snippet: false,
        // As DVC reads YAML: `y` and `on` are texts.
        strict_booleans: true,
    };
    serde_yaml::from_str_with_options(&text, options).map_err(|error| {
        malformed(error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned())
    })
}

/// The text of a file, if it is there.
fn text(path: &Path) -> Result<Option<String>, DataError> {
    let malformed = |detail: &str| DataError::Malformed {
        path: path.display().to_string(),
        format: "DVC file",
        detail: detail.to_owned(),
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DataError::io("read", path)(error)),
        Ok(metadata) if metadata.len() > LONGEST => return Err(malformed("it is too long")),
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(DataError::io("read", path))?;
    String::from_utf8(bytes).map(Some).map_err(|_| malformed("it is not UTF-8"))
}

/// The DVC repository that `folder` lies in, not above `top`.
pub fn find(folder: &Path, top: &Path) -> Option<PathBuf> {
    let mut above = folder.ancestors().take_while(|above| above.starts_with(top));
    above.find(|above| above.join(".dvc").is_dir()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        std::fs::write(path, text).expect("writes");
    }

    #[test]
    fn outputs_of_both_layouts_are_found() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        write(
            root,
            "data/new.dvc",
            &format!("outs:\n- md5: {HEX}.dir\n  hash: md5\n  size: 9\n  nfiles: 2\n  path: new\n"),
        );
        write(
            root,
            "data/old.csv.dvc",
            &format!("md5: {HEX}\nwdir: ..\nouts:\n- md5: {HEX}\n  path: data/old.csv\n  isexec: true\n"),
        );
        write(
            root,
            "far.dvc",
            &format!(
                "outs:\n- md5: {HEX}\n  path: /far\n- path: cloudy\n  files: []\n- path: x\n  cache: false\n"
            ),
        );
        write(root, "p/dvc.yaml", "stages:\n  train:\n    cmd: x\n    wdir: sub\n");
        let lock = format!(
            "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n    - path: m.bin\n      hash: md5\n      md5: {HEX}\n"
        );
        write(root, "p/dvc.lock", &lock);
        let files =
            ["data/new.dvc", "data/old.csv.dvc", "far.dvc", "p/dvc.lock", "README.md"].map(str::to_owned);
        let outs = outs(root, &files).expect("reads");
        let told: Vec<_> = outs
            .iter()
            .map(|out| (out.path.as_str(), out.content.as_ref().map(|content| content.id.to_string())))
            .collect();
        assert_eq!(told[0], ("data/new", Ok(format!("md5:{HEX}.dir"))));
        assert_eq!(told[1], ("data/old.csv", Ok(format!("md5-dos2unix:{HEX}"))));
        assert_eq!(told[2].0, "/far");
        assert_eq!(told[3].0, "cloudy");
        assert!(told[2].1.is_err() && told[3].1.is_err());
        assert_eq!(told[4], ("p/sub/m.bin", Ok(format!("md5:{HEX}"))));
        assert_eq!(told.len(), 5);
        assert!(outs[1].content.as_ref().is_ok_and(|content| content.executable));
    }

    #[test]
    fn a_lock_without_a_schema_is_read() {
        let folder = tempfile::tempdir().expect("folder");
        write(folder.path(), "dvc.lock", &format!("a:\n  cmd: x\n  outs:\n  - path: out\n    md5: {HEX}\n"));
        let outs = outs(folder.path(), &["dvc.lock".to_owned()]).expect("reads");
        assert_eq!(outs[0].path, "out");
    }

    #[test]
    fn paths_are_joined() {
        assert_eq!(join("a/b", "../c"), "a/c");
        assert_eq!(join("", "./c"), "c");
        assert_eq!(join("a", "../../c"), "../c");
    }
}
