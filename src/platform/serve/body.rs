//! Reading request bodies within limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refusal;

/// How long a client may send nothing in the middle of a body.
const IDLE: Duration = Duration::from_secs(10);
/// How long, and how much, an oversize body is read on and thrown away, so that the client sees the answer
/// and not a reset connection.
const DISCARD_TIME: Duration = Duration::from_millis(500);
const DISCARD_BYTES: usize = 64 << 20;

/// What one permit of the room for bodies stands for, in bytes.
pub(super) const UNIT: usize = 1024;

/// A body, and the room it takes until it is dropped.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes `bytes` in, if there is room for them.
    fn extend(&mut self, bytes: &[u8], memory: &Arc<Semaphore>) -> Result<(), Refusal> {
        let taken = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = (self.bytes.len() + bytes.len()).div_ceil(UNIT) - taken;
        let room = Arc::clone(memory).try_acquire_many_owned(needed as u32).map_err(|_| {
            let message = "too many large requests are under way";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).closing()
        })?;
        match &mut self.room {
            Some(held) => held.merge(room),
            None => self.room = Some(room),
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// The whole body, of at most `limit` bytes, held within the room that `memory` has.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    memory: &Arc<Semaphore>,
) -> Result<Held, Refusal> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    let mut stream = body.into_data_stream();
    let mut held = Held { bytes: Vec::new(), room: None };
    let mut oversize = announced.is_some_and(|length| length > limit);
    while !oversize {
        let next = tokio::time::timeout(IDLE, stream.next()).await.map_err(|_| slow())?;
        let Some(chunk) = next else { return Ok(held) };
        let chunk = chunk.map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, "bad-body", format!("the body cannot be read: {error}"))
                .closing()
        })?;
        oversize = held.bytes.len() + chunk.len() > limit;
        if !oversize {
            held.extend(&chunk, memory)?;
        }
    }
    drop(held);
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
