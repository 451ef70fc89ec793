//! The prediction log of a server: what `mlp monitor` reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Answered, Observer, Served};
use crate::base::{Digest, Name};
use crate::platform::monitor::{self, LogSpec};
use crate::platform::train::Model;

/// Keeps the answers of all models of a server, each in a folder of its own.
pub struct PredictionLog {
    folder: PathBuf,
    spec: LogSpec,
    logs: Mutex<BTreeMap<Name, monitor::Log>>,
}

impl PredictionLog {
    /// A log whose models have their folders below `folder`.
    pub fn new(folder: PathBuf, spec: LogSpec) -> Self {
        Self { folder, spec, logs: Mutex::default() }
    }

    /// Requests that were not logged since the server began: the disk was too slow, or full.
    pub fn dropped(&self) -> u64 {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.values().map(monitor::Log::dropped).sum()
    }
}

impl Observer for PredictionLog {
    fn answered(&self, answered: &Arc<Answered>) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let name = &answered.served.name;
        if !logs.contains_key(name) {
            // Without a thread to write it there is no log; answers come first.
            let Ok(log) = monitor::Log::open(&self.folder.join(name.as_str()), &self.spec) else { return };
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
