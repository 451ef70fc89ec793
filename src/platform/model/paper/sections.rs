//! What evidence says, section by section, as Markdown. The card and the technical documentation are made of these.

use serde_json::Value;

use super::card::said;
use super::markdown::{Link, code, number, record, table, text};
use super::portrait::Portrait;
use crate::base::{Digest, EntryKind, Estimate, Evaluation, Slice, VerdictValue, count};
use crate::platform::model::{Filed, Version};

/// Slices, classes and verdicts that are listed at most; the record has them all.
const LISTED: usize = 40;

/// Metrics of slices that are listed; the others stand in the record.
const TOLD: [&str; 4] = ["accuracy", "mae", "rmse", "r2"];

/// Writes the sections of one paper.
#[derive(Clone, Copy)]
pub(super) struct Sections<'a> {
    pub(super) of: &'a Portrait,
    pub(super) link: Link,
}

impl Sections<'_> {
    fn record(&self, id: &Digest) -> String {
        record(self.link, id)
    }

    /// The version: its files, who registered it, where it is live, what was before it.
    pub(super) fn version(&self) -> String {
        let Portrait { version, live, earlier, .. } = self.of;
        let live = match (live.as_slice(), self.of.retired) {
            (_, true) => "nowhere, retired".to_owned(),
            ([], false) => "nowhere".to_owned(),
            (live, false) => live.iter().map(|stage| text(stage.as_str())).collect::<Vec<_>>().join(", "),
        };
        let mut rows = vec![
            vec!["version".to_owned(), code(&self.of.reference())],
            vec!["files (BLAKE3)".to_owned(), code(&version.tree.to_string())],
            vec!["registered".to_owned(), format!("{} by {}", version.time, text(&version.actor))],
            vec!["ledger entry".to_owned(), code(&version.entry.to_string())],
            vec!["live in".to_owned(), live],
        ];
        if let Some(licence) = &self.of.licence {
            rows.push(vec!["licence".to_owned(), text(licence)]);
        }
        if let Some(before) = earlier.last() {
            let row = format!(
                "{}, registered {}",
                code(&format!("{}@{}", self.of.model, before.number)),
                before.time
            );
            rows.push(vec!["version before".to_owned(), row]);
        }
        table(&["", ""], &rows)
    }

    /// The run that made it: code, data, seed, machine, time, cost.
    pub(super) fn training(&self) -> Option<String> {
        let (id, run) = self.of.run.as_ref()?;
        let body = &run.body;
        let mut rows = vec![
            vec!["run".to_owned(), format!("{} ({})", code(&body.run.to_string()), self.record(id))],
            vec!["by".to_owned(), text(run.author.as_deref().unwrap_or("nobody named"))],
        ];
        let dirty = if body.git.dirty.is_some() { ", with uncommitted changes" } else { "" };
        let commit = body.git.commit.as_deref().map_or_else(|| "nothing committed".to_owned(), code);
        rows.push(vec!["code".to_owned(), format!("{commit}{dirty}")]);
        for (name, id) in self.of.data() {
            rows.push(vec!["data".to_owned(), format!("{} {}", text(name.as_str()), code(&id.to_string()))]);
        }
        for (name, id) in self.of.begun_with() {
            rows.push(vec!["begun with".to_owned(), format!("{} {}", code(name), code(&id.to_string()))]);
        }
        for (id, step) in &self.of.steps {
            let command = step.body.config["config"]["run"].as_str().unwrap_or_default();
            let row = format!("{} {} ({})", text(step.body.name.as_str()), code(command), self.record(id));
            rows.push(vec!["data made by step".to_owned(), row]);
        }
        if let Some(seed) = body.seed {
            rows.push(vec!["seed".to_owned(), seed.to_string()]);
        }
        rows.push(vec!["machine".to_owned(), format!("{}: {}", text(&body.host), text(&body.device))]);
        rows.push(vec!["executable (BLAKE3)".to_owned(), code(&body.binary.to_string())]);
        rows.push(vec!["took".to_owned(), format!("{:.1} s, ended {}", body.end.took(), body.end.ended)]);
        if let Some(usage) = &body.end.usage {
            let energy =
                usage.kwh().map_or_else(|| "energy not measured".to_owned(), |kwh| format!("{kwh:.4} kWh"));
            let used =
                format!("{:.4} machine hours, {:.4} GPU hours, {energy}", usage.hours, usage.gpu_hours);
            rows.push(vec!["used".to_owned(), used]);
        }
        if let Some(cost) = &body.cost {
            rows.push(vec!["cost".to_owned(), format!("{:.4} {}", cost.amount, text(&cost.currency))]);
        }
        Some(table(&["", ""], &rows))
    }

    /// Network and training settings as the run recorded them.
    pub(super) fn settings(&self) -> Option<String> {
        let settings = self.of.settings()?;
        let mut shown = settings.clone();
        if let Value::Object(fields) = &mut shown {
            fields.remove("card");
        }
        let pretty = serde_json::to_string_pretty(&shown).unwrap_or_default();
        Some(format!("```json\n{}\n```\n", pretty.replace("```", "` ` `")))
    }

    /// All evaluations: metrics with their intervals.
    pub(super) fn evaluations(&self) -> Option<String> {
        let mut rows = Vec::new();
        for (id, evaluation) in &self.of.evaluations {
            let body = &evaluation.body;
            for (metric, value) in &body.metrics {
                let mut row = vec![text(body.data.as_str()), text(&body.part), text(metric)];
                row.extend(estimate(value));
                row.extend([count(body.examples), self.record(id)]);
                rows.push(row);
            }
        }
        let heading = ["dataset", "part", "metric", "value", "95 % interval", "examples", "record"];
        (!rows.is_empty()).then(|| table(&heading, &rows))
    }

    /// Metrics by group: slices, then classes.
    pub(super) fn groups(&self) -> Option<String> {
        let mut rows = Vec::new();
        let mut left = 0;
        for (id, evaluation) in &self.of.evaluations {
            let all = groups(&evaluation.body);
            left += all.len().saturating_sub(LISTED);
            for (group, examples, metric, value) in all.into_iter().take(LISTED) {
                let mut row = vec![text(&evaluation.body.part), text(&group), text(&metric)];
                row.extend(estimate(&value));
                row.extend([count(examples), self.record(id)]);
                rows.push(row);
            }
        }
        let heading = ["part", "group", "metric", "value", "95 % interval", "examples", "record"];
        let mut written = table(&heading, &rows);
        if left > 0 {
            written.push_str(&format!("\n{left} more stand in the records.\n"));
        }
        (!rows.is_empty()).then_some(written)
    }

    /// What was found in the data.
    pub(super) fn data_checks(&self) -> Option<String> {
        let mut rows = Vec::new();
        for (id, record) in &self.of.expectations {
            for outcome in &record.body.outcomes {
                let met = if outcome.met { "met" } else { "**not met**" };
                let (data, wanted) = (text(record.body.data.as_str()), code(&outcome.expectation));
                rows.push(vec![data, wanted, met.to_owned(), text(&outcome.observed), self.record(id)]);
            }
        }
        for (id, record) in &self.of.leakages {
            let body = &record.body;
            let near = body.near.as_ref().map(|near| format!(", {} nearly", near.found)).unwrap_or_default();
            let found =
                format!("{} of {} examples stand in two parts{near}", body.overlap, count(body.examples));
            let met = if body.overlap == 0 { "none" } else { "**some**" };
            rows.push(vec![
                text(body.data.as_str()),
                "overlap of the parts".to_owned(),
                met.to_owned(),
                found,
                self.record(id),
            ]);
        }
        (!rows.is_empty()).then(|| table(&["dataset", "question", "answer", "found", "record"], &rows))
    }

    /// What came of training it again.
    pub(super) fn reproductions(&self) -> Option<String> {
        let rows: Vec<Vec<String>> = self
            .of
            .reproductions
            .iter()
            .map(|(id, record)| {
                let outcome = if record.body.identical { "identical, bit for bit" } else { "other weights" };
                let changed: Vec<String> = record.body.changed.keys().map(|what| text(what)).collect();
                let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
                let time = record.time.map(|time| time.to_string()).unwrap_or_default();
                vec![time, outcome.to_owned(), changed, self.record(id)]
            })
            .collect();
        (!rows.is_empty()).then(|| table(&["when", "outcome", "what was another", "record"], &rows))
    }

    /// Promotions, with what their gates said.
    pub(super) fn promotions(&self) -> Option<String> {
        let mut written = String::new();
        for promotion in &self.of.promotions {
            let entry = &promotion.entry;
            let what = match entry.kind {
                EntryKind::Promote => "promoted to",
                EntryKind::Rollback => "put back into",
                EntryKind::Waive => "a gate waived for",
                EntryKind::Retire => "retired",
                EntryKind::Register | EntryKind::Approve | EntryKind::Gc => continue,
            };
            let stage = entry.subject.stage.as_ref().map(|stage| text(stage.as_str())).unwrap_or_default();
            let signed = if entry.signature.is_some() { "signed" } else { "not signed" };
            let reason =
                entry.subject.reason.as_ref().map(|reason| format!(": {}", text(reason))).unwrap_or_default();
            written.push_str(&format!(
                "- {what} {stage} on {} by {} ({signed}, ledger entry {}){reason}\n",
                entry.time,
                text(&entry.actor),
                code(&entry.digest().to_string()),
            ));
            if promotion.verdicts.is_empty() {
                continue;
            }
            let rows: Vec<Vec<String>> = promotion
                .verdicts
                .iter()
                .take(LISTED)
                .map(|(id, record)| {
                    let body = &record.body;
                    let value = match body.verdict {
                        VerdictValue::Pass => "pass",
                        VerdictValue::Fail => "**fail**",
                        VerdictValue::Unknown => "**unknown**",
                    };
                    let gate = format!("{} ({})", text(body.gate.as_str()), text(body.stage.as_str()));
                    vec![gate, value.to_owned(), text(&body.wanted), text(&body.observed), self.record(id)]
                })
                .collect();
            written.push('\n');
            written.push_str(&table(&["gate", "verdict", "wanted", "found", "record"], &rows));
            written.push('\n');
        }
        (!written.is_empty()).then_some(written)
    }

    /// The versions before it.
    pub(super) fn history(&self) -> Option<String> {
        let version = |of: &Version| {
            let run = of.run.map(|run| code(&run.to_string())).unwrap_or_default();
            vec![code(&format!("{}@{}", self.of.model, of.number)), of.time.to_string(), text(&of.actor), run]
        };
        let mut rows: Vec<Vec<String>> = self.of.earlier.iter().rev().take(LISTED).map(version).collect();
        rows.insert(0, version(&self.of.version));
        Some(table(&["version", "registered", "by", "run record"], &rows))
    }

    /// Approvals.
    pub(super) fn approvals(&self) -> Option<String> {
        let rows: Vec<Vec<String>> = self
            .of
            .approvals
            .iter()
            .map(|(entry, approval)| {
                let stage =
                    entry.subject.stage.as_ref().map(|stage| text(stage.as_str())).unwrap_or_default();
                let (who, words, id) = match approval {
                    Some((id, record)) => (
                        text(&record.body.principal),
                        text(record.body.comment.as_deref().unwrap_or_default()),
                        self.record(id),
                    ),
                    None => (text(&entry.actor), "its record is not at hand".to_owned(), String::new()),
                };
                vec![entry.time.to_string(), who, stage, words, id]
            })
            .collect();
        (!rows.is_empty()).then(|| table(&["when", "who", "for", "words", "record"], &rows))
    }

    /// Evidence of kinds that have no section of their own.
    pub(super) fn others(&self) -> Option<String> {
        let rows: Vec<Vec<String>> = self
            .of
            .others
            .iter()
            .map(|(id, record)| {
                let time = record.time.map(|time| time.to_string()).unwrap_or_default();
                vec![
                    time,
                    record.kind.to_string(),
                    text(&crate::platform::model::lineage::summary(record)),
                    self.record(id),
                ]
            })
            .collect();
        (!rows.is_empty()).then(|| table(&["when", "kind", "what", "record"], &rows))
    }

    /// What is not there, with the command that helps.
    pub(super) fn missing(&self) -> Vec<String> {
        let reference = self.of.reference();
        let mut missing = Vec::new();
        let mut miss = |what: String| missing.push(what);
        if self.of.licence.is_none() && !said(self.of).contains_key("license") {
            miss("nobody says under which licence it is given: `licence:` of the model".to_owned());
        }
        match &self.of.run {
            None => miss(
                "the record of the run that made it is not at hand: `mlp store check` looks for it"
                    .to_owned(),
            ),
            Some((_, run)) => {
                let git = &run.body.git;
                if git.commit.is_none() || git.dirty.is_some() {
                    miss(
                        "the code of its run was not committed: commit, then train and register again"
                            .to_owned(),
                    );
                }
                if run.body.seed.is_none() {
                    miss("its run had no seed".to_owned());
                }
                if run.body.end.usage.as_ref().and_then(crate::base::Usage::kwh).is_none() {
                    miss("the energy of its training was not measured".to_owned());
                }
            }
        }
        if !self.of.evaluations.iter().any(|(_, record)| record.body.part == "test") {
            miss(format!("no evaluation on a test part: {}", code(&format!("mlp eval {reference}"))));
        }
        if self.of.evaluations.iter().all(|(_, record)| record.body.slices.is_empty()) {
            miss("no metrics by group: `evaluate: {slices: {by: …}}`".to_owned());
        }
        if self.of.expectations.is_empty() {
            miss("nothing is known of what its data should be: `expect:` of the dataset".to_owned());
        }
        if self.of.leakages.is_empty() {
            miss("nobody looked whether the parts of its data overlap: the gate `leakage`".to_owned());
        }
        if self.of.reproductions.is_empty() {
            miss(format!("it was not trained again: {}", code(&format!("mlp reproduce {reference}"))));
        }
        if self.of.approvals.is_empty() {
            miss(format!("nobody approved it: {}", code(&format!("mlp approve {reference} --to STAGE"))));
        }
        missing
    }
}

/// Value and interval.
fn estimate(of: &Estimate) -> [String; 2] {
    [number(of.value), format!("{} to {}", number(of.lower), number(of.upper))]
}

/// Groups with their examples, metric and value; corruptions stand among the slices.
fn groups(body: &Evaluation) -> Vec<(String, u64, String, Estimate)> {
    let slices = body.slices.iter().flat_map(|Slice { by, value, examples, metrics }| {
        let told = metrics.iter().filter(|(metric, _)| TOLD.contains(&metric.as_str()));
        told.map(move |(metric, of)| (format!("{by} {value}"), *examples, metric.clone(), *of))
    });
    let classes = body.per_class.iter().flat_map(|class| {
        class
            .metrics
            .iter()
            .map(|(metric, of)| (format!("class {}", class.label), class.support, metric.clone(), *of))
    });
    slices.chain(classes).collect()
}

/// The evaluation that a reader looks at first: of the test part.
pub(super) fn first(evaluations: &[Filed<Evaluation>]) -> Option<&Filed<Evaluation>> {
    evaluations.first()
}
