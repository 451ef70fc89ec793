//! Making evidence that is missing: evaluations, data checks, outputs of commands.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Judging, smoke};
use crate::base::variables::{MODEL, MODEL_DIR, STAGE, TREE, VERSION};
use crate::base::{CommandOutput, Digest, Failure, Level, Name, Record, Timing};
use crate::hardware::{device_line, facts};
use crate::infrastructure::store::worktree::{CheckoutOptions, checkout};
use crate::infrastructure::store::{StoreError, fetch};
use crate::platform::data::{Dataset, expectations, leakage};
use crate::platform::model::{Candidate, ModelError, Need};
use crate::platform::run::{Question, evaluate, publish};
use crate::platform::serve;
use crate::platform::train::ModelSpec;

/// Bytes of a command's output that are kept.
const KEPT: usize = 4096;

pub(super) fn produce(judging: &Judging<'_>, candidate: &Candidate<'_>, need: &Need) -> Result<(), Failure> {
    let store = &judging.project.store;
    let author = judging.project.repo.author();
    let model = candidate.history.model();
    let say = |text: String| judging.sink.log(Level::Info, &text);
    match need {
        Need::Evaluation { model: files, version, data, tree, part } => {
            let Some(spec) = spec(judging, model) else { return Ok(()) };
            say(format!("evaluating {model}@{version} on {part} of `{data}`"));
            present(judging, *files)?;
            let at = At::place(judging, data, *tree)?;
            let question = Question {
                model: *files,
                spec: spec.clone(),
                dataset: at.dataset.clone(),
                tree: *tree,
                part: part.clone(),
            };
            evaluate(store, &author, &question, judging.sink)?;
        }
        Need::Expectations { data, tree } => {
            say(format!("looking at the expectations of `{data}`"));
            let dataset = At::place(judging, data, *tree)?;
            let parts = dataset.dataset.load(shape(judging, model), judging.sink)?;
            let body = expectations(&dataset.dataset, &parts, *tree);
            publish(store, &Record::new(author, vec![*tree], body), data.as_str(), &[])?;
        }
        Need::Leakage { data, tree } => {
            say(format!("looking for leakage between the parts of `{data}`"));
            let dataset = At::place(judging, data, *tree)?;
            let parts = dataset.dataset.load(shape(judging, model), judging.sink)?;
            let body = leakage(&dataset.dataset, &parts, *tree)?;
            publish(store, &Record::new(author, vec![*tree], body), data.as_str(), &[])?;
        }
        // What nobody has pushed stays unknown, and the gate names the command that makes it again.
        Need::Files { id } => {
            if let Err(error) = present(judging, *id) {
                judging.sink.log(Level::Warn, &error.to_string());
            }
        }
        Need::Latency => {
            let version = candidate.version;
            say(format!("timing predictions of {model}@{}", version.number));
            present(judging, version.tree)?;
            let loaded = serve::load(store, &format!("{model}@{}", version.number), version.tree)?;
            let (predictions, latency) = serve::measure(&loaded)?;
            let (device, host) = (device_line(), facts::host());
            let body = Timing { model: version.tree, device, host, predictions, latency };
            publish(store, &Record::new(author, vec![version.tree], body), model.as_str(), &[])?;
        }
        Need::Smoke { golden } => {
            let version = candidate.version;
            say(format!("starting a server of {model}@{} and asking it what {golden} asks", version.number));
            let body = smoke::ask(judging, candidate, golden)?;
            publish(store, &Record::new(author, vec![version.tree], body), model.as_str(), &[])?;
        }
        Need::Command { gate, stage, command } => {
            say(format!("running `{command}`"));
            let body = run_command(judging, candidate, gate, stage, command)?;
            let tree = candidate.version.tree;
            publish(store, &Record::new(author, vec![tree], body), model.as_str(), &[])?;
        }
    }
    Ok(())
}

/// The settings of `model`: those of the trust branch, or of the work tree for a model that is new.
fn spec<'a>(judging: &'a Judging<'_>, model: &Name) -> Option<&'a ModelSpec> {
    judging.manifest.models.get(model).or_else(|| judging.project.manifest.models.get(model))
}

fn shape<'a>(judging: &'a Judging<'_>, model: &Name) -> Option<&'a [usize]> {
    spec(judging, model)?.input.shape.as_deref()
}

/// Makes the tree or blob `id` present in the local store.
pub(super) fn present(judging: &Judging<'_>, id: Digest) -> Result<(), Failure> {
    let store = &judging.project.store;
    if !store.has(&id)?
        && let Some(remote) = judging.home.store()
    {
        fetch(store, remote, &[id], &[], judging.sink)?;
    }
    Ok(())
}

/// A dataset as it was in one version: in its usual place if it is that version, else checked out elsewhere for a while.
struct At {
    dataset: Dataset,
    _folder: Option<TempDir>,
}

impl At {
    fn place(judging: &Judging<'_>, name: &Name, tree: Digest) -> Result<Self, Failure> {
        let project = judging.project;
        // The rules named it, and the rules come from this manifest.
        let dataset = match judging.manifest.data.get(name) {
            Some(spec) => Dataset::new(name, spec, &project.root),
            None => project.dataset(name.as_str())?,
        };
        if let Ok(root) = dataset.version(&project.cache(), &project.store, judging.sink)
            && root.id == tree
        {
            return Ok(Self { dataset, _folder: None });
        }
        present(judging, tree)?;
        let folder = scratch(judging)?;
        let last = dataset.path.file_name().map_or_else(|| "data".into(), std::ffi::OsStr::to_owned);
        let path = folder.path().join(last);
        let root = project.store.root_node(&tree)?;
        judging.sink.log(Level::Info, &format!("checking out `{name}` as the run used it"));
        checkout(&root, &path, &project.store, None, CheckoutOptions::default(), judging.sink)?;
        Ok(Self { dataset: Dataset { path, ..dataset }, _folder: Some(folder) })
    }
}

fn scratch(judging: &Judging<'_>) -> Result<TempDir, Failure> {
    let parent = judging.project.repo.state_dir().join("tmp");
    std::fs::create_dir_all(&parent).map_err(StoreError::io("make", &parent))?;
    Ok(TempDir::with_prefix_in("judge-", &parent).map_err(StoreError::io("make a folder in", &parent))?)
}

fn run_command(
    judging: &Judging<'_>,
    candidate: &Candidate<'_>,
    gate: &Name,
    stage: &Name,
    command: &str,
) -> Result<CommandOutput, Failure> {
    let version = candidate.version;
    let model = candidate.history.model();
    let folder = scratch(judging)?;
    present(judging, version.tree)?;
    let files = folder.path().join("model");
    let root = judging.project.store.root_node(&version.tree)?;
    checkout(&root, &files, &judging.project.store, None, CheckoutOptions::default(), judging.sink)?;

    // Both streams go into one file: the order of lines stays, and no pipe can fill up.
    let path = folder.path().join("output");
    let output = std::fs::File::create(&path).map_err(StoreError::io("write", &path))?;
    let errors = output.try_clone().map_err(StoreError::io("write", &path))?;
    let status = Command::new("sh")
        .args(["-c", command])
        .current_dir(&judging.project.root)
        .env(MODEL, model.as_str())
        .env(VERSION, version.number.to_string())
        .env(STAGE, stage.as_str())
        .env(TREE, version.tree.to_string())
        .env(MODEL_DIR, &files)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status()
        .map_err(|error| ModelError::Command { gate: gate.clone(), why: error.to_string() })?;
    Ok(CommandOutput {
        model: model.clone(),
        tree: version.tree,
        command: command.to_owned(),
        git: judging.project.repo.state()?,
        code: code(status),
        output: tail(&path).map_err(StoreError::io("read", &path))?,
    })
}

#[cfg(unix)]
fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

#[cfg(not(unix))]
fn code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// The last bytes of a file, as text.
fn tail(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(KEPT as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::with_capacity(KEPT);
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
