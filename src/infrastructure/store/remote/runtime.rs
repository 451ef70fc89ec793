//! The runtime on which requests run, made when the first one is sent.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, mpsc};

use tokio::runtime::{Builder, Runtime};

use crate::infrastructure::store::StoreError;

/// Runs `future` to its end while the calling thread waits; works from inside another runtime too.
pub(super) fn wait<F>(future: F) -> Result<F::Output, StoreError>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (sender, receiver) = mpsc::channel();
    runtime()?.spawn(async move { sender.send(future.await) });
    receiver.recv().map_err(|_| starting(std::io::Error::other("a request ended without an answer")))
}

fn runtime() -> Result<&'static Runtime, StoreError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _one_at_a_time = STARTING.lock();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("mlp-store")
        .enable_all()
        .build()
        .map_err(starting)?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

fn starting(source: std::io::Error) -> StoreError {
    StoreError::Io { action: "start threads for", path: PathBuf::from("the network"), source }
}
