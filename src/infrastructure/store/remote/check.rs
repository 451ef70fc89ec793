//! What a remote really guarantees, tried out: `mlp store check`.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Remote;
use super::marker::STORE;
use crate::base::{Id, Sink, Time, Unit};
use crate::infrastructure::durable;
use crate::infrastructure::store::StoreError;

/// The object that is small.
const SMALL: usize = 1024;
/// The object that is large: a part of a pack.
const LARGE: usize = 8 << 20;
/// Names listed where writing is quick: more than a page of any service.
const MANY: usize = 1_010;
/// Names listed elsewhere.
const FEW: usize = 50;
/// What counts as quick.
const QUICK: Duration = Duration::from_millis(8);
/// Requests at once.
const WORKERS: usize = 8;
/// Signatures are refused by services when clocks differ by 15 minutes; warned of well before.
const SKEW: f64 = 300.0;
/// What is tried.
const STEPS: u64 = 9;

/// What came of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// It could not be tried, or says nothing.
    Unknown,
}

/// One trial.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// What was tried.
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
}

/// What a remote guarantees, and what follows.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// All trials.
    pub findings: Vec<Trial>,
    /// Whether it cannot be written to.
    pub read_only: bool,
    /// Whether it can carry data (a store that cannot be written to: whether data can be read).
    pub data: bool,
    /// Whether it can hold ledgers.
    pub ledgers: bool,
    /// Whether garbage can be collected.
    pub gc: bool,
    /// Seconds that the store's clock is ahead of this machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_s: Option<f64>,
    /// Milliseconds for a small object to be read, the median of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Bytes a second written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<f64>,
    /// Bytes a second read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<f64>,
    /// When.
    pub time: Time,
}

impl Tried {
    fn note(&mut self, name: &'static str, outcome: Outcome, detail: impl Into<String>) {
        self.findings.push(Trial { name, outcome, detail: detail.into() });
    }

    fn holds(&self, name: &str) -> bool {
        self.findings.iter().any(|finding| finding.name == name && finding.outcome == Outcome::Yes)
    }
}

impl Remote {
    /// Tries what this remote guarantees, with objects below `probe/` that are removed afterwards, and keeps the result
    /// with what is known of the remote in the local store at `local`.
    ///
    /// # Errors
    /// The remote is out of reach, refuses the credentials or is not a store. What it does wrong is a finding.
    pub fn check(&self, local: &Path, sink: &dyn Sink) -> Result<Tried, StoreError> {
        self.ensure(local)?;
        let mut checked = Tried {
            findings: Vec::new(),
            read_only: self.is_read_only(),
            data: false,
            ledgers: false,
            gc: false,
            skew_s: None,
            latency_ms: None,
            upload: None,
            download: None,
            time: Time::now(),
        };
        if checked.read_only {
            self.check_reading(&mut checked);
        } else {
            let folder = format!("probe/{}", Id::new());
            self.check_writing(&folder, local, &mut checked, sink)?;
        }
        let kept = self.cache(local).join("check.json");
        let bytes = serde_json::to_vec_pretty(&checked).unwrap_or_default();
        durable::replace_through(&local.join("tmp"), &kept, &bytes).map_err(StoreError::io("write", kept))?;
        Ok(checked)
    }

    fn check_reading(&self, checked: &mut Tried) {
        let marker = self.get(STORE, 4096);
        let part = self.range(STORE, 1..9);
        let ranges =
            matches!((&marker, &part), (Ok(Some(whole)), Ok(part)) if whole.get(1..9) == Some(&part[..]));
        checked.note(
            "read",
            if matches!(marker, Ok(Some(_))) { Outcome::Yes } else { Outcome::No },
            told(&marker),
        );
        checked.note("part of an object", if ranges { Outcome::Yes } else { Outcome::No }, told(&part));
        let listed = self.list("packs/");
        let detail =
            listed.as_ref().map_or_else(ToString::to_string, |names| format!("{} folders", names.len()));
        checked.note("list", if listed.is_ok() { Outcome::Yes } else { Outcome::No }, detail);
        self.measure_latency(STORE, checked);
        checked.data = ["read", "part of an object", "list"].iter().all(|name| checked.holds(name));
    }

    fn check_writing(
        &self,
        folder: &str,
        local: &Path,
        checked: &mut Tried,
        sink: &dyn Sink,
    ) -> Result<(), StoreError> {
        let mut done = 0;
        let mut step = || {
            done += 1;
            sink.progress("checking", done, Some(STEPS), Unit::Items);
        };
        let small = format!("{folder}/small");
        let content = noise(SMALL);
        let begun = Instant::now();
        // What fails here fails because the store is out of reach.
        self.put(&small, content.clone())?;
        let once = begun.elapsed();
        let same =
            |read: Result<Option<Vec<u8>>, StoreError>| read.map(|read| read.as_ref() == Some(&content));
        verdict(
            checked,
            "read what was written",
            same(self.get(&small, LARGE as u64)),
            "at once, byte for byte",
        );
        step();
        let again = self.put(&small, content.clone()).and_then(|()| same(self.get(&small, LARGE as u64)));
        verdict(checked, "write again", again, "a second write of an object is harmless");
        step();
        let part = self.range(&small, 100..200).map(|part| part == content[100..200]);
        verdict(checked, "part of an object", part, "exactly the bytes asked for");
        step();
        self.check_listing(folder, if once < QUICK { MANY } else { FEW }, checked);
        step();
        self.check_clock(&small, checked);
        step();
        self.measure_latency(&small, checked);
        step();
        self.measure_throughput(&format!("{folder}/large"), checked);
        step();
        let removed =
            self.remove(&small).and_then(|()| self.get(&small, LARGE as u64)).map(|read| read.is_none());
        verdict(checked, "remove", removed, "what is removed is gone at once");
        step();
        match self.exact(&format!("{folder}-race")) {
            Ok(()) => {
                self.proved(local)?;
                checked.note("create if absent", Outcome::Yes, "8 writers, 20 objects, one winner each");
            }
            Err(error) => {
                // An earlier proof counts no more.
                let _ = std::fs::remove_file(self.proof(local));
                let detail = match error {
                    StoreError::NoCreateIfAbsent { detail, .. } => detail,
                    other => other.to_string(),
                };
                checked.note("create if absent", Outcome::No, detail);
            }
        }
        step();
        checked.data = ["read what was written", "write again", "part of an object", "list"]
            .iter()
            .all(|name| checked.holds(name));
        checked.ledgers = checked.data && checked.holds("create if absent");
        checked.gc = checked.data && checked.holds("remove") && checked.skew_s.is_some();
        Ok(())
    }

    /// Whether all of `count` objects are listed at once.
    fn check_listing(&self, folder: &str, count: usize, checked: &mut Tried) {
        let prefix = format!("{folder}/list/");
        let key = |n: usize| format!("{prefix}{n:04}");
        let written = each(count, |n| self.put(&key(n), vec![b'x']));
        let listed = written.and_then(|()| self.list(&prefix)).map(|names| names.len());
        match listed {
            Ok(found) if found == count => {
                checked.note("list", Outcome::Yes, format!("all {count} names, at once"));
            }
            Ok(found) => checked.note("list", Outcome::No, format!("{found} of {count} names")),
            Err(error) => checked.note("list", Outcome::No, error.to_string()),
        }
        // What is left behind is small and harmless.
        let _ = each(count, |n| self.remove(&key(n)));
    }

    fn check_clock(&self, key: &str, checked: &mut Tried) {
        let before = Time::now();
        let outcome = self.put(key, noise(SMALL)).and_then(|()| self.modified(key));
        let now = Time::now();
        match outcome {
            Ok(Some(time)) => {
                // Many services count whole seconds: within the second of the write is no difference.
                let time = Time::from_ms(time);
                let (early, late) = (time.seconds_since(before), time.seconds_since(now));
                let skew = if early < -1.0 { early } else { late.max(0.0) };
                checked.skew_s = Some((skew * 1000.0).round() / 1000.0);
                let (outcome, words) = match skew.abs() {
                    skew if skew > SKEW => (Outcome::No, "services refuse signatures at 15 minutes"),
                    _ => (Outcome::Yes, "of no consequence"),
                };
                checked.note("clocks agree", outcome, format!("{skew:+.1} s there: {words}"));
            }
            Ok(None) => checked.note("clocks agree", Outcome::Unknown, "the store tells no times"),
            Err(error) => checked.note("clocks agree", Outcome::Unknown, error.to_string()),
        }
    }

    fn measure_latency(&self, key: &str, checked: &mut Tried) {
        let mut times: Vec<f64> = (0..5)
            .filter_map(|_| {
                let begun = Instant::now();
                self.get(key, LARGE as u64).ok().map(|_| begun.elapsed().as_secs_f64() * 1000.0)
            })
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        checked.latency_ms = times.get(times.len() / 2).copied();
    }

    fn measure_throughput(&self, key: &str, checked: &mut Tried) {
        let content = noise(LARGE);
        let begun = Instant::now();
        if self.put(key, content.clone()).is_err() {
            return;
        }
        checked.upload = Some(LARGE as f64 / begun.elapsed().as_secs_f64().max(1e-6));
        let begun = Instant::now();
        if matches!(self.get(key, LARGE as u64), Ok(Some(read)) if read == content) {
            checked.download = Some(LARGE as f64 / begun.elapsed().as_secs_f64().max(1e-6));
        }
        let _ = self.remove(key);
    }
}

fn verdict(checked: &mut Tried, name: &'static str, held: Result<bool, StoreError>, good: &str) {
    match held {
        Ok(true) => checked.note(name, Outcome::Yes, good),
        Ok(false) => checked.note(name, Outcome::No, "what came back was something else"),
        Err(error) => checked.note(name, Outcome::No, error.to_string()),
    }
}

fn told<T>(outcome: &Result<T, StoreError>) -> String {
    outcome.as_ref().err().map(ToString::to_string).unwrap_or_default()
}

/// Bytes that no service compresses.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(Id::new().to_string().as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Does something for each number below `count`, a few at once; the first error.
fn each(count: usize, work: impl Fn(usize) -> Result<(), StoreError> + Sync) -> Result<(), StoreError> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Ok(())));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    if let Err(error) = work(n) {
                        next.store(count, Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock() {
                            *failed = Err(error);
                        }
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or(Ok(()))
}
