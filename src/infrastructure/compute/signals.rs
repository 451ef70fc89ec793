//! Asks to stop: Ctrl-C and TERM, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the INT and TERM signals that this process gets from the call of [`Interrupts::watch`] on; and USR2, by which a queue says that time
/// will soon be over.
#[derive(Clone, Debug, Default)]
pub struct Interrupts {
    asked: Arc<AtomicU32>,
    warned: Arc<AtomicU32>,
}

impl Interrupts {
    /// Starts counting. From now on these signals (and HUP, which is not counted) no longer end the process.
    pub fn watch() -> Self {
        let counter = Self::default();
        let (ready, started) = std::sync::mpsc::channel();
        let seen = counter.clone();
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
                return;
            };
            runtime.block_on(async move {
                let _ = seen.count(ready).await;
            });
        });
        // Either the handlers are in place, or the thread is gone and the channel closed.
        let _ = started.recv();
        counter
    }

    /// How many came.
    pub fn count_so_far(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether any came.
    pub fn any(&self) -> bool {
        self.count_so_far() > 0
    }

    /// Whether time will soon be over.
    pub fn warned(&self) -> bool {
        self.warned.load(Ordering::Relaxed) > 0
    }

    #[cfg(unix)]
    async fn count(&self, ready: std::sync::mpsc::Sender<()>) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut warning = signal(SignalKind::user_defined2())?;
        let _ = ready.send(());
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => continue,
                _ = warning.recv() => {
                    self.warned.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(not(unix))]
    async fn count(&self, ready: std::sync::mpsc::Sender<()>) -> std::io::Result<()> {
        let _ = ready.send(());
        loop {
            tokio::signal::ctrl_c().await?;
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
    }
}
