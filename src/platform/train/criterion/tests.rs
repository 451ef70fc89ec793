use std::sync::Arc;

use candle_core::Device;

use super::*;

fn loss(yaml: &str) -> Loss {
    serde_yaml::from_str(yaml).expect("a loss")
}

fn value(criterion: &Criterion, y: &[[f32; 3]; 2], targets: &BatchTargets) -> f32 {
    let y = Tensor::new(y, &Device::Cpu).expect("a tensor");
    criterion.of(&y, targets).and_then(|loss| Ok(loss.to_scalar::<f32>()?)).expect("a loss")
}

fn classes(truths: &[u32]) -> BatchTargets {
    BatchTargets::Classes { truths: truths.to_vec(), mixed: Vec::new() }
}

#[test]
fn every_loss_is_written_as_a_word_or_with_its_settings_and_stays_as_written() {
    for text in [
        "\"cross_entropy\"",
        "\"bce\"",
        "\"mse\"",
        "\"mae\"",
        "\"huber\"",
        "{\"huber\":{\"delta\":0.5}}",
        "{\"cross_entropy\":{\"label_smoothing\":0.1,\"class_weights\":\"balanced\"}}",
        "{\"cross_entropy\":{\"label_smoothing\":0.0,\"class_weights\":[1.0,2.0]}}",
    ] {
        assert_eq!(serde_json::to_string(&loss(text)).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Loss>(text).expect("a loss"), loss(text));
    }
    let wrong =
        serde_yaml::from_str::<Loss>("{cross_entropy: {smoothing: 0.1}}").expect_err("misspelt").to_string();
    assert!(wrong.contains("label_smoothing"), "{wrong}");
    let wrong =
        serde_yaml::from_str::<Loss>("{cross_entropy: {class_weights: equal}}").expect_err("no such word");
    assert!(wrong.to_string().contains("`balanced` or a list"), "{wrong}");
}

#[test]
fn label_smoothing_and_class_weights_are_those_of_pytorch_but_for_the_mean() {
    let y = [[1.0, 2.0, -1.0], [0.5, 0.0, 0.25]];
    let logarithms: Vec<f32> = y
        .iter()
        .flat_map(|row| {
            let total = row.iter().map(|x: &f32| x.exp()).sum::<f32>().ln();
            row.map(|x| x - total)
        })
        .collect();
    let truths = Targets::Class(Arc::new(vec![0, 0, 0, 1, 2, 2]));
    let plain = Criterion::new(&loss("cross_entropy"), &truths, 3);
    let wanted = -(logarithms[1] + logarithms[3]) / 2.0;
    assert!((value(&plain, &y, &classes(&[1, 0])) - wanted).abs() < 1e-6);

    let smooth = Criterion::new(&loss("{cross_entropy: {label_smoothing: 0.3}}"), &truths, 3);
    let spread = -logarithms.iter().sum::<f32>() / 3.0 / 2.0;
    assert!((value(&smooth, &y, &classes(&[1, 0])) - 0.7 * wanted - 0.3 * spread).abs() < 1e-6);

    let balanced = Criterion::new(&loss("{cross_entropy: {class_weights: balanced}}"), &truths, 3);
    // 6 / (3 * 1) and 6 / (3 * 3).
    let weighted = -(2.0 * logarithms[1] + 2.0 / 3.0 * logarithms[3]) / 2.0;
    assert!((value(&balanced, &y, &classes(&[1, 0])) - weighted).abs() < 1e-6);

    let mixed = BatchTargets::Classes { truths: vec![1, 0], mixed: vec![(2, 0.25), (0, 0.5)] };
    let wanted = -(0.25 * logarithms[1] + 0.75 * logarithms[2] + logarithms[3]) / 2.0;
    assert!((value(&plain, &y, &mixed) - wanted).abs() < 1e-6);
}

#[test]
fn what_does_not_go_with_the_targets_is_said() {
    let (truths, numbers) = (Targets::Class(Arc::new(vec![0, 1, 2])), Targets::Value(Arc::new(vec![0.5])));
    for (text, targets, wanted) in [
        ("mae", &truths, "is `mae`, but what is predicted is a class: use `cross_entropy`"),
        ("bce", &numbers, "is `bce`, but what is predicted is a number: use `mse`"),
        ("bce", &truths, "for two classes, but there are 3"),
        ("{cross_entropy: {class_weights: [1, 2]}}", &truths, "has 2 class weights, but there are 3 classes"),
    ] {
        let refusal = check(&loss(text), targets, 3).expect_err("does not go").to_string();
        assert!(refusal.contains(wanted), "{refusal}");
    }
}
