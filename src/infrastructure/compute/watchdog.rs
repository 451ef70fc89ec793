//! Connections that hang.

use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::process;

/// Ends an `ssh` whose other end says nothing for too long: keep-alives are answered by sshd, whatever became of the agent.
pub(super) struct Watchdog {
    /// When it is too long; and whether it was.
    state: Arc<Mutex<(Option<Instant>, bool)>>,
}

impl Watchdog {
    pub(super) fn of(ssh: &Child) -> Self {
        let state = Arc::new(Mutex::new((None::<Instant>, false)));
        let seen = Arc::downgrade(&state);
        if let Some(ssh) = process::Identity::of(ssh.id() as i32) {
            std::thread::spawn(move || {
                while let Some(state) = seen.upgrade() {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    if state.0.is_some_and(|end| Instant::now() > end) {
                        *state = (None, true);
                        process::kill(&ssh, process::Kill::Kill);
                    }
                    drop(state);
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
        Self { state }
    }

    /// From now on an answer is expected within this time; none: no more.
    pub(super) fn expect(&self, within: Option<Duration>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = within.map(|within| Instant::now() + within);
    }

    /// Whether it came to that.
    pub(super) fn bit(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_no_answer_in_time_is_ended_and_what_does_is_not() {
        let mut silent = std::process::Command::new("sleep").arg("60").spawn().expect("starts");
        let watchdog = Watchdog::of(&silent);
        watchdog.expect(Some(Duration::from_secs(60)));
        watchdog.expect(None);
        std::thread::sleep(Duration::from_millis(300));
        assert!(!watchdog.bit() && silent.try_wait().expect("can be asked").is_none());
        watchdog.expect(Some(Duration::from_millis(10)));
        assert!(!silent.wait().expect("ends").success());
        assert!(watchdog.bit());
    }
}
