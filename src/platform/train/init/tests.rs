use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::base::Null;
use crate::platform::data::{Examples, Inputs, Parts, Targets};
use crate::platform::train::checkpoint::{Tensors, deserialize, serialize};
use crate::platform::train::{Control, ModelSpec, Outcome, Stopped, train};

/// Points in four dimensions; the class is where the first two are largest.
fn points(classes: u32) -> Parts {
    let count = 240;
    let value = |n: u32, column: u32| ((n * 37 + column * 101) % 89) as f32 / 89.0;
    let class = |n: u32| ((value(n, 0) + value(n, 1)) / 2.0 * classes as f32) as u32 % classes;
    let examples = Examples {
        shape: vec![4],
        inputs: Inputs::F32(Arc::new((0..count).flat_map(|n| (0..4).map(move |c| value(n, c))).collect()))
            .into(),
        targets: Targets::Class(Arc::new((0..count).map(class).collect())),
        keys: Arc::new((0..u64::from(count)).collect()),
        ..Examples::default()
    };
    let names = (0..classes).map(|class| class.to_string()).collect();
    Parts { classes: names, train: examples.clone(), val: examples, ..Parts::default() }
}

fn spec(init: &str) -> ModelSpec {
    let yaml = format!(
        "{{data: d, network: [{{linear: 16}}, batch_norm, relu, {{linear: 8}}, relu, output], \
         train: {{epochs: 2, batch_size: 32, seed: 5, {init}}}}}"
    );
    serde_yaml::from_str(&yaml).expect("a model")
}

fn trained(
    folder: &Path,
    spec: &ModelSpec,
    data: &Parts,
    bytes: Option<&[u8]>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Outcome, TrainError> {
    let read = || Ok(bytes.unwrap_or_default().to_owned());
    let origin = bytes.map(|bytes| Origin { name: "base@1", digest: Digest::of(bytes), read: &read });
    let control = Control { stop, fence: &|| true };
    train(spec, data, origin.as_ref(), &folder.join("checkpoints"), &folder.join("out"), &control, &Null)
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("out/model/model.safetensors")).expect("a model")
}

fn tensors_of(bytes: &[u8]) -> Tensors {
    deserialize(bytes).expect("tensors")
}

fn never() -> bool {
    false
}

/// A model of three classes.
fn base() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    trained(folder.path(), &spec(""), &points(3), None, &never).expect("trains");
    weights(folder.path())
}

#[test]
fn a_new_head_is_trained_on_a_frozen_body_that_stays_bit_for_bit() {
    let base = base();
    let spec = spec("init: {from: base@1, except: [layers.6]}, freeze: [layers.1, layers.2, layers.4]");
    let folder = tempfile::tempdir().expect("a folder");
    trained(folder.path(), &spec, &points(5), Some(&base), &never).expect("trains");
    let (before, after) = (tensors_of(&base), tensors_of(&weights(folder.path())));
    for (name, tensor) in &after {
        match name.starts_with("layers.6.") {
            true => assert_eq!(tensor.0[0], 5, "{name}"),
            false => assert_eq!(tensor, &before[name], "{name}"),
        }
    }
    assert_ne!(before["layers.2.running_mean"].1, [0.0; 16], "statistics are taken as well");
    // Without `freeze` the body goes on from there.
    let spec = self::spec("init: {from: base@1, except: [layers.6]}, optimizer: {sgd: {lr: 1e-6}}");
    let folder = tempfile::tempdir().expect("a folder");
    trained(folder.path(), &spec, &points(5), Some(&base), &never).expect("trains");
    let moved = tensors_of(&weights(folder.path()));
    for name in ["layers.1.weight", "layers.4.weight"] {
        let far = moved[name].1.iter().zip(&before[name].1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far > 0.0 && far < 1e-4, "{name} moved by {far}");
    }
}

#[test]
fn only_what_is_named_is_taken_and_the_rest_begins_as_ever() {
    let (base, data) = (base(), points(3));
    let network = Network::resolve(&spec("").network, &[4], 3).expect("a network");
    let digest = Digest::of(&base);
    let take = |init: &str| {
        let init = spec(&format!("init: {init}")).train.init.expect("is given");
        tensors(&init, &network, &Origin { name: "base@1", digest, read: &|| Ok(base.clone()) })
    };
    assert_eq!(take("{from: base@1}").expect("takes").len(), network.tensors.len());
    let some = take("{from: base@1, only: [layers.1, layers.4.weight]}").expect("takes");
    assert_eq!(some.keys().collect::<Vec<_>>(), ["layers.1.bias", "layers.1.weight", "layers.4.weight"]);
    let both = take("{from: base@1, only: [layers.1, layers.4], except: [layers.4.bias]}").expect("takes");
    assert_eq!(both.len(), 3);
    for (init, wanted) in [
        (
            "{from: base@1, only: [layer.1]}",
            "`train.init.only` names no tensor `layer.1`; there is `layers.1",
        ),
        ("{from: base@1, except: [layers.11]}", "`train.init.except` names no tensor `layers.11`"),
        ("{from: base@1, only: [layers.1], except: [layers.1]}", "none of its tensors is taken"),
    ] {
        let error = take(init).expect_err("cannot be").to_string();
        assert!(error.contains(wanted), "{error}");
    }
    // What is not taken has the values that it has without `init`: the same key of the random numbers.
    let run = |spec: &ModelSpec, bytes| {
        let folder = tempfile::tempdir().expect("a folder");
        trained(folder.path(), spec, &data, bytes, &never).expect("trains");
        tensors_of(&weights(folder.path()))
    };
    let fresh = run(&spec("freeze: [layers.1, layers.2, layers.4]"), None);
    let mixed = spec("init: {from: base@1, only: [layers.4]}, freeze: [layers.1, layers.2, layers.4]");
    let mixed = run(&mixed, Some(&base));
    assert_eq!(mixed["layers.1.weight"], fresh["layers.1.weight"]);
    assert_eq!(mixed["layers.4.weight"], tensors_of(&base)["layers.4.weight"]);
}

#[test]
fn whatever_does_not_fit_is_named_with_both_shapes() {
    let (base, data) = (base(), points(5));
    let refusal = |bytes: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder");
        let spec = spec("init: {from: base@1}");
        let error = trained(folder.path(), &spec, &data, Some(bytes), &never).expect_err("does not fit");
        assert!(matches!(error, TrainError::Init { .. }), "{error}");
        error.to_string()
    };
    let text = refusal(&base);
    assert!(text.contains("`base@1`"), "{text}");
    assert!(text.contains("`layers.6.weight` is [3, 8] there and [5, 8] here"), "{text}");
    assert!(text.contains("`layers.6.bias` is [3] there and [5] here"), "{text}");

    let mut tensors = tensors_of(&base);
    tensors.remove("layers.1.bias");
    tensors.insert("head.weight".to_owned(), (vec![2, 1], vec![0.0; 2]));
    tensors.insert("layers.6.weight".to_owned(), (vec![5, 8], vec![f32::NAN; 40]));
    tensors.insert("layers.6.bias".to_owned(), (vec![5], vec![0.0; 5]));
    let text = refusal(&serialize(&tensors, None).expect("writes"));
    for part in [
        "it has no `layers.1.bias`, which is [16] here",
        "`head.weight`, [2, 1] there, has no place here",
        "`layers.6.weight` holds a number that is not finite",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let text = refusal(b"version https://git-lfs.github.com/spec/v1");
    assert!(text.contains("no safetensors file"), "{text}");
    // All tensors are wrong, and not all are named.
    let text = refusal(&serialize(&Tensors::new(), None).expect("writes"));
    assert!(text.contains("`layers.1.weight`") && text.contains("; and 6 more"), "{text}");
}

#[test]
fn half_precision_is_read_as_what_it_says_and_whole_numbers_are_refused() {
    let network = Network::resolve(&spec("").network, &[4], 3).expect("a network");
    let init = spec("init: {from: x.safetensors, only: [layers.6.bias]}").train.init.expect("is given");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.safetensors");
    let read = |tensor: Tensor| {
        let tensors = HashMap::from([("layers.6.bias".to_owned(), tensor)]);
        candle_core::safetensors::save(&tensors, &path).expect("writes");
        let read = || std::fs::read(&path).map_err(TrainError::io("read", &path));
        tensors_in(&init, &network, &read)
    };
    let values = Tensor::new(&[0.5_f32, -2.0, 1.0], &Device::Cpu).expect("a tensor");
    for kind in [DType::F16, DType::BF16, DType::F64] {
        let taken = read(values.to_dtype(kind).expect("converts")).expect("takes");
        assert_eq!(taken["layers.6.bias"], [0.5, -2.0, 1.0], "{kind:?}");
    }
    let error =
        read(Tensor::new(&[1_i64, 2, 3], &Device::Cpu).expect("a tensor")).expect_err("whole numbers");
    assert!(error.to_string().contains("`layers.6.bias` holds i64"), "{error}");
}

fn tensors_in(
    init: &Init,
    network: &Network,
    read: &(dyn Fn() -> Result<Vec<u8>, TrainError> + Sync),
) -> Result<BTreeMap<String, Vec<f32>>, TrainError> {
    tensors(init, network, &Origin { name: "x.safetensors", digest: Digest::of(b""), read })
}

#[test]
fn a_resumed_training_does_not_read_them_again_and_other_tensors_make_another_training() {
    let (base, data) = (base(), points(3));
    let spec = spec("init: {from: base@1}");
    let whole = tempfile::tempdir().expect("a folder");
    trained(whole.path(), &spec, &data, Some(&base), &never).expect("trains");

    let folder = tempfile::tempdir().expect("a folder");
    let asked = AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 5;
    let outcome = trained(folder.path(), &spec, &data, Some(&base), &stop).expect("trains");
    assert_eq!(outcome.stopped, Stopped::Interrupted);
    let reads = AtomicUsize::new(0);
    let gone = || {
        reads.fetch_add(1, Ordering::Relaxed);
        Err(TrainError::Init { from: "base@1".to_owned(), detail: "it is gone".to_owned() })
    };
    let go_on = |digest: Digest| {
        let origin = Origin { name: "base@1", digest, read: &gone };
        let control = Control { stop: &never, fence: &|| true };
        let (checkpoints, out) = (folder.path().join("checkpoints"), folder.path().join("out"));
        train(&spec, &data, Some(&origin), &checkpoints, &out, &control, &Null)
    };
    go_on(Digest::of(b"other tensors")).expect_err("begins anew, and cannot");
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    go_on(Digest::of(&base)).expect("goes on");
    assert_eq!(reads.load(Ordering::Relaxed), 1, "the checkpoint has all it needs");
    assert_eq!(weights(folder.path()), weights(whole.path()));
}
