//! `mlp model show`.

use std::collections::BTreeMap;

use clap_complete::engine::ArgValueCompleter;
use console::style;
use serde::Serialize;

use super::super::{Answer, Context};
use crate::application::completion;
use crate::application::judgement::Judging;
use crate::application::ui::{Report, Table, bytes, plural};
use crate::base::{Body, Digest, Evaluation, Exit, Id, Name, Record, Reproduction, Time};
use crate::infrastructure::store::{Local, StoreError};

/// Shows one model version: its run, code, data, metrics, evaluations, approvals and stages.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The model version: `digits` (the newest), `digits@7`, `digits@production`.
    #[arg(add = ArgValueCompleter::new(completion::references))]
    model: String,
}

#[derive(Serialize)]
struct Shown {
    model: Name,
    version: u64,
    versions: u64,
    tree: Digest,
    registered: Time,
    actor: String,
    live: Vec<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunShown>,
    evaluations: Vec<EvaluationShown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reproductions: Vec<ReproductionShown>,
    approvals: Vec<ApprovalShown>,
    files: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct RunShown {
    id: Id,
    record: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    dirty: bool,
    device: String,
    data: BTreeMap<String, Digest>,
    metrics: BTreeMap<String, f64>,
}

#[derive(Serialize)]
struct EvaluationShown {
    record: Digest,
    data: Name,
    part: String,
    examples: u64,
    metrics: BTreeMap<String, f64>,
}

/// It was trained again.
#[derive(Serialize)]
struct ReproductionShown {
    record: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    identical: bool,
    /// What was not the same again.
    changed: Vec<String>,
}

impl ReproductionShown {
    fn human(&self) -> String {
        let outcome = if self.identical { "identical" } else { "diverged" };
        let changed = match self.changed.as_slice() {
            [] => String::new(),
            changed => format!(" with another {}", changed.join(", another ")),
        };
        let time = self.time.map_or_else(String::new, |time| format!(", {time}"));
        format!("{outcome}{changed}{time}")
    }
}

#[derive(Serialize)]
struct ApprovalShown {
    stage: Name,
    signer: String,
    time: Time,
}

impl Report for Shown {
    fn schema(&self) -> &'static str {
        "mlp/model-show/1"
    }

    fn human(&self) -> String {
        let list = |metrics: &BTreeMap<String, f64>| {
            metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join("  ")
        };
        let mut rows = Table::plain().indent(2);
        let mut row = |name: &str, text: String| {
            rows.row([style(name).dim().to_string(), text]);
        };
        row("files", format!("{} ({})", self.tree, bytes(self.files.values().sum())));
        row("registered", format!("{} by {}", self.registered, self.actor));
        let live: Vec<&str> = self.live.iter().map(Name::as_str).collect();
        row("live in", if live.is_empty() { "-".to_owned() } else { live.join(", ") });
        if let Some(run) = &self.run {
            row("run", format!("{} on {}", run.id, run.device));
            let dirty = if run.dirty { " with uncommitted changes" } else { "" };
            row("code", format!("{}{dirty}", run.commit.as_deref().unwrap_or("nothing committed")));
            for (name, id) in &run.data {
                // What it began with is called `digits@3` or by a path, as no dataset can be.
                let what = if name.parse::<Name>().is_ok() { "data" } else { "begun with" };
                row(what, format!("{name} b3:{}", id.short()));
            }
            row("metrics", list(&run.metrics));
        }
        for evaluation in &self.evaluations {
            let examples = plural(evaluation.examples, "example");
            let head = format!("{} {}, {examples}", evaluation.data, evaluation.part);
            row("evaluated", format!("{head}: {}", list(&evaluation.metrics)));
        }
        for reproduction in &self.reproductions {
            row("reproduced", reproduction.human());
        }
        for approval in &self.approvals {
            row("approved", format!("for {} by {}, {}", approval.stage, approval.signer, approval.time));
        }
        let head = style(format!("{}@{}", self.model, self.version)).bold();
        format!("{head} of {}\n{}", self.versions, rows.render())
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Answer {
    let project = context.project()?;
    let judging = Judging::looking(&project, &context.ui)?;
    let (model, selector) = judging.reference(&args.model)?;
    let history = judging.look(&model)?;
    let version = match history.select(&selector) {
        // It may be behind the damage, which is said already.
        Err(_) if judging.exit() == Exit::No => return Ok(Exit::No),
        version => version?,
    };
    let candidate = judging.candidate(&history, version)?;
    let store = &project.store;
    let mut evaluations = Vec::new();
    for (id, record) in at_hand::<Evaluation>(store)? {
        let body = record.body;
        if body.model == version.tree {
            let metrics =
                body.metrics.iter().map(|(name, estimate)| (name.clone(), estimate.value)).collect();
            let (data, part, examples) = (body.data, body.part, body.examples);
            evaluations.push(EvaluationShown { record: id, data, part, examples, metrics });
        }
    }
    let mut reproductions = at_hand::<Reproduction>(store)?;
    reproductions
        .retain(|(_, record)| record.body.model == version.tree && Some(record.body.run) == version.run);
    let reproductions = reproductions.into_iter().map(|(id, record)| ReproductionShown {
        record: id,
        time: record.time,
        author: record.author,
        identical: record.body.identical,
        changed: record.body.changed.into_keys().collect(),
    });
    let files = match store.tree(&version.tree) {
        Ok(tree) => {
            let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            tree.nodes.iter().map(|node| (name(&node.name), node.size)).collect()
        }
        Err(StoreError::Missing(_)) => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    let run = candidate.run.as_ref().map(|(id, record)| RunShown {
        id: record.body.run,
        record: *id,
        author: record.author.clone(),
        commit: record.body.git.commit.clone(),
        dirty: record.body.git.dirty.is_some(),
        device: record.body.device.clone(),
        data: record.body.data.clone(),
        metrics: record.body.metrics.clone(),
    });
    let approvals = history.approvals(version.number).filter_map(|entry| {
        let stage = entry.subject.stage.clone()?;
        Some(ApprovalShown { stage, signer: entry.actor.clone(), time: entry.time })
    });
    context.ui.report(&Shown {
        version: version.number,
        versions: history.versions().len() as u64,
        tree: version.tree,
        registered: version.time,
        actor: version.actor.clone(),
        live: history.live_in(version.number),
        run,
        evaluations,
        reproductions: reproductions.collect(),
        approvals: approvals.collect(),
        files,
        model,
    });
    Ok(judging.exit())
}

/// All records of one kind that are here.
fn at_hand<B: Body>(store: &Local) -> Result<Vec<(Digest, Record<B>)>, StoreError> {
    let mut found = Vec::new();
    for id in store.records(B::KIND)? {
        match store.record::<B>(&id) {
            Ok(record) => found.push((id, record)),
            Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
