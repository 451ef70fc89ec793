//! How fast a model predicts: the networks of `training/bench.py`, as `mlp serve` runs them, with random weights and images.
//!
//! `cargo bench --bench inference -- cnn 64` prints one JSON object; `training/bench.py --only inference` puts PyTorch beside it.

#![allow(clippy::print_stdout, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mlp::base::Null;
use mlp::platform::data::{Examples, Inputs, Parts, Targets};
use mlp::platform::train::{Control, Model, ModelSpec, train};

const CNN: &str = "[{conv2d: {out: 32, kernel: 3}}, relu, {conv2d: {out: 64, kernel: 3}}, relu, {max_pool2d: 2}, {dropout: 0.25}, \
                   flatten, {linear: 128}, relu, {dropout: 0.5}, {linear: 10}]";
const MLP: &str = "[flatten, {linear: 256}, relu, {linear: 128}, relu, {linear: 10}]";

fn pixels(count: usize) -> Inputs {
    Inputs::U8(Arc::new((0..count * 784).map(|index| (index * 7919 % 251) as u8).collect()))
}

fn images(count: usize) -> Examples {
    Examples {
        shape: vec![1, 28, 28],
        inputs: pixels(count).into(),
        targets: Targets::Class(Arc::new((0..count as u32).map(|index| index % 10).collect())),
        keys: Arc::new((0..count as u64).collect()),
        ..Examples::default()
    }
}

fn model(network: &str) -> Model {
    let yaml = format!("{{data: none, network: {network}, train: {{epochs: 1}}}}");
    let spec: ModelSpec = serde_yaml::from_str(&yaml).expect("a model");
    let classes = (0..10).map(|class| class.to_string()).collect();
    let parts = Parts { classes, train: images(20), val: images(10), test: images(10), ..Parts::default() };
    let folder = tempfile::tempdir().expect("a folder");
    let control = Control { stop: &|| false, fence: &|| true };
    let outcome =
        train(&spec, &parts, None, &folder.path().join("checkpoints"), folder.path(), &control, &Null)
            .expect("a training");
    Model::load(&outcome.model.expect("a model")).expect("loads")
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (name, batch) = match words.as_slice() {
        [name, batch] => (name.as_str(), batch.parse().expect("a number of images")),
        _ => ("cnn", 64),
    };
    let model = model(if name == "mlp" { MLP } else { CNN });
    let inputs = pixels(batch);
    let (mut times, begun) = (Vec::new(), Instant::now());
    while begun.elapsed() < Duration::from_secs(4) {
        let one = Instant::now();
        model.predict(&inputs).expect("predicts");
        times.push(one.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!("{{\"p50_us\": {}, \"samples_per_second\": {}}}", median * 1e6, batch as f64 / median);
}
