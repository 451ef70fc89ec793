//! Steps as jobs: planning, keeping what they make, restoring it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::code::code;
use super::graph::normal;
use super::training::identical;
use super::work::Work;
use super::workspace::agent;
use super::{Plan, Planned, RunError, StepSpec, Workspace};
use crate::base::{Artifact, Digest, Event, Id, Level, Name, Record, Run, Sink, What};
use crate::infrastructure::compute::{JobFolder, JobSpec};
use crate::infrastructure::git::Repo;
use crate::infrastructure::store::worktree::{self, CheckoutOptions, StatCache};
use crate::infrastructure::store::{Node, NodeKind, Stored};
use crate::platform::data::{Dataset, Pointer, ignore};

/// Where the declared outputs lie in the tree of a run.
pub(super) const OUTS: &str = "outs";

/// Plans a step. `apart` are all paths that steps and datasets of the project name: they are not code.
pub fn plan_step(
    workspace: &Workspace<'_>,
    name: &Name,
    step: &StepSpec,
    apart: &[String],
    sink: &dyn Sink,
) -> Result<Planned, RunError> {
    let mut inputs = BTreeMap::new();
    for path in &step.inputs {
        let path = normal(name, path)?;
        let place = workspace.root.join(&path);
        if place.symlink_metadata().is_err() {
            return Err(RunError::MissingInput { step: name.to_string(), path });
        }
        let found = worktree::identify(&place, &workspace.cache(), sink)?;
        inputs.insert(path, found.root.id);
    }
    let makes = step.outputs.iter().map(|path| normal(name, path)).collect::<Result<Vec<_>, _>>()?;
    let value = |name: &String| {
        let value = std::env::var_os(name)?;
        Some((name.clone(), variable(&value.to_string_lossy())))
    };
    let binary = workspace.worker()?;
    let plan = Plan {
        schema: Plan::SCHEMA.into(),
        name: name.clone(),
        task: "step".into(),
        config: json!({ "run": step.run, "params": step.params, "out": makes }),
        inputs,
        settings: BTreeMap::new(),
        env: step.env.iter().filter_map(value).collect(),
        code: Some(code(workspace.repo, workspace.root, apart)?),
        seed: None,
        binary: None,
        device: None,
    };
    let spec = JobSpec {
        schema: JobSpec::SCHEMA.into(),
        id: Id::new(),
        name: name.clone(),
        argv: vec!["sh".into(), "-c".into(), step.run.clone()],
        after: agent("keep"),
        cwd: workspace.root.to_owned(),
        inputs: BTreeMap::new(),
        rests_on: Vec::new(),
        env: BTreeMap::new(),
        secrets: step.secrets.clone(),
        resources: step.resources.clone(),
        retry: step.retry.clone(),
        power: true,
        grace_s: 10,
        params: json!(step.params),
        work: serde_json::Value::Null,
    };
    let work = Work {
        schema: Work::SCHEMA.into(),
        plan,
        author: workspace.repo.author(),
        git: workspace.git()?,
        root: workspace.root.to_owned(),
        device: workspace.device(),
        binary,
        sweep: None,
        dataset: None,
        weights: None,
        makes,
    };
    Planned::new(work, spec)
}

/// The variables that the job in `folder` was planned with, as they are set now.
///
/// # Errors
/// [`RunError::Variable`] if one has another value, or none.
pub fn variables(folder: &JobFolder) -> Result<BTreeMap<String, String>, RunError> {
    let work = Work::of(folder)?;
    let mut found = BTreeMap::new();
    for (name, digest) in &work.plan.env {
        let value = std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        match value.filter(|value| variable(value) == *digest) {
            Some(value) => found.insert(name.clone(), value),
            None => {
                let run = super::short(folder.spec()?.id);
                return Err(RunError::Variable { name: name.clone(), run });
            }
        };
    }
    Ok(found)
}

/// The value may be a secret: only its digest is kept.
fn variable(value: &str) -> Digest {
    Digest::derive("mlp variable 1", value.as_bytes())
}

/// All paths that steps and datasets name, normalised: what is no code.
pub fn named_paths<'a>(
    steps: impl IntoIterator<Item = (&'a Name, &'a StepSpec)>,
    data: impl IntoIterator<Item = (&'a Name, &'a str)>,
) -> Result<Vec<String>, RunError> {
    let mut paths = Vec::new();
    for (name, step) in steps {
        for path in step.inputs.iter().chain(&step.outputs) {
            paths.push(normal(name, path)?);
        }
    }
    for (name, path) in data {
        paths.extend(normal(name, path));
    }
    Ok(paths)
}

/// The last part of a step's job: stores what the step was to make, and notes it in `kept.json`.
pub fn keep(folder: &JobFolder, sink: &dyn Sink) -> Result<(), RunError> {
    let work = Work::of(folder)?;
    let store = folder.store()?;
    let root = folder.0.join(&work.root);
    let cache = match work.is_laid_out() {
        true => None,
        false => Some(StatCache { path: Repo::discover(&root)?.index_path() }),
    };
    let mut kept = BTreeMap::new();
    for path in &work.makes {
        let place = root.join(path);
        if place.symlink_metadata().is_err() {
            return Err(RunError::MissingOutput { step: work.plan.name.to_string(), path: path.clone() });
        }
        let snapshot = worktree::snapshot(&place, &store, cache.as_ref(), sink)?;
        let digest = Some(snapshot.root.id);
        sink.emit(&Event::now(What::Artifact(Artifact {
            path: path.clone(),
            kind: Some("out".into()),
            digest,
        })));
        kept.insert(path.clone(), Stored::from(&snapshot.root));
    }
    Ok(folder.set_kept(&kept)?)
}

/// Takes what an earlier run left of the step's outputs away, where the store has it: a step starts from nothing.
/// What is not in the store stays untouched.
pub fn clear_outputs(workspace: &Workspace<'_>, planned: &Planned, sink: &dyn Sink) -> Result<(), RunError> {
    for path in planned.makes() {
        let place = workspace.root.join(path);
        let Ok(meta) = place.symlink_metadata() else { continue };
        let found = worktree::identify(&place, &workspace.cache(), sink)?;
        if !workspace.store.has(&found.root.id)? {
            continue;
        }
        let removed =
            if meta.is_dir() { std::fs::remove_dir_all(&place) } else { std::fs::remove_file(&place) };
        removed.map_err(RunError::io("remove", &place))?;
    }
    Ok(())
}

/// Puts back what a step made in an earlier run of the same plan; returns the paths that were missing or different.
pub fn restore(
    workspace: &Workspace<'_>,
    record: &Record<Run>,
    sink: &dyn Sink,
) -> Result<Vec<String>, RunError> {
    let mut restored = Vec::new();
    let Some(output) = record.body.output else { return Ok(restored) };
    for (path, id) in &record.body.outputs {
        // The record may be somebody else's.
        let path = &normal(&record.body.name, path)?;
        let Some(node) = workspace.store.find(&output, &format!("{OUTS}/{path}"))? else { continue };
        let root = Node { name: Vec::new(), id: *id, ..node };
        let place = workspace.root.join(path);
        if identical(&place, &root, &workspace.cache(), sink) {
            continue;
        }
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(RunError::io("make", parent))?;
        }
        let options = CheckoutOptions { force: true, kept: None };
        let done =
            worktree::checkout(&root, &place, workspace.store, Some(&workspace.cache()), options, sink)?;
        if let Some(trash) = done.trashed {
            let text = format!("what was edited of `{path}` is in the trash: mlp data trash restore {trash}");
            sink.log(Level::Warn, &text);
        }
        restored.push(path.clone());
    }
    Ok(restored)
}

/// Makes the pointers of datasets that a step made say what it made; returns the names of those that changed.
pub fn point(
    workspace: &Workspace<'_>,
    record: &Record<Run>,
    datasets: &[Dataset],
) -> Result<Vec<Name>, RunError> {
    let mut changed = Vec::new();
    let Some(output) = record.body.output else { return Ok(changed) };
    for dataset in datasets {
        let Ok(path) = dataset.path.strip_prefix(workspace.root) else { continue };
        let path = tidy(path);
        let Some(node) = workspace.store.find(&output, &format!("{OUTS}/{path}"))? else { continue };
        let root = Node { name: Vec::new(), ..node };
        let known = Pointer::read(&dataset.pointer()).and_then(|pointer| pointer.root(workspace.store));
        if known.is_ok_and(|known| known.id == root.id) {
            continue;
        }
        let tree = match root.kind {
            NodeKind::Directory => Some(workspace.store.tree(&root.id)?),
            _ => None,
        };
        let repo = workspace.repo.root().canonicalize().unwrap_or_else(|_| workspace.repo.root().to_owned());
        let in_repo = dataset.path.strip_prefix(&repo).unwrap_or(&dataset.path);
        // A rule such as `/data/` matches only what is known to be a folder.
        let in_repo = if tree.is_some() { in_repo.join("") } else { in_repo.to_owned() };
        if !workspace.repo.ignores(&in_repo)? {
            ignore(&dataset.path)?;
        }
        Pointer::new(&root, tree.as_ref()).write(&dataset.pointer())?;
        changed.push(dataset.name.clone());
    }
    Ok(changed)
}

fn tidy(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    parts.join("/")
}
