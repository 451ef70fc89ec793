//! A canary: a version that answers a share of the clients, always the same ones, until a rule or somebody ends it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
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
    /// Keeps records on a thread of its own, until the server ends: a slow store must not hold up whoever judges.
    keeper: Mutex<Option<Keeper>>,
    tell: Tell,
}

/// Where records go, and the thread that keeps them.
type Keeper = (Sender<base::Canary>, JoinHandle<()>);

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
        let no_threads = |source| ServeError::System { action: "start threads", source };
        let seen = Mutex::new(Seen::new(live, spec.window, tolerance));
        let (sender, records) = channel();
        let keeper = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || records.into_iter().for_each(keep))
            .map_err(no_threads)?;
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
            keeper: Mutex::new(Some((sender, keeper))),
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
                let mut seen = canary.lock();
                if seen.kept.elapsed() >= every {
                    canary.keep(&mut seen);
                }
                drop(seen);
                drop(canary);
                std::thread::sleep(LOOK);
            }
        };
        std::thread::Builder::new().name("judge".to_owned()).spawn(judge).map_err(no_threads)?;
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
        let mut seen = self.lock();
        self.keep(&mut seen);
        if live.tree == self.served.tree {
            self.close();
        }
        *seen = Seen::new(Arc::clone(live), self.spec.window, self.tolerance);
    }

    /// Asks the live version what the canary answered.
    fn compare(&self, answered: &Answered) {
        let live = Arc::clone(&self.lock().live);
        let began = Instant::now();
        let Ok(predictions) = engine::run(&live, answered.count, &answered.inputs).and_then(engine::finite)
        else {
            return self.count("failed", 1);
        };
        let took = began.elapsed();
        let mut seen = self.lock();
        if seen.live.tree == live.tree {
            let found = seen.tally.add((&predictions, took), (&answered.predictions, answered.computing));
            seen.window.disagreed.push((found.instances, found.disagreements));
            seen.news = true;
            drop(seen);
            self.count("agreed", found.instances - found.disagreements);
            self.count("disagreed", found.disagreements);
        }
    }

    fn count(&self, what: &'static str, more: u64) {
        self.metrics.canary_compared(&self.served.name, self.served.version, what, more);
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
        self.keep(&mut seen);
        drop(seen);
        self.metrics.canary_aborted(&self.served.name, self.served.version, true);
        (self.tell)(Level::Warn, &text);
    }

    fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.metrics.canary_share(&self.served.name, self.served.version, 0.0);
    }

    /// Gives the keeper what was seen, if something was that it has not. As long as `seen` is held nobody can end the keeper in between.
    fn keep(&self, seen: &mut Seen) {
        if !seen.news {
            return;
        }
        (seen.news, seen.kept) = (false, Instant::now());
        let body = base::Canary {
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
        };
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        // After the end of the server nothing more comes that could be kept.
        if let Some((records, _)) = keeper.as_ref() {
            let _ = records.send(body);
        }
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
            let dropped = u64::from(!mirror.offer(answered));
            self.count("dropped", dropped);
        }
    }

    fn finish(&self) {
        let mirror = self.mirror.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mirror) = mirror {
            mirror.finish();
        }
        self.judge();
        self.keep(&mut self.lock());
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((records, thread)) = keeper {
            drop(records);
            // A thread that panicked has nothing more to keep.
            let _ = thread.join();
        }
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

    /// The model of texts, as this version.
    fn version(version: u64) -> Served {
        let tree = Digest::of(&version.to_le_bytes());
        Served { version, tree, ..crate::platform::serve::batch::tests::served() }
    }

    #[test]
    fn a_slow_store_holds_up_no_verdict_and_the_end_waits_for_every_record() {
        let spec: CanarySpec = serde_json::from_value(serde_json::json!({
            "min_requests": 5, "abort": [{"error_rate": {"max": 0.5}}],
        }))
        .expect("is a canary");
        let (release, wait) = channel::<()>();
        let (wait, kept) = (Mutex::new(wait), Arc::<Mutex<Vec<base::Canary>>>::default());
        let keeping = Arc::clone(&kept);
        let keep: Keep<base::Canary> = Box::new(move |body| {
            let _ = wait.lock().expect("is whole").recv();
            keeping.lock().expect("is whole").push(body);
        });
        let trial = Trial { share: 0.5, spec, tolerance: 0.0, every: Duration::from_secs(3600) };
        let metrics = Arc::new(Metrics::default());
        let live = Arc::new(version(1));
        let canary = Canary::start(version(2), live, trial, Arc::clone(&metrics), keep, Box::new(|_, _| {}))
            .expect("starts");
        canary.failed();
        // The record of the time beside version 1 is not kept yet.
        canary.beside(&Arc::new(version(3)));
        (0..5).for_each(|_| canary.failed());
        let began = Instant::now();
        while canary.served().is_some() {
            assert!(began.elapsed() < Duration::from_secs(30), "it is still judged");
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = std::thread::spawn({
            let canary = Arc::clone(&canary);
            move || canary.finish()
        });
        std::thread::sleep(Duration::from_millis(100));
        assert!(!ended.is_finished() && kept.lock().expect("is whole").is_empty());
        drop(release);
        ended.join().expect("ends");
        let kept = kept.lock().expect("is whole");
        let told: Vec<_> =
            kept.iter().map(|one| (one.live_version, one.errors, one.aborted.is_some())).collect();
        assert_eq!(told, [(1, 1, false), (3, 5, true)]);
    }
}
