//! Asking another version what was answered already, off the path of the answer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Answered, ServeError};
use crate::platform::data::Inputs;

/// Requests that wait at most.
const REQUESTS: usize = 256;
/// Bytes of inputs that wait at most.
const BYTES: usize = 64 << 20;

/// A bounded queue of answered requests, and a thread that works it off. What does not fit in is dropped and counted: an answer
/// never waits for it.
pub(super) struct Mirror {
    queue: Mutex<Option<SyncSender<Arc<Answered>>>>,
    held: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Mirror {
    /// Calls `work` with each request, and with none when there was nothing for the time `idle`, and drops it at the end. Requests
    /// that find no room are counted in `dropped`.
    pub(super) fn start(
        name: &str,
        dropped: Arc<AtomicU64>,
        idle: Duration,
        mut work: impl FnMut(Option<Arc<Answered>>) + Send + 'static,
    ) -> Result<Self, ServeError> {
        let (queue, waiting) = sync_channel::<Arc<Answered>>(REQUESTS);
        let held = Arc::new(AtomicUsize::new(0));
        let freed = Arc::clone(&held);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            loop {
                match waiting.recv_timeout(idle) {
                    Ok(answered) => {
                        let size = size(&answered);
                        work(Some(answered));
                        freed.fetch_sub(size, Ordering::Relaxed);
                    }
                    Err(RecvTimeoutError::Timeout) => work(None),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        let thread = thread.map_err(|source| ServeError::System { action: "start threads", source })?;
        Ok(Self { queue: Mutex::new(Some(queue)), held, dropped, thread: Mutex::new(Some(thread)) })
    }

    /// Takes the request, if there is room for it; whether there was.
    pub(super) fn offer(&self, answered: &Arc<Answered>) -> bool {
        let size = size(answered);
        let room = self.held.fetch_add(size, Ordering::Relaxed) + size <= BYTES;
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = room && queue.as_ref().is_some_and(|queue| queue.try_send(Arc::clone(answered)).is_ok());
        if !taken {
            self.held.fetch_sub(size, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Works off what waits, and ends the thread.
    pub(super) fn finish(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// What a request takes while it waits.
fn size(answered: &Answered) -> usize {
    match &answered.inputs {
        Inputs::U8(values) => values.len(),
        Inputs::F32(values) => 4 * values.len(),
    }
}
