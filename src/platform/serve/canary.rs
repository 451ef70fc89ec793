//! A canary: a version that answers a share of the clients, always the same ones, until a rule or somebody ends it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mirror::Mirror;
use super::shadow::Keep;
use super::tally::{Recent, Tally};
use super::{AbortRule, Answered, CanarySpec, Metrics, Observer, ServeError, Served, engine};
use crate::base::{self, Aborted, Digest, Id, Level, Time};

/// Between two looks at the rules.
const LOOK: Duration = Duration::from_millis(50);

/// Where the end of a canary is told.
pub type Tell = Box<dyn Fn(Level, &str) + Send + Sync>;

/// How a canary is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The share of clients that it answers, from 0 to 1.
    pub share: f64,
    /// When it ends by itself.
    pub spec: CanarySpec,
    /// By how much numbers may differ and still agree.
    pub tolerance: f64,
    /// Between two records.
    pub every: Duration,
}

/// The canary of one deployment.
pub struct Canary {
    served: Arc<Served>,
    share: f64,
    /// Whether it still answers.
    open: AtomicBool,
    spec: CanarySpec,
    tolerance: f64,
    seen: Mutex<Seen>,
    metrics: Arc<Metrics>,
    /// Asks the live version what the canary answered; there once it is started.
    mirror: Mutex<Option<Arc<Mirror>>>,
    keep: Keep<base::Canary>,
    tell: Tell,
}

/// What was seen of it beside one live version.
struct Seen {
    live: Arc<Served>,
    session: Id,
    started: Time,
    requests: u64,
    errors: u64,
    window: Window,
    tally: Tally,
    aborted: Option<Aborted>,
    kept: Instant,
    /// Whether something was seen that is not kept.
    news: bool,
}

impl Seen {
    fn new(live: Arc<Served>, window: usize, tolerance: f64) -> Self {
        Self {
            live,
            session: Id::new(),
            started: Time::now(),
            requests: 0,
            errors: 0,
            window: Window::new(window),
            tally: Tally::new(tolerance),
            aborted: None,
            kept: Instant::now(),
            news: false,
        }
    }
}

/// What rules look at: the last requests.
struct Window {
    /// Whether each request failed by the canary's fault.
    failed: Recent<bool>,
    seconds: Recent<f64>,
    live_seconds: Recent<f64>,
    /// Instances and disagreements of the requests that were compared.
    disagreed: Recent<(u64, u64)>,
}

impl Window {
    fn new(requests: usize) -> Self {
        Self {
            failed: Recent::new(requests),
            seconds: Recent::new(requests),
            live_seconds: Recent::new(requests),
            disagreed: Recent::new(requests),
        }
    }

    /// What a rule looks at; none while too little was seen.
    fn observed(&self, rule: AbortRule, least: usize) -> Option<f64> {
        let share = |part: u64, all: u64| (all > 0).then(|| part as f64 / all as f64);
        match rule {
            _ if self.failed.len() < least => None,
            AbortRule::ErrorRate(_) => {
                let failed = self.failed.iter().filter(|failed| *failed).count();
                share(failed as u64, self.failed.len() as u64)
            }
            AbortRule::P95Ratio(_) if self.seconds.len().min(self.live_seconds.len()) < least => None,
            AbortRule::P95Ratio(_) => {
                let live = self.live_seconds.quantile(0.95).filter(|live| *live > 0.0)?;
                Some(self.seconds.quantile(0.95)? / live)
            }
            AbortRule::Disagreement(_) if self.disagreed.len() < least => None,
            AbortRule::Disagreement(_) => {
                let (all, part) = self
                    .disagreed
                    .iter()
                    .fold((0, 0), |(all, part), (more, disagreed)| (all + more, part + disagreed));
                share(part, all)
            }
        }
    }
}

impl Canary {
    /// A canary beside the version `live`. Records go to `keep`, its end by a rule
    /// is told to `tell`, both from a thread of their own.
    pub fn start(
        served: Served,
        live: Arc<Served>,
        Trial { share, spec, tolerance, every }: Trial,
        metrics: Arc<Metrics>,
        keep: Keep<base::Canary>,
        tell: Tell,
    ) -> Result<Arc<Self>, ServeError> {
        let seen = Mutex::new(Seen::new(live, spec.window, tolerance));
        metrics.canary_share(&served.name, served.version, share);
        metrics.canary_aborted(&served.name, served.version, false);
        let canary = Arc::new(Self {
            served: Arc::new(served),
            share,
            open: AtomicBool::new(true),
            spec,
            tolerance,
            seen,
            metrics,
            mirror: Mutex::new(None),
            keep,
            tell,
        });
        let comparing = Arc::downgrade(&canary);
        let mirror = Mirror::start("canary", Arc::new(AtomicU64::new(0)), LOOK, move |answered| {
            if let (Some(canary), Some(answered)) = (comparing.upgrade(), answered) {
                canary.compare(&answered);
            }
        })?;
        *canary.mirror.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(mirror));
        // Looks at the rules whatever the mirror is busy with, and even if nobody asks any more.
        let judging = Arc::downgrade(&canary);
        let judge = move || {
            while let Some(canary) = judging.upgrade() {
                canary.judge();
                canary.keep_if(|seen| seen.kept.elapsed() >= every);
                drop(canary);
                std::thread::sleep(LOOK);
            }
        };
        std::thread::Builder::new()
            .name("judge".to_owned())
            .spawn(judge)
            .map_err(|source| ServeError::System { action: "start threads", source })?;
        Ok(canary)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version, if it answers the client with this key.
    pub(super) fn answers(&self, key: &[u8]) -> Option<&Arc<Served>> {
        let mine = self.open.load(Ordering::Acquire) && place(self.served.tree, key) < self.share;
        mine.then_some(&self.served)
    }

    /// The version, while it answers anybody.
    pub(super) fn served(&self) -> Option<&Arc<Served>> {
        self.open.load(Ordering::Acquire).then_some(&self.served)
    }

    /// It failed to answer a request by its own fault.
    pub(super) fn failed(&self) {
        self.metrics.canary_error(&self.served.name, self.served.version);
        let mut seen = self.lock();
        seen.requests += 1;
        seen.errors += 1;
        seen.window.failed.push(true);
        seen.news = true;
    }

    /// Another version is live from now on.
    pub(super) fn beside(&self, live: &Arc<Served>) {
        self.keep_if(|_| true);
        if live.tree == self.served.tree {
            self.close();
        }
        *self.lock() = Seen::new(Arc::clone(live), self.spec.window, self.tolerance);
    }

    /// Asks the live version what the canary answered.
    fn compare(&self, answered: &Answered) {
        let live = Arc::clone(&self.lock().live);
        let began = Instant::now();
        let Ok(predictions) = engine::run(&live, answered.count, &answered.inputs).and_then(engine::finite)
        else {
            return;
        };
        let took = began.elapsed();
        let mut seen = self.lock();
        if seen.live.tree == live.tree {
            let found = seen.tally.add((&predictions, took), (&answered.predictions, answered.computing));
            seen.window.disagreed.push((found.instances, found.disagreements));
            seen.news = true;
        }
    }

    /// Ends it if a rule is broken.
    fn judge(&self) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        let mut seen = self.lock();
        let broken = self.spec.abort.iter().find_map(|rule| {
            let observed = seen.window.observed(*rule, self.spec.min_requests)?;
            (observed > rule.max()).then_some((*rule, observed))
        });
        let Some((rule, observed)) = broken else { return };
        self.close();
        let (rule, max) = (rule.name().to_owned(), rule.max());
        let text = format!(
            "the canary {} is rolled back: {rule} is {observed:.4}, at most {max} is allowed; {} answers everybody",
            self.served.reference(),
            seen.live.reference()
        );
        seen.aborted = Some(Aborted { rule, max, observed, time: Time::now() });
        seen.news = true;
        drop(seen);
        self.metrics.canary_aborted(&self.served.name, self.served.version, true);
        (self.tell)(Level::Warn, &text);
        self.keep_if(|_| true);
    }

    fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.metrics.canary_share(&self.served.name, self.served.version, 0.0);
    }

    /// Keeps what was seen, if something was that is not kept, and `due` says so.
    fn keep_if(&self, due: impl FnOnce(&Seen) -> bool) {
        let body = {
            let mut seen = self.lock();
            if !seen.news || !due(&seen) {
                return;
            }
            (seen.news, seen.kept) = (false, Instant::now());
            base::Canary {
                model: self.served.name.clone(),
                version: self.served.version,
                tree: self.served.tree,
                live_version: seen.live.version,
                live: seen.live.tree,
                session: seen.session,
                share: self.share,
                started: seen.started,
                ended: Time::now(),
                requests: seen.requests,
                errors: seen.errors,
                comparison: seen.tally.comparison(),
                aborted: seen.aborted.clone(),
            }
        };
        (self.keep)(body);
    }
}

impl Observer for Canary {
    fn answered(&self, answered: &Arc<Answered>) {
        if answered.served.name != self.served.name {
            return;
        }
        {
            let mut seen = self.lock();
            if !answered.canary {
                seen.window.live_seconds.push(answered.latency.as_secs_f64());
                return;
            }
            seen.requests += 1;
            seen.window.failed.push(false);
            seen.window.seconds.push(answered.latency.as_secs_f64());
            seen.news = true;
        }
        let mirror = self.mirror.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(mirror) = mirror {
            mirror.offer(answered);
        }
    }

    fn finish(&self) {
        let mirror = self.mirror.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mirror) = mirror {
            mirror.finish();
        }
        self.judge();
        self.keep_if(|_| true);
    }
}

/// Where a client stands between 0 and 1: the same for the same key and canary, whatever the server; other canaries get other
/// clients.
fn place(canary: Digest, key: &[u8]) -> f64 {
    let digest = Digest::of(&[canary.as_bytes(), key].concat());
    let bytes = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(bytes) as f64 / 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::serve::AtMost;

    #[test]
    fn a_share_of_keys_is_the_canarys_and_stays_so() {
        let canary = Digest::of(b"canary");
        let places: Vec<f64> = (0..10_000u32).map(|key| place(canary, &key.to_le_bytes())).collect();
        let mine = places.iter().filter(|place| **place < 0.05).count();
        assert!((400..600).contains(&mine), "{mine} of 10000");
        assert_eq!(place(canary, b"a"), place(canary, b"a"));
        assert_ne!(place(canary, b"a"), place(Digest::of(b"other"), b"a"));
    }

    #[test]
    fn rules_look_at_the_last_requests_once_there_are_enough() {
        let at_most = |max| AtMost { max };
        let (errors, slow) = (AbortRule::ErrorRate(at_most(0.1)), AbortRule::P95Ratio(at_most(2.0)));
        let disagreement = AbortRule::Disagreement(at_most(0.1));
        let mut window = Window::new(100);
        (0..9).for_each(|_| window.failed.push(true));
        assert_eq!(window.observed(errors, 10), None);
        (0..100).for_each(|_| window.failed.push(false));
        (0..7).for_each(|_| window.failed.push(true));
        assert_eq!(window.observed(errors, 10), Some(0.07));

        (0..20).for_each(|_| window.seconds.push(0.003));
        assert_eq!(window.observed(slow, 10), None, "nothing of the live version is known");
        (0..20).for_each(|_| window.live_seconds.push(0.001));
        let ratio = window.observed(slow, 10).expect("both are known");
        assert!((ratio - 3.0).abs() < 1e-9, "{ratio}");

        (0..9).for_each(|_| window.disagreed.push((2, 1)));
        assert_eq!(window.observed(disagreement, 10), None);
        window.disagreed.push((2, 1));
        assert_eq!(window.observed(disagreement, 10), Some(0.5));
    }
}
