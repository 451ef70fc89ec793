//! All runs of a project, those under way and those that ended, and how one is found.

use std::collections::BTreeMap;

use super::work::Work;
use super::{RunError, Workspace, folds, runs, settle};
use crate::base::{Digest, Id, JobState, Name, Record, Run, Time};
use crate::infrastructure::compute::{JobFolder, JobStatus};
use crate::infrastructure::store::Local;
use crate::platform::data::Fold;

/// A run under way or ended.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its identifier.
    pub id: Id,
    /// The model or step.
    pub name: Name,
    /// `model`, `fold`, `reproduction`, `evaluation` or `step`.
    pub task: String,
    /// Of a cross-validation: the fold that was not trained on.
    pub fold: Option<Fold>,
    /// Digest of its plan.
    pub plan: Digest,
    /// The sweep that it is a trial of.
    pub sweep: Option<Digest>,
    /// Its state.
    pub state: JobState,
    /// Its job folder, if it is still here.
    pub folder: Option<JobFolder>,
    /// Its record, once it has ended.
    pub record: Option<(Digest, Record<Run>)>,
}

impl Listed {
    /// The letters that people see and type.
    pub fn short(&self) -> String {
        short(self.id)
    }

    /// What it wrote so far to `log` or `events.jsonl`: from its job folder, or from `store`.
    pub fn written(&self, store: &Local, name: &str) -> Result<Vec<u8>, RunError> {
        if let Some(folder) = &self.folder {
            let path = folder.0.join(name);
            return match std::fs::read(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(RunError::io("read", path)(error))
                }
                read => Ok(read.unwrap_or_default()),
            };
        }
        let output = self.record.as_ref().and_then(|(_, record)| record.body.output);
        let node = output.map(|output| store.find(&output, name)).transpose()?.flatten();
        Ok(node.map(|node| store.read(&node.id)).transpose()?.unwrap_or_default())
    }

    /// When it was started.
    pub fn started(&self) -> Time {
        match &self.record {
            Some((_, record)) => record.body.end.started,
            None => Time::from_ms(self.id.timestamp_ms() as i64),
        }
    }
}

/// The letters of a run's identifier that people see and type: its time to the millisecond and two of chance.
pub fn short(id: Id) -> String {
    id.to_string()[..12].to_owned()
}

/// All runs, newest first. Jobs that ended unwatched get their record on the way.
pub fn list(workspace: &Workspace<'_>) -> Result<Vec<Listed>, RunError> {
    let executor = workspace.executor();
    settle(workspace.store, &executor)?;
    let folders = executor.folders()?;
    let mut all: BTreeMap<Id, Listed> = BTreeMap::new();
    for (digest, record) in runs(workspace.store)? {
        let body = &record.body;
        let listed = Listed {
            id: body.run,
            name: body.name.clone(),
            task: body.task.clone(),
            fold: folds::of_config(&body.config["config"]),
            plan: body.plan,
            sweep: body.sweep,
            state: body.end.state,
            folder: None,
            record: Some((digest, record)),
        };
        all.insert(listed.id, listed);
    }
    for (id, folder) in folders {
        let (Ok(JobStatus { state, end, .. }), Ok(work)) = (folder.status(), Work::of(&folder)) else {
            continue;
        };
        let entry = all.entry(id).or_insert_with(|| Listed {
            id,
            name: work.plan.name.clone(),
            task: work.plan.task.clone(),
            fold: folds::of_config(&work.plan.config),
            plan: work.plan.digest(),
            sweep: work.sweep,
            state,
            folder: None,
            record: None,
        });
        if end.is_none() {
            // Resumed: the record is that of its earlier end.
            (entry.state, entry.record) = (state, None);
        }
        entry.folder = Some(folder);
    }
    Ok(all.into_values().rev().collect())
}

/// The run that `text` names: `latest`, the beginning of an identifier, or the name of a model or step for its newest run.
pub fn find(listed: &[Listed], text: &str) -> Result<Listed, RunError> {
    if text == "latest" {
        return listed.first().cloned().ok_or_else(|| RunError::Unknown(text.to_owned()));
    }
    if let Some(run) = listed.iter().find(|run| run.name.as_str() == text) {
        return Ok(run.clone());
    }
    let text_ = text.to_ascii_lowercase();
    let matches: Vec<&Listed> =
        listed.iter().filter(|run| !text_.is_empty() && run.id.to_string().starts_with(&text_)).collect();
    match matches.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(RunError::Unknown(text.chars().take(80).collect::<String>().escape_debug().to_string())),
        several => Err(RunError::Ambiguous {
            text: text.to_owned(),
            candidates: several.iter().take(5).map(|run| run.id.to_string()).collect(),
        }),
    }
}

/// The newest successful run of a plan, if there is one.
pub fn done(listed: &[Listed], plan: &Digest) -> Option<(Digest, Record<Run>)> {
    listed
        .iter()
        .filter(|run| run.plan == *plan && run.state == JobState::Succeeded)
        .find_map(|run| run.record.clone())
}

/// What the jobs whose folders are still here rest on: runs under way, and those that can be resumed. It must stay in the
/// store, whether a record names it yet or not.
pub fn rested_on(workspace: &Workspace<'_>) -> Result<Vec<Digest>, RunError> {
    let folders = workspace.executor().folders()?;
    let works = folders.iter().filter_map(|(_, folder)| Work::of(folder).ok());
    Ok(works
        .flat_map(|work| work.plan.inputs.into_values().chain(work.weights.map(|weights| weights.file.id)))
        .collect())
}

/// The run of a plan that is under way, if there is one.
pub fn active<'a>(listed: &'a [Listed], plan: &Digest) -> Option<&'a Listed> {
    listed.iter().find(|run| run.plan == *plan && !run.state.ended())
}
