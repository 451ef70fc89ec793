//! Prediction logs of a project: those of this machine, and those that others have pushed.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::base::{Digest, Failure, Id, Level, Name, Predictions, Record, RecordKind, Sink};
use crate::hardware::facts;
use crate::infrastructure::durable::{self, Sync};
use crate::infrastructure::store::{Node, NodeKind, Pin, PinKind, Tree, fetch, fetch_pins};
use crate::platform::monitor::{self, Answers, Line, LogSpec, MonitorError};
use crate::platform::project::Project;
use crate::platform::run::publish;

/// Bytes of a log's file that are pushed: a longer one is one that somebody else wrote.
const LARGEST: u64 = 4 << 30;
/// The file in a log's folder that has the log's id.
const IDENTITY: &str = "id";

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
    let own = (facts::host(), identity(&folder)?);
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
    for (_, pushed) in pushed(project, model)?.0 {
        // What this log has pushed is still here.
        if here && (pushed.host, pushed.id) == own {
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

/// The id of the log in `folder`; none if it has none yet.
fn identity(folder: &Path) -> Result<Option<Id>, Failure> {
    let path = folder.join(IDENTITY);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // One that says nothing is as good as none: the log gets another.
        found => Ok(found.map_err(|source| io("read", &path, source))?.trim().parse().ok()),
    }
}

/// The id of the log in `folder`, which it gets if it has none.
fn identified(folder: &Path) -> Result<Id, Failure> {
    if let Some(id) = identity(folder)? {
        return Ok(id);
    }
    let path = folder.join(IDENTITY);
    let failed = |source| io("write", &path, source);
    let id = Id::new();
    if durable::create(folder, &path, format!("{id}\n").as_bytes(), Sync::Disk).map_err(failed)? {
        return Ok(id);
    }
    // Somebody was faster, or what is there says nothing.
    match identity(folder)? {
        Some(id) => Ok(id),
        None => durable::replace(&path, format!("{id}\n").as_bytes()).map(|()| id).map_err(failed),
    }
}

/// Pushed logs with their records.
type Logs = Vec<(Digest, Predictions)>;

/// The pushed logs of a model that count, newest first: of each log the newest state, and of all logs together what `keep` of
/// `serve: {log: …}` has room for. Then those that need not be kept.
fn pushed(project: &Project, model: &Name) -> Result<(Logs, Logs), Failure> {
    let store = &project.store;
    let mut all = Logs::new();
    for id in store.records(RecordKind::Predictions)?.into_iter().rev() {
        let body = store.record::<Predictions>(&id)?.body;
        if body.model == *model {
            all.push((id, body));
        }
    }
    Ok(divided(all, keep_of(project)))
}

/// The logs that count, of those given newest first, and the others.
fn divided(all: Logs, keep: u64) -> (Logs, Logs) {
    let (mut counted, mut over) = (Logs::new(), Logs::new());
    let mut bytes = 0_u64;
    for (id, log) in all {
        let newer = counted.iter().any(|(_, other)| (&other.host, other.id) == (&log.host, log.id));
        let room = counted.is_empty() || bytes.saturating_add(log.bytes) <= keep;
        if newer || !room {
            over.push((id, log));
        } else {
            bytes += log.bytes;
            counted.push((id, log));
        }
    }
    (counted, over)
}

/// Bytes of all files of a model's log.
fn keep_of(project: &Project) -> u64 {
    project.manifest.serve.log.as_ref().map_or(LogSpec::default().keep, |log| log.keep).0
}

/// Pins of pushed logs that nobody needs any more: newer ones hold the same, or there is no room for them.
pub(crate) fn over(project: &Project) -> Result<Vec<Id>, Failure> {
    let store = &project.store;
    let is_of = |pin: &Pin| pin.kind == PinKind::Record(RecordKind::Predictions);
    let mut models = Vec::new();
    for id in store.records(RecordKind::Predictions)? {
        models.push(store.record::<Predictions>(&id)?.body.model);
    }
    models.sort_unstable();
    models.dedup();
    let mut over = Vec::new();
    for model in models {
        over.extend(pushed(project, &model)?.1.into_iter().map(|(id, _)| id));
    }
    let pins = store.pins()?.into_iter().filter(is_of);
    Ok(pins.filter(|pin| pin.records.iter().all(|record| over.contains(record))).map(|pin| pin.id).collect())
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

/// Keeps the log of a model in the local store, as much of it as its limits allow, with a record that names it; none if there is none.
/// The record of the same log before is not needed any more: the newer one holds all that is still here.
pub(crate) fn keep(project: &Project, model: &Name, dry_run: bool) -> Result<Option<Kept>, Failure> {
    let folder = folder(project, model);
    let paths = monitor::files(&folder).map_err(|source| io("list", &folder, source))?;
    let store = &project.store;
    let mut writer = store.writer()?;
    let mut nodes = Vec::new();
    let (keep, mut total) = (keep_of(project), 0);
    for path in paths.iter().rev() {
        let Some(bytes) = whole_lines(path)? else { continue };
        let size = bytes.len() as u64;
        total += size;
        if total > keep && !nodes.is_empty() {
            break;
        }
        let id = if dry_run { Digest::of(&bytes) } else { writer.blob(&bytes)? };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned().into_bytes();
        nodes.push(Node { name, kind: NodeKind::File, size, id });
    }
    if nodes.is_empty() {
        return Ok(None);
    }
    nodes.reverse();
    let (files, bytes) = (nodes.len(), nodes.iter().map(|node| node.size).sum());
    if dry_run {
        return Ok(Some(Kept { record: nodes[0].id, files, bytes, same: false }));
    }
    let log = writer.tree(&Tree { nodes })?;
    writer.finish()?;
    let id = Some(identified(&folder)?);
    let body = Predictions { model: model.clone(), host: facts::host(), id, bytes, log };
    let of_it = |(_, other): &(Digest, Predictions)| (&other.host, other.id) == (&body.host, body.id);
    let before = pushed(project, model)?.0.into_iter().find(of_it);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn log(host: &str, id: Option<Id>, bytes: u64) -> (Digest, Predictions) {
        let log = Digest::of(host.as_bytes());
        let body =
            Predictions { model: "m".parse().expect("is a name"), host: host.to_owned(), id, bytes, log };
        (Digest::of(Id::new().to_string().as_bytes()), body)
    }

    #[test]
    fn of_each_log_the_newest_counts_as_long_as_there_is_room() {
        let (a, b) = (Some(Id::new()), Some(Id::new()));
        let all = vec![log("x", a, 60), log("x", b, 30), log("x", a, 5), log("y", a, 10), log("z", None, 1)];
        let ids: Vec<Digest> = all.iter().map(|(id, _)| *id).collect();
        let of = |keep: u64| {
            let (counted, over) = divided(all.clone(), keep);
            assert_eq!(counted.len() + over.len(), 5);
            counted.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(of(1000), [ids[0], ids[1], ids[3], ids[4]]);
        assert_eq!(of(100), [ids[0], ids[1], ids[3]]);
        assert_eq!(of(10), [ids[0]], "the newest is never too much");
    }

    #[test]
    fn a_log_has_one_id_and_gets_another_when_it_is_damaged() {
        let folder = tempfile::tempdir().expect("makes a folder");
        assert_eq!(identity(folder.path()).expect("reads"), None);
        let id = identified(folder.path()).expect("is made");
        assert_eq!(identified(folder.path()).expect("is there"), id);
        std::fs::write(folder.path().join(IDENTITY), "").expect("writes");
        let other = identified(folder.path()).expect("is made anew");
        assert_ne!(other, id);
        assert_eq!(identity(folder.path()).expect("reads"), Some(other));
    }
}
