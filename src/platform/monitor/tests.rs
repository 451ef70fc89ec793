//! Synthetic digits: what has changed is found, and more of the same is no alarm.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::base::{Digest, Drift, Id, Null, Time, variables};
use crate::platform::data::{Dataset, Digits, Inputs, TargetKind, digits, idx_inputs};
use crate::platform::train::{self, Control, Model, ModelSpec, Purpose, Stream};

/// Images of a window.
const WINDOW: u32 = 400;

struct Trained {
    model: Model,
    sketches: Sketches,
}

fn trained() -> Trained {
    let folder = tempfile::tempdir().expect("makes a folder");
    digits::write(&Digits { train: 2500, test: 1, seed: 1 }, &folder.path().join("digits"), &Null)
        .expect("renders");
    let data = json!({"path": "digits", "format": "idx", "split": {"val": 0.2, "by": "hash", "seed": 1}});
    let data = serde_json::from_value(data).expect("is a dataset");
    let dataset = Dataset::new(&"digits".parse().expect("is a name"), &data, folder.path());
    let parts = dataset.predicting(TargetKind::Class).load(None, &Null).expect("loads");
    let spec: ModelSpec = serde_json::from_value(json!({
        "data": "digits",
        "network": ["flatten", {"linear": 48}, "relu", {"linear": 10}],
        "train": {"epochs": 3, "batch_size": 64, "optimizer": {"adamw": {"lr": 0.003}}, "seed": 2},
    }))
    .expect("is a model");
    let control = Control { stop: &|| false, fence: &|| true };
    let (checkpoints, out) = (folder.path().join("checkpoints"), folder.path().join("out"));
    std::fs::create_dir(&checkpoints).expect("makes a folder");
    let outcome = train::train(&spec, &parts, None, &checkpoints, &out, &control, &Null).expect("trains");
    let model = Model::load(&outcome.model.expect("is there")).expect("loads");
    let sketches = Sketches::of(&model, &parts).expect("are made");
    Trained { model, sketches }
}

/// Images that nobody has seen.
fn fresh(seed: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("makes a folder");
    digits::write(&Digits { train: 1, test: WINDOW, seed }, folder.path(), &Null).expect("renders");
    let path = folder.path().join("t10k-images-idx3-ubyte.gz");
    let (_, Inputs::U8(pixels)) = idx_inputs(&path, "images").expect("reads") else { panic!("not bytes") };
    pixels.to_vec()
}

fn noisy(pixels: Vec<u8>) -> Vec<u8> {
    let mut random = Stream::new(7, Purpose::Corruption, &[0]);
    let add = |pixel: u8| (f32::from(pixel) + 40.0 * random.normal_pair().0).clamp(0.0, 255.0) as u8;
    pixels.into_iter().map(add).collect()
}

fn inverted(pixels: Vec<u8>) -> Vec<u8> {
    pixels.into_iter().map(|pixel| 255 - pixel).collect()
}

/// Every image moved by four pixels: its features stay what they are.
fn moved(pixels: Vec<u8>) -> Vec<u8> {
    let mut rolled = pixels;
    rolled.chunks_mut(28 * 28).for_each(|image| image.rotate_right(4 * 28));
    rolled
}

impl Trained {
    fn judge(&self, pixels: Vec<u8>) -> Drift {
        let inputs = Inputs::U8(Arc::new(pixels));
        let predictions = self.model.predict(&inputs).expect("predicts");
        let count = predictions.len();
        let (id, time, latency) = (Id::new(), Time::now(), Duration::from_millis(1));
        let answered = Answered { id, time, inputs, predictions, latency };
        let features = Features::of(&self.model);
        let tree = Digest::of(b"tree");
        let mut answers = Answers::of(tree, count, None);
        answers.lines = lines(&self.model, &features, tree, &answered, false, count).expect("are made");
        let about = json!({"model": "m", "version": 1, "tree": tree, "window": {"answers": 0}, "limits": {}});
        let about = serde_json::from_value(about).expect("is a drift");
        judge(about, &MonitorSpec::default(), Some(&self.sketches), &self.model.classes, &answers)
    }
}

#[test]
fn noise_inversion_and_a_shift_are_found_and_fresh_digits_are_no_alarm() {
    let trained = trained();
    let seeds = if std::env::var_os(variables::TEST_LONG).is_some() { 100 } else { 4 };
    let mut alarms = 0;
    let (mut psi, mut mmd) = (0.0_f64, 0.0_f64);
    for seed in 0..seeds {
        let drift = trained.judge(fresh(1000 + seed));
        psi = drift.features.iter().map(|feature| feature.psi.value).fold(psi, f64::max);
        mmd = drift.embedding.map_or(mmd, |found| mmd.max(found.mmd.value));
        if !drift.breaches.is_empty() {
            println!("seed {seed}: {:?}", drift.breaches);
            alarms += 1;
        }
    }
    println!("{alarms} of {seeds} seeds alarmed; largest psi {psi:.4}, largest mmd {mmd:.5}");
    assert!(alarms * 20 <= seeds, "{alarms} of {seeds}");
    type Change = fn(Vec<u8>) -> Vec<u8>;
    for (name, change) in [("noise", noisy as Change), ("inversion", inverted), ("shift", moved)] {
        let drift = trained.judge(change(fresh(5)));
        let embedding = drift.embedding.expect("has points");
        println!("{name}: {:?}; mmd {:?}", drift.breaches, embedding.mmd);
        assert!(!drift.breaches.is_empty() && embedding.drifted, "{name}: {drift:?}");
    }
}
