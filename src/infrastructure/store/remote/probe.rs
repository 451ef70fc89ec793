//! Whether a remote really lets exactly one of several writers create an object. What services advertise is no proof:
//! some ignore the condition, others honour it and race.

use std::path::{Path, PathBuf};
use std::sync::Barrier;

use serde_json::json;

use super::{Remote, Sync};
use crate::base::{Id, Time};
use crate::infrastructure::durable;
use crate::infrastructure::store::StoreError;

/// Writers that race for one object.
const WRITERS: usize = 8;
/// Objects raced for. Of the services seen to be wrong the best was so in 43 of 100 rounds: 20 let none through.
const ROUNDS: usize = 20;

impl Remote {
    /// Proves once per remote that it can hold ledgers; the proof is kept in the local store.
    pub(in crate::infrastructure::store) fn prove(&self, local: &Path) -> Result<(), StoreError> {
        if self.proof(local).is_file() {
            return Ok(());
        }
        self.ensure(local)?;
        self.exact(&format!("probe/{}", Id::new()))?;
        self.proved(local)
    }

    /// Races for objects below `folder`: exactly one winner each time.
    pub(super) fn exact(&self, folder: &str) -> Result<(), StoreError> {
        let outcome = (0..ROUNDS).try_for_each(|round| self.race(&format!("{folder}/{round}")));
        for round in 0..ROUNDS {
            // What is left behind is small and harmless; the outcome matters more.
            let _ = self.remove(&format!("{folder}/{round}"));
        }
        outcome
    }

    /// Keeps the proof.
    pub(super) fn proved(&self, local: &Path) -> Result<(), StoreError> {
        let proof = self.proof(local);
        let bytes = json!({"rounds": ROUNDS, "writers": WRITERS, "time": Time::now()}).to_string();
        durable::replace_through(&local.join("tmp"), &proof, bytes.as_bytes())
            .map_err(StoreError::io("write", proof))
    }

    /// Where the proof is kept.
    pub(super) fn proof(&self, local: &Path) -> PathBuf {
        self.cache(local).join("create-if-absent.json")
    }

    /// One round: exactly one winner, and its bytes are there.
    fn race(&self, key: &str) -> Result<(), StoreError> {
        let start = Barrier::new(WRITERS);
        let outcomes: Vec<Result<bool, StoreError>> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        self.create_with(key, writer.to_string().as_bytes(), Sync::Cache, false)
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let winners: Vec<usize> =
            (0..WRITERS).filter(|writer| matches!(outcomes[*writer], Ok(true))).collect();
        if winners.len() > 1 {
            return Err(self.not_exact(format!("{} of {WRITERS} writers created one object", winners.len())));
        }
        let content = self.get(key, 64)?;
        match (winners.first(), content) {
            (Some(winner), Some(bytes)) if bytes == winner.to_string().as_bytes() => Ok(()),
            (Some(_), _) => Err(self.not_exact("the winner's bytes are not there".to_owned())),
            // An answer was lost, but one writer's bytes stand.
            (None, Some(_)) if outcomes.iter().any(Result::is_err) => Ok(()),
            (None, _) => Err(outcomes
                .into_iter()
                .find_map(Result::err)
                .unwrap_or_else(|| self.not_exact("no writer could create an object".to_owned()))),
        }
    }

    fn not_exact(&self, detail: String) -> StoreError {
        StoreError::NoCreateIfAbsent { store: self.name.to_string(), detail }
    }
}
