//! The prediction log of a server: what `mlp monitor` reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Answered, Metrics, Observer, Served, Tell};
use crate::base::{Digest, Level, Name};
use crate::platform::monitor::{self, LogSpec};
use crate::platform::train::Model;

/// Keeps the answers of all models of a server, each in a folder of its own.
pub struct PredictionLog {
    folder: PathBuf,
    spec: LogSpec,
    metrics: Arc<Metrics>,
    tell: Arc<Tell>,
    logs: Mutex<BTreeMap<Name, monitor::Log>>,
}

impl PredictionLog {
    /// A log whose models have their folders below `folder`. What it does not keep is counted in `metrics`, and why told to `tell`.
    pub fn new(folder: PathBuf, spec: LogSpec, metrics: Arc<Metrics>, tell: Tell) -> Self {
        Self { folder, spec, metrics, tell: Arc::new(tell), logs: Mutex::default() }
    }
}

/// Requests to one model that are not logged: the disk was too slow, or full.
struct Lost {
    model: Name,
    metrics: Arc<Metrics>,
    tell: Arc<Tell>,
}

impl monitor::Losses for Lost {
    fn lost(&self, requests: u64) {
        self.metrics.log_dropped(&self.model, requests);
    }

    fn warn(&self, text: &str) {
        (self.tell)(Level::Warn, text);
    }
}

impl Observer for PredictionLog {
    fn answered(&self, answered: &Arc<Answered>) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let name = &answered.served.name;
        if !logs.contains_key(name) {
            // There from the first answer on, so that a rise is seen.
            self.metrics.log_dropped(name, 0);
            let (metrics, tell) = (Arc::clone(&self.metrics), Arc::clone(&self.tell));
            let lost = Arc::new(Lost { model: name.clone(), metrics, tell });
            // Without a thread to write it there is no log; answers come first.
            let Ok(log) = monitor::Log::open(&self.folder.join(name.as_str()), &self.spec, lost) else {
                self.metrics.log_dropped(name, 1);
                return;
            };
            logs.insert(name.clone(), log);
        }
        let Some(log) = logs.get(name) else { return };
        let request = monitor::Answered {
            id: answered.id,
            time: answered.time,
            inputs: answered.inputs.clone(),
            predictions: answered.predictions.clone(),
            latency: answered.latency,
        };
        log.offer(request, Arc::clone(&answered.served) as Arc<dyn monitor::Answering>);
    }

    fn finish(&self) {
        // A log that is dropped writes what waits.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl monitor::Answering for Served {
    fn model(&self) -> &Model {
        &self.model
    }

    fn tree(&self) -> Digest {
        self.tree
    }
}
