//! A shadow: a version that is asked what the live one answered. Nobody sees its answers; what comes of the comparison is
//! evidence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::mirror::Mirror;
use super::tally::Tally;
use super::{Answered, Metrics, Observer, ServeError, Served, engine};
use crate::base::{self, Id, Name, Time};

/// Where records of a comparison go.
pub type Keep<B> = Box<dyn Fn(B) + Send + Sync>;

/// A shadow of one deployment.
pub struct Shadow {
    model: Name,
    version: u64,
    mirror: Mirror,
    metrics: Arc<Metrics>,
}

/// The comparison under way.
struct Session {
    served: Served,
    tolerance: f64,
    keep: Keep<base::Shadow>,
    metrics: Arc<Metrics>,
    dropped: Arc<AtomicU64>,
    /// Dropped before this session.
    dropped_before: u64,
    current: Option<Current>,
}

/// What is compared with one live version.
struct Current {
    live: Arc<Served>,
    session: Id,
    started: Time,
    tally: Tally,
    kept: Instant,
    /// Whether something was counted that is not kept.
    open: bool,
}

impl Shadow {
    /// Mirrors to `served` what its model is asked. A record is given to `keep` every so often while there is something new,
    /// when another version becomes live, and at the end.
    pub fn start(
        served: Served,
        tolerance: f64,
        every: Duration,
        metrics: Arc<Metrics>,
        keep: Keep<base::Shadow>,
    ) -> Result<Self, ServeError> {
        let (model, version, counting) = (served.name.clone(), served.version, Arc::clone(&metrics));
        let dropped = Arc::new(AtomicU64::new(0));
        let mut session = Session {
            served,
            tolerance,
            keep,
            metrics,
            dropped: Arc::clone(&dropped),
            dropped_before: 0,
            current: None,
        };
        let idle = every.min(Duration::from_secs(1));
        let mirror = Mirror::start("shadow", dropped, idle, move |answered| session.work(answered, every))?;
        Ok(Self { model, version, mirror, metrics: counting })
    }
}

impl Observer for Shadow {
    fn answered(&self, answered: &Arc<Answered>) {
        let mine = !answered.canary && answered.served.name == self.model;
        if mine && !self.mirror.offer(answered) {
            self.metrics.shadow(&self.model, self.version, "dropped", 1);
        }
    }

    fn finish(&self) {
        self.mirror.finish();
    }
}

impl Session {
    fn work(&mut self, answered: Option<Arc<Answered>>, every: Duration) {
        let Some(answered) = answered else {
            return self.keep_if(|current| current.kept.elapsed() >= every);
        };
        if self.current.as_ref().is_some_and(|current| current.live.tree != answered.served.tree) {
            self.keep_if(|_| true);
            self.current = None;
            self.dropped_before = self.dropped.load(Ordering::Relaxed);
        }
        let current = self.current.get_or_insert_with(|| Current {
            live: Arc::clone(&answered.served),
            session: Id::new(),
            started: Time::now(),
            tally: Tally::new(self.tolerance),
            kept: Instant::now(),
            open: false,
        });
        current.open = true;
        let began = Instant::now();
        // A version that takes other inputs fails here, which is what the record then says.
        match engine::run(&self.served, answered.count, &answered.inputs).and_then(engine::finite) {
            Ok(predictions) => {
                let live = (&answered.predictions[..], answered.computing);
                let found = current.tally.add(live, (&predictions, began.elapsed()));
                self.count("agreed", found.instances - found.disagreements);
                self.count("disagreed", found.disagreements);
            }
            Err(_) => {
                current.tally.fail();
                self.count("failed", 1);
            }
        }
        self.keep_if(|current| current.kept.elapsed() >= every);
    }

    fn count(&self, what: &'static str, more: u64) {
        self.metrics.shadow(&self.served.name, self.served.version, what, more);
    }

    /// Keeps what was counted, if something was that is not kept, and `due` says so.
    fn keep_if(&mut self, due: impl FnOnce(&Current) -> bool) {
        let Some(current) = &mut self.current else { return };
        if !current.open || !due(current) {
            return;
        }
        (current.open, current.kept) = (false, Instant::now());
        (self.keep)(base::Shadow {
            model: self.served.name.clone(),
            version: self.served.version,
            tree: self.served.tree,
            live_version: current.live.version,
            live: current.live.tree,
            session: current.session,
            started: current.started,
            ended: Time::now(),
            comparison: current.tally.comparison(),
            dropped: self.dropped.load(Ordering::Relaxed) - self.dropped_before,
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.keep_if(|_| true);
    }
}
