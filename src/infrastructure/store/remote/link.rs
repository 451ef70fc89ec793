//! Links to objects of a store, which expire: made by who has its credentials, read by who has none.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RANGE};

use super::folder::Folder;
use super::runtime::wait;
use super::{Place, Remote, StoreError};
use crate::infrastructure::store::transfer::{Lent, Link};

/// A store that is not reached in this time is not within reach.
const CONNECT: Duration = Duration::from_secs(3);
/// Nothing may be silent for longer.
const IDLE: Duration = Duration::from_secs(30);
/// A read that was broken off is tried so often.
const TRIES: u32 = 3;

impl Remote {
    /// A link by which an object may be read for so long; none if the service knows no such thing.
    pub(in crate::infrastructure::store) fn link(
        &self,
        key: &str,
        valid: Duration,
    ) -> Result<Option<Link>, StoreError> {
        let operator = match &self.inner.place {
            Place::Folder(Folder(path)) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone()).join(key);
                let url = url::Url::from_file_path(path).ok();
                return Ok(url.map(|url| Link { url: url.to_string(), headers: BTreeMap::new() }));
            }
            Place::Service(service) if service.once.info().capability().presign_read => &service.once,
            _ => return Ok(None),
        };
        let (operator, path) = (operator.clone(), key.to_owned());
        let signed = wait(async move { operator.presign_read(&path, valid).await })?
            .map_err(|error| self.service("sign a link to", key, &error))?;
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = signed.header().iter().filter(|(name, _)| *name != "host");
        let headers = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Some(Link { url: signed.uri().to_string(), headers }))
    }
}

impl Lent {
    /// Its bytes, as they are; the link itself is a secret and in no message.
    ///
    /// # Errors
    /// Why they cannot be read, in words.
    pub(in crate::infrastructure::store) fn read(&self) -> Result<Vec<u8>, String> {
        let url = url::Url::parse(&self.link.url).map_err(|_| "what was lent is no link".to_owned())?;
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| "what was lent is no path".to_owned())?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let folder = Folder(path.parent().unwrap_or(&path).to_owned());
            let read = folder.range(name, self.range.clone());
            return read.map_err(|error| format!("the folder of the store: {error}"));
        }
        let mut left = TRIES;
        loop {
            left -= 1;
            let (link, range, url) = (self.link.clone(), self.range.clone(), url.clone());
            let place = url.host_str().unwrap_or_default().to_owned();
            let got = wait(async move { get(link, range, url).await }).map_err(|error| error.to_string())?;
            match got {
                Ok(bytes) => return Ok(bytes),
                // What is not reached at once is not tried for long.
                Err(error) if left == 0 || error.is_connect() || error.is_status() => {
                    let mut error: &dyn std::error::Error = &error.without_url();
                    while let Some(source) = error.source() {
                        error = source;
                    }
                    return Err(format!("{place}: {error}"));
                }
                Err(_) => {}
            }
        }
    }
}

async fn get(link: Link, range: Range<u64>, url: url::Url) -> reqwest::Result<Vec<u8>> {
    let mut headers = HeaderMap::new();
    for (name, value) in &link.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    let wanted = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
    let request = client()?.get(url).headers(headers).header(RANGE, wanted);
    let mut response = request.send().await?.error_for_status()?;
    let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    // A server that knows no ranges sends all of it; no more than was wanted is kept.
    let mut before = if response.status() == 206 { 0 } else { range.start };
    while bytes.len() < length
        && let Some(piece) = response.chunk().await?
    {
        let skipped = before.min(piece.len() as u64);
        before -= skipped;
        let rest = &piece[skipped as usize..];
        bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
    }
    Ok(bytes)
}

fn client() -> reqwest::Result<Client> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let client = Client::builder().connect_timeout(CONNECT).read_timeout(IDLE).build()?;
    Ok(CLIENT.get_or_init(|| client).clone())
}
