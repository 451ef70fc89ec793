//! Training again what the record of a run says, and holding what came of it against the files of then.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finish::trained;
use super::training::{dataset_for, planned};
use super::weights::TENSORS;
use super::work::DatasetWork;
use super::{Listed, Plan, Planned, RunError, Weights, Workspace, compare, done, publish, short};
use crate::base::{Digest, Name, Record, RecordKind, Reproduction, Run, Sink, ThenNow};
use crate::infrastructure::store::{Local, Node, StoreError, Stored, worktree};
use crate::platform::data::{DataSpec, Dataset};
use crate::platform::train::{ModelSpec, TrainError};

/// The task of a run that trained again. What it left is no model of the project's, as it is no news: nothing registers, serves or
/// evaluates it by name.
pub const REPRODUCTION: &str = "reproduction";

/// What a run depends on and what `mlp runs diff` calls it.
const DEPENDED: [&str; 6] = ["config", "input", "settings", "seed", "device", "binary"];

/// A training as its record says it: all that training again takes.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Digest of the record.
    pub record: Digest,
    /// The run.
    pub run: Run,
    plan: Plan,
    model: ModelSpec,
    dataset: Dataset,
    tree: Digest,
}

impl Recorded {
    /// Reads the record of a run. `known` tells the settings that a dataset has now, for records that do not say how theirs was read.
    ///
    /// # Errors
    /// [`RunError::NotReproducible`] if it was no training, or made no model, or its record does not say enough.
    pub fn of(
        workspace: &Workspace<'_>,
        record: Digest,
        run: Run,
        known: impl Fn(&Name) -> Option<DataSpec>,
    ) -> Result<Self, RunError> {
        let refuse = |reason: String, hint: String| {
            let run = short(run.run);
            RunError::NotReproducible { run, reason, hint }
        };
        match run.task.as_str() {
            "model" if run.outputs.contains_key("model") => {}
            "step" => {
                let hint = format!("`mlp run --force {}` runs the step again", run.name);
                return Err(refuse("a step ran, and no training".into(), hint));
            }
            "model" => {
                let hint = "`mlp runs ls` lists the others".into();
                return Err(refuse(format!("it ended as {} and made no model", run.end.state), hint));
            }
            task => {
                let hint = "name a run that made a model, or a version of one".into();
                return Err(refuse(format!("its task, `{task}`, makes no model of the project's"), hint));
            }
        }
        let unread = |error: serde_json::Error| {
            refuse(format!("this mlp cannot read its record: {error}"), "use the mlp that ran it".into())
        };
        let plan: Plan = serde_json::from_value(run.config.clone()).map_err(unread)?;
        let model: ModelSpec = serde_json::from_value(plan.config["model"].clone()).map_err(unread)?;
        let spec = match &run.dataset {
            Some(spec) => Some(serde_json::from_value::<DataSpec>(spec.clone()).map_err(unread)?),
            None => known(&model.data),
        };
        let dataset = spec.map(|spec| dataset_for(&model, Dataset::new(&model.data, &spec, workspace.root)));
        let settings = plan.settings.get(model.data.as_str());
        let (Some(dataset), Some(&tree)) = (
            dataset.filter(|dataset| settings == Some(&dataset.settings())),
            run.data.get(model.data.as_str()),
        ) else {
            let reason = format!("its record does not tell how `{}` was read", model.data);
            let hint = "check out the commit that it ran from: `mlp.yaml` says it there".into();
            return Err(refuse(reason, hint));
        };
        Ok(Self { record, plan, model, dataset, tree, run })
    }

    /// The dataset, and its version that the training used.
    pub fn data(&self) -> (&Name, Digest) {
        (&self.dataset.name, self.tree)
    }

    /// The random seed.
    pub fn seed(&self) -> u64 {
        self.model.train.seed
    }

    /// What the training used, by name, that neither the work tree nor the local store has.
    pub fn missing(
        &self,
        workspace: &Workspace<'_>,
        sink: &dyn Sink,
    ) -> Result<Vec<(String, Digest)>, RunError> {
        let mut missing = Vec::new();
        if self.checked_out(workspace, sink).is_none() && !workspace.store.is_complete(&[self.tree])? {
            missing.push((self.dataset.name.to_string(), self.tree));
        }
        if let Some((name, id)) = self.begun_with()
            && !workspace.store.is_complete(&[id])?
        {
            missing.push((name, id));
        }
        Ok(missing)
    }

    /// The error that says that `name`, one of [`Recorded::missing`], cannot be had.
    pub fn gone(&self, name: &str, id: Digest) -> RunError {
        RunError::Gone { run: short(self.run.run), name: name.to_owned(), id }
    }

    /// The same training, with nothing from `mlp.yaml`: another run, by the mlp and on the machine of now.
    pub fn plan(&self, workspace: &Workspace<'_>, sink: &dyn Sink) -> Result<Planned, RunError> {
        let root = match self.checked_out(workspace, sink) {
            Some(root) => root,
            None => workspace.store.root_node(&self.tree)?,
        };
        let weights = match (&self.model.train.init, self.begun_with()) {
            (Some(init), Some((_, id))) => Some(Weights::recorded(workspace.store, init, id)?),
            _ => None,
        };
        let plan = Plan {
            task: REPRODUCTION.into(),
            binary: Some(workspace.worker()?),
            device: Some(workspace.device()),
            ..self.plan.clone()
        };
        let dataset = DatasetWork {
            name: self.dataset.name.clone(),
            spec: self.dataset.spec.clone(),
            fold: None,
            root: Stored::from(&root),
        };
        planned(workspace, plan, &self.model, dataset, weights.as_ref())
    }

    /// What the run depended on and is not the same here: the executable, the device.
    pub fn changed(&self, workspace: &Workspace<'_>) -> Result<BTreeMap<String, ThenNow<String>>, RunError> {
        let now = Run { binary: workspace.worker()?, device: workspace.device(), ..self.run.clone() };
        Ok(changed(&self.run, &now))
    }

    /// The data in the work tree, if they are the version that the training used.
    fn checked_out(&self, workspace: &Workspace<'_>, sink: &dyn Sink) -> Option<Node> {
        let found = worktree::identify(&self.dataset.path, &workspace.cache(), sink).ok()?.root;
        (found.id == self.tree).then_some(found)
    }

    fn begun_with(&self) -> Option<(String, Digest)> {
        let from = &self.model.train.init.as_ref()?.from;
        Some((from.clone(), *self.run.data.get(from)?))
    }

    /// A run that trained this again to its end without anybody holding it against the files of then: one that was interrupted and
    /// resumed.
    pub fn unjudged(
        &self,
        store: &Local,
        listed: &[Listed],
        plan: &Digest,
    ) -> Result<Option<(Digest, Record<Run>)>, RunError> {
        let Some((id, record)) = done(listed, plan) else { return Ok(None) };
        for judged in store.records(RecordKind::Reproduction)? {
            if store.record::<Reproduction>(&judged)?.body.again == id {
                return Ok(None);
            }
        }
        Ok(Some((id, record)))
    }

    /// Holds what `again` made against the files of then, and files the answer.
    pub fn judge(
        &self,
        store: &Local,
        author: &str,
        again: &(Digest, Record<Run>),
    ) -> Result<(Digest, Record<Reproduction>), RunError> {
        let now = &again.1.body;
        let Some(made) = trained(store, now)? else {
            return Err(TrainError::Model(format!("run {} ({}) made none", now.run, now.end.state)).into());
        };
        // It made one: this was looked at when the record was read.
        let model = self.run.outputs.get("model").copied().unwrap_or(self.record);
        let mut changed = changed(&self.run, now);
        if self.plan.digest() != self.run.plan {
            let plans = ThenNow { then: self.run.plan.to_string(), now: self.plan.digest().to_string() };
            changed.insert("plan".to_owned(), plans);
        }
        let metrics = self.run.metrics.iter().filter_map(|(name, then)| {
            let now = *now.metrics.get(name)?;
            (name != "samples_per_second").then(|| (name.clone(), ThenNow { then: *then, now }))
        });
        let body = Reproduction {
            model,
            run: self.record,
            again: again.0,
            identical: made.id == model || same_weights(store, &model, &made.id)?,
            changed,
            metrics: metrics.collect(),
        };
        let record = Record::new(author, vec![self.record, again.0], body);
        let id = publish(store, &record, self.run.name.as_str(), &[])?;
        Ok((id, record))
    }
}

/// What two runs depended on and was not the same, as text.
fn changed(then: &Run, now: &Run) -> BTreeMap<String, ThenNow<String>> {
    let text = |value: Option<Value>| match value {
        None => "none".to_owned(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    let differences = compare(then, now).into_iter().filter(|found| DEPENDED.contains(&found.what.as_str()));
    differences
        .map(|found| {
            let name = format!("{} {}", found.what, found.name).trim().to_owned();
            (name, ThenNow { then: text(found.first), now: text(found.second) })
        })
        .collect()
}

/// Whether two models, of which the first may not be here, have the same weights file.
fn same_weights(store: &Local, then: &Digest, now: &Digest) -> Result<bool, RunError> {
    match store.find(then, TENSORS) {
        Ok(Some(weights)) => Ok(store.find(now, TENSORS)?.is_some_and(|found| found.id == weights.id)),
        Ok(None) | Err(StoreError::Missing(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
