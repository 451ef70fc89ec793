//! The evidence at hand: records of the local store, verified as they are read.

use serde::Deserialize;

use super::{History, ModelError, Version};
use crate::base::{
    Approval, Body, CommandOutput, Digest, Evaluation, Expectations, Leakage, Name, Record, RecordKind,
    Reproduction, Run,
};
use crate::infrastructure::store::{Local, StoreError};

/// A record with its id.
pub type Filed<B> = (Digest, Record<B>);

/// All evidence in the local store that gates look at, newest first.
pub struct Evidence<'a> {
    store: &'a Local,
    evaluations: Vec<Filed<Evaluation>>,
    expectations: Vec<Filed<Expectations>>,
    leakages: Vec<Filed<Leakage>>,
    commands: Vec<Filed<CommandOutput>>,
    reproductions: Vec<Filed<Reproduction>>,
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
}

impl<'a> Candidate<'a> {
    /// The candidate with its run's Record from `store`; `commit_author` is the author of the run's commit, if known.
    pub fn load(
        store: &Local,
        history: &'a History,
        version: &'a Version,
        commit_author: impl Fn(&str) -> Option<String>,
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
        let commit = version.commit.as_deref().and_then(commit_author);
        let mut authors: Vec<String> = author.into_iter().chain(commit).collect();
        authors.dedup();
        Ok(Self { history, version, run, authors })
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
        Ok(Self {
            store,
            evaluations: filed(store)?,
            expectations: filed(store)?,
            leakages: filed(store)?,
            commands: filed(store)?,
            reproductions: filed(store)?,
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

    /// The approval record `id`; none if it is not in the local store.
    pub fn approval(&self, id: &Digest) -> Result<Option<Record<Approval>>, ModelError> {
        at_hand(self.store.record(id))
    }

    /// Which examples an evaluation got right; none if its predictions are not in the local store.
    pub(super) fn answers(&self, evaluation: &Evaluation) -> Result<Option<Answers>, ModelError> {
        #[derive(Deserialize)]
        struct Line {
            key: String,
            label: Option<String>,
            truth: Option<String>,
        }
        let id = evaluation.predictions;
        let Some(bytes) = at_hand(self.store.read(&id))? else { return Ok(None) };
        let wrong = |why: String| ModelError::Evidence { id, why };
        let mut answers = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line)
                .map_err(|error| wrong(format!("line {} is no prediction: {error}", answers.len() + 1)))?;
            let (Some(label), Some(truth)) = (line.label, line.truth) else {
                return Err(wrong(
                    "its predictions have no class; a paired test needs a classifier".to_owned(),
                ));
            };
            answers.push((line.key, label == truth));
        }
        if answers.len() as u64 != evaluation.examples {
            return Err(wrong(format!("{} predictions for {} examples", answers.len(), evaluation.examples)));
        }
        Ok(Some(answers))
    }
}

/// What is missing is no error: others may hold it. What is damaged is one, and names the object.
fn at_hand<T>(found: Result<T, StoreError>) -> Result<Option<T>, ModelError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn filed<B: Body>(store: &Local) -> Result<Vec<Filed<B>>, ModelError> {
    let kind: RecordKind = B::KIND;
    let mut found = Vec::new();
    for id in store.records(kind)? {
        if let Some(record) = at_hand(store.record::<B>(&id))? {
            found.push((id, record));
        }
    }
    // Stable: of two with one time the later pin is the newer one.
    found.reverse();
    found.sort_by_key(|(_, record)| std::cmp::Reverse(record.time));
    Ok(found)
}
