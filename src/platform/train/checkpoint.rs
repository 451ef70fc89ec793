//! Checkpoints: everything a training needs to go on as if it had never stopped.
//!
//! A checkpoint is one safetensors file, `<step>-<BLAKE3 of the file>.safetensors`: weights, running statistics and
//! the optimiser's moments as tensors, everything else as JSON in the header's metadata. A file whose content is
//! not what its name says is damaged and never used. It appears under its name only when it is complete and on disk.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::base::{Digest, Level, Sink};
use crate::infrastructure::durable;

/// Key of the JSON in the metadata of the file.
const KEY: &str = "mlp";
/// Version of the format.
const SCHEMA: &str = "mlp/checkpoint/1";
/// Checkpoints that are kept besides the best.
const KEPT: usize = 2;

/// Where a training stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// `mlp/checkpoint/1`.
    schema: String,
    /// Digest of everything that decides the result: settings and examples.
    pub(super) plan: Digest,
    /// How many times the training was started, 1 for the first.
    pub(super) attempt: u32,
    /// Optimiser steps done.
    pub(super) step: u64,
    /// Epochs done.
    pub(super) epoch: u64,
    /// Batches done in the epoch under way.
    pub(super) batch: u64,
    /// Sums over the epoch under way.
    pub(super) sums: Sums,
    /// The best epoch so far.
    pub(super) best: Option<Best>,
    /// Epochs since the best.
    pub(super) waited: u32,
    /// Whether early stopping has ended the training.
    pub(super) stopped: bool,
    /// With the plateau schedule: what it has come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) plateau: Option<Lowered>,
    /// Last value of each metric.
    pub(super) metrics: BTreeMap<String, f64>,
}

/// State of the plateau schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Lowered {
    /// The best value so far.
    pub(super) best: f64,
    /// Epochs since it got better.
    pub(super) waited: u32,
    /// What the learning rate is multiplied by.
    pub(super) factor: f64,
}

/// Sums over the examples of an epoch so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    /// Of the loss.
    pub(super) loss: f64,
    /// Of right answers.
    pub(super) correct: u64,
    /// Of squared errors of numbers.
    #[serde(default)]
    pub(super) squares: f64,
    /// Of examples.
    pub(super) examples: u64,
}

/// The best epoch so far, by the metric that early stopping watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    /// Epochs done.
    pub(super) epoch: u64,
    /// Steps done: names the checkpoint.
    pub(super) step: u64,
    /// The metric.
    pub(super) value: f64,
    /// All metrics of that epoch.
    pub(super) metrics: BTreeMap<String, f64>,
}

impl Position {
    /// The beginning of a training.
    pub(super) fn start(plan: Digest) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            plan,
            attempt: 1,
            step: 0,
            epoch: 0,
            batch: 0,
            sums: Sums::default(),
            best: None,
            waited: 0,
            stopped: false,
            plateau: None,
            metrics: BTreeMap::new(),
        }
    }
}

/// Named tensors with their shapes.
pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The checkpoints of one training in one folder.
pub(super) struct Checkpoints {
    folder: PathBuf,
    /// Those of this training that are known to be good: step and file.
    good: BTreeMap<u64, PathBuf>,
}

impl Checkpoints {
    /// Opens the folder, making it if need be, and reads the newest good checkpoint of the training `plan`.
    ///
    /// Damaged files and those of another training are passed over with a word to `sink`.
    pub(super) fn open(
        folder: &Path,
        plan: Digest,
        sink: &dyn Sink,
    ) -> Result<(Self, Option<(Position, Tensors)>), TrainError> {
        fs::create_dir_all(folder).map_err(TrainError::io("make the folder", folder))?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(TrainError::io("read", folder))? {
            let path = entry.map_err(TrainError::io("read", folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some((step, digest)) = parse_name(name) {
                found.push((step, digest, path));
            }
        }
        found.sort_by(|a, b| (b.0, &b.2).cmp(&(a.0, &a.2)));
        let mut checkpoints = Self { folder: folder.to_owned(), good: BTreeMap::new() };
        let mut newest = None;
        for (step, digest, path) in found {
            let shown = path.display();
            match read(&path, digest) {
                Ok((position, _)) if position.plan != plan => {
                    sink.log(
                        Level::Info,
                        &format!("checkpoint `{shown}` belongs to another training: passed over"),
                    );
                }
                Ok(read) => {
                    newest.get_or_insert(read);
                    checkpoints.good.entry(step).or_insert(path);
                }
                Err(reason) => {
                    let text =
                        format!("checkpoint `{shown}` is damaged ({reason}): going back to the one before");
                    sink.log(Level::Warn, &text);
                }
            }
        }
        Ok((checkpoints, newest))
    }

    /// Whether there is a good one.
    pub(super) fn any(&self) -> bool {
        !self.good.is_empty()
    }

    /// Writes a checkpoint and removes those no longer needed. False if `fence` says that another attempt has taken over:
    /// then nothing has changed.
    pub(super) fn write(
        &mut self,
        position: &Position,
        tensors: &Tensors,
        fence: &dyn Fn() -> bool,
    ) -> Result<bool, TrainError> {
        let json = serde_json::to_string(position).map_err(|error| failed(&self.folder, error))?;
        let bytes = serialize(tensors, Some(json)).map_err(|error| failed(&self.folder, error))?;
        let name = format!("{:08}-{}.safetensors", position.step, Digest::of(&bytes).hex());
        let path = self.folder.join(name);
        if !publish(&path, &bytes, fence)? {
            return Ok(false);
        }
        if let Some(before) = self.good.insert(position.step, path.clone())
            && before != path
        {
            // A checkpoint of the same step by an earlier attempt.
            let _ = fs::remove_file(before);
        }
        let best = position.best.as_ref().map(|best| best.step);
        let newest: Vec<u64> = self.good.keys().rev().take(KEPT).copied().collect();
        let outdated: Vec<u64> =
            self.good.keys().copied().filter(|step| !newest.contains(step) && Some(*step) != best).collect();
        for path in outdated.iter().filter_map(|step| self.good.remove(step)) {
            // Room is all that is lost if it stays.
            let _ = fs::remove_file(path);
        }
        Ok(true)
    }

    /// The tensors of the checkpoint after `step` steps, if it is there and good.
    pub(super) fn at(&self, step: u64) -> Option<Tensors> {
        let path = self.good.get(&step)?;
        let (_, digest) = parse_name(path.file_name()?.to_str()?)?;
        read(path, digest).ok().map(|(_, tensors)| tensors)
    }
}

fn failed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> TrainError {
    TrainError::io("write a checkpoint in", path)(std::io::Error::other(error))
}

fn parse_name(name: &str) -> Option<(u64, Digest)> {
    let (step, hex) = name.strip_suffix(".safetensors")?.split_once('-')?;
    Some((step.parse().ok()?, Digest::from_hex(hex).ok()?))
}

fn read(path: &Path, digest: Digest) -> Result<(Position, Tensors), String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    if Digest::of(&bytes) != digest {
        return Err("its content is not what its name says".to_owned());
    }
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| error.to_string())?;
    let json =
        header.metadata().as_ref().and_then(|metadata| metadata.get(KEY)).ok_or("it has no position")?;
    let position: Position = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if position.schema != SCHEMA {
        return Err(format!("its format is `{}`", position.schema));
    }
    Ok((position, deserialize(&bytes)?))
}

/// A safetensors file of f32 tensors, the same bytes for the same content.
pub(super) fn serialize(
    tensors: &Tensors,
    json: Option<String>,
) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        TensorView::new(Dtype::F32, (*shape).clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let metadata = json.map(|json| HashMap::from([(KEY.to_owned(), json)]));
    safetensors::serialize(views, metadata)
}

/// Reads what [`serialize`] wrote; refuses other element types.
pub(super) fn deserialize(bytes: &[u8]) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("tensor `{}` holds {:?}, not F32", name.escape_debug(), view.dtype()));
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        tensors.insert(name, (view.shape().to_owned(), values));
    }
    Ok(tensors)
}

/// Makes `bytes` appear as the file `path`, whole and on disk, if `fence` still says yes just before.
pub(super) fn publish(path: &Path, bytes: &[u8], fence: &dyn Fn() -> bool) -> Result<bool, TrainError> {
    durable::replace_if(path, |out| out.write_all(bytes), fence).map_err(TrainError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Event, Null, What};

    struct Talk(std::sync::Mutex<String>);

    impl Sink for Talk {
        fn emit(&self, event: &Event) {
            if let What::Log(log) = &event.what {
                *self.0.lock().expect("a lock") += &log.text;
            }
        }
    }

    fn tensors(value: f32) -> Tensors {
        Tensors::from([("w".to_owned(), (vec![2, 1], vec![value, -0.0]))])
    }

    fn position(step: u64) -> Position {
        Position { step, ..Position::start(Digest::of(b"plan")) }
    }

    fn yes() -> bool {
        true
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_two_and_the_best_are_kept_and_the_newest_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = Digest::of(b"plan");
        let (mut checkpoints, none) = Checkpoints::open(folder.path(), plan, &Null).expect("opens");
        assert!(none.is_none());
        let best = Best { epoch: 1, step: 1, value: 0.5, metrics: BTreeMap::new() };
        for step in 1..=5 {
            let position = Position { best: Some(best.clone()), ..position(step) };
            assert!(checkpoints.write(&position, &tensors(step as f32), &yes).expect("writes"));
        }
        let steps: Vec<u64> = names(folder.path()).iter().filter_map(|n| Some(parse_name(n)?.0)).collect();
        assert_eq!(steps, [1, 4, 5]);
        let (checkpoints, newest) = Checkpoints::open(folder.path(), plan, &Null).expect("opens");
        let (found, read) = newest.expect("a checkpoint");
        assert_eq!((found.step, found.best), (5, Some(best)));
        assert_eq!(read, tensors(5.0));
        assert_eq!(checkpoints.at(1), Some(tensors(1.0)));
    }

    #[test]
    fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = Digest::of(b"plan");
        let (mut checkpoints, _) = Checkpoints::open(folder.path(), plan, &Null).expect("opens");
        for step in 1..=2 {
            checkpoints.write(&position(step), &tensors(step as f32), &yes).expect("writes");
        }
        let newest = folder.path().join(&names(folder.path())[1]);
        let whole = fs::read(&newest).expect("reads");
        for at in [0, 9, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&newest, &damaged).expect("writes");
            let talk = Talk(std::sync::Mutex::default());
            let (_, found) = Checkpoints::open(folder.path(), plan, &talk).expect("opens");
            assert_eq!(found.expect("the one before").0.step, 1);
            let text = talk.0.into_inner().expect("a lock");
            assert!(text.contains("00000002-") && text.contains("damaged"), "{text}");
        }
        fs::write(&newest, &whole[..whole.len() / 2]).expect("writes");
        let (_, found) = Checkpoints::open(folder.path(), plan, &Null).expect("opens");
        assert_eq!(found.expect("the one before").0.step, 1);
    }

    #[test]
    fn a_checkpoint_of_another_training_is_passed_over_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut others, _) = Checkpoints::open(folder.path(), Digest::of(b"plan"), &Null).expect("opens");
        others.write(&position(9), &tensors(1.0), &yes).expect("writes");
        let plan = Digest::of(b"another plan");
        let talk = Talk(std::sync::Mutex::default());
        let (mut checkpoints, found) = Checkpoints::open(folder.path(), plan, &talk).expect("opens");
        assert!(found.is_none());
        let text = talk.0.into_inner().expect("a lock");
        assert!(text.contains("00000009-") && text.contains("another training: passed over"), "{text}");
        for step in 1..=3 {
            let position = Position { plan, ..position(step) };
            checkpoints.write(&position, &tensors(1.0), &yes).expect("writes");
        }
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn a_fenced_attempt_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut checkpoints, _) =
            Checkpoints::open(folder.path(), Digest::of(b"plan"), &Null).expect("opens");
        assert!(!checkpoints.write(&position(1), &tensors(1.0), &|| false).expect("asks"));
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}
