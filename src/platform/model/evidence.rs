//! The evidence at hand: records of the local store, verified as they are read.

use std::collections::BTreeMap;

use indexmap::IndexSet;

use super::{History, ModelError, ModelFile, Version, stored_files};
use crate::base::{
    Approval, Attestation, Body, CommandOutput, Digest, Drill, Evaluation, Expectations, Leakage, Name,
    Record, RecordKind, Reproduction, Run, Shadow, SignedWaiver, Smoke, Timing,
};
use crate::infrastructure::store::{Local, Pin, PinKind, StoreError};
use crate::platform::train::{Gain, Predicted, Prediction, paired_bootstrap};

/// A record with its id.
pub type Filed<B> = (Digest, Record<B>);

/// All evidence in the local store that gates look at, newest first.
pub struct Evidence<'a> {
    store: &'a Local,
    /// The only records that count, if not all do.
    only: Option<Vec<Digest>>,
    evaluations: Vec<Filed<Evaluation>>,
    expectations: Vec<Filed<Expectations>>,
    leakages: Vec<Filed<Leakage>>,
    commands: Vec<Filed<CommandOutput>>,
    reproductions: Vec<Filed<Reproduction>>,
    timings: Vec<Filed<Timing>>,
    smokes: Vec<Filed<Smoke>>,
    drills: Vec<Filed<Drill>>,
    shadows: Vec<Filed<Shadow>>,
    attestations: Vec<Filed<Attestation>>,
}

/// Evidence that is missing and that mlp can make by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// An evaluation of the model `model` on a part of a dataset.
    Evaluation {
        /// Tree of the model's files.
        model: Digest,
        /// The model version, for people.
        version: u64,
        /// The dataset.
        data: Name,
        /// Id of the dataset's tree.
        tree: Digest,
        /// The part.
        part: String,
    },
    /// What `expect:` finds in a dataset.
    Expectations {
        /// The dataset.
        data: Name,
        /// Id of its tree.
        tree: Digest,
    },
    /// The overlap of a dataset's parts.
    Leakage {
        /// The dataset.
        data: Name,
        /// Id of its tree.
        tree: Digest,
    },
    /// A tree or file that only the project's store holds.
    Files {
        /// Its id.
        id: Digest,
    },
    /// How long a prediction takes.
    Latency,
    /// What a server says to the requests of a golden file.
    Smoke {
        /// The file's path on the trust branch.
        golden: String,
    },
    /// The output of a command.
    Command {
        /// The gate.
        gate: Name,
        /// The stage it belongs to.
        stage: Name,
        /// The command line.
        command: String,
    },
}

/// The version that is judged, with what is known of its making.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The model's history.
    pub history: &'a History,
    /// The version.
    pub version: &'a Version,
    /// The Record of its run, if it is at hand.
    pub run: Option<Filed<Run>>,
    /// Who made it, as `Name <email>`: the author of the run and of the commit it ran from.
    pub authors: Vec<String>,
    /// What git and the ledgers know of where it came from.
    pub origin: Origin,
}

/// What git and the ledgers know of where a version came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The author of the commit of its run, as `Name <email>`; none if the commit is not here.
    pub author: Option<String>,
    /// Whether this clone has only a part of git's history.
    pub shallow: bool,
    /// The version of each input of the run that the commit, or the ledger of another model, names; absent where none is named.
    pub inputs: BTreeMap<String, Digest>,
}

/// What is not here of how a version was made: who made it, and from what, cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// What it is, in words.
    pub what: String,
    /// The command that may bring it.
    pub next: &'static str,
}

impl Absent {
    /// The record of the run. Records that were pushed are here already: whoever made it has not.
    pub(super) fn run() -> Self {
        Self {
            what: "the record of the version's run is not here".to_owned(),
            next: "mlp data push  # where it was trained: with `stores:` in mlp.yaml its records get here",
        }
    }
}

impl<'a> Candidate<'a> {
    /// The candidate with its run's Record from `store`; `origin` tells what is known of the run's commit.
    pub fn load(
        store: &Local,
        history: &'a History,
        version: &'a Version,
        origin: impl Fn(Option<&str>, Option<&Run>) -> Origin,
    ) -> Result<Self, ModelError> {
        let run = match version.run {
            None => None,
            Some(id) => at_hand(store.record::<Run>(&id))?.map(|record| (id, record)),
        };
        if let Some((id, record)) = &run
            && record.body.outputs.get("model") != Some(&version.tree)
        {
            return Err(ModelError::Evidence {
                id: *id,
                why: format!("it is not the run that made version {}", version.number),
            });
        }
        let author = run.as_ref().and_then(|(_, record)| record.author.clone());
        let body = run.as_ref().map(|(_, record)| &record.body);
        // The record's commit: whoever wrote the entry could name another.
        let commit = body.map_or(&version.commit, |run| &run.git.commit);
        let origin = origin(commit.as_deref(), body);
        let mut authors: Vec<String> = author.into_iter().chain(origin.author.clone()).collect();
        authors.dedup();
        Ok(Self { history, version, run, authors, origin })
    }

    /// The record of its run or the commit of that, if it is not here.
    pub fn absent(&self) -> Option<Absent> {
        let Some((_, run)) = &self.run else { return Some(Absent::run()) };
        let commit = run.body.git.commit.as_ref().filter(|_| self.origin.author.is_none())?;
        let short: String = commit.chars().take(12).collect();
        let next = match self.origin.shallow {
            true => "git fetch --unshallow origin",
            false => "git fetch origin  # after a `git push` where it was trained",
        };
        Some(Absent { what: format!("the commit {short} of the run is not here"), next })
    }

    /// The tree of dataset `name` that the run used.
    pub fn data(&self, name: &Name) -> Option<Digest> {
        self.run.as_ref()?.1.body.data.get(name.as_str()).copied()
    }
}

/// Right or wrong per example key.
pub(super) type Answers = Vec<(String, bool)>;

impl<'a> Evidence<'a> {
    /// Reads and verifies the records in `store`.
    pub fn collect(store: &'a Local) -> Result<Self, ModelError> {
        Self::read(store, None)
    }

    /// The same, of these records alone: what an earlier judgement rested on.
    pub fn of(store: &'a Local, records: &[Digest]) -> Result<Self, ModelError> {
        Self::read(store, Some(records.to_vec()))
    }

    fn read(store: &'a Local, only: Option<Vec<Digest>>) -> Result<Self, ModelError> {
        let listed = Listed::of(store, only.as_deref())?;
        Ok(Self {
            store,
            evaluations: listed.filed(store)?,
            expectations: listed.filed(store)?,
            leakages: listed.filed(store)?,
            commands: listed.filed(store)?,
            reproductions: listed.filed(store)?,
            timings: listed.filed(store)?,
            smokes: listed.filed(store)?,
            drills: listed.filed(store)?,
            shadows: listed.filed(store)?,
            attestations: listed.filed(store)?,
            only,
        })
    }

    /// The newest evaluation of `model` on `part` of just this dataset.
    pub fn evaluation(
        &self,
        model: Digest,
        data: &Name,
        tree: Digest,
        settings: Digest,
        part: &str,
    ) -> Option<&Filed<Evaluation>> {
        self.evaluations.iter().find(|(_, record)| {
            let body = &record.body;
            (body.model, &body.data, body.tree, body.settings) == (model, data, tree, settings)
                && body.part == part
        })
    }

    /// The newest evaluation of `model` that is for other data or settings: said when the right one is missing.
    pub fn stray_evaluation(&self, model: Digest) -> Option<&Filed<Evaluation>> {
        self.evaluations.iter().find(|(_, record)| record.body.model == model)
    }

    /// What `expect:` found in this tree of the dataset.
    pub fn expectations(&self, data: &Name, tree: Digest) -> Option<&Filed<Expectations>> {
        self.expectations.iter().find(|(_, record)| (&record.body.data, record.body.tree) == (data, tree))
    }

    /// The overlap found in this tree of the dataset with these settings; if images were to be compared, up to this distance.
    pub fn leakage(
        &self,
        data: &Name,
        tree: Digest,
        settings: Digest,
        near: Option<u32>,
    ) -> Option<&Filed<Leakage>> {
        self.leakages.iter().find(|(_, record)| {
            let body = &record.body;
            let compared = body.near.as_ref().map(|near| near.distance);
            (&body.data, body.tree, body.settings) == (data, tree, settings)
                && (near.is_none() || near == compared)
        })
    }

    /// What `command` answered about these files.
    pub fn command(&self, model: &Name, tree: Digest, command: &str) -> Option<&Filed<CommandOutput>> {
        self.commands.iter().find(|(_, record)| {
            let body = &record.body;
            (&body.model, body.tree, body.command.as_str()) == (model, tree, command)
        })
    }

    /// What came of training a version again from the record of its own run.
    pub fn reproduction(&self, version: &Version) -> Option<&Filed<Reproduction>> {
        self.reproductions.iter().find(|(_, record)| {
            let body = &record.body;
            body.model == version.tree && Some(body.run) == version.run
        })
    }

    /// How long a prediction of these files takes, measured on a device that has this in its name.
    pub fn timing(&self, model: Digest, device: &str) -> Option<&Filed<Timing>> {
        self.timings
            .iter()
            .find(|(_, record)| record.body.model == model && record.body.device.contains(device))
    }

    /// What a server of these files said to the requests of a golden file.
    pub fn smoke(&self, model: Digest, golden: Digest) -> Option<&Filed<Smoke>> {
        self.smokes.iter().find(|(_, record)| (record.body.model, record.body.golden) == (model, golden))
    }

    /// The rehearsal of going back from one version's files to those of another.
    pub fn drill(&self, from: Digest, to: Digest) -> Option<&Filed<Drill>> {
        self.drills.iter().find(|(_, record)| (record.body.from, record.body.to) == (from, to))
    }

    /// What became of these files in the shadow of the live ones.
    pub fn shadow(&self, tree: Digest, live: Digest) -> Option<&Filed<Shadow>> {
        self.shadows.iter().find(|(_, record)| (record.body.tree, record.body.live) == (tree, live))
    }

    /// What was stated about these files for other tools, of one type of predicate, newest first.
    pub fn attestations(&self, tree: Digest, predicate: &str) -> impl Iterator<Item = &Filed<Attestation>> {
        self.attestations.iter().filter(move |(_, record)| {
            (record.body.tree, record.body.predicate.as_str()) == (tree, predicate)
        })
    }

    /// The files of a tree, every byte of them read; none if not all are in the local store.
    pub(super) fn files(&self, tree: &Digest) -> Result<Option<Vec<ModelFile>>, ModelError> {
        match stored_files(self.store, tree) {
            Ok(files) => Ok(Some(files)),
            Err(ModelError::Store(StoreError::Missing(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All finished runs, newest first. They are read when they are asked for: there may be many.
    pub fn runs(&self) -> Result<Vec<Filed<Run>>, ModelError> {
        Listed::of(self.store, self.only.as_deref())?.filed(self.store)
    }

    /// The record of the newest run that made `id` as one of its outputs.
    pub fn maker(&self, id: &Digest) -> Result<Option<Digest>, ModelError> {
        let mut runs = self.runs()?.into_iter();
        Ok(runs.find(|(_, run)| run.body.outputs.values().any(|made| made == id)).map(|(record, _)| record))
    }

    /// Bytes of all files of a tree; none if it is not in the local store.
    pub fn size(&self, tree: &Digest) -> Result<Option<u64>, ModelError> {
        Ok(at_hand(self.store.root_node(tree))?.map(|root| root.size))
    }

    /// The approval record `id`; none if it is not in the local store.
    pub fn approval(&self, id: &Digest) -> Result<Option<Record<Approval>>, ModelError> {
        at_hand(self.store.record(id))
    }

    /// The waiver record `id`; none if it is not in the local store, or the record is another one.
    pub fn waiver(&self, id: &Digest) -> Result<Option<Record<SignedWaiver>>, ModelError> {
        match at_hand(self.store.any_record(id))? {
            Some(record) if record.kind == RecordKind::Waiver => at_hand(self.store.record(id)),
            _ => Ok(None),
        }
    }

    /// Whether a tree or file is in the local store.
    pub(super) fn holds(&self, id: &Digest) -> Result<bool, ModelError> {
        Ok(self.store.has(id)?)
    }

    /// The paired bootstrap of two evaluations whose predictions are in the local store, or why it cannot be.
    pub(super) fn gain(
        &self,
        metric: &str,
        alpha: f64,
        own: &Evaluation,
        other: &Evaluation,
    ) -> Result<Result<Gain, String>, ModelError> {
        let (one, two) = (self.predictions(own)?, self.predictions(other)?);
        Ok(paired_bootstrap(metric, alpha, predicted(&one, own), predicted(&two, other)))
    }

    /// Which examples an evaluation got right. Its predictions must be in the local store.
    pub(super) fn answers(&self, evaluation: &Evaluation) -> Result<Answers, ModelError> {
        let wrong = |why: &str| ModelError::Evidence { id: evaluation.predictions, why: why.to_owned() };
        let answer = |prediction: Prediction| {
            let key = prediction.key.ok_or_else(|| wrong("one of its predictions has no key"))?;
            let (Some(label), Some(truth)) = (prediction.label, prediction.truth) else {
                return Err(wrong("its predictions have no class; a paired test needs a classifier"));
            };
            Ok((key, label == truth))
        };
        self.predictions(evaluation)?.into_iter().map(answer).collect()
    }

    /// The stored predictions of an evaluation, one for each of its examples.
    fn predictions(&self, evaluation: &Evaluation) -> Result<Vec<Prediction>, ModelError> {
        let id = evaluation.predictions;
        let wrong = |why: String| ModelError::Evidence { id, why };
        let bytes = self.store.read(&id)?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let predictions: Vec<Prediction> = lines
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_slice(line)
                    .map_err(|error| wrong(format!("line {} is no prediction: {error}", index + 1)))
            })
            .collect::<Result<_, _>>()?;
        if predictions.len() as u64 != evaluation.examples {
            return Err(wrong(format!(
                "{} predictions for {} examples",
                predictions.len(),
                evaluation.examples
            )));
        }
        Ok(predictions)
    }
}

fn predicted<'a>(predictions: &'a [Prediction], evaluation: &'a Evaluation) -> Predicted<'a> {
    let classes = evaluation.confusion.as_ref().map_or(&[][..], |confusion| &confusion.labels);
    Predicted { predictions, classes }
}

/// What is missing is no error: others may hold it. What is damaged is one, and names the object.
fn at_hand<T>(found: Result<T, StoreError>) -> Result<Option<T>, ModelError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Which records count.
enum Listed<'a> {
    /// All that pins name.
    Pinned(Vec<Pin>),
    /// These alone.
    Only(&'a [Digest]),
}

impl<'a> Listed<'a> {
    fn of(store: &Local, only: Option<&'a [Digest]>) -> Result<Self, ModelError> {
        Ok(match only {
            Some(only) => Self::Only(only),
            None => Self::Pinned(store.pins()?),
        })
    }

    /// Those of one kind, newest first.
    fn filed<B: Body>(&self, store: &Local) -> Result<Vec<Filed<B>>, ModelError> {
        let ids: IndexSet<Digest> = match self {
            Self::Pinned(pins) => {
                let of_kind = pins.iter().filter(|pin| pin.kind == PinKind::Record(B::KIND));
                of_kind.flat_map(|pin| pin.records.iter().copied()).collect()
            }
            Self::Only(ids) => {
                let mut of_kind = IndexSet::new();
                for id in *ids {
                    // Not all that a verdict rests on is a record.
                    if at_hand(store.any_record(id))?.is_some_and(|record| record.kind == B::KIND) {
                        of_kind.insert(*id);
                    }
                }
                of_kind
            }
        };
        let mut found = Vec::new();
        for id in ids {
            if let Some(record) = at_hand(store.record::<B>(&id))? {
                found.push((id, record));
            }
        }
        // Stable: of two with one time the later pin is the newer one.
        found.reverse();
        found.sort_by_key(|(_, record)| std::cmp::Reverse(record.time));
        Ok(found)
    }
}
