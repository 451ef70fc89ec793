//! How busy the cards of a job are, as `nvidia-smi` tells, asked beside the work of the supervisor.

use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::process::{self, Identity, Kill};
use crate::hardware::Load;

/// It is asked at most so often.
const EVERY: Duration = Duration::from_secs(10);
/// One that is killed is waited for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Percent of the time, from which on a card works.
const WORKS: u32 = 5;

/// Asks for the load of some cards.
pub(super) struct Probe {
    cards: Vec<String>,
    every: Duration,
    under_way: Option<UnderWay>,
    asked: Option<Instant>,
}

/// A question that is not answered yet.
struct UnderWay {
    /// None if it has ended already.
    process: Option<Identity>,
    answer: Receiver<String>,
}

impl Probe {
    /// Of the cards in `CUDA_VISIBLE_DEVICES`: numbers, or the beginnings of UUIDs.
    pub(super) fn new(visible: &str, within: Duration) -> Self {
        let cards = visible.split(',').map(|card| card.trim().to_owned()).filter(|card| !card.is_empty());
        Self { cards: cards.collect(), every: EVERY.min(within / 4), under_way: None, asked: None }
    }

    /// Whether an answer has come, according to which one of the cards works. Asks again if it is time to.
    pub(super) fn works(&mut self) -> bool {
        if self.cards.is_empty() {
            return false;
        }
        let answer = self.under_way.as_ref().and_then(|asked| asked.answer.try_recv().ok());
        if let Some(text) = answer {
            self.under_way = None;
            return Load::read(&text).iter().any(|load| load.percent >= WORKS && self.has(load));
        }
        let due = self.asked.is_none_or(|asked| asked.elapsed() >= self.every);
        if due && self.under_way.is_none() {
            self.asked = Some(Instant::now());
            self.under_way = ask();
        } else if self.asked.is_some_and(|asked| asked.elapsed() > crate::hardware::LONGEST) {
            // A driver in trouble lets it hang.
            self.end();
        }
        false
    }

    fn has(&self, load: &Load) -> bool {
        self.cards.iter().any(|card| *card == load.index || load.uuid.starts_with(card.as_str()))
    }

    /// The process that is under way, which is not the job's.
    pub(super) fn own(&self) -> Option<&Identity> {
        self.under_way.as_ref()?.process.as_ref()
    }

    /// Ends what is under way.
    pub(super) fn end(&mut self) {
        let Some(process) = self.under_way.take().and_then(|asked| asked.process) else { return };
        process::kill(&process, Kill::Kill);
        let begun = Instant::now();
        // What hangs in the kernel cannot be waited for.
        while process.alive() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Its output comes by a thread. The supervisor takes the exit status together with those of all its children.
fn ask() -> Option<UnderWay> {
    // Reaped with all others by number.
    #[allow(clippy::zombie_processes)]
    let mut child =
        Load::question().stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped()).spawn().ok()?;
    let mut output = child.stdout.take()?;
    let (sender, answer) = channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        if output.read_to_string(&mut text).is_ok() {
            let _ = sender.send(text);
        }
    });
    Some(UnderWay { process: Identity::of(child.id() as i32), answer })
}
