//! Following a stage: what is promoted or rolled back is verified and takes over between two requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::application::chosen;
use crate::application::commands::Context;
use crate::base::{Diagnose, Failure, Id, Level, Sink};
use crate::infrastructure::store::{Ledger, LedgerHome, StoreError};
use crate::platform::serve::{Deployment, Metrics};

/// Between two looks at the copy of the ledger on this machine: a file name.
const NEAR: Duration = Duration::from_millis(100);
/// Before a version that did not verify, or a ledger that could not be read, is tried again; doubled up to [`LONGEST`].
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// The whole of a ledger that lives elsewhere is looked at only so often as it is asked whether it has grown.
const WHOLE: u32 = 10;

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
    /// Between two looks at a ledger that lives elsewhere, and at the whole of one that lives here.
    pub(super) far: Duration,
}

/// The last look at the whole of the ledger.
struct Whole {
    looked: Instant,
    /// Whether something was wrong with it.
    broken: bool,
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
        let mut whole = Whole { looked: Instant::now(), broken: false };
        self.metrics.ledger_broken(self.deployment.name(), false);
        loop {
            std::thread::sleep(NEAR);
            self.look(&mut whole);
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

    /// Now and then looks whether the ledger is still the one that the version was chosen by: one that was cut has no news, and damage
    /// is found only by who reads it. What answers goes on answering; that it cannot be proved any more is said once.
    fn look(&self, whole: &mut Whole) {
        // Of one that lives elsewhere no more than an entry a second is asked for.
        let every = match self.home {
            LedgerHome::Local(_) => self.far,
            _ => (WHOLE * self.far).max(Duration::from_secs(self.seen)),
        };
        if whole.looked.elapsed() < every {
            return;
        }
        whole.looked = Instant::now();
        let model = self.deployment.name().clone();
        let wrong = match (Ledger { home: &self.home, project: self.project, model }).whole() {
            Ok(entries) if (entries.len() as u64) < self.seen => Some(StoreError::LedgerRolledBack {
                place: "on this machine".to_owned(),
                model: self.deployment.name().to_string(),
                detail: format!("it has {} entries and had {}", entries.len(), self.seen),
            }),
            Ok(_) => None,
            Err(
                error @ (StoreError::LedgerDamaged { .. }
                | StoreError::LedgerRolledBack { .. }
                | StoreError::LedgerForked { .. }),
            ) => Some(error),
            // One that cannot be asked is not broken.
            Err(_) => return,
        };
        if let Some(error) = wrong.as_ref().filter(|_| !whole.broken) {
            let live = self.deployment.live().reference();
            let text = format!(
                "{live} goes on answering, but its ledger is not what it was: {error} ({})",
                error.code()
            );
            self.context.ui.log(Level::Warn, &text);
        }
        whole.broken = wrong.is_some();
        self.metrics.ledger_broken(self.deployment.name(), whole.broken);
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
