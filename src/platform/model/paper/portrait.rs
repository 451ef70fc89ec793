//! All that is known of a version, from the records at hand.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::base::{
    AnyRecord, Approval, Body, Digest, Entry, EntryKind, Evaluation, Expectations, Leakage, Name, Record,
    RecordKind, Reproduction, Run, Verdict,
};
use crate::platform::model::lineage::Lineage;
use crate::platform::model::written::{self, Parts};
use crate::platform::model::{Filed, History, Thing, Version};

/// All that is known of a version.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// The model.
    pub model: Name,
    /// The version.
    pub version: Version,
    /// The stages that it is live in.
    pub live: Vec<Name>,
    /// Whether it was taken out of use.
    pub retired: bool,
    /// The versions before it.
    pub earlier: Vec<Version>,
    /// The run that made it.
    pub run: Option<Filed<Run>>,
    /// Runs of steps that its data come from.
    pub steps: Vec<Filed<Run>>,
    /// Evaluations, of each question the newest, the test part first.
    pub evaluations: Vec<Filed<Evaluation>>,
    /// What `expect:` found in its data, the newest for each.
    pub expectations: Vec<Filed<Expectations>>,
    /// Overlap between the parts of its data, the newest for each.
    pub leakages: Vec<Filed<Leakage>>,
    /// What came of training it again.
    pub reproductions: Vec<Filed<Reproduction>>,
    /// Approvals with their ledger entries.
    pub approvals: Vec<(Entry, Option<Filed<Approval>>)>,
    /// Promotions and what else moved it, with their verdicts.
    pub promotions: Vec<Promotion>,
    /// Other evidence about it, such as reports of drift.
    pub others: Vec<(Digest, AnyRecord)>,
    /// The licence that it is given under, an SPDX identifier.
    pub licence: Option<String>,
    /// What people wrote about it.
    pub card: Option<Written>,
    /// What people wrote about its data.
    pub data_cards: BTreeMap<Name, Written>,
}

/// A move of a version.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// The entry.
    pub entry: Entry,
    /// The verdicts that it names and that are at hand.
    pub verdicts: Vec<Filed<Verdict>>,
}

/// A file that people wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its path in the project.
    pub path: String,
    /// Its text; none if it is not there.
    pub text: Option<String>,
}

impl Written {
    /// Its sections with text, and its placeholders.
    pub(super) fn parts(&self) -> Parts {
        written::read(self.text.as_deref().unwrap_or_default())
    }
}

impl Portrait {
    /// What `lineage` knows of `version`.
    pub fn of(lineage: &Lineage<'_>, history: &History, version: &Version) -> Self {
        let run: Option<Filed<Run>> = version.run.and_then(|id| Some((id, typed(lineage.record(&id)?)?)));
        let about: Vec<(Digest, &AnyRecord)> = lineage.about(&version.tree).collect();
        let data: Vec<Digest> = run.iter().flat_map(|(_, run)| run.body.data.values().copied()).collect();
        let mut evaluations: Vec<Filed<Evaluation>> = Vec::new();
        for (id, record) in of_kind::<Evaluation>(&about) {
            let question = |of: &Evaluation| (of.data.clone(), of.tree, of.settings, of.part.clone());
            evaluations.retain(|(_, other)| {
                question(&other.body) != question(&record.body) || other.time > record.time
            });
            let newest =
                !evaluations.iter().any(|(_, other)| question(&other.body) == question(&record.body));
            if newest && record.body.model == version.tree {
                evaluations.push((id, record));
            }
        }
        evaluations.sort_by_key(|(_, record)| (record.body.part != "test", record.body.data.clone()));
        let own_kinds = [
            RecordKind::Run,
            RecordKind::Evaluation,
            RecordKind::Reproduction,
            RecordKind::Verdict,
            RecordKind::Approval,
        ];
        let others = about.iter().filter(|(_, record)| !own_kinds.contains(&record.kind));
        let entries = || history.entries().iter().filter(|entry| entry.subject.version == version.number);
        let filed = |id: &Digest| Some((*id, typed::<Approval>(lineage.record(id)?)?));
        let approvals = entries().filter(|entry| entry.kind == EntryKind::Approve);
        let moves =
            |kind: EntryKind| !matches!(kind, EntryKind::Register | EntryKind::Approve | EntryKind::Gc);
        let promotions = entries().filter(|entry| moves(entry.kind)).map(|entry| Promotion {
            entry: entry.clone(),
            verdicts: entry
                .evidence
                .iter()
                .filter_map(|id| Some((*id, typed::<Verdict>(lineage.record(id)?)?)))
                .collect(),
        });
        let mut steps: Vec<Filed<Run>> = Vec::new();
        if let Ok(graph) = lineage.why(&Thing::Version(history.model().clone(), version.number)) {
            for node in graph.nodes.iter().filter(|node| node.kind == "run") {
                let Ok(id) = node.id.parse::<Digest>() else { continue };
                let step = lineage.record(&id).and_then(typed::<Run>).filter(|run| run.body.task == "step");
                steps.extend(step.map(|step| (id, step)));
            }
        }
        Self {
            model: history.model().clone(),
            live: history.live_in(version.number),
            retired: history.retired(version.number),
            earlier: history
                .versions()
                .iter()
                .filter(|other| other.number < version.number)
                .cloned()
                .collect(),
            expectations: newest_of_data(lineage, &data, |body: &Expectations| body.data.clone()),
            leakages: newest_of_data(lineage, &data, |body: &Leakage| body.data.clone()),
            reproductions: of_kind::<Reproduction>(&about)
                .filter(|(_, record)| {
                    record.body.model == version.tree && Some(record.body.run) == version.run
                })
                .collect(),
            approvals: approvals
                .map(|entry| (entry.clone(), entry.evidence.iter().find_map(filed)))
                .collect(),
            promotions: promotions.collect(),
            others: others.map(|(id, record)| (*id, (*record).clone())).collect(),
            licence: None,
            card: None,
            data_cards: BTreeMap::new(),
            version: version.clone(),
            evaluations,
            steps,
            run,
        }
    }

    /// `digits@7`.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.model, self.version.number)
    }

    /// The dataset that it was trained on: the name and version, and not what it began with.
    pub(super) fn data(&self) -> Vec<(Name, Digest)> {
        let data = self.run.iter().flat_map(|(_, run)| &run.body.data);
        data.filter_map(|(name, id)| Some((name.parse().ok()?, *id))).collect()
    }

    /// What training began with: `digits@3` or a file, and its content.
    pub(super) fn begun_with(&self) -> Vec<(&str, Digest)> {
        let data = self.run.iter().flat_map(|(_, run)| &run.body.data);
        data.filter(|(name, _)| name.parse::<Name>().is_err())
            .map(|(name, id)| (name.as_str(), *id))
            .collect()
    }

    /// The model's settings as its run recorded them.
    pub(super) fn settings(&self) -> Option<&serde_json::Value> {
        let model = &self.run.as_ref()?.1.body.config["config"]["model"];
        (!model.is_null()).then_some(model)
    }

    /// The ids of all records that it was made of, each once.
    pub fn records(&self) -> Vec<Digest> {
        fn ids<B>(of: &[Filed<B>]) -> impl Iterator<Item = Digest> {
            of.iter().map(|(id, _)| *id)
        }
        let mut all: Vec<Digest> = self.run.iter().map(|(id, _)| *id).collect();
        all.extend(ids(&self.steps));
        all.extend(ids(&self.evaluations));
        all.extend(ids(&self.expectations));
        all.extend(ids(&self.leakages));
        all.extend(ids(&self.reproductions));
        all.extend(self.approvals.iter().filter_map(|(_, approval)| Some(approval.as_ref()?.0)));
        all.extend(self.promotions.iter().flat_map(|promotion| ids(&promotion.verdicts)));
        all.extend(self.others.iter().map(|(id, _)| *id));
        let mut seen = std::collections::HashSet::new();
        all.retain(|id| seen.insert(*id));
        all
    }
}

fn typed<B: DeserializeOwned + Body>(record: &AnyRecord) -> Option<Record<B>> {
    if record.kind != B::KIND {
        return None;
    }
    Some(Record {
        schema: record.schema.clone(),
        kind: record.kind,
        time: record.time,
        author: record.author.clone(),
        inputs: record.inputs.clone(),
        body: serde_json::from_value(record.body.clone()).ok()?,
        signature: record.signature.clone(),
    })
}

fn of_kind<'r, B: Body>(records: &'r [(Digest, &AnyRecord)]) -> impl Iterator<Item = Filed<B>> + 'r {
    records.iter().filter_map(|(id, record)| Some((*id, typed::<B>(record)?)))
}

/// Of the records about these versions of data the newest for each dataset.
fn newest_of_data<B: Body>(
    lineage: &Lineage<'_>,
    data: &[Digest],
    name: impl Fn(&B) -> Name,
) -> Vec<Filed<B>> {
    let mut found: BTreeMap<Name, Filed<B>> = BTreeMap::new();
    for tree in data {
        let about: Vec<(Digest, &AnyRecord)> = lineage.about(tree).collect();
        for (id, record) in of_kind::<B>(&about) {
            let name = name(&record.body);
            if found.get(&name).is_none_or(|(_, other)| other.time <= record.time) {
                found.insert(name, (id, record));
            }
        }
    }
    found.into_values().collect()
}
