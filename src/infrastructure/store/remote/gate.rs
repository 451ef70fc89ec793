//! How many requests are under way at once: fewer when a service says that it has too many, and none while it asks for quiet.
//!
//! Additive increase, multiplicative decrease (Chiu and Jain 1989): half as many after a refusal, one more after as many successes
//! as may be under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Requests under way at once, at most.
const MOST: f64 = 64.0;
/// Refusals that come together are one: those within this time of the first.
const TOGETHER: Duration = Duration::from_secs(1);
/// For how long a service can ask for quiet.
const QUIET: Duration = Duration::from_secs(60);

/// Counts requests.
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// As many may be under way, rounded down.
    limit: f64,
    under_way: u32,
    /// When the limit was lowered last.
    lowered: Option<Instant>,
    /// Until when nothing begins.
    quiet: Option<Instant>,
}

/// A request that is under way, until this is dropped.
pub(super) struct Pass(Arc<Gate>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
        self.0.changed.notify_one();
    }
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        let state = State { limit: MOST, under_way: 0, lowered: None, quiet: None };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more request may begin.
    pub(super) async fn enter(self: &Arc<Self>) -> Pass {
        loop {
            let wait = {
                let mut state = self.state();
                match state.quiet.map(|until| until.saturating_duration_since(Instant::now())) {
                    Some(wait) if !wait.is_zero() => Some(wait),
                    _ if f64::from(state.under_way) < state.limit.floor() => {
                        state.under_way += 1;
                        if f64::from(state.under_way) < state.limit.floor() {
                            // Two that end at once leave one word about it: pass it on.
                            self.changed.notify_one();
                        }
                        return Pass(Arc::clone(self));
                    }
                    _ => None,
                }
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => self.changed.notified().await,
            }
        }
    }

    /// The service answered as it should.
    pub(super) fn went_well(&self) {
        let mut state = self.state();
        let before = state.limit;
        state.limit = (before + 1.0 / before).min(MOST);
        if state.limit.floor() > before.floor() {
            self.changed.notify_one();
        }
    }

    /// The service said that it has too many requests, perhaps also for how long it wants none.
    pub(super) fn too_many(&self, quiet: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state();
        if state.lowered.is_none_or(|then| now - then > TOGETHER) {
            // What is under way is what was too much.
            state.limit = (state.limit.min(f64::from(state.under_way)) / 2.0).max(1.0);
            state.lowered = Some(now);
        }
        if let Some(quiet) = quiet {
            state.quiet = state.quiet.max(Some(now + quiet.min(QUIET)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("starts").block_on(future)
    }

    async fn would_wait(gate: &Arc<Gate>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), gate.enter()).await.is_err()
    }

    #[test]
    fn a_service_that_has_too_many_gets_fewer_and_slowly_more() {
        run(async {
            let gate = Gate::new();
            let mut passes = Vec::new();
            for _ in 0..64 {
                passes.push(gate.enter().await);
            }
            assert!(would_wait(&gate).await, "64 are the most");
            passes.truncate(8);
            gate.too_many(None);
            gate.too_many(None);
            assert!(would_wait(&gate).await);
            passes.truncate(3);
            passes.push(gate.enter().await);
            assert!(would_wait(&gate).await, "half of 8, once for refusals that come together");
            for _ in 0..5 {
                gate.went_well();
            }
            passes.push(gate.enter().await);
            assert!(would_wait(&gate).await, "one more after about as many successes");
        });
    }

    #[test]
    fn nobody_begins_while_the_service_wants_quiet_and_one_always_may_then() {
        run(async {
            let gate = Gate::new();
            gate.too_many(Some(Duration::from_millis(60)));
            assert!(would_wait(&gate).await);
            drop(gate.enter().await);
            let began = Instant::now();
            let _pass = gate.enter().await;
            assert!(began.elapsed() < Duration::from_millis(40), "the quiet is over");
        });
    }
}
