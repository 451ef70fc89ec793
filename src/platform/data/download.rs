//! `source:` of a dataset: files from http(s) URLs, and rendered digits.
//!
//! A file appears under its name only after all of it has arrived and its SHA-256 was checked. What has arrived so far
//! lies beside it as `.mlptmp.<name>.part`, and a later attempt goes on from there. Names that begin so are never taken
//! for data.

mod http;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use self::http::Fetcher;
use super::{DataError, Dataset, Digits, Source, digits};
use crate::base::{Level, Sink, Unit, hex};
use crate::infrastructure::durable::{self, TEMPORARY};

/// The files that rendered digits consist of.
const DIGITS: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// End of the name of a file that has not arrived whole.
const PART: &str = ".part";

/// What a download does with one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is there already.
    Kept,
    /// It was got (or would be).
    Downloaded,
    /// It was rendered (or would be).
    Rendered,
}

/// One source, dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Download {
    /// The file, or the folder of rendered digits.
    pub path: PathBuf,
    /// What was done.
    pub outcome: Outcome,
    /// Bytes of the file, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 of the file, 64 hexadecimal digits, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// How a download goes about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DownloadOptions {
    /// Replace what is there already.
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Gets all sources of `dataset`. Files that are there already are checked and kept.
pub fn download(
    dataset: &Dataset,
    options: DownloadOptions,
    sink: &dyn Sink,
) -> Result<Vec<Download>, DataError> {
    // All sources are understood before the first byte moves.
    let tasks: Vec<Task> =
        dataset.spec.source.iter().map(|source| Task::new(dataset, source)).collect::<Result<_, _>>()?;
    let mut fetcher = None;
    let run = |task: Task| match task {
        Task::Digits(settings) => render(dataset, &settings, options, sink),
        Task::File { url, path, sha256 } => file(dataset, &url, &path, sha256, options, &mut fetcher, sink),
    };
    tasks.into_iter().map(run).collect()
}

/// A source, understood and checked.
enum Task {
    File { url: Url, path: PathBuf, sha256: Option<String> },
    Digits(Digits),
}

impl Task {
    fn new(dataset: &Dataset, source: &Source) -> Result<Self, DataError> {
        let wrong = |detail: String| DataError::Source { name: dataset.name.to_string(), detail };
        let url = match (&source.url, &source.digits) {
            (Some(url), None) => url,
            (None, Some(digits)) => return Ok(Self::Digits(*digits)),
            _ => return Err(wrong("a source has either `url` or `digits`".to_owned())),
        };
        let url = Url::parse(url)
            .map_err(|error| wrong(format!("`{}` is not a URL: {error}", url.escape_debug())))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("`{}:` is not supported; use http: or https:", url.scheme())));
        }
        let sha256 = source.sha256.as_ref().map(|text| text.to_ascii_lowercase());
        if let Some(text) = sha256.as_ref().filter(|text| !is_sha256(text)) {
            return Err(wrong(format!(
                "`{}` is not a SHA-256: expected 64 hexadecimal digits",
                text.escape_debug()
            )));
        }
        let path = place(dataset, source, &url).map_err(wrong)?;
        Ok(Self::File { url, path, sha256 })
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where the file of `source` goes: below the dataset's folder, or the dataset itself if that is one file.
fn place(dataset: &Dataset, source: &Source, url: &Url) -> Result<PathBuf, String> {
    let one_file = dataset.spec.format.one_file();
    let extension = dataset.path.extension().and_then(|extension| extension.to_str());
    if one_file.is_some_and(|one_file| extension.is_some_and(|other| other.eq_ignore_ascii_case(one_file))) {
        return match (dataset.spec.source.len(), &source.file) {
            (1, None) => Ok(dataset.path.clone()),
            (1, Some(file)) => Err(format!(
                "`path` is one file, so that `file: {}` has no meaning; leave it out",
                file.escape_debug()
            )),
            _ => Err("`path` is one file and cannot have several sources; let it be a folder".to_owned()),
        };
    }
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let name = source.file.as_deref().unwrap_or(last);
    let ordinary = |component: Component| match component {
        Component::Normal(part) => {
            part != ".git" && part != ".mlp" && !part.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
        }
        _ => false,
    };
    let safe = !name.is_empty()
        && name.len() <= 1024
        && !name.chars().any(|c| c.is_control() || matches!(c, '\\' | ':'))
        && Path::new(name).components().all(ordinary)
        && !name.ends_with('/');
    match (safe, &source.file) {
        (true, _) => Ok(dataset.path.join(name)),
        (false, Some(_)) => Err(format!("`file: {}` is not a path below the dataset", name.escape_debug())),
        (false, None) => Err(format!("`{url}` ends with no file name; add `file: NAME`")),
    }
}

fn render(
    dataset: &Dataset,
    settings: &Digits,
    options: DownloadOptions,
    sink: &dyn Sink,
) -> Result<Download, DataError> {
    let done = |outcome| Download { path: dataset.path.clone(), outcome, bytes: None, sha256: None };
    let there = DIGITS.iter().all(|name| dataset.path.join(name).is_file());
    if there && !options.force {
        return Ok(done(Outcome::Kept));
    }
    if !options.dry_run {
        fs::create_dir_all(&dataset.path).map_err(DataError::io("make", &dataset.path))?;
        digits::write(settings, &dataset.path, sink)?;
    }
    Ok(done(Outcome::Rendered))
}

fn file(
    dataset: &Dataset,
    url: &Url,
    path: &Path,
    sha256: Option<String>,
    options: DownloadOptions,
    fetcher: &mut Option<Fetcher>,
    sink: &dyn Sink,
) -> Result<Download, DataError> {
    let done = |outcome, bytes, sha256| Download { path: path.to_owned(), outcome, bytes, sha256 };
    if let Some((bytes, found)) = identify(path, sink)? {
        match &sha256 {
            Some(wanted) if found != *wanted && !options.force => {
                return Err(DataError::Differs {
                    path: path.display().to_string(),
                    wanted: wanted.clone(),
                    found,
                });
            }
            Some(wanted) if found == *wanted => return Ok(done(Outcome::Kept, Some(bytes), Some(found))),
            None if !options.force => return Ok(done(Outcome::Kept, Some(bytes), Some(found))),
            _ => {}
        }
    }
    if options.dry_run {
        return Ok(done(Outcome::Downloaded, None, sha256));
    }
    let folder = path.parent().unwrap_or(&dataset.path);
    fs::create_dir_all(folder).map_err(DataError::io("make", folder))?;
    let fetcher = match fetcher {
        Some(fetcher) => fetcher,
        None => fetcher.insert(Fetcher::new()?),
    };
    let part = part(path);
    // A part that began with other content (the file changed on the server) is found by its hash: once more from zero.
    let mut resumed = sha256.is_some() && part.metadata().is_ok_and(|metadata| metadata.len() > 0);
    if !resumed {
        remove(&part)?;
    }
    let (bytes, found) = loop {
        let (bytes, found) = fetcher.get(url, &part, sha256.is_some(), sink)?;
        match &sha256 {
            Some(wanted) if found != *wanted && resumed => {
                resumed = false;
                remove(&part)?;
            }
            Some(wanted) if found != *wanted => {
                let aside = aside(path, &found);
                durable::set_aside(&part, &aside).map_err(DataError::io("move", &part))?;
                return Err(DataError::WrongHash {
                    url: url.to_string(),
                    wanted: wanted.clone(),
                    found,
                    aside,
                });
            }
            _ => break (bytes, found),
        }
    };
    durable::rename(&part, path).map_err(DataError::io("write", path))?;
    if sha256.is_none() {
        sink.log(
            Level::Warn,
            &format!("`{url}` has no `sha256` in mlp.yaml; what arrived has `sha256: {found}`"),
        );
    }
    Ok(done(Outcome::Downloaded, Some(bytes), Some(found)))
}

/// Size and SHA-256 of a file, if it is there.
fn identify(path: &Path, sink: &dyn Sink) -> Result<Option<(u64, String)>, DataError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(DataError::io("read", path))?,
    };
    let total = file.metadata().ok().map(|metadata| metadata.len());
    let task = format!("checking {}", file_name(path));
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        match file.read(&mut buffer).map_err(DataError::io("read", path))? {
            0 => return Ok(Some((done, hex(&hasher.finalize())))),
            count => {
                hasher.update(&buffer[..count]);
                done += count as u64;
                sink.progress(&task, done, total, Unit::Bytes);
            }
        }
    }
}

fn part(path: &Path) -> PathBuf {
    temporary(path, PART)
}

/// Where a file with the wrong content is put, so that it can be looked at.
fn aside(path: &Path, found: &str) -> PathBuf {
    temporary(path, &format!(".wrong-{}", &found[..8]))
}

/// A name beside `path` that is never taken for data.
fn temporary(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(TEMPORARY);
    name.push(path.file_name().unwrap_or_default());
    name.push(end);
    path.with_file_name(name)
}

fn remove(path: &Path) -> Result<(), DataError> {
    durable::remove(path).map(drop).map_err(DataError::io("remove", path))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
