//! What `--verbose` tells of requests: one line each, without what could be a secret.

use std::time::Instant;

use http::{Method, StatusCode, Uri};

/// The target of these lines among all that libraries log.
pub const TARGET: &str = "mlp/requests";

/// Values of a query that are shown: they say what is listed. All others may be signatures or tokens.
const SHOWN: [&str; 6] = ["prefix", "delimiter", "list-type", "comp", "restype", "op"];

/// A request; the line is written when this is dropped.
pub(super) struct Told(Option<Line>);

struct Line {
    what: String,
    began: Instant,
    outcome: String,
    sent: usize,
    received: usize,
}

impl Told {
    /// A request over HTTP.
    pub(super) fn request(store: &str, method: &Method, uri: &Uri, sent: usize) -> Self {
        Self::begin(sent, || format!("{store}: {method} {}", shown(uri)))
    }

    /// An operation on an object where nothing is asked over HTTP.
    pub(super) fn operation(store: &str, action: &str, key: &str, sent: usize) -> Self {
        Self::begin(sent, || format!("{store}: {action} {key}"))
    }

    /// What others tell of.
    pub(super) fn nothing() -> Self {
        Self(None)
    }

    fn begin(sent: usize, what: impl FnOnce() -> String) -> Self {
        let wanted = log::log_enabled!(target: TARGET, log::Level::Debug);
        Self(wanted.then(|| Line {
            what: what(),
            began: Instant::now(),
            outcome: String::new(),
            sent,
            received: 0,
        }))
    }

    /// The service answered.
    pub(super) fn answered(mut self, status: StatusCode) -> Self {
        if let Some(line) = &mut self.0 {
            line.outcome = format!(" {}", status.as_u16());
        }
        self
    }

    /// More bytes came.
    pub(super) fn received(&mut self, bytes: usize) {
        if let Some(line) = &mut self.0 {
            line.received += bytes;
        }
    }

    /// It failed.
    pub(super) fn failed(mut self, error: &opendal::Error) {
        if let Some(line) = &mut self.0 {
            line.outcome += &format!(" failed: {}", error.message());
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(Line { what, began, outcome, sent, received }) = &self.0 {
            let ms = began.elapsed().as_secs_f64() * 1e3;
            log::debug!(target: TARGET, "{what}{outcome}, {sent} B up, {received} B down, {ms:.1} ms");
        }
    }
}

/// A URL without user, password and the values of its query that nobody needs to see.
fn shown(uri: &Uri) -> String {
    let host = uri.authority().map(|host| host.as_str().rsplit('@').next().unwrap_or_default());
    let mut text =
        format!("{}://{}{}", uri.scheme_str().unwrap_or("http"), host.unwrap_or_default(), uri.path());
    for (n, pair) in uri.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        text.push(if n == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((key, _)) if !SHOWN.contains(&key) => text += &format!("{key}=…"),
            _ => text += pair,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_could_be_a_secret() {
        let uri =
            "https://ada:hunter2@host:9/b/packs/ab?prefix=packs%2F&X-Amz-Signature=5ec&sig=hunter2&uploads";
        let shown = shown(&uri.parse().expect("a URL"));
        assert_eq!(shown, "https://host:9/b/packs/ab?prefix=packs%2F&X-Amz-Signature=…&sig=…&uploads");
    }
}
