//! One file over http(s) into its `.part`.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode, redirect};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use url::Url;

use super::{PART, TEMPORARY, file_name};
use crate::base::{Sink, Unit, hex};
use crate::platform::data::DataError;

/// Attempts without a single new byte before giving up.
const ATTEMPTS: u32 = 4;
/// Redirects followed, at most.
const REDIRECTS: usize = 8;
/// How long a server may be silent.
const IDLE: Duration = Duration::from_secs(60);

/// Downloads, one after the other, over one client.
pub(super) struct Fetcher {
    client: Client,
    runtime: Runtime,
}

/// Why an attempt ended.
enum Stop {
    /// Another attempt may help.
    Again(String),
    /// No attempt will.
    Never(String),
    /// The disk, not the network.
    Disk(DataError),
}

/// A `.part` file that is being filled.
struct Part<'a> {
    path: &'a Path,
    file: File,
    hasher: Sha256,
    length: u64,
    /// Whether its content may be believed to belong to what the server has now.
    trusted: bool,
    /// The server's name for the content, if it is a strong one.
    etag: Option<String>,
}

impl Fetcher {
    pub(super) fn new() -> Result<Self, DataError> {
        let failed = |detail: String| DataError::Download { url: "http".to_owned(), detail };
        let policy = redirect::Policy::custom(|attempt| {
            let from_https = attempt.previous().last().is_some_and(|previous| previous.scheme() == "https");
            match attempt.url().scheme() {
                _ if attempt.previous().len() > REDIRECTS => attempt.error("too many redirects"),
                "https" => attempt.follow(),
                "http" if !from_https => attempt.follow(),
                _ => attempt.error("a redirect away from https, or to something that is not http"),
            }
        });
        let client = Client::builder()
            .user_agent(concat!("mlp/", env!("CARGO_PKG_VERSION")))
            .redirect(policy)
            .connect_timeout(Duration::from_secs(30))
            .read_timeout(IDLE)
            .build()
            .map_err(|error| failed(chain(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, runtime })
    }

    /// Fills `part` with the file at `url`, going on from what is in it; returns size and SHA-256.
    ///
    /// `checked`: the caller knows the hash, so that a part of unknown age may be continued.
    pub(super) fn get(
        &self,
        url: &Url,
        part: &Path,
        checked: bool,
        sink: &dyn Sink,
    ) -> Result<(u64, String), DataError> {
        let mut part = Part::open(part, checked)?;
        let mut fruitless = 0;
        loop {
            let before = part.length;
            let detail = match self.runtime.block_on(self.attempt(url, &mut part, sink)) {
                Ok(()) => {
                    part.file.sync_all().map_err(DataError::io("write", part.path))?;
                    return Ok((part.length, hex(&part.hasher.finalize())));
                }
                Err(Stop::Disk(error)) => return Err(error),
                Err(Stop::Never(detail)) => return Err(DataError::Download { url: url.to_string(), detail }),
                Err(Stop::Again(detail)) => detail,
            };
            fruitless = if part.length > before { 0 } else { fruitless + 1 };
            if fruitless == ATTEMPTS {
                return Err(DataError::Download { url: url.to_string(), detail });
            }
            if !part.trusted && part.etag.is_none() {
                part.restart()?;
            }
            std::thread::sleep(Duration::from_millis(100 << fruitless));
        }
    }

    async fn attempt(&self, url: &Url, part: &mut Part<'_>, sink: &dyn Sink) -> Result<(), Stop> {
        let mut request = self.client.get(url.clone());
        if part.length > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.length));
            if let Some(etag) = &part.etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        let mut response = request.send().await.map_err(|error| {
            // A redirect that is not followed, or a URL that cannot be one, will not get better.
            if error.is_redirect() || error.is_builder() {
                Stop::Never(chain(&error))
            } else {
                Stop::Again(chain(&error))
            }
        })?;
        let status = response.status();
        match status {
            StatusCode::OK => part.restart().map_err(Stop::Disk)?,
            StatusCode::PARTIAL_CONTENT if part.length > 0 && range_start(&response) == Some(part.length) => {
            }
            // All of it is here, or more than there is: begin again, the hash decides.
            StatusCode::RANGE_NOT_SATISFIABLE if part.length > 0 => {
                if range_total(&response) == Some(part.length) {
                    return Ok(());
                }
                part.restart().map_err(Stop::Disk)?;
                return Err(Stop::Again("the server does not continue the file".to_owned()));
            }
            StatusCode::PARTIAL_CONTENT => {
                part.restart().map_err(Stop::Disk)?;
                return Err(Stop::Again("the server sent another range than asked for".to_owned()));
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Err(Stop::Again(format!("the server answered {status}")));
            }
            _ if status.is_server_error() => {
                return Err(Stop::Again(format!("the server answered {status}")));
            }
            _ if status.is_redirection() => {
                return Err(Stop::Never(format!("the server answered {status}, a redirect to nowhere")));
            }
            _ => return Err(Stop::Never(format!("the server answered {status}"))),
        }
        let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok());
        part.etag = etag.filter(|etag| etag.starts_with('"')).map(str::to_owned);
        let total = response.content_length().map(|rest| part.length + rest);
        let name = file_name(part.path);
        let task = format!("downloading {}", name.trim_start_matches(TEMPORARY).trim_end_matches(PART));
        let mut shown = Instant::now();
        while let Some(bytes) = response.chunk().await.map_err(|error| Stop::Again(chain(&error)))? {
            part.push(&bytes).map_err(Stop::Disk)?;
            if shown.elapsed() > Duration::from_millis(50) {
                shown = Instant::now();
                sink.progress(&task, part.length, total, Unit::Bytes);
            }
        }
        sink.progress(&task, part.length, total, Unit::Bytes);
        match total {
            Some(total) if total != part.length => {
                Err(Stop::Again(format!("the connection ended after {} of {total} bytes", part.length)))
            }
            _ => Ok(()),
        }
    }
}

impl<'a> Part<'a> {
    fn open(path: &'a Path, trusted: bool) -> Result<Self, DataError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(DataError::io("write", path))?;
        let mut hasher = Sha256::new();
        let mut length = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).map_err(DataError::io("read", path))? {
                0 => break,
                count => {
                    hasher.update(&buffer[..count]);
                    length += count as u64;
                }
            }
        }
        Ok(Self { path, file, hasher, length, trusted, etag: None })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.file.write_all(bytes).map_err(DataError::io("write", self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), DataError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(DataError::io("write", self.path))?;
        self.hasher = Sha256::new();
        self.length = 0;
        self.etag = None;
        Ok(())
    }
}

/// The first byte of `Content-Range: bytes 5-9/10`.
fn range_start(response: &Response) -> Option<u64> {
    content_range(response)?.split_once('-')?.0.parse().ok()
}

/// The size in `Content-Range: bytes */10`.
fn range_total(response: &Response) -> Option<u64> {
    content_range(response)?.split_once('/')?.1.parse().ok()
}

fn content_range(response: &Response) -> Option<&str> {
    response.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")
}

/// An error with its causes, for reqwest says the interesting part last.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.chars().take(300).collect()
}
