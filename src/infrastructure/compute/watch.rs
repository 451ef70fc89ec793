//! Limits of one attempt, which the supervisor holds it to.

use std::time::{Duration, Instant};

use super::probe::Probe;
use super::process::Identity;
use super::{Cursor, JobFolder, memory, process};
use crate::base::{Bytes, Cause, Resources};

/// What a job takes is looked at so often.
const EVERY: Duration = Duration::from_secs(1);
/// Who computes for a smaller share of the time, on one core, does nothing.
const NOTHING: f64 = 0.01;

/// Why an attempt must end.
pub(super) enum Over {
    /// It exceeds a limit, for this reason.
    Limit(Cause, String),
    /// Another attempt has taken over.
    Outdated,
}

/// What one attempt may take.
pub(super) struct Watch<'a> {
    folder: &'a JobFolder,
    attempt: u32,
    limits: &'a Resources,
    begun: Instant,
    looked: Instant,
    busy: Busy,
}

/// When a job last did something.
struct Busy {
    since: Instant,
    /// What it had said by then.
    said: Cursor,
    /// CPU seconds by then.
    cpu: f64,
    cards: Probe,
}

impl<'a> Watch<'a> {
    /// From now on. `cards` is what the job finds in `CUDA_VISIBLE_DEVICES`.
    pub(super) fn new(folder: &'a JobFolder, attempt: u32, limits: &'a Resources, cards: &str) -> Self {
        let now = Instant::now();
        let cards = Probe::new(cards, limits.idle.map_or(Duration::MAX, |idle| idle.0));
        let busy = Busy { since: now, said: folder.end_so_far(), cpu: 0.0, cards };
        Self { folder, attempt, limits, begun: now, looked: now, busy }
    }

    /// Whether it must end, and why.
    pub(super) fn over(&mut self) -> Option<Over> {
        let due = self.looked.elapsed() >= EVERY;
        if due {
            self.looked = Instant::now();
            // A machine that was cut off may come back after the job went on elsewhere.
            if self.folder.attempt().is_ok_and(|attempt| attempt != self.attempt) {
                return Some(Over::Outdated);
            }
        }
        let limits = self.limits;
        if let Some(time) = limits.time
            && self.begun.elapsed() > time.0
        {
            let reason = format!("it ran longer than its time limit of {time}");
            return Some(Over::Limit(Cause::Time, reason));
        }
        if !due || limits.memory.is_none() && limits.idle.is_none() {
            return None;
        }
        let mut family = process::descendants(std::process::id() as i32);
        family.retain(|process| Some(process) != self.busy.cards.own());
        if let Some(reason) = limits.memory.and_then(|limit| too_much(&family, limit)) {
            return Some(Over::Limit(Cause::Oom, reason));
        }
        let idle = limits.idle.filter(|limit| self.busy.idle(self.folder, &family) > limit.0)?;
        Some(Over::Limit(Cause::Idle, format!("it did nothing for {idle}")))
    }

    /// Ends what watches besides the supervisor.
    pub(super) fn end(mut self) {
        self.busy.cards.end();
    }
}

impl Busy {
    /// For how long the job has done nothing.
    fn idle(&mut self, folder: &JobFolder, family: &[Identity]) -> Duration {
        let said = folder.end_so_far();
        let cpu = process::cpu(family);
        // Where CPU time is not told, nobody knows that nothing is done. It falls where a process of the job has ended.
        let works = cpu.is_none_or(|cpu| {
            cpu < self.cpu || cpu - self.cpu >= NOTHING * self.since.elapsed().as_secs_f64()
        });
        if works || said != self.said || self.cards.works() {
            (self.since, self.said, self.cpu) = (Instant::now(), said, cpu.unwrap_or(0.0));
        }
        self.since.elapsed()
    }
}

/// Whether all processes of the job together hold more than `limit`.
fn too_much(family: &[Identity], limit: Bytes) -> Option<String> {
    // Counting shared pages once takes longer: only where it matters.
    let each = memory::held(family, false).filter(|held| *held > limit.0)?;
    let held = memory::held(family, true).unwrap_or(each);
    let shown = Bytes(held >> 20 << 20);
    (held > limit.0).then(|| format!("it held {shown} of memory, more than its limit of {limit}"))
}
