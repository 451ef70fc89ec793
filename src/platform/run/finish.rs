//! The end of a job: its record and its tree. Whoever comes first makes them; doing it again changes nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use super::step::OUTS;
use super::training::LAID_OUT;
use super::work::Work;
use super::{RunError, publish};
use crate::base::{Cause, Cost, Digest, JobState, Null, Record, RecordKind, Run, RunEnd, What};
use crate::hardware::facts;
use crate::infrastructure::compute::{JobFolder, LocalExecutor, event};
use crate::infrastructure::store::{Local, Node, NodeKind, PinKind, Stored, Tree, Writer, worktree};

/// Where a training leaves its model in the tree of its run.
const MODEL: &str = "out/model";

/// The files of the model that a training left, whether it counts as one of the project's or not.
pub(super) fn trained(store: &Local, run: &Run) -> Result<Option<Node>, RunError> {
    Ok(match run.output {
        Some(output) => store.find(&output, MODEL)?,
        None => None,
    })
}

/// The record of the job in `folder`, published now if it was not yet; none while the job has not ended.
pub fn finish(store: &Local, folder: &JobFolder) -> Result<Option<(Digest, Record<Run>)>, RunError> {
    if folder.settle()?.is_none() {
        return Ok(None);
    }
    let _lock = folder.lock("record.lock", true)?;
    let Some(end) = folder.settle()? else { return Ok(None) };
    if let Some(id) = folder.recorded()
        && let Ok(record) = store.record::<Run>(&id)
    {
        return Ok(Some((id, record)));
    }
    let (record, roots) = record(store, folder, end)?;
    let id = publish(store, &record, record.body.name.as_str(), &roots)?;
    supersede(store, &id, &record.body)?;
    folder.set_recorded(&id)?;
    if record.body.end.state == JobState::Succeeded {
        // Nothing will go on from these checkpoints, and the data are in the store.
        let _ = std::fs::remove_dir_all(folder.checkpoints());
        let _ = std::fs::remove_dir_all(folder.0.join(LAID_OUT));
    }
    Ok(Some((id, record)))
}

/// Publishes the records of all jobs that ended while nobody watched, and again those that were set aside as damaged;
/// returns how many there were.
/// A job folder that cannot be read is passed over: `mlp runs show` says what is wrong with it.
pub fn settle(store: &Local, executor: &LocalExecutor) -> Result<usize, RunError> {
    let mut settled = 0;
    for (_, folder) in executor.folders()? {
        let filed = folder.recorded().is_some_and(|id| store.has_record(&id));
        if !filed && matches!(finish(store, &folder), Ok(Some(_))) {
            settled += 1;
        }
    }
    Ok(settled)
}

fn record(store: &Local, folder: &JobFolder, end: RunEnd) -> Result<(Record<Run>, Vec<Digest>), RunError> {
    let spec = folder.spec()?;
    let work = Work::of(folder)?;
    let told = Told::read(folder)?;
    let mut kept =
        if end.state == JobState::Succeeded { folder.kept()?.unwrap_or_default() } else { BTreeMap::new() };
    // A host may say that it kept more than it was asked to make.
    kept.retain(|path, _| work.makes.contains(path));
    let output = store_output(store, folder, &kept)?;
    let mut outputs: BTreeMap<String, Digest> =
        kept.iter().map(|(path, stored)| (path.clone(), stored.id)).collect();
    if work.plan.task == "model"
        && let Some(model) = store.find(&output, MODEL)?
    {
        outputs.insert("model".into(), model.id);
    }
    // What a program said last tells why it failed, but not why it was ended.
    let ended = matches!(end.cause, Some(Cause::Oom | Cause::Time | Cause::Idle));
    let reason = match (end.state, told.error, end.reason.clone()) {
        (JobState::Failed, Some(error), _) if !ended => Some(error),
        // The worker had its say, and then there was no room for the end.
        (JobState::Lost, Some(error), Some(reason)) => Some(format!("{reason}; its last words: {error}")),
        (_, _, reason) => reason,
    };
    let roots = std::iter::once(output).chain(outputs.values().copied()).collect();
    let inputs = work.plan.inputs.values().copied().collect();
    let host = folder.host()?;
    let price = host.as_ref().and_then(|(host, _)| host.spec.price.as_ref());
    let cost = |usage| price.map(|price| Cost::of(usage, price.gpu_hour, price.hour, &price.currency));
    let body = Run {
        run: spec.id,
        name: spec.name,
        task: work.plan.task.clone(),
        plan: work.plan.digest(),
        sweep: work.sweep,
        git: work.git,
        data: work.plan.inputs.clone(),
        dataset: work.dataset.map(|dataset| serde_json::to_value(dataset.spec).unwrap_or_default()),
        seed: work.plan.seed,
        config: serde_json::to_value(&work.plan).unwrap_or_default(),
        device: work.device,
        binary: work.binary,
        cost: end.usage.as_ref().and_then(cost),
        host: host.map_or_else(facts::host, |(_, machine)| machine),
        metrics: told.metrics,
        output: Some(output),
        outputs,
        end: RunEnd { reason, ..end },
    };
    let time = body.end.ended;
    // The time is that of the end, so that making the record again gives the same bytes.
    let record = Record { time: Some(time), ..Record::new(work.author, inputs, body) };
    Ok((record, roots))
}

/// The tree of a run: `log`, `events.jsonl`, `out/` and the declared outputs below `outs/`.
fn store_output(
    store: &Local,
    folder: &JobFolder,
    kept: &BTreeMap<String, Stored>,
) -> Result<Digest, RunError> {
    let mut nodes = Vec::new();
    for (name, path) in [("events.jsonl", folder.events()), ("log", folder.log()), ("out", folder.out())] {
        let empty = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        if path.exists() && !empty {
            let root = worktree::snapshot(&path, store, None, &Null)?.root;
            nodes.push(Node { name: name.as_bytes().to_vec(), ..root });
        }
    }
    let mut writer = store.writer()?;
    if !kept.is_empty() {
        let paths: Vec<(Vec<&str>, &Stored)> =
            kept.iter().map(|(path, stored)| (path.split('/').collect(), stored)).collect();
        nodes.push(folder_of(&mut writer, OUTS, &paths)?);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let id = writer.tree(&Tree { nodes })?;
    writer.finish()?;
    Ok(id)
}

/// Adds the directory `name` that holds `paths`; no path is a folder of another.
fn folder_of(writer: &mut Writer<'_>, name: &str, paths: &[(Vec<&str>, &Stored)]) -> Result<Node, RunError> {
    let mut groups: BTreeMap<&str, Vec<(Vec<&str>, &Stored)>> = BTreeMap::new();
    for (parts, stored) in paths {
        if let Some((first, rest)) = parts.split_first() {
            groups.entry(first).or_default().push((rest.to_vec(), stored));
        }
    }
    let mut nodes = Vec::new();
    for (child, inside) in groups {
        nodes.push(match inside.as_slice() {
            [(rest, stored)] if rest.is_empty() => stored.node(child),
            _ => folder_of(writer, child, &inside)?,
        });
    }
    let size = nodes.iter().map(|node| node.size).sum();
    let id = writer.tree(&Tree { nodes })?;
    Ok(Node { name: name.as_bytes().to_vec(), kind: NodeKind::Directory, size, id })
}

/// A run that was resumed has one record: those of its earlier ends are let go.
fn supersede(store: &Local, newest: &Digest, run: &Run) -> Result<(), RunError> {
    if run.end.attempts < 2 {
        return Ok(());
    }
    for pin in store.pins()? {
        let of_this_run = pin.kind == PinKind::Record(RecordKind::Run)
            && !pin.records.contains(newest)
            && pin.records.iter().any(|id| store.record::<Run>(id).is_ok_and(|old| old.body.run == run.run));
        if of_this_run {
            store.remove_pin(pin.id)?;
        }
    }
    Ok(())
}

/// What the events of a job say about its result.
#[derive(Default)]
struct Told {
    /// Last value of each metric; those of the result event stand above.
    metrics: BTreeMap<String, f64>,
    /// The last error.
    error: Option<String>,
}

impl Told {
    fn read(folder: &JobFolder) -> Result<Self, RunError> {
        let mut told = Self::default();
        let mut results = BTreeMap::new();
        let file = match std::fs::File::open(folder.events()) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(told),
            Err(error) => return Err(RunError::io("read", folder.events())(error)),
        };
        for line in BufReader::new(file).split(b'\n') {
            match event(&line.map_err(RunError::io("read", folder.events()))?).what {
                // JSON has no number for the others; a record must stay readable.
                What::Metric(metric) if metric.value.is_finite() => {
                    told.metrics.insert(metric.name, metric.value);
                }
                What::Result { value } => {
                    if let Some(metrics) = value.get("metrics").and_then(|metrics| metrics.as_object()) {
                        results.extend(
                            metrics.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))),
                        );
                    }
                }
                What::Error(error) => told.error = Some(error.message),
                _ => {}
            }
        }
        told.metrics.extend(results);
        Ok(told)
    }
}
