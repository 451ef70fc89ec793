use std::sync::{Mutex, OnceLock};

use super::*;
use crate::base::{Bytes, Null};
use crate::platform::data::{Examples, Inputs, Parts, Targets};
use crate::platform::monitor::{Answers, SKETCHES, Sketches, find};
use crate::platform::train::{self, Control, ModelSpec};

struct Version {
    model: Model,
    sketches: Sketches,
}

impl Answering for Version {
    fn model(&self) -> &Model {
        &self.model
    }

    fn tree(&self) -> Digest {
        Digest::of(b"tree")
    }
}

fn inputs(count: usize) -> Inputs {
    Inputs::F32(Arc::new((0..2 * count).map(|n| (n % 17) as f32 / 8.0).collect()))
}

/// A model of two numbers, trained once.
fn version() -> Arc<Version> {
    static VERSION: OnceLock<Arc<Version>> = OnceLock::new();
    Arc::clone(VERSION.get_or_init(|| {
        let spec: ModelSpec = serde_json::from_value(serde_json::json!({
            "data": "d", "network": [{"linear": 4}, "relu", {"linear": 2}], "train": {"epochs": 1, "batch_size": 32},
        }))
        .expect("is a model");
        let examples = |count: usize| Examples {
            shape: vec![2],
            inputs: inputs(count).into(),
            targets: Targets::Class(Arc::new((0..count as u32).map(|n| n % 2).collect())),
            keys: Arc::new((0..count as u64).collect()),
            ..Examples::default()
        };
        let parts = Parts {
            classes: vec!["a".into(), "b".into()],
            train: examples(300),
            val: examples(120),
            ..Parts::default()
        };
        let folder = tempfile::tempdir().expect("makes a folder");
        let control = Control { stop: &|| false, fence: &|| true };
        let (checkpoints, out) = (folder.path().join("c"), folder.path().join("out"));
        std::fs::create_dir(&checkpoints).expect("makes");
        let outcome = train::train(&spec, &parts, None, &checkpoints, &out, &control, &Null).expect("trains");
        let model = Model::load(&outcome.model.expect("is there")).expect("loads");
        let sketches = Sketches::of(&model, &parts).expect("are made");
        assert_eq!(Sketches::of(&model, &parts).expect("again").to_bytes(), sketches.to_bytes());
        Arc::new(Version { model, sketches })
    }))
}

fn answered(count: usize) -> Answered {
    let version = version();
    let inputs = inputs(count);
    let predictions = version.model.predict(&inputs).expect("predicts");
    Answered { id: Id::new(), time: Time::now(), inputs, predictions, latency: Duration::from_micros(1500) }
}

fn spec() -> LogSpec {
    LogSpec { rotate: Bytes(4000), keep: Bytes(12_000), ..LogSpec::default() }
}

fn read(folder: &Path) -> Answers<'static> {
    let mut answers = Answers::of(Digest::of(b"tree"), 10_000, None);
    answers.read_folder(folder).expect("reads");
    answers
}

/// What was told of losses.
#[derive(Default)]
struct Told {
    lost: AtomicU64,
    warnings: Mutex<Vec<String>>,
}

impl Losses for Told {
    fn lost(&self, requests: u64) {
        self.lost.fetch_add(requests, Ordering::Relaxed);
    }

    fn warn(&self, text: &str) {
        self.warnings.lock().expect("is whole").push(text.to_owned());
    }
}

#[test]
fn a_model_has_sketches_of_its_features_answers_and_points() {
    let sketches = &version().sketches;
    let names = |list: &[crate::platform::monitor::Sketch]| {
        list.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&sketches.inputs), ["value 0", "value 1"]);
    assert_eq!(names(&sketches.outputs), ["class", "confidence"]);
    assert_eq!(
        (sketches.answered.as_str(), sketches.points.len(), sketches.points[0].len()),
        ("val", 120, 4)
    );
    assert_eq!(SKETCHES, "sketches.json");
}

#[test]
fn what_is_offered_is_read_again() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let spec = LogSpec { inputs: true, ..LogSpec::default() };
    let log = Log::open(&folder.path().join("log"), &spec, Arc::new(Null)).expect("opens");
    let (single, several) = (answered(1), answered(3));
    log.offer(single.clone(), version());
    log.offer(several.clone(), version());
    drop(log);
    let answers = read(&folder.path().join("log"));
    let ids: std::collections::BTreeSet<&str> = answers.lines.iter().map(|line| line.id.as_str()).collect();
    let third = format!("{}/2", several.id);
    assert!(
        ids.len() == 4 && ids.contains(single.id.to_string().as_str()) && ids.contains(third.as_str()),
        "{ids:?}"
    );
    let line = answers.lines.iter().find(|line| line.id == third).expect("is there");
    assert_eq!((line.latency_ms, line.output.clone()), (None, several.predictions[2].clone()));
    assert_eq!((line.input.len(), line.embedding.len()), (0, 4), "a window needs no inputs");
    let file = std::fs::File::open(&files(&folder.path().join("log")).expect("lists")[0]).expect("opens");
    let line = find(file, &third).expect("reads").expect("is there");
    assert_eq!(line.input, [0.5, 0.625]);
    let requests = answers.lines.iter().filter(|line| line.latency_ms == Some(1.5));
    assert_eq!(requests.count(), 2);
}

#[test]
fn files_are_rotated_and_the_oldest_go() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let log = Log::open(folder.path(), &spec(), Arc::new(Null)).expect("opens");
    for _ in 0..200 {
        log.offer(answered(1), version());
    }
    drop(log);
    let sizes: Vec<u64> = files(folder.path())
        .expect("lists")
        .iter()
        .map(|path| std::fs::metadata(path).expect("is there").len())
        .collect();
    let total: u64 = sizes.iter().sum();
    assert!(sizes.len() > 1 && total <= 13_000 && sizes.iter().all(|size| *size < 5_000), "{sizes:?}");
    let answers = read(folder.path());
    assert!(answers.lines.len() > 10 && answers.window().damaged == 0);
}

#[test]
fn a_sample_is_a_share_of_the_requests() {
    let all: Vec<Id> = (0..2000).map(|_| Id::new()).collect();
    let share = |sample: f64| all.iter().filter(|id| chosen(**id, sample)).count();
    assert_eq!((share(0.0), share(1.0)), (0, 2000));
    assert!((400..600).contains(&share(0.25)), "{}", share(0.25));
    assert!(
        all.iter().all(|id| !chosen(*id, 0.25) || chosen(*id, 0.5)),
        "a larger sample holds a smaller one"
    );
}

#[test]
fn a_disk_that_refuses_costs_lines_and_not_answers() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let blocked = folder.path().join("log");
    // A file where the folder should be.
    std::fs::write(&blocked, b"x").expect("writes");
    let told = Arc::<Told>::default();
    let log = Log::open(&blocked, &spec(), told.clone()).expect("opens");
    // It counts what was dropped since the first answer of a window.
    let early = answered(1);
    for _ in 0..20 {
        log.offer(answered(1), version());
    }
    while log.dropped() < 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(log.written(), 0);
    std::fs::remove_file(&blocked).expect("removes");
    std::thread::sleep(PAUSE);
    log.offer(early, version());
    drop(log);
    let warnings = told.warnings.lock().expect("is whole");
    assert!(warnings.len() == 1 && warnings[0].contains("answers are missing"), "{warnings:?}");
    assert_eq!(told.lost.load(Ordering::Relaxed), 20);
    let answers = read(&blocked);
    assert_eq!((answers.lines.len(), answers.window().dropped), (1, 20));
}

#[test]
fn what_does_not_fit_is_dropped_at_once() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let log = Log::open(folder.path(), &spec(), Arc::new(Null)).expect("opens");
    let mut large = answered(1);
    large.inputs = Inputs::F32(Arc::new(vec![0.0; WAITING_BYTES]));
    log.offer(large, version());
    assert_eq!(log.dropped(), 1);
}

#[test]
fn what_a_full_disk_takes_back_is_counted_and_told_later() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let told = Arc::<Told>::default();
    let mut writer = Writer::new(folder.path(), &spec(), Arc::new(Shared::new(told.clone())));
    let job = || Job { answered: answered(1), by: version() };
    let first = job();
    writer.shared.lose(2);
    writer.take(&first);
    writer.take(&job());
    // The two requests and what tells of two others are buffered, and the disk is full.
    let file = writer.file.as_mut().expect("is open");
    assert_eq!(std::fs::metadata(&file.path).expect("is there").len(), 0);
    file.file = File::options().write(true).open("/dev/full").expect("opens");
    writer.settle(false);
    assert_eq!((told.lost.load(Ordering::Relaxed), writer.told), (4, 0));
    assert_eq!(writer.shared.written.load(Ordering::Relaxed), 0);
    assert_eq!(told.warnings.lock().expect("is whole").len(), 1);
    writer.paused = None;
    writer.take(&first);
    writer.shared.lose(1);
    writer.settle(true);
    let answers = read(folder.path());
    assert_eq!((answers.lines.len(), answers.window().dropped), (1, 5));
    assert_eq!((writer.told, told.warnings.lock().expect("is whole").len()), (5, 1), "said once");
}

#[test]
fn a_file_that_another_server_writes_to_stays() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let spec = LogSpec { rotate: Bytes(1000), keep: Bytes(1000), ..LogSpec::default() };
    let mut slow = Writer::new(folder.path(), &spec, Arc::new(Shared::new(Arc::new(Null))));
    slow.take(&Job { answered: answered(1), by: version() });
    slow.settle(false);
    let busy = Log::open(folder.path(), &spec, Arc::new(Null)).expect("opens");
    for _ in 0..50 {
        busy.offer(answered(1), version());
    }
    drop(busy);
    let path = slow.file.as_ref().expect("is open").path.clone();
    assert!(path.exists());
    slow.settle(true);
    prune(folder.path(), 0);
    assert!(!path.exists(), "one that nobody writes to goes");
}
