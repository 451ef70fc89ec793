//! Following a stage: what is promoted or rolled back is verified and takes over between two requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::application::chosen;
use crate::application::commands::Context;
use crate::base::{Failure, Id, Level, Sink};
use crate::infrastructure::store::{Ledger, LedgerHome};
use crate::platform::serve::{Deployment, Metrics};

/// Between two looks at the copy of the ledger on this machine: a file name.
const NEAR: Duration = Duration::from_millis(100);
/// Before a version that did not verify, or a ledger that could not be read, is tried again; doubled up to [`LONGEST`].
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// A stage that a server follows.
pub(super) struct Follower {
    pub(super) context: &'static Context,
    /// `MODEL@STAGE`.
    pub(super) reference: String,
    pub(super) deployment: Arc<Deployment>,
    pub(super) metrics: Arc<Metrics>,
    /// Where the ledger lives.
    pub(super) home: LedgerHome,
    /// The project.
    pub(super) project: Id,
    /// Entries of the ledger that the version that answers was chosen by.
    pub(super) seen: u64,
    /// Between two looks at a ledger that lives elsewhere.
    pub(super) far: Duration,
}

impl Follower {
    /// Follows on a thread of its own until the process ends.
    pub(super) fn start(self) -> std::io::Result<()> {
        std::thread::Builder::new().name("follow".to_owned()).spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        let (mut asked, mut tried) = (Instant::now(), Instant::now());
        // What went wrong last, and how long it is left alone.
        let mut failed: Option<(String, Duration)> = None;
        loop {
            std::thread::sleep(NEAR);
            let due = match &failed {
                Some((_, pause)) => tried.elapsed() >= *pause,
                None => self.has_moved(&mut asked),
            };
            if !due {
                continue;
            }
            tried = Instant::now();
            let Err(failure) = self.take() else {
                if failed.take().is_some() {
                    self.metrics.stale(self.deployment.name(), false);
                }
                continue;
            };
            let text = format!("{} ({})", failure.0, failure.0.code());
            if failed.as_ref().is_none_or(|(before, _)| *before != text) {
                let live = self.deployment.live().reference();
                let text =
                    format!("{live} goes on answering: `{}` cannot be followed: {text}", self.reference);
                self.context.ui.log(Level::Warn, &text);
            }
            self.metrics.stale(self.deployment.name(), true);
            let pause = failed.map_or(AGAIN, |(_, pause)| (pause * 2).min(LONGEST));
            failed = Some((text, pause));
        }
    }

    /// Whether the ledger has grown. One that cannot be asked may have: taking what is live says why it cannot be known.
    fn has_moved(&self, asked: &mut Instant) -> bool {
        let model = self.deployment.name().clone();
        let ledger = Ledger { home: &self.home, project: self.project, model };
        if ledger.is_longer_here(self.seen) {
            return true;
        }
        if matches!(self.home, LedgerHome::Local(_)) || asked.elapsed() < self.far {
            return false;
        }
        *asked = Instant::now();
        ledger.is_longer(self.seen).unwrap_or(true)
    }

    /// Lets the version that is live in the stage answer, once it is verified.
    fn take(&mut self) -> Result<(), Failure> {
        // Opened anew: settings, signers and the local store are those of now.
        let project = self.context.project()?;
        self.home = project.ledger_home()?;
        let chosen = chosen::choose(&project, &self.reference)?;
        let (number, tree, entries) = (chosen.version.number, chosen.version.tree, chosen.entries);
        let live = self.deployment.live();
        if (live.version, live.tree) != (number, tree) {
            let served = chosen::load(&project, chosen, &self.context.ui)?;
            served.try_out()?;
            let text = format!("{} answers from now on, tree {tree}", served.reference());
            let before = self.deployment.swap(served);
            self.metrics.swapped(&before.name);
            self.context.ui.log(Level::Info, &text);
        }
        self.seen = entries;
        Ok(())
    }
}
