//! Reading request bodies within limits.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;

use super::Refusal;

/// How long a client may send nothing in the middle of a body.
const IDLE: Duration = Duration::from_secs(10);
/// How long, and how much, an oversize body is read on and thrown away, so that the client sees the answer
/// and not a reset connection.
const DISCARD_TIME: Duration = Duration::from_millis(500);
const DISCARD_BYTES: usize = 64 << 20;

/// The whole body, of at most `limit` bytes.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(limit).min(64 << 10));
    let mut oversize = announced.is_some_and(|length| length > limit);
    while !oversize {
        let next = tokio::time::timeout(IDLE, stream.next()).await.map_err(|_| slow())?;
        let Some(chunk) = next else { return Ok(bytes) };
        let chunk = chunk.map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, "bad-body", format!("the body cannot be read: {error}"))
                .closing()
        })?;
        oversize = bytes.len() + chunk.len() > limit;
        bytes.extend_from_slice(&chunk[..chunk.len().min(limit - bytes.len())]);
    }
    drop(bytes);
    let discard = async {
        let mut discarded = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            discarded += chunk.len();
            if discarded > DISCARD_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, discard).await;
    let message = format!("the body is larger than {limit} bytes");
    Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message).closing())
}

/// The answer to a request that took too long to arrive.
pub(super) fn slow() -> Refusal {
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the request took too long to arrive").closing()
}
