use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::base::{Digest, Event, Null, Unit, What};
use crate::platform::data::{Examples, Inputs, Storage};
use crate::platform::train::{Model, evaluate};

/// Two kinds of 8x8 images: a bright square in the upper left or in the lower right, with noise.
fn images(count: usize) -> Parts {
    let examples = |first: u64, count: usize| {
        let mut random = Stream::new(first, Purpose::Weights, &[]);
        let (mut pixels, mut classes) = (Vec::new(), Vec::new());
        for index in 0..count {
            let class = index % 2;
            for pixel in 0..64 {
                let inside = (pixel / 8 / 4 == class) && (pixel % 8 / 4 == class);
                pixels.push((random.below(150) + if inside { 70 } else { 0 }) as u8);
            }
            classes.push(class as u32);
        }
        Examples {
            shape: vec![1, 8, 8],
            inputs: Inputs::U8(Arc::new(pixels)).into(),
            targets: Targets::Class(Arc::new(classes)),
            keys: Arc::new((first..first + count as u64).collect()),
            ..Examples::default()
        }
    };
    Parts {
        classes: vec!["left".to_owned(), "right".to_owned()],
        train: examples(0, count),
        val: examples(1_000_000, count / 4),
        test: examples(2_000_000, count / 4),
        ..Parts::default()
    }
}

/// `y = 3 a - 2 b + 500` from columns of very different scales.
fn table() -> Parts {
    let mut random = Stream::new(3, Purpose::Weights, &[]);
    let (mut values, mut numbers) = (Vec::new(), Vec::new());
    for _ in 0..400 {
        let (a, b) = (1000.0 * random.uniform(), 0.01 * random.uniform());
        values.extend([a, b]);
        numbers.push(3.0 * a - 20_000.0 * b + 500.0);
    }
    let examples = Examples {
        shape: vec![2],
        inputs: Inputs::F32(Arc::new(values)).into(),
        targets: Targets::Value(Arc::new(numbers)),
        keys: Arc::new((0..400).collect()),
        ..Examples::default()
    };
    Parts {
        columns: vec!["a".to_owned(), "b".to_owned()],
        train: examples.clone(),
        val: examples.clone(),
        test: examples,
        ..Parts::default()
    }
}

fn spec(train: &str) -> ModelSpec {
    let yaml = format!(
        "
data: images
network:
  - conv2d: {{out: 4, kernel: 3, padding: 1}}
  - relu
  - max_pool2d: 2
  - dropout: 0.2
  - residual: [batch_norm, {{conv2d: {{out: 4, kernel: 3, padding: 1}}}}, gelu]
  - residual:
      layers: [{{conv2d: {{out: 6, kernel: 3, padding: 2, dilation: 2, groups: 2}}}}, {{group_norm: 2}}, silu]
      shortcut: [{{conv2d: {{out: 6, kernel: 1}}}}]
  - parallel: [[{{max_pool2d: {{kernel: 3, stride: 1, padding: 1}}}}], [{{avg_pool2d: {{kernel: 3, stride: 1, padding: 1}}}}]]
  - parallel: [[sigmoid], [{{conv_transpose2d: {{out: 2, kernel: 3, padding: 1}}}}, {{leaky_relu: 0.1}}]]
  - parallel: [[flatten], [global_avg_pool], [global_max_pool]]
  - linear: 16
  - relu
  - dropout: 0.3
  - linear: 2
train: {train}
"
    );
    serde_yaml::from_str(&yaml).expect("a model")
}

const TRAIN: &str = "{epochs: 3, batch_size: 24, seed: 7, optimizer: {adamw: {lr: 0.01}}, schedule: {one_cycle: {max_lr: 0.02}}, \
                     augment: [{shift: 1}, {rotate: 5}, {noise: 0.05}]}";

struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.path().join("checkpoints")
    }

    fn train(&self, spec: &ModelSpec, data: &Parts, stop_after: usize) -> Result<Outcome, TrainError> {
        self.train_into(spec, data, stop_after, &Null)
    }

    /// Stops when `Control::stop` has been asked `stop_after` times.
    fn train_into(
        &self,
        spec: &ModelSpec,
        data: &Parts,
        stop_after: usize,
        sink: &dyn Sink,
    ) -> Result<Outcome, TrainError> {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= stop_after;
        let control = Control { stop: &stop, fence: &|| true };
        train(spec, data, None, &self.checkpoints(), &self.folder.path().join("out"), &control, sink)
    }

    fn model(&self) -> Model {
        Model::load(&self.folder.path().join("out/model")).expect("a model")
    }
}

/// The weights after an unbroken run.
fn unbroken(spec: &ModelSpec, data: &Parts) -> Digest {
    let run = Run::new();
    assert_eq!(run.train(spec, data, usize::MAX).expect("trains").stopped, Stopped::Finished);
    run.model().digest
}

#[test]
fn the_weights_are_the_same_with_one_two_and_four_threads() {
    let (spec, data) = (spec(TRAIN), images(200));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| unbroken(&spec, &data))
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(4));
    let mut other = spec.clone();
    other.train.seed += 1;
    assert_ne!(one, unbroken(&other, &data), "the seed decides nothing");
}

/// Rows of eight tokens; the class is whether more are below 5 than not.
fn tokens(count: usize) -> Parts {
    let examples = |first: u64, count: usize| {
        let mut random = Stream::new(first, Purpose::Weights, &[9]);
        let values: Vec<f32> = (0..8 * count).map(|_| random.below(10) as f32).collect();
        let low = |row: &[f32]| row.iter().filter(|token| **token < 5.0).count();
        let classes = values.chunks(8).map(|row| u32::from(low(row) > 4)).collect();
        Examples {
            shape: vec![8],
            inputs: Inputs::F32(Arc::new(values)).into(),
            targets: Targets::Class(Arc::new(classes)),
            keys: Arc::new((first..first + count as u64).collect()),
            ..Examples::default()
        }
    };
    let classes = vec!["high".to_owned(), "low".to_owned()];
    let (train, val) = (examples(0, count), examples(1_000_000, count / 4));
    Parts { classes, train, val, test: examples(2_000_000, count / 4), ..Parts::default() }
}

fn sequences() -> ModelSpec {
    let yaml = "
data: tokens
network:
  - embedding: {tokens: 10, size: 12}
  - positional_embedding
  - residual: [layer_norm, {attention: {heads: 3}}, {dropout: 0.1}]
  - residual: [layer_norm, {linear: 24}, gelu, {linear: 12}]
  - conv1d: {out: 8, kernel: 3, padding: 2, dilation: 2}
  - batch_norm
  - parallel: [[{lstm: {size: 6}}], [{gru: {size: 6}}], [{attention: {heads: 4, causal: true}}]]
  - parallel: [[global_avg_pool], [global_max_pool], [{gru: {size: 5, output: last}}], [{lstm: {size: 5, output: last}}]]
  - output
train: {epochs: 4, batch_size: 50, seed: 3, optimizer: {adamw: {lr: 0.01}}}
";
    serde_yaml::from_str(yaml).expect("a model")
}

#[test]
fn layers_along_sequences_learn_and_repeat_with_every_number_of_threads_and_over_an_interruption() {
    let (spec, data) = (sequences(), tokens(400));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| unbroken(&spec, &data))
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(4));
    let run = Run::new();
    run.train(&spec, &data, 11).expect("trains");
    let outcome = run.train(&spec, &data, usize::MAX).expect("trains");
    assert_eq!(run.model().digest, one);
    assert!(outcome.metrics["val.accuracy"] > 0.9, "{:?}", outcome.metrics);
    let evaluated = evaluate(&run.model(), &spec, &data.val, &Null).expect("evaluates");
    assert!((evaluated.metrics["accuracy"].value - outcome.metrics["val.accuracy"]).abs() < 1e-12);
    let error = run.model().predict(&Inputs::F32(Arc::new(vec![10.0; 8]))).expect_err("no token").to_string();
    assert!(error.contains("from 0 to 9"), "{error}");
    let mut wrong = data.clone();
    wrong.val.inputs = Inputs::F32(Arc::new(vec![0.5; 8 * wrong.val.len()])).into();
    let error = run.train(&spec, &wrong, usize::MAX).expect_err("no token").to_string();
    assert!(error.contains("an input in `val` is no token"), "{error}");
}

/// Every setting at once; what excludes each other comes one after the other.
const EVERY_SETTING: [&str; 3] = [
    "{epochs: 3, batch_size: 10, accumulate: 3, clip_norm: 0.5, ema: {decay: 0.9}, warm_up: {epochs: 1}, seed: 7, \
     loss: {cross_entropy: {label_smoothing: 0.1, class_weights: balanced}}, sampler: balanced, schedule: cosine, \
     optimizer: {rmsprop: {lr: 0.002, momentum: 0.5, weight_decay: 0.001}}, freeze: [layers.1, layers.5.1], \
     augment: [{shift: 1}, {flip: horizontal}, {crop: {padding: 1, scale: 0.8}}, {erase: 0.5}, {mixup: {alpha: 0.4}}]}",
    "{epochs: 4, batch_size: 30, accumulate: 2, warm_up: {steps: 3}, seed: 7, ema: {decay: 0.5}, \
     loss: {cross_entropy: {class_weights: [1, 2]}}, augment: [{flip: vertical}, {crop: {padding: 2}}], \
     schedule: {plateau: {metric: train.loss, patience: 0, factor: 0.5}}, optimizer: {sgd: {lr: 0.3, momentum: 0.9}}, \
     early_stop: {metric: val.loss, patience: 3}}",
    "{epochs: 2, batch_size: 24, loss: cross_entropy, clip_norm: 1, optimizer: {adamw: {lr: 0.01}}, seed: 7}",
];

#[test]
fn every_setting_repeats_with_every_number_of_threads_and_over_interruptions() {
    let data = images(200);
    for train in EVERY_SETTING {
        let spec = spec(train);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| unbroken(&spec, &data))
        };
        let one = with(1);
        assert_eq!(one, with(2), "{train}");
        assert_eq!(one, with(4), "{train}");
        let run = Run::new();
        for piece in [2, 4, 1, 0, 3] {
            assert_eq!(run.train(&spec, &data, piece).expect("trains").stopped, Stopped::Interrupted);
        }
        run.train(&spec, &data, usize::MAX).expect("trains");
        assert_eq!(run.model().digest, one, "{train}");
    }
}

#[test]
fn accumulated_batches_make_the_step_of_one_large_batch() {
    let data = images(100);
    let yaml = |train: &str| {
        format!("{{data: d, network: [flatten, {{linear: 8}}, tanh, {{linear: 2}}], train: {train}}}")
    };
    let weights = |train: &str| {
        let spec: ModelSpec = serde_yaml::from_str(&yaml(train)).expect("a model");
        let run = Run::new();
        run.train(&spec, &data, usize::MAX).expect("trains");
        let bytes = std::fs::read(run.folder.path().join("out/model/model.safetensors")).expect("reads");
        let tensors = crate::platform::train::checkpoint::deserialize(&bytes).expect("tensors");
        tensors.into_values().flat_map(|(_, values)| values).collect::<Vec<f32>>()
    };
    let large = weights("{epochs: 2, batch_size: 40, optimizer: {sgd: {lr: 0.1}}}");
    let small = weights("{epochs: 2, batch_size: 8, accumulate: 5, optimizer: {sgd: {lr: 0.1}}}");
    for (large, small) in large.iter().zip(&small) {
        assert!((large - small).abs() < 1e-5, "{large} {small}");
    }
}

#[test]
fn frozen_tensors_and_their_running_statistics_stay_as_they_were() {
    let data = images(100);
    let yaml = "{data: d, network: [{conv2d: {out: 4, kernel: 3}}, batch_norm, relu, flatten, {linear: 2}], \
                train: {epochs: 2, freeze: [layers.1, layers.2]}}";
    let mut spec: ModelSpec = serde_yaml::from_str(yaml).expect("a model");
    let (run, before) = (Run::new(), Run::new());
    run.train(&spec, &data, usize::MAX).expect("trains");
    spec.train.epochs = 1;
    before.train(&spec, &data, usize::MAX).expect("trains");
    let read = |run: &Run| {
        let bytes = std::fs::read(run.folder.path().join("out/model/model.safetensors")).expect("reads");
        crate::platform::train::checkpoint::deserialize(&bytes).expect("tensors")
    };
    let (run, before) = (read(&run), read(&before));
    for (name, values) in &run {
        let same = &before[name] == values;
        assert_eq!(same, name.starts_with("layers.1.") || name.starts_with("layers.2."), "{name}");
    }
    assert_eq!(run["layers.2.running_mean"].1, [0.0; 4]);
    for (freeze, wanted) in [("layer.1", "there is `layers.1"), ("layers", "leaves nothing to train")] {
        spec.train.freeze = vec![freeze.to_owned()];
        let error = Run::new().train(&spec, &data, usize::MAX).expect_err("cannot be").to_string();
        assert!(error.contains("`train.freeze`") && error.contains(wanted), "{error}");
    }
}

#[test]
fn two_classes_are_told_by_one_output_with_binary_cross_entropy() {
    let data = images(400);
    let yaml = "{data: d, network: [flatten, {linear: 8}, tanh, output], \
                train: {loss: bce, epochs: 10, optimizer: {adamw: {lr: 0.01}}, augment: [{mixup: {alpha: 0.2}}]}}";
    let spec: ModelSpec = serde_yaml::from_str(yaml).expect("a model");
    let run = Run::new();
    let outcome = run.train(&spec, &data, usize::MAX).expect("trains");
    assert!(outcome.metrics["val.accuracy"] > 0.9, "{:?}", outcome.metrics);
    let evaluated = evaluate(&run.model(), &spec, &data.val, &Null).expect("evaluates");
    assert!((evaluated.metrics["accuracy"].value - outcome.metrics["val.accuracy"]).abs() < 1e-12);
    assert!((evaluated.metrics["log_loss"].value - outcome.metrics["val.loss"]).abs() < 1e-5);
    let probabilities = &evaluated.predictions[0].probabilities;
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6 && probabilities.len() == 2);
}

#[test]
fn averaged_weights_are_those_that_are_validated_and_saved() {
    let data = images(200);
    let averaged =
        spec("{epochs: 4, batch_size: 20, ema: {decay: 0.9}, optimizer: {sgd: {lr: 0.1}}, seed: 7}");
    let run = Run::new();
    let outcome = run.train(&averaged, &data, usize::MAX).expect("trains");
    let evaluated = evaluate(&run.model(), &averaged, &data.val, &Null).expect("evaluates");
    assert!((evaluated.metrics["log_loss"].value - outcome.metrics["val.loss"]).abs() < 1e-5);
    let mut plain = averaged;
    plain.train.ema = None;
    assert_ne!(run.model().digest, unbroken(&plain, &data));
}

#[test]
fn numbers_are_learnt_by_every_loss_for_numbers() {
    let data = table();
    for loss in ["mse", "mae", "huber", "{huber: {delta: 0.3}}"] {
        let yaml = format!(
            "{{data: t, network: [{{linear: 16}}, tanh, {{linear: 1}}], evaluate: {{metrics: [rmse]}}, \
             train: {{loss: {loss}, epochs: 40, batch_size: 20, optimizer: {{rmsprop: {{lr: 0.003}}}}, schedule: cosine}}}}"
        );
        let spec: ModelSpec = serde_yaml::from_str(&yaml).expect("a model");
        let run = Run::new();
        let outcome = run.train(&spec, &data, usize::MAX).expect("trains");
        let evaluated = evaluate(&run.model(), &spec, &data.test, &Null).expect("evaluates");
        assert!(evaluated.metrics["r2"].value > 0.98, "{loss}: {:?}", evaluated.metrics);
        let rmse = evaluated.metrics["rmse"].value;
        assert!((rmse - outcome.metrics["val.rmse"]).abs() < 1e-3 * rmse, "{loss}");
    }
}

#[test]
fn large_layers_are_the_same_with_one_two_and_four_threads() {
    let yaml = "{data: d, network: [flatten, {linear: 1100}, relu, {linear: 70}, tanh, batch_norm, {linear: 2}], \
                train: {epochs: 1, batch_size: 130, optimizer: {sgd: {lr: 0.1, momentum: 0.9, weight_decay: 0.001}}}}";
    let spec: ModelSpec = serde_yaml::from_str(yaml).expect("a model");
    let data = images(300);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| unbroken(&spec, &data))
    };
    assert_eq!(with(1), with(2));
    assert_eq!(with(1), with(4));
}

#[test]
fn a_training_interrupted_anywhere_ends_with_the_weights_of_an_unbroken_one() {
    let (spec, data) = (spec(TRAIN), images(200));
    let wanted = unbroken(&spec, &data);
    let per_epoch = 200_usize.div_ceil(24);
    for pieces in [&[1][..], &[per_epoch - 1], &[per_epoch], &[per_epoch + 1], &[2, 3, 0, 7, 1]] {
        let run = Run::new();
        for &piece in pieces {
            let outcome = run.train(&spec, &data, piece).expect("trains");
            assert_eq!(outcome.stopped, Stopped::Interrupted);
            assert!(outcome.model.is_none());
        }
        assert_eq!(run.train(&spec, &data, usize::MAX).expect("trains").stopped, Stopped::Finished);
        assert_eq!(run.model().digest, wanted, "interrupted after {pieces:?}");
    }
}

#[test]
fn sgd_with_momentum_resumes_exactly_too() {
    let spec = spec(
        "{epochs: 2, batch_size: 30, optimizer: {sgd: {lr: 0.02, momentum: 0.9, weight_decay: 0.01}}, schedule: cosine}",
    );
    let data = images(120);
    let run = Run::new();
    run.train(&spec, &data, 5).expect("trains");
    run.train(&spec, &data, usize::MAX).expect("trains");
    assert_eq!(run.model().digest, unbroken(&spec, &data));
}

#[test]
fn a_resume_after_a_damaged_checkpoint_still_ends_with_the_same_weights() {
    let (spec, data) = (spec(TRAIN), images(200));
    let run = Run::new();
    run.train(&spec, &data, 20).expect("trains");
    let mut files: Vec<PathBuf> = std::fs::read_dir(run.checkpoints())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    std::fs::write(files.last().expect("a checkpoint"), b"not a checkpoint").expect("writes");
    run.train(&spec, &data, usize::MAX).expect("trains");
    assert_eq!(run.model().digest, unbroken(&spec, &data));
}

#[test]
fn a_changed_setting_starts_anew() {
    let data = images(100);
    let run = Run::new();
    run.train(&spec(TRAIN), &data, 3).expect("trains");
    let other = spec("{epochs: 1, batch_size: 24, seed: 8}");
    run.train(&other, &data, usize::MAX).expect("trains");
    assert_eq!(run.model().digest, unbroken(&other, &data));
}

#[test]
fn a_network_learns_and_its_model_says_the_same_as_the_training() {
    let data = images(400);
    let run = Run::new();
    let outcome =
        run.train(&spec(&TRAIN.replace("epochs: 3", "epochs: 8")), &data, usize::MAX).expect("trains");
    let accuracy = outcome.metrics["val.accuracy"];
    assert!(accuracy > 0.9, "{accuracy}");
    let evaluated = evaluate(&run.model(), &spec(TRAIN), &data.val, &Null).expect("evaluates");
    assert!((evaluated.metrics["accuracy"].value - accuracy).abs() < 1e-12);
    assert!((evaluated.metrics["log_loss"].value - outcome.metrics["val.loss"]).abs() < 1e-5);
    assert_eq!(evaluated.predictions.len(), data.val.len());
    assert_eq!(evaluated.predictions[1].truth.as_deref(), Some("right"));
    let confusion = evaluated.confusion.expect("a classifier");
    let right = confusion.counts[0][0] + confusion.counts[1][1];
    assert_eq!(right as f64 / data.val.len() as f64, evaluated.metrics["accuracy"].value);
}

#[test]
fn slices_by_label_are_the_rows_of_the_confusion_matrix() {
    let data = images(100);
    let run = Run::new();
    let mut spec = spec("{epochs: 1}");
    spec.evaluate.slices = Some(crate::platform::train::Slices { by: "label".to_owned() });
    run.train(&spec, &data, usize::MAX).expect("trains");
    let evaluated = evaluate(&run.model(), &spec, &data.test, &Null).expect("evaluates");
    let confusion = evaluated.confusion.expect("a classifier");
    assert_eq!(evaluated.slices.len(), 2);
    for (index, slice) in evaluated.slices.iter().enumerate() {
        assert_eq!((slice.by.as_str(), &slice.value), ("label", &confusion.labels[index]));
        let row = &confusion.counts[index];
        assert_eq!(slice.examples, row.iter().sum::<u64>());
        assert_eq!(slice.metrics["accuracy"].value, row[index] as f64 / slice.examples as f64);
    }
    spec.evaluate.slices = Some(crate::platform::train::Slices { by: "colour".to_owned() });
    let error = evaluate(&run.model(), &spec, &data.test, &Null).expect_err("no such column");
    assert!(error.to_string().contains("`evaluate.slices.by`"), "{error}");
}

#[test]
fn a_regression_learns_numbers_of_any_scale() {
    let yaml = "{data: t, network: [{linear: 16}, tanh, {linear: 1}], evaluate: {metrics: [rmse], slices: {by: a}}, \
                train: {loss: mse, epochs: 60, batch_size: 20, optimizer: {adamw: {lr: 0.01}}, schedule: cosine}}";
    let spec: ModelSpec = serde_yaml::from_str(yaml).expect("a model");
    let data = table();
    let run = Run::new();
    let outcome = run.train(&spec, &data, usize::MAX).expect("trains");
    let model = run.model();
    let evaluated = evaluate(&model, &spec, &data.test, &Null).expect("evaluates");
    assert!(evaluated.metrics["r2"].value > 0.99, "{:?}", evaluated.metrics);
    let rmse = evaluated.metrics["rmse"];
    assert!((rmse.value - outcome.metrics["val.rmse"]).abs() < 1e-3 * rmse.value);
    assert!(rmse.lower < rmse.value && rmse.value < rmse.upper);
    assert_eq!(evaluated.slices.len(), 4);
    assert!(evaluated.confusion.is_none() && evaluated.predictions[0].label.is_none());
}

#[test]
fn a_training_that_diverges_says_where_and_keeps_the_last_checkpoint() {
    let data = images(200);
    let run = Run::new();
    let diverging = spec("{epochs: 3, batch_size: 50, optimizer: {sgd: {lr: 1.0e30}}}");
    let error = run.train(&diverging, &data, usize::MAX).expect_err("diverges");
    let hint = crate::base::Diagnose::hint(&error).expect("a hint");
    assert!(!hint.contains("checkpoint"), "there is none yet: {hint}");
    let error = error.to_string();
    assert!(error.contains("at step 2 of epoch 1"), "{error}");
    assert!(!run.folder.path().join("out/model").exists());
}

#[test]
fn early_stopping_keeps_the_best_weights() {
    let data = images(60);
    let run = Run::new();
    // Labels that say nothing about the images: validation soon gets worse.
    let mut data = data;
    let mut random = Stream::new(1, Purpose::Weights, &[1]);
    data.train.targets = Targets::Class(Arc::new((0..60).map(|_| random.below(2) as u32).collect()));
    let spec = spec(
        "{epochs: 200, batch_size: 20, optimizer: {adamw: {lr: 0.01}}, early_stop: {metric: val.loss, patience: 4}}",
    );
    let outcome = run.train(&spec, &data, usize::MAX).expect("trains");
    assert_eq!(outcome.stopped, Stopped::Finished);
    let evaluated = evaluate(&run.model(), &spec, &data.val, &Null).expect("evaluates");
    assert!((evaluated.metrics["log_loss"].value - outcome.metrics["val.loss"]).abs() < 1e-5);
    // And it did stop early, with the best four epochs before the end.
    let (checkpoints, newest) = Checkpoints::open(
        &run.checkpoints(),
        plan::Plan::of(&spec, &data, None).expect("a plan").digest,
        &Null,
    )
    .expect("opens");
    let (position, _) = newest.expect("a checkpoint");
    let best = position.best.expect("a best");
    assert!(position.stopped && position.epoch < 200);
    assert_eq!(best.epoch + 4, position.epoch);
    assert!(checkpoints.at(best.step).is_some());
}

#[test]
fn a_fenced_training_writes_nothing() {
    let run = Run::new();
    let control = Control { stop: &|| false, fence: &|| false };
    let out = run.folder.path().join("out");
    let outcome =
        train(&spec(TRAIN), &images(50), None, &run.checkpoints(), &out, &control, &Null).expect("runs");
    assert_eq!(outcome.stopped, Stopped::Fenced);
    assert!(!out.exists());
    assert_eq!(std::fs::read_dir(run.checkpoints()).expect("a folder").count(), 0);
}

#[test]
fn settings_and_examples_that_do_not_go_together_are_refused() {
    let data = images(50);
    let refusal = |spec: &ModelSpec, data: &Parts| {
        let run = Run::new();
        run.train(spec, data, usize::MAX).expect_err("does not go").to_string()
    };
    assert!(refusal(&spec("{loss: mse}"), &data).contains("use `cross_entropy`"));
    assert!(refusal(&spec("{loss: cross_entropy}"), &table()).contains("use `mse`"));
    assert!(refusal(&spec("{sampler: balanced, loss: mse}"), &table()).contains("`train.sampler`"));
    let mut empty = data.clone();
    empty.train = Examples { shape: data.train.shape.clone(), ..Examples::default() };
    assert!(refusal(&spec("{}"), &empty).contains("training part is empty"));
    let mut wild = data.clone();
    wild.train.targets = Targets::Class(Arc::new(vec![9; 50]));
    assert!(refusal(&spec("{}"), &wild).contains("no known class"));
    let mut without = data;
    without.val = Examples::default();
    let text = refusal(&spec("{early_stop: {metric: val.loss, patience: 1}}"), &without);
    assert!(text.contains("no validation examples"), "{text}");
}

#[test]
fn the_events_tell_progress_and_metrics_of_every_epoch() {
    struct Keep(Mutex<Vec<Event>>);
    impl Sink for Keep {
        fn emit(&self, event: &Event) {
            self.0.lock().expect("a lock").push(event.clone());
        }
    }
    let keep = Keep(Mutex::default());
    Run::new().train_into(&spec(TRAIN), &images(100), usize::MAX, &keep).expect("trains");
    let events = keep.0.into_inner().expect("a lock");
    let metrics: Vec<(String, Option<u64>)> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Metric(metric) => Some((metric.name.clone(), metric.epoch)),
            _ => None,
        })
        .collect();
    for name in ["train.loss", "train.accuracy", "val.loss", "val.accuracy", "samples_per_second", "lr"] {
        for epoch in 1..=3 {
            assert!(metrics.contains(&(name.to_owned(), Some(epoch))), "{name} of epoch {epoch}");
        }
    }
    let ends = events.iter().filter(|event| match &event.what {
        What::Progress(progress) => {
            progress.done == 100 && progress.total == Some(100) && progress.unit == Unit::Samples
        }
        _ => false,
    });
    // A slow machine reports the end of an epoch twice.
    assert!(ends.count() >= 3);
    assert!(events.iter().any(|event| matches!(&event.what, What::Progress(p) if p.task == "epoch 3/3")));
}

/// Synthetic digits, read with so much memory for their pixels.
fn digits(folder: &Path, memory: Option<u64>) -> Parts {
    use crate::platform::data::{DataSpec, Dataset};
    let mut spec: DataSpec =
        serde_json::from_value(serde_json::json!({"path": ".", "format": "idx"})).expect("reads");
    spec.memory = memory.map(crate::base::Bytes);
    Dataset::new(&"digits".parse().expect("a name"), &spec, folder).load(None, &Null).expect("loads")
}

#[test]
fn examples_that_do_not_fit_into_memory_give_the_same_weights_however_often_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = crate::platform::data::Digits { train: 300, test: 60, seed: 1 };
    crate::platform::data::digits::write(&written, folder.path(), &Null).expect("writes");
    let (memory, scratch) = (digits(folder.path(), None), digits(folder.path(), Some(1000)));
    assert!(
        matches!(scratch.train.inputs, Storage::Scratch(_))
            && matches!(memory.train.inputs, Storage::Memory(_))
    );
    let yaml = "
data: images
network: [{conv2d: {out: 4, kernel: 3}}, relu, {max_pool2d: 2}, flatten, {linear: 10}]
train: {epochs: 2, batch_size: 32, seed: 3, augment: [{shift: 1}, {mixup: {alpha: 0.3}}]}
";
    let spec: ModelSpec = serde_yaml::from_str(yaml).expect("a model");
    let wanted = unbroken(&spec, &memory);
    assert_eq!(unbroken(&spec, &scratch), wanted);
    let run = Run::new();
    // Begun from a file, gone on with in memory, finished from a file.
    assert_eq!(run.train(&spec, &scratch, 5).expect("trains").stopped, Stopped::Interrupted);
    assert_eq!(run.train(&spec, &memory, 6).expect("trains").stopped, Stopped::Interrupted);
    assert_eq!(run.train(&spec, &scratch, usize::MAX).expect("trains").stopped, Stopped::Finished);
    assert_eq!(run.model().digest, wanted);
    let metrics = |data: &Parts| evaluate(&run.model(), &spec, &data.test, &Null).expect("evaluates").metrics;
    assert_eq!(metrics(&scratch), metrics(&memory));
}
