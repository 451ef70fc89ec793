//! What a model's ledger says when it is replayed: versions, what is live in each stage, approvals.

use std::borrow::Cow;
use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::{ModelError, Selector};
use crate::base::{Digest, Entry, EntryKind, Id, Name, Run, Subject, Time, nearest};

/// A registered version of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub number: u64,
    /// The tree of its files.
    pub tree: Digest,
    /// The Record of the run that made it.
    pub run: Option<Digest>,
    /// The git commit of the code that made it.
    pub commit: Option<String>,
    /// The ledger entry that registered it.
    pub entry: Digest,
    /// When it was registered.
    pub time: Time,
    /// Who registered it.
    pub actor: String,
}

/// A replayed ledger.
#[derive(Clone, Debug)]
pub struct History {
    model: Name,
    entries: Vec<Entry>,
    versions: Vec<Version>,
    /// Per stage the promotions that stand: (version, index of its entry); a rollback takes the last one off.
    stages: IndexMap<Name, Vec<(u64, usize)>>,
    retired: BTreeMap<u64, usize>,
    /// The digest of each entry.
    digests: Vec<Digest>,
}

impl History {
    /// Replays `entries`, refusing a sequence that no correct writer can have made.
    pub fn replay<'a>(model: &Name, entries: impl Into<Cow<'a, [Entry]>>) -> Result<Self, ModelError> {
        let entries = entries.into().into_owned();
        let mut history = Self::empty(model, entries.len());
        for entry in entries {
            let digest = entry.digest();
            history.take(entry, digest)?;
        }
        Ok(history)
    }

    /// The same for entries whose chain was verified when they were read: what the next one names is the digest of each.
    pub(super) fn of_chain(model: &Name, entries: Vec<Entry>) -> Result<Self, ModelError> {
        let mut history = Self::empty(model, entries.len());
        let mut entries = entries.into_iter().peekable();
        while let Some(entry) = entries.next() {
            let named = entries.peek().and_then(|next| next.prev);
            let digest = named.unwrap_or_else(|| entry.digest());
            history.take(entry, digest)?;
        }
        Ok(history)
    }

    /// The same as far as it goes: what comes before the first entry that no correct writer can have made, and what is wrong with that.
    pub(super) fn sound(model: &Name, entries: Vec<Entry>) -> (Self, Option<ModelError>) {
        let mut history = Self::empty(model, entries.len());
        let mut entries = entries.into_iter().peekable();
        while let Some(entry) = entries.next() {
            let named = entries.peek().and_then(|next| next.prev);
            let digest = named.unwrap_or_else(|| entry.digest());
            if let Err(error) = history.take(entry, digest) {
                // What was half taken is left out.
                let before = Self::replay(model, &history.entries[..]);
                return (before.unwrap_or_else(|_| Self::empty(model, 0)), Some(error));
            }
        }
        (history, None)
    }

    /// The history as it was when it had `count` entries.
    pub(super) fn first(&self, count: usize) -> Result<Self, ModelError> {
        Self::replay(&self.model, &self.entries[..count.min(self.entries.len())])
    }

    fn empty(model: &Name, count: usize) -> Self {
        Self {
            model: model.clone(),
            entries: Vec::with_capacity(count),
            versions: Vec::new(),
            stages: IndexMap::new(),
            retired: BTreeMap::new(),
            digests: Vec::with_capacity(count),
        }
    }

    /// The history with one entry more, refused as [`History::replay`] does.
    pub fn followed_by(&self, entry: &Entry) -> Result<Self, ModelError> {
        let mut history = self.clone();
        history.take(entry.clone(), entry.digest())?;
        Ok(history)
    }

    /// The history of a model whose run `id` would be registered now as version 1: to judge before anything is written.
    pub fn imagine(model: &Name, id: Digest, run: &Run) -> Result<Self, ModelError> {
        let tree =
            run.outputs.get("model").copied().ok_or_else(|| ModelError::NoRun { model: model.clone() })?;
        let entry = Entry {
            schema: Entry::SCHEMA.to_owned(),
            seq: 1,
            prev: None,
            op: Id::new(),
            time: Time::now(),
            actor: String::new(),
            kind: EntryKind::Register,
            subject: Subject {
                model: model.clone(),
                version: 1,
                tree,
                run: Some(id),
                stage: None,
                commit: run.git.commit.clone(),
                reason: None,
            },
            evidence: vec![id],
            signature: None,
        };
        Self::replay(model, vec![entry])
    }

    fn take(&mut self, entry: Entry, digest: Digest) -> Result<(), ModelError> {
        self.fit(&entry, digest).map_err(|why| ModelError::Ledger {
            model: self.model.clone(),
            seq: entry.seq,
            why,
        })?;
        self.digests.push(digest);
        self.entries.push(entry);
        Ok(())
    }

    /// Applies `entry` to what the entries before it came to.
    fn fit(&mut self, entry: &Entry, digest: Digest) -> Result<(), String> {
        let index = self.entries.len();
        let subject = &entry.subject;
        if entry.schema != Entry::SCHEMA {
            return Err(format!("its schema `{}` is not known to this version of mlp", entry.schema));
        }
        if entry.seq != index as u64 + 1 {
            return Err(format!("it should have number {}", index + 1));
        }
        if entry.prev != self.tail() {
            return Err("it does not follow from the entry before it".to_owned());
        }
        if self.entries.last().is_some_and(|last| last.time > entry.time) {
            return Err("it is older than the entry before it".to_owned());
        }
        if subject.model != self.model {
            return Err(format!("it is about the model `{}`", subject.model));
        }
        if entry.kind == EntryKind::Register {
            self.register(entry, digest)?;
        } else {
            let version = self.version(subject.version).map_err(|error| error.to_string())?;
            if version.tree != subject.tree {
                return Err(format!("version {} has another tree", subject.version));
            }
        }
        let number = subject.version;
        let stage = || subject.stage.clone().ok_or_else(|| "it names no stage".to_owned());
        match entry.kind {
            EntryKind::Register | EntryKind::Waive | EntryKind::Gc => {}
            EntryKind::Approve => {
                stage()?;
            }
            EntryKind::Promote => {
                let stage = stage()?;
                if self.retired.contains_key(&number) {
                    return Err(format!("version {number} was retired"));
                }
                let stack = self.stages.entry(stage).or_default();
                if stack.last().is_some_and(|(live, _)| *live == number) {
                    stack.pop();
                }
                stack.push((number, index));
            }
            EntryKind::Rollback => {
                let stack = self.stages.entry(stage()?).or_default();
                stack.pop();
                match stack.last_mut() {
                    Some((previous, made)) if *previous == number => *made = index,
                    _ => return Err(format!("version {number} was not the one before")),
                }
            }
            EntryKind::Retire => {
                let live =
                    self.stages.values().filter_map(|stack| stack.last()).any(|(live, _)| *live == number);
                if live {
                    return Err(format!("version {number} is live"));
                }
                self.retired.insert(number, index);
            }
        }
        Ok(())
    }

    fn register(&mut self, entry: &Entry, digest: Digest) -> Result<(), String> {
        let expected = self.versions.len() as u64 + 1;
        if entry.subject.version != expected {
            return Err(format!("the next version is {expected}, not {}", entry.subject.version));
        }
        self.versions.push(Version {
            number: expected,
            tree: entry.subject.tree,
            run: entry.subject.run,
            commit: entry.subject.commit.clone(),
            entry: digest,
            time: entry.time,
            actor: entry.actor.clone(),
        });
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Name {
        &self.model
    }

    /// All entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The records that entries name.
    pub fn evidence(&self) -> impl Iterator<Item = Digest> {
        self.entries.iter().flat_map(|entry| entry.evidence.iter().copied())
    }

    /// The digest of the last entry: what the next one names as `prev`.
    pub fn tail(&self) -> Option<Digest> {
        self.digests.last().copied()
    }

    /// The digest of each entry, in order.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// The history as it was at `time`.
    pub fn at(&self, time: Time) -> Result<Self, ModelError> {
        let until = self.entries.partition_point(|entry| entry.time <= time);
        Self::of_chain(&self.model, self.entries[..until].to_vec())
    }

    /// All versions, oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Version `number`.
    pub fn version(&self, number: u64) -> Result<&Version, ModelError> {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        index.and_then(|index| self.versions.get(index)).ok_or_else(|| ModelError::NoVersion {
            model: self.model.clone(),
            number,
            newest: self.versions.len() as u64,
        })
    }

    /// The newest version.
    pub fn newest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The version that is live in `stage`.
    pub fn live(&self, stage: &Name) -> Option<&Version> {
        let (number, _) = self.stages.get(stage)?.last()?;
        self.version(*number).ok()
    }

    /// The entry that made the live version of `stage` live.
    pub fn live_entry(&self, stage: &Name) -> Option<&Entry> {
        let (_, index) = self.stages.get(stage)?.last()?;
        self.entries.get(*index)
    }

    /// The version that a rollback of `stage` would put back.
    pub fn previous(&self, stage: &Name) -> Option<&Version> {
        let stack = self.stages.get(stage)?;
        let (number, _) = stack.get(stack.len().checked_sub(2)?)?;
        self.version(*number).ok()
    }

    /// The stages in which a version is live, in the order of their first promotion.
    pub fn live_in(&self, number: u64) -> Vec<Name> {
        let live = self.stages().filter(|(_, live)| live.number == number);
        live.map(|(stage, _)| stage.clone()).collect()
    }

    /// Stages that hold something, with what is live there, in the order of their first promotion.
    pub fn stages(&self) -> impl Iterator<Item = (&Name, &Version)> {
        self.stages.keys().filter_map(|stage| Some((stage, self.live(stage)?)))
    }

    /// Whether `number` was taken out of use.
    pub fn retired(&self, number: u64) -> bool {
        self.retired.contains_key(&number)
    }

    /// The `approve` entries about version `number`, oldest first.
    pub fn approvals(&self, number: u64) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.kind == EntryKind::Approve && entry.subject.version == number)
    }

    /// The `waive` entries about version `number`, oldest first.
    pub fn waivers(&self, number: u64) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.kind == EntryKind::Waive && entry.subject.version == number)
    }

    /// The version that `selector` means.
    pub fn select(&self, selector: &Selector) -> Result<&Version, ModelError> {
        match selector {
            Selector::Newest => {
                self.newest().ok_or_else(|| ModelError::NothingRegistered { model: self.model.clone() })
            }
            Selector::Version(number) => self.version(*number),
            Selector::Stage(stage) => self.live(stage).ok_or_else(|| {
                let live = || self.stages().map(|(name, _)| name.as_str());
                ModelError::NothingLive {
                    model: self.model.clone(),
                    stage: stage.clone(),
                    near: nearest(stage.as_str(), live()).map(str::to_owned),
                    live: live().map(str::to_owned).collect(),
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests;
