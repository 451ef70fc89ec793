//! What a job uses while it runs: hours, GPUs, energy where the machine tells.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::folder::json;
use super::{JobError, JobFolder, JobSpec};
use crate::base::Usage;
use crate::hardware::{Processors, power};

/// How often power is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// What is known goes into the folder so often, for a job whose supervisor is killed.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// Longer without an answer, and what the cards drew meanwhile is not known.
const LONGEST_GAP: Duration = Duration::from_secs(60);

/// Counts from its start on.
pub(super) struct Meter {
    stop: mpsc::Sender<()>,
    counted: JoinHandle<Usage>,
}

impl Meter {
    /// Begins to count a part of an attempt of the job in `folder`, on top of `before`; `uuids` are the cards that it holds.
    pub(super) fn start(folder: &JobFolder, spec: &JobSpec, uuids: &[String], before: &Usage) -> Self {
        let mut count = Count::new(folder.clone(), spec, uuids.to_vec(), before.clone());
        let (stop, stopped) = mpsc::channel();
        let counted = std::thread::spawn(move || {
            let mut saved = Instant::now();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                count.look();
                if saved.elapsed() >= SAVE_EVERY {
                    saved = Instant::now();
                    let _ = count.folder.set_usage(&count.usage());
                }
            }
            count.look();
            count.usage()
        });
        Self { stop, counted }
    }

    /// What was used till now, with what was before.
    pub(super) fn stop(self) -> Usage {
        drop(self.stop);
        self.counted.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// One count under way.
struct Count {
    folder: JobFolder,
    before: Usage,
    started: Instant,
    machines: f64,
    gpus: f64,
    cards: Option<Cards>,
    processors: Option<(Processors, f64)>,
}

/// The energy of cards.
struct Cards {
    /// None: all that this machine shows, if they are as many as the job has.
    uuids: Vec<String>,
    wanted: usize,
    joules: f64,
    /// Whether there was no gap too long.
    known: bool,
    /// When they last answered, and with how many watts.
    last: (Instant, Option<f64>),
}

impl Count {
    fn new(folder: JobFolder, spec: &JobSpec, uuids: Vec<String>, before: Usage) -> Self {
        let started = Instant::now();
        let gpus = spec.resources.gpus.unwrap_or(0);
        let nodes = spec.resources.nodes.unwrap_or(1);
        // This is one of several machines: nothing is known of what the others draw.
        let measured = spec.power && nodes == 1;
        let cards = Cards::new(uuids, gpus as usize, started);
        let processors = Processors::count().map(|processors| (processors, 0.0));
        let mut count = Self {
            folder,
            before,
            started,
            machines: f64::from(nodes),
            gpus: f64::from(gpus),
            cards: (measured && gpus > 0).then_some(cards),
            processors: processors.filter(|_| measured),
        };
        count.look();
        count
    }

    fn look(&mut self) {
        if let Some(cards) = &mut self.cards {
            cards.take(Instant::now(), &power());
        }
        self.processors = self.processors.take().and_then(|(mut processors, joules)| {
            let more = processors.joules()?;
            Some((processors, joules + more))
        });
    }

    fn usage(&self) -> Usage {
        const JOULES: f64 = 3.6e6;
        let hours = self.machines * self.started.elapsed().as_secs_f64() / 3_600.0;
        let now = Usage {
            hours,
            gpu_hours: hours * self.gpus,
            gpu_kwh: self.cards.as_ref().and_then(Cards::joules).map(|joules| joules / JOULES),
            cpu_kwh: self.processors.as_ref().map(|(_, joules)| joules / JOULES),
            attempts: 0,
        };
        match self.before.hours > 0.0 {
            true => self.before.and(&now),
            false => Usage { attempts: self.before.attempts, ..now },
        }
    }
}

impl Cards {
    fn new(uuids: Vec<String>, wanted: usize, started: Instant) -> Self {
        Self { uuids, wanted, joules: 0.0, known: true, last: (started, None) }
    }

    /// Adds what they drew since they last answered: the mean of then and now, for as long as it was.
    fn take(&mut self, now: Instant, told: &[(String, f64)]) {
        let watts: Vec<f64> = match self.uuids.is_empty() {
            false => {
                told.iter().filter(|(uuid, _)| self.uuids.contains(uuid)).map(|(_, watts)| *watts).collect()
            }
            true => told.iter().map(|(_, watts)| *watts).collect(),
        };
        let gap = now.duration_since(self.last.0);
        if gap > LONGEST_GAP {
            self.known = false;
        }
        if watts.len() != self.wanted {
            return;
        }
        let watts: f64 = watts.iter().sum();
        let mean = (self.last.1.unwrap_or(watts) + watts) / 2.0;
        self.joules += mean * gap.as_secs_f64();
        self.last = (now, Some(watts));
    }

    fn joules(&self) -> Option<f64> {
        (self.known && self.last.1.is_some()).then_some(self.joules)
    }
}

/// What `usage.json` says.
#[derive(Serialize, Deserialize)]
struct UsageFile {
    schema: String,
    usage: Usage,
}

impl JobFolder {
    /// What the job has used so far, as far as it was noted.
    pub(super) fn usage(&self) -> Result<Option<Usage>, JobError> {
        Ok(self.read::<UsageFile>("usage.json")?.map(|file| file.usage))
    }

    pub(super) fn set_usage(&self, usage: &Usage) -> Result<(), JobError> {
        let file = UsageFile { schema: "mlp/usage/1".into(), usage: usage.clone() };
        self.write("usage.json", &json(&file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(watts: &[(&str, f64)]) -> Vec<(String, f64)> {
        watts.iter().map(|(uuid, watts)| ((*uuid).to_owned(), *watts)).collect()
    }

    #[test]
    fn the_energy_of_cards_is_the_mean_of_two_looks_and_others_cards_do_not_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cards = Cards::new(vec!["GPU-1".into()], 1, start);
        assert_eq!(cards.joules(), None, "nobody told");
        cards.take(at(0), &told(&[("GPU-0", 999.0), ("GPU-1", 100.0)]));
        cards.take(at(10), &told(&[("GPU-0", 999.0), ("GPU-1", 200.0)]));
        assert_eq!(cards.joules(), Some(1_500.0));
        cards.take(at(15), &[]);
        cards.take(at(20), &told(&[("GPU-1", 0.0)]));
        assert_eq!(cards.joules(), Some(2_500.0), "one answer less is no gap");
        cards.take(at(100), &told(&[("GPU-1", 0.0)]));
        assert_eq!(cards.joules(), None, "nobody knows what they drew for 80 seconds");
    }

    #[test]
    fn where_slurm_gives_the_cards_all_that_are_shown_are_meant() {
        let start = Instant::now();
        let mut cards = Cards::new(Vec::new(), 2, start);
        cards.take(start, &told(&[("GPU-0", 10.0), ("GPU-1", 20.0), ("GPU-2", 30.0)]));
        assert_eq!(cards.joules(), None, "one of them is somebody else's");
        cards.take(start, &told(&[("GPU-0", 10.0), ("GPU-1", 20.0)]));
        assert_eq!(cards.joules(), Some(0.0));
    }
}
