use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::checkpoint::serialize;
use super::super::model::{Description, InputDescription, Task, WeightsDescription, schema};
use super::super::network::Network;
use super::super::preprocess::{Normalization, TargetScale};
use super::super::spec::Layer;
use super::*;
use crate::base::Digest;
use crate::platform::data::Inputs;

/// Numbers between 0 and 1 that look random and are the same each time.
fn noise(seed: u64, count: usize) -> impl Iterator<Item = f32> {
    let mut bytes = vec![0; 4 * count];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    let number = |bytes: &[u8]| f32::from(u16::from_le_bytes([bytes[0], bytes[1]])) / 65536.0;
    bytes.chunks(4).map(number).collect::<Vec<_>>().into_iter()
}

/// A model of these layers with weights that were never trained; `outputs` 0 is one number to predict.
fn model(layers: &Value, shape: &[usize], classes: usize, binary: bool, pixels: bool) -> Model {
    let network: Vec<Layer> = serde_json::from_value(layers.clone()).expect("are layers");
    let outputs = if binary { 1 } else { classes.max(1) };
    let resolved = Network::resolve(&network, shape, outputs).expect("fits");
    let tensors: BTreeMap<_, _> = resolved
        .tensors
        .iter()
        .enumerate()
        .map(|(seed, tensor)| {
            let count = tensor.shape.iter().product();
            let variance = tensor.name.ends_with("running_var");
            let spread = |value: f32| if variance { 0.5 + value } else { (value - 0.5) * 0.6 };
            let values: Vec<f32> = noise(seed as u64 + 1, count).map(spread).collect();
            (tensor.name.clone(), (tensor.shape.clone(), values))
        })
        .collect();
    let weights = serialize(&tensors, None).expect("are bytes");
    let columns = shape.len() == 1 && !pixels && resolved.tokens().is_none();
    let length: usize = shape.iter().product();
    let normalization = match (resolved.tokens().is_some(), columns) {
        (true, _) => Normalization::of_tokens(),
        (_, true) => Normalization {
            pixels,
            mean: noise(90, length).collect(),
            std: noise(91, length).map(|value| value + 0.5).collect(),
        },
        _ => Normalization { pixels, mean: vec![0.3], std: vec![0.7] },
    };
    let description = Description {
        binary,
        schema: schema(),
        task: if classes == 0 { Task::Regression } else { Task::Classification },
        input: InputDescription {
            shape: shape.to_vec(),
            normalization,
            columns: Vec::new(),
            encoding: None,
            text: None,
        },
        classes: (0..classes).map(|class| format!("class {class}")).collect(),
        target: (classes == 0).then_some(TargetScale { mean: 3.0, std: 2.5 }),
        network,
        weights: WeightsDescription { digest: Digest::of(&weights), parameters: resolved.parameters() },
        framework: "mlp test".to_owned(),
    };
    Model::from_bytes(&description.to_bytes(), &weights).expect("is a model")
}

/// Name, layers, input shape, classes, whether one output stands for two, whether inputs are pixels.
type Case = (&'static str, Value, Vec<usize>, usize, bool, bool);

fn networks() -> Vec<Case> {
    let image = || vec![2, 9, 9];
    vec![
        (
            "mlp",
            json!(["flatten", {"linear": 7}, "relu", {"dropout": 0.5}, {"linear": 3}]),
            vec![1, 4, 4],
            3,
            false,
            true,
        ),
        (
            "cnn",
            json!([{"conv2d": {"out": 4, "kernel": 3, "padding": 1}}, "batch_norm", "relu", {"max_pool2d": 2},
                   {"conv2d": {"out": 6, "kernel": 3, "stride": 2, "dilation": 1}}, "silu", "flatten", {"linear": 3}]),
            image(),
            3,
            false,
            true,
        ),
        (
            "grouped",
            json!([{"conv2d": {"out": 4, "kernel": 2, "groups": 2, "dilation": 2}}, "gelu",
                   {"avg_pool2d": {"kernel": 3, "stride": 2, "padding": 1}}, {"group_norm": 2}, "global_avg_pool", {"linear": 3}]),
            image(),
            3,
            false,
            true,
        ),
        (
            "windows",
            json!([{"max_pool2d": {"kernel": 3, "stride": 2, "padding": 1}}, {"leaky_relu": 0.1}, {"avg_pool2d": 2},
                   "global_max_pool", {"linear": 3}]),
            image(),
            3,
            false,
            true,
        ),
        (
            "transposed",
            json!([{"conv_transpose2d": {"out": 3, "kernel": 3, "stride": 2, "padding": 1, "output_padding": 1}}, "tanh",
                   "global_avg_pool", {"linear": 3}]),
            image(),
            3,
            false,
            true,
        ),
        (
            "residual",
            json!([{"residual": [{"conv2d": {"out": 2, "kernel": 3, "padding": 1}}, "batch_norm"]}, "relu",
                   {"residual": {"layers": [{"conv2d": {"out": 4, "kernel": 3, "padding": 1}}],
                                 "shortcut": [{"conv2d": {"out": 4, "kernel": 1}}]}},
                   {"parallel": [[{"conv2d": {"out": 1, "kernel": 1}}], [{"conv2d": {"out": 2, "kernel": 3, "padding": 1}}, "relu"]]},
                   "flatten", {"linear": 3}]),
            image(),
            3,
            false,
            true,
        ),
        (
            "sequence",
            json!([{"reshape": [9, 18]}, {"conv1d": {"out": 5, "kernel": 3, "stride": 2, "padding": 1}}, "layer_norm",
                   "batch_norm", {"linear": 6}, "positional_embedding", "global_max_pool", {"linear": 3}]),
            image(),
            3,
            false,
            true,
        ),
        (
            "table",
            json!([{"linear": 8}, "layer_norm", "batch_norm", "relu", {"group_norm": 2}, {"linear": 2}]),
            vec![5],
            2,
            false,
            false,
        ),
        ("binary", json!([{"linear": 4}, "sigmoid", {"linear": 1}]), vec![5], 2, true, false),
        ("number", json!([{"linear": 4}, "tanh", {"linear": 1}]), vec![5], 0, false, false),
        (
            "tokens",
            json!([{"embedding": {"tokens": 11, "size": 4}}, {"linear": 4}, "relu", "global_avg_pool", {"linear": 3}]),
            vec![6],
            3,
            false,
            false,
        ),
    ]
}

const EXAMPLES: usize = 5;

/// `onnx.checker` accepts each file, and onnxruntime gives for it what mlp predicts.
#[test]
fn onnxruntime_gives_the_same_answers() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/onnx/bin/python");
    if !python.exists() {
        println!("skipped: `{}` is not there; `tests/setup.sh` makes it", python.display());
        assert!(std::env::var_os("CI").is_none(), "CI skips nothing");
        return;
    }
    let folder = tempfile::tempdir().expect("makes a folder");
    let mut cases = Vec::new();
    for (name, layers, shape, classes, binary, pixels) in networks() {
        let model = model(&layers, &shape, classes, binary, pixels);
        let bytes = model.to_onnx(name, &[("mlp.reference".into(), format!("{name}@1"))]).expect(name);
        std::fs::write(folder.path().join(format!("{name}.onnx")), bytes).expect("writes");
        let count = EXAMPLES * shape.iter().product::<usize>();
        let tokens = name == "tokens";
        let largest: f32 = if pixels { 255.9 } else { 10.9 };
        let whole = |value: f32| (value * largest).floor();
        let values: Vec<f32> = noise(77, count)
            .map(|value| if pixels || tokens { whole(value) } else { value * 4.0 - 2.0 })
            .collect();
        let inputs = match pixels {
            true => Inputs::U8(Arc::new(values.iter().map(|value| *value as u8).collect())),
            false => Inputs::F32(Arc::new(values.clone())),
        };
        let predictions = model.predict(&inputs).expect("predicts");
        let outputs: Vec<Vec<f32>> = predictions
            .into_iter()
            .map(|prediction| prediction.value.map_or(prediction.probabilities, |value| vec![value]))
            .collect();
        let mut dimensions = vec![EXAMPLES];
        dimensions.extend(&shape);
        cases.push(json!({"name": name, "shape": dimensions, "tokens": tokens, "inputs": values, "outputs": outputs}));
    }
    std::fs::write(folder.path().join("cases.json"), json!(cases).to_string()).expect("writes");
    let script = "
import json, sys
import numpy, onnx, onnxruntime
worst = 0
for case in json.load(open('cases.json')):
    path = case['name'] + '.onnx'
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    assert session.get_modelmeta().custom_metadata_map['mlp.reference'] == case['name'] + '@1'
    kind = numpy.int64 if case['tokens'] else numpy.float32
    inputs = numpy.array(case['inputs'], kind).reshape(case['shape'])
    got, = session.run(None, {'input': inputs})
    wanted = numpy.array(case['outputs'], numpy.float32)
    assert got.shape == wanted.shape, (case['name'], got.shape, wanted.shape)
    difference = float(numpy.abs(got - wanted).max())
    print(case['name'], difference)
    assert difference < 1e-5, (case['name'], difference)
";
    let output =
        Command::new(python).args(["-c", script]).current_dir(folder.path()).output().expect("starts");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.contains("e-") || line.ends_with("0.0")).count(),
        cases.len(),
        "{text}"
    );
}

#[test]
fn a_layer_without_a_form_in_onnx_is_named() {
    for (layers, wanted) in [
        (
            json!([{"reshape": [4, 4]}, {"attention": {"heads": 2}}, "flatten", {"linear": 3}]),
            "layer 2 (`attention",
        ),
        (
            json!([{"reshape": [4, 4]}, {"lstm": {"size": 3, "output": "last"}}, {"linear": 3}]),
            "layer 2 (`lstm",
        ),
        (
            json!([{"reshape": [4, 4]}, {"residual": [{"gru": {"size": 4}}]}, "flatten", {"linear": 3}]),
            "layer 2.1 (`gru",
        ),
    ] {
        let error = model(&layers, &[16], 3, false, false).to_onnx("x", &[]).expect_err("has no form");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let padded =
        json!([{"embedding": {"tokens": 9, "size": 4, "padding": 0}}, "global_avg_pool", {"linear": 3}]);
    let error = model(&padded, &[6], 3, false, false).to_onnx("x", &[]).expect_err("has no form");
    assert!(error.to_string().contains("padding"), "{error}");
}
