use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::checkpoint::serialize;
use super::super::spec::Conv2d;
use super::*;

fn tensors() -> Tensors {
    BTreeMap::from([
        ("layers.1.weight".to_owned(), (vec![2, 1, 2, 2], vec![0.5, -0.5, 0.25, 1.0, 0.0, 1.0, -1.0, 0.5])),
        ("layers.1.bias".to_owned(), (vec![2], vec![0.1, -0.1])),
        ("layers.4.weight".to_owned(), (vec![3, 8], (0..24).map(|x| x as f32 / 24.0 - 0.5).collect())),
        ("layers.4.bias".to_owned(), (vec![3], vec![0.0, 0.1, 0.2])),
    ])
}

fn description(weights: &[u8]) -> Description {
    Description {
        binary: false,
        schema: schema(),
        task: Task::Classification,
        input: InputDescription {
            shape: vec![1, 3, 3],
            normalization: Normalization { pixels: true, mean: vec![0.5], std: vec![0.5] },
            columns: Vec::new(),
            encoding: None,
            text: None,
        },
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        target: None,
        network: vec![
            Layer::Conv2d(Conv2d { out: 2, kernel: 2, stride: 1, padding: 0, dilation: 1, groups: 1 }),
            Layer::Relu,
            Layer::Flatten,
            Layer::Linear(3),
        ],
        weights: WeightsDescription { digest: Digest::of(weights), parameters: 37 },
        framework: "mlp test".to_owned(),
    }
}

fn refusal(change: impl FnOnce(&mut Description), tensors: &Tensors) -> String {
    let weights = serialize(tensors, None).expect("bytes");
    let mut description = description(&weights);
    change(&mut description);
    match Model::from_bytes(&description.to_bytes(), &weights) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn model() -> Model {
    let weights = serialize(&tensors(), None).expect("bytes");
    Model::from_bytes(&description(&weights).to_bytes(), &weights).expect("a model")
}

#[test]
fn a_model_predicts_what_its_weights_say() {
    let model = model();
    let image: Vec<u8> = vec![0, 255, 0, 255, 0, 255, 0, 255, 0];
    let found = &model.predict(&Inputs::U8(Arc::new(image.clone()))).expect("predicts")[0];
    // The same by hand.
    let x: Vec<f32> = image.iter().map(|&pixel| if pixel == 0 { -1.0 } else { 1.0 }).collect();
    let tensors = tensors();
    let (kernel, bias) = (&tensors["layers.1.weight"].1, &tensors["layers.1.bias"].1);
    let mut hidden = Vec::new();
    for channel in 0..2 {
        for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let sum: f32 = [(0, 0), (0, 1), (1, 0), (1, 1)]
                .iter()
                .enumerate()
                .map(|(at, (y, z))| kernel[channel * 4 + at] * x[(row + y) * 3 + column + z])
                .sum();
            hidden.push((sum + bias[channel]).max(0.0));
        }
    }
    let (weight, bias) = (&tensors["layers.4.weight"].1, &tensors["layers.4.bias"].1);
    let outputs: Vec<f32> = (0..3)
        .map(|class| bias[class] + (0..8).map(|at| weight[class * 8 + at] * hidden[at]).sum::<f32>())
        .collect();
    let total: f32 = outputs.iter().map(|output| output.exp()).sum();
    for (probability, output) in found.probabilities.iter().zip(&outputs) {
        assert!((probability - output.exp() / total).abs() < 1e-6);
    }
    assert_eq!(found.label.as_deref(), Some(["a", "b", "c"][largest(&outputs)]));
    assert!(found.truth.is_none() && found.value.is_none());
}

#[test]
fn many_inputs_give_the_answers_of_each_alone() {
    let model = model();
    let pixels: Vec<u8> = (0..600 * 9).map(|index| (index * 37 % 251) as u8).collect();
    let together = model.predict(&Inputs::U8(Arc::new(pixels.clone()))).expect("predicts");
    assert_eq!(together.len(), 600);
    for (together, pixels) in together.iter().zip(pixels.chunks(9)) {
        let alone = &model.predict(&Inputs::U8(Arc::new(pixels.to_vec()))).expect("predicts")[0];
        assert_eq!(alone, together);
    }
    let numbers = pixels.iter().map(|&pixel| f32::from(pixel)).collect();
    assert_eq!(model.predict(&Inputs::F32(Arc::new(numbers))).expect("predicts"), together);
}

#[test]
fn inputs_that_do_not_fit_are_refused_and_none_is_no_error() {
    let model = model();
    let refused = |inputs: Inputs| model.predict(&inputs).expect_err("does not fit").to_string();
    assert!(refused(Inputs::U8(Arc::new(vec![0; 10]))).contains("[1, 3, 3]"));
    assert!(refused(Inputs::F32(Arc::new(vec![f32::NAN; 9]))).contains("finite"));
    assert!(model.predict(&Inputs::U8(Arc::default())).expect("nothing to do").is_empty());
}

#[test]
fn files_that_contradict_each_other_are_refused() {
    let good = tensors();
    for (wanted, text) in [
        ("`mlp/model/9`", refusal(|d| d.schema = "mlp/model/9".to_owned(), &good)),
        ("ends with 3 outputs", refusal(|d| d.classes.push("d".to_owned()), &good)),
        ("do not go with", refusal(|d| d.classes.clear(), &good)),
        ("does not fit", refusal(|d| d.input.shape = vec![1, 1, 1], &good)),
        ("is [3, 8], not [3, 32]", refusal(|d| d.input.shape = vec![1, 5, 5], &good)),
        ("input.shape", refusal(|d| d.input.shape = vec![1, usize::MAX, 3], &good)),
        ("normalisation", refusal(|d| d.input.normalization.std = vec![0.0], &good)),
        ("normalisation", refusal(|d| d.input.normalization.mean = vec![0.0, 1.0], &good)),
        ("but `model.json` names", refusal(|d| d.weights.digest = Digest::of(b""), &good)),
        ("columns", refusal(|d| d.input.columns = vec!["a".to_owned()], &good)),
    ] {
        assert!(text.contains(wanted), "{text}");
    }
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = good.clone();
        change(&mut tensors);
        refusal(|_| {}, &tensors)
    };
    let missing = changed(&|tensors| {
        tensors.remove("layers.4.bias");
    });
    assert!(missing.contains("`layers.4.bias` is missing"), "{missing}");
    let extra = changed(&|tensors| {
        tensors.insert("layers.9.bias".to_owned(), (vec![1], vec![0.0]));
    });
    assert!(extra.contains("`layers.9.bias` belongs to no layer"), "{extra}");
    let wild = changed(&|tensors| {
        tensors.insert("layers.4.bias".to_owned(), (vec![3], vec![0.0, f32::NAN, 0.0]));
    });
    assert!(wild.contains("not a finite number"), "{wild}");
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let weights = serialize(&tensors(), None).expect("bytes");
    let json = description(&weights).to_bytes();
    for at in 0..weights.len() {
        let mut damaged = weights.clone();
        damaged[at] ^= 0x55;
        assert!(Model::from_bytes(&json, &damaged).is_err(), "byte {at}");
        // Also where the digest was made to fit.
        let description = description(&damaged);
        let _ = Model::from_bytes(&description.to_bytes(), &damaged);
    }
    for length in 0..json.len() - 2 {
        assert!(Model::from_bytes(&json[..length], &weights).is_err(), "first {length} bytes");
    }
    for length in [0, 7, 8, 100, weights.len() - 1] {
        let cut = &weights[..length];
        assert!(Model::from_bytes(&description(cut).to_bytes(), cut).is_err());
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Model::from_bytes(deep.as_bytes(), &weights).is_err());
}
