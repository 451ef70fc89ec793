//! How HTTP requests travel: so many at once, so many bytes a second, each watched for a connection that has gone silent, and told
//! of with `--verbose`. It lies below opendal's retries: every try passes here.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Buf;
use futures::{Stream, TryStreamExt, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use opendal::raw::oio::ReadStream;
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport, Result};
use reqwest::Client;

use super::gate::{Gate, Pass};
use super::rate::Pace;
use super::told::Told;

/// How long a service may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of a request's body that are handed over at once: what is seen to go.
const PIECE: usize = 64 << 10;
/// Bytes of a refusal that are looked at.
const REASON: usize = 16 << 10;
/// What Azure says to a clock that is wrong.
pub(super) const LATE: &str = "Request date header too old";
/// Tries at a service that never answered before it counts as not there.
const KNOCKS: u32 = 3;
/// Connections in a row that fall silent before a service counts as gone.
const SILENCES: u32 = 2;

/// The way to one service.
pub(super) struct Transport {
    store: String,
    gate: Arc<Gate>,
    pace: Pace,
    /// For how long nothing may move, in either direction.
    idle: Duration,
    /// Whether the service ever answered.
    answered: AtomicBool,
    /// Connections that failed before it did.
    knocks: AtomicU32,
    /// Connections in a row that fell silent.
    silences: AtomicU32,
}

impl Transport {
    /// The way to the service of the store `store`.
    pub(super) fn new(store: &str, pace: Pace, idle: Duration) -> Self {
        Self {
            store: store.to_owned(),
            gate: Gate::new(),
            pace,
            idle,
            answered: AtomicBool::new(false),
            knocks: AtomicU32::new(0),
            silences: AtomicU32::new(0),
        }
    }

    /// Sends a request and waits for the head of its answer, as long as something moves.
    async fn sent(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let moved = Moved::begin();
        let answer = send(request, self.pace.clone(), moved.clone());
        tokio::pin!(answer);
        loop {
            match tokio::time::timeout(moved.left(self.idle), &mut answer).await {
                Ok(Err(error)) => return Err(self.failed(&error)),
                Ok(Ok(answer)) => return Ok(answer),
                Err(_) if moved.left(self.idle).is_zero() => return Err(self.silent()),
                Err(_) => {}
            }
        }
    }

    fn failed(&self, error: &reqwest::Error) -> Error {
        let knocks = || self.knocks.fetch_add(1, Ordering::Relaxed) + 1;
        let again = self.answered.load(Ordering::Relaxed) || !error.is_connect() || knocks() < KNOCKS;
        self::failed(error).with_temporary(again)
    }

    fn silent(&self) -> Error {
        let again = self.silences.fetch_add(1, Ordering::Relaxed) + 1 < SILENCES;
        self::silent(self.idle).with_temporary(again)
    }

    /// What an answer says about how many more the service wants.
    fn heard(&self, answer: &Response<HttpBody>) {
        self.answered.store(true, Ordering::Relaxed);
        self.silences.store(0, Ordering::Relaxed);
        match answer.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                self.gate.too_many(retry_after(answer.headers()));
            }
            status if status.is_server_error() => {}
            _ => self.gate.went_well(),
        }
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let pass = self.gate.enter().await;
        let told = Told::request(&self.store, request.method(), request.uri(), request.body().len());
        match self.sent(request).await {
            Ok(answer) => {
                self.heard(&answer);
                let (status, told) = (answer.status(), told.answered(answer.status()));
                let (pace, idle) = (self.pace.clone(), self.idle);
                let answer = answer.map(|body| {
                    body.map_inner(|pieces| Box::new(Box::pin(received(pieces, pace, idle, told, pass))))
                });
                match status {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(refused(answer).await),
                    _ => Ok(answer),
                }
            }
            Err(error) => {
                told.failed(&error);
                Err(error)
            }
        }
    }
}

/// How bytes moved.
#[derive(Clone)]
struct Moved(Arc<Mutex<Movement>>);

struct Movement {
    began: Instant,
    last: Instant,
    /// Whether the last piece was handed over.
    all: bool,
}

impl Moved {
    fn begin() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Movement { began: now, last: now, all: false })))
    }

    fn touch(&self, all: bool) {
        let mut movement = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        movement.last = Instant::now();
        movement.all |= all;
    }

    /// How long nothing more may move before it has been `idle` for too long. What was handed over may lie in the system's buffers
    /// and take as long again to go.
    fn left(&self, idle: Duration) -> Duration {
        let movement = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let more = if movement.all { movement.last - movement.began } else { Duration::ZERO };
        (idle + more).saturating_sub(movement.last.elapsed())
    }
}

/// All services share the connections of one client.
fn client() -> reqwest::Result<Client> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let client = Client::builder().connect_timeout(CONNECT).build()?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// Sends a request, its body piece by piece.
async fn send(request: Request<Buffer>, pace: Pace, moved: Moved) -> reqwest::Result<Response<HttpBody>> {
    let (mut parts, body) = request.into_parts();
    let uri = parts.uri.clone();
    let head = parts.method == Method::HEAD;
    let body = (!body.is_empty()).then(|| {
        parts.headers.entry(header::CONTENT_LENGTH).or_insert(body.len().into());
        reqwest::Body::wrap_stream(pieces(body, pace, moved))
    });
    let mut request = client()?.request(parts.method, uri.to_string()).headers(parts.headers);
    if let Some(body) = body {
        request = request.body(body);
    }
    let mut received = request.version(parts.version).send().await?;
    let length = match received.headers().contains_key(header::CONTENT_ENCODING) || head {
        true => None,
        false => received.content_length(),
    };
    let mut answer = Response::new(());
    *answer.status_mut() = received.status();
    *answer.version_mut() = received.version();
    std::mem::swap(answer.headers_mut(), received.headers_mut());
    // Services name it when they tell of an error.
    answer.extensions_mut().insert(uri);
    let pieces = received.bytes_stream().map_ok(Buffer::from).map_err(|error| failed(&error).set_temporary());
    Ok(answer.map(|()| HttpBody::new(pieces, length)))
}

/// The pieces of a body on its way to a service.
fn pieces(
    body: Buffer,
    pace: Pace,
    moved: Moved,
) -> impl Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static {
    stream::unfold((body, pace, moved), async |(mut body, pace, moved)| {
        let mut piece = body.current();
        piece.truncate(PIECE);
        if piece.is_empty() {
            return None;
        }
        body.advance(piece.len());
        let mut wait = pace.wait(piece.len()).unwrap_or_default();
        // Waiting for our own limit is no silence of the service.
        while !wait.is_zero() {
            let part = wait.min(Duration::from_millis(200));
            tokio::time::sleep(part).await;
            wait -= part;
            moved.touch(false);
        }
        moved.touch(body.is_empty());
        Some((Ok(piece), (body, pace, moved)))
    })
}

/// The pieces of a body on its way from a service. The request is under way until they end.
fn received(
    pieces: impl Stream<Item = Result<Buffer>> + Send + Sync + Unpin + 'static,
    pace: Pace,
    idle: Duration,
    told: Told,
    pass: Pass,
) -> impl Stream<Item = Result<Buffer>> + Send + Sync + 'static {
    stream::try_unfold((pieces, pace, told, pass), move |(mut pieces, pace, mut told, pass)| async move {
        let piece = match tokio::time::timeout(idle, pieces.try_next()).await {
            Ok(piece) => piece,
            Err(_) => Err(silent(idle).set_temporary()),
        };
        match piece {
            Ok(Some(piece)) => {
                told.received(piece.len());
                tokio::time::sleep(pace.wait(piece.len()).unwrap_or_default()).await;
                Ok(Some((piece, (pieces, pace, told, pass))))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                told.failed(&error);
                Err(error)
            }
        }
    })
}

/// A refusal is final, whatever a service's own code makes of it (WebDAV's would ask again). Of the answer only what services say
/// in the form of S3 and Azure is repeated: others may repeat what they were sent.
async fn refused(answer: Response<HttpBody>) -> Error {
    let (status, mut body, mut text) = (answer.status(), answer.into_body(), Vec::new());
    while let Ok(piece) = body.read().await
        && !piece.is_empty()
        && text.len() < REASON
    {
        text.extend(piece.into_iter().flatten());
    }
    let reason = reason(&String::from_utf8_lossy(&text));
    Error::new(ErrorKind::PermissionDenied, format!("status {}{reason}", status.as_u16()))
}

/// Code and message of a refusal: XML of S3 and Azure, JSON of Google.
fn reason(text: &str) -> String {
    let line = |text: &str| text.lines().next().unwrap_or_default().trim().to_owned();
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(content, _)| line(content))
    };
    let json =
        || serde_json::from_str::<serde_json::Value>(text).ok()?["error"]["message"].as_str().map(line);
    let mut reason = element("Code").map(|code| format!(" {code}")).unwrap_or_default();
    if let Some(message) = element("Message").or_else(json) {
        reason += &format!(": {message}");
    }
    // Azure says so in an element with the signature that it was sent.
    if text.contains(LATE) {
        reason += &format!(" ({LATE})");
    }
    reason
}

/// Without the URL, whose query may hold a signature.
fn failed(error: &reqwest::Error) -> Error {
    let mut text = "no answer".to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    Error::new(ErrorKind::Unexpected, text)
}

fn silent(idle: Duration) -> Error {
    Error::new(ErrorKind::Unexpected, format!("nothing moved for {} s", idle.as_secs_f64()))
}

/// Seconds; the form with a date is not used by services that limit requests.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_service_and_no_others() {
        let s3 = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message><HostId>x</HostId></Error>";
        assert_eq!(reason(s3), " AccessDenied: Access Denied");
        let azure = "<Error><Code>AuthenticationFailed</Code><Message>Server failed.\nRequestId:1</Message>\
                     <AuthenticationErrorDetail>Request date header too old: 'Thu', signature 'abc'</AuthenticationErrorDetail></Error>";
        assert_eq!(reason(azure), " AuthenticationFailed: Server failed. (Request date header too old)");
        let google = r#"{"error": {"code": 403, "message": "no access to the bucket"}}"#;
        assert_eq!(reason(google), ": no access to the bucket");
        assert_eq!(reason("GET / HTTP/1.1\r\nauthorization: Basic YWRhOng="), "");
    }
}
