//! Prediction logs of a project: those of this machine, and those that others have pushed.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::base::{Digest, Failure, Id, Level, Name, Predictions, Record, RecordKind, Sink};
use crate::hardware::facts;
use crate::infrastructure::store::{Local, Node, NodeKind, PinKind, Tree, fetch, fetch_pins};
use crate::platform::monitor::{self, Answers, Line, MonitorError};
use crate::platform::project::Project;
use crate::platform::run::publish;

/// Bytes of a log's file that are pushed: a longer one is one that somebody else wrote.
const LARGEST: u64 = 4 << 30;

/// The folder of the logs of this machine.
pub(crate) fn logs(project: &Project) -> PathBuf {
    project.repo.state_dir().join("predictions")
}

/// The folder of a model's log on this machine.
pub(crate) fn folder(project: &Project, model: &Name) -> PathBuf {
    logs(project).join(model.as_str())
}

/// The models that have a log here.
pub(crate) fn models(project: &Project) -> Result<Vec<Name>, Failure> {
    let folder = logs(project);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| io("list", &folder, source))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut names: Vec<Name> = names.collect();
    names.sort_unstable();
    Ok(names)
}

/// Reads into `answers` what was logged on this machine, and what others have pushed.
pub(crate) fn read<'a>(
    mut answers: Answers<'a>,
    project: &Project,
    model: &Name,
    sink: &dyn Sink,
) -> Result<Answers<'a>, Failure> {
    let folder = folder(project, model);
    answers.read_folder(&folder)?;
    let remote = project.ledger_home()?;
    let own = facts::host();
    let here = !answers.lines.is_empty();
    if let Some(remote) = remote.store() {
        match fetch_pins(&project.store, remote, project.id(), sink) {
            // What this machine has answered can be judged without the others.
            Err(error) if here => {
                sink.log(Level::Warn, &format!("looking at this machine's log alone: {error}"))
            }
            found => {
                found?;
            }
        }
    }
    for (_, pushed) in newest(&project.store, model)? {
        // What this machine has pushed is still here.
        if here && pushed.host == own {
            continue;
        }
        if !project.store.is_complete(&[pushed.log])?
            && let Some(remote) = remote.store()
        {
            fetch(&project.store, remote, &[pushed.log], &[], sink)?;
        }
        for node in project.store.tree(&pushed.log)?.nodes.iter().rev() {
            let bytes = project.store.read(&node.id)?;
            answers.read(bytes.as_slice()).map_err(|source| io("read", &folder, source))?;
        }
    }
    Ok(answers)
}

/// The logged answer that a client was told as `text` (`ID`, or `ID/n` for an instance), with its model: of this machine, or of a log
/// that others have pushed and that is here.
pub(crate) fn find(project: &Project, text: &str) -> Result<Option<(Name, Line)>, Failure> {
    let (id, instance) = text.split_once('/').map_or((text, None), |(id, n)| (id, Some(n)));
    let Ok(id) = id.parse::<Id>() else { return Ok(None) };
    let id = instance.map_or_else(|| id.to_string(), |n| format!("{id}/{n}"));
    for model in models(project)? {
        let folder = folder(project, &model);
        for path in monitor::files(&folder).map_err(|source| io("list", &folder, source))? {
            let found = match File::open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                file => file.and_then(|file| monitor::find(file, &id)),
            };
            if let Some(line) = found.map_err(|source| io("read", &path, source))? {
                return Ok(Some((model, line)));
            }
        }
    }
    let store = &project.store;
    for record in store.records(RecordKind::Predictions)?.into_iter().rev() {
        let pushed = store.record::<Predictions>(&record)?.body;
        if !store.is_complete(&[pushed.log])? {
            continue;
        }
        for node in store.tree(&pushed.log)?.nodes {
            let bytes = store.read(&node.id)?;
            let found = monitor::find(bytes.as_slice(), &id);
            if let Some(line) = found.map_err(|source| io("read", &logs(project), source))? {
                return Ok(Some((pushed.model, line)));
            }
        }
    }
    Ok(None)
}

/// The newest log of each machine, with its record.
fn newest(store: &Local, model: &Name) -> Result<Vec<(Digest, Predictions)>, Failure> {
    let mut found: Vec<(Digest, Predictions)> = Vec::new();
    for id in store.records(RecordKind::Predictions)?.into_iter().rev() {
        let body = store.record::<Predictions>(&id)?.body;
        if body.model == *model && !found.iter().any(|(_, other)| other.host == body.host) {
            found.push((id, body));
        }
    }
    Ok(found)
}

/// What a log came to when it was kept.
pub(crate) struct Kept {
    /// Its record.
    pub(crate) record: Digest,
    /// Files and bytes of it.
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// Whether it is as it was kept before.
    pub(crate) same: bool,
}

/// Keeps the log of a model in the local store, with a record that names it; none if there is none. The record of the same
/// machine before is not needed any more: the newer one holds all that is still here.
pub(crate) fn keep(project: &Project, model: &Name, dry_run: bool) -> Result<Option<Kept>, Failure> {
    let folder = folder(project, model);
    let paths = monitor::files(&folder).map_err(|source| io("list", &folder, source))?;
    let store = &project.store;
    let mut writer = store.writer()?;
    let mut nodes = Vec::new();
    for path in &paths {
        let Some(bytes) = whole_lines(path)? else { continue };
        let size = bytes.len() as u64;
        let id = if dry_run { Digest::of(&bytes) } else { writer.blob(&bytes)? };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned().into_bytes();
        nodes.push(Node { name, kind: NodeKind::File, size, id });
    }
    if nodes.is_empty() {
        return Ok(None);
    }
    let (files, bytes) = (nodes.len(), nodes.iter().map(|node| node.size).sum());
    if dry_run {
        return Ok(Some(Kept { record: nodes[0].id, files, bytes, same: false }));
    }
    let log = writer.tree(&Tree { nodes })?;
    writer.finish()?;
    let body = Predictions { model: model.clone(), host: facts::host(), log };
    let before = newest(store, model)?.into_iter().find(|(_, other)| other.host == body.host);
    if let Some((record, _)) = before.as_ref().filter(|(_, other)| *other == body) {
        return Ok(Some(Kept { record: *record, files, bytes, same: true }));
    }
    let record =
        publish(store, &Record::new(project.repo.author(), vec![log], body), model.as_str(), &[log])?;
    if let Some((before, _)) = before {
        for pin in store.pins()? {
            if pin.kind == PinKind::Record(RecordKind::Predictions) && pin.records.contains(&before) {
                store.remove_pin(pin.id)?;
            }
        }
    }
    Ok(Some(Kept { record, files, bytes, same: false }))
}

/// The bytes of a file up to the end of its last whole line; none if it has none, or is gone.
fn whole_lines(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let size = std::fs::metadata(path).map_or(0, |found| found.len());
    if size > LARGEST {
        return Ok(None);
    }
    let mut bytes = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| io("read", path, source))?,
    };
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes.truncate(end);
    Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> Failure {
    MonitorError::Io { action, path: path.to_owned(), source }.into()
}
