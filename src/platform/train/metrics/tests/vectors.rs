//! Metrics and intervals beside what SciPy and NumPy say: `tests/vectors/statistics.json`, made by the script beside it.

use serde_json::Value;

use super::*;
use crate::platform::train::Prediction;

fn vectors(name: &str) -> Vec<Value> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/statistics.json"));
    let all: Value = serde_json::from_str(text).expect("is JSON");
    all[name].as_array().expect("is a list").clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("is a number")
}

fn near(found: f64, wanted: f64, within: f64, what: &str) {
    assert!((found - wanted).abs() <= within, "{what}: {found} instead of {wanted}");
}

#[test]
fn wilson_intervals_are_those_of_scipy() {
    let vectors = vectors("wilson");
    assert!(vectors.len() > 40);
    for vector in vectors {
        let (successes, count) = (vector[0].as_u64().expect("counts"), vector[1].as_u64().expect("counts"));
        let found = proportion(successes, count);
        let what = format!("{successes} of {count}");
        near(found.lower, number(&vector[2]), 1e-12, &what);
        near(found.upper, number(&vector[3]), 1e-12, &what);
    }
}

#[test]
fn metrics_of_classes_are_those_of_numpy() {
    for vector in vectors("classes") {
        let rows: Vec<Vec<f32>> = serde_json::from_value(vector["rows"].clone()).expect("are rows");
        let truths: Vec<u32> = serde_json::from_value(vector["truth"].clone()).expect("are classes");
        let labels: Vec<String> = (0..rows[0].len()).map(|class| class.to_string()).collect();
        let answers: Vec<Answer> =
            rows.iter().zip(&truths).map(|(row, truth)| Answer::new(row, *truth)).collect();
        let views: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let (found, _) = of_classes(&answers, &views, &labels, &[]);
        let wanted = vector["metrics"].as_object().expect("are metrics");
        assert_eq!(wanted.len(), 7);
        for (name, wanted) in wanted {
            near(found[name].value, number(wanted), 2e-6, &format!("{name} of {} classes", labels.len()));
            assert!(found[name].lower <= found[name].value && found[name].value <= found[name].upper);
        }
        // The same statistics one by one, as comparisons take them.
        let statistics = classes::Statistics::of(&answers, &views, labels.len(), true);
        let once = vec![1; answers.len()];
        for (name, wanted) in wanted {
            near(statistics.value(name, &once), number(wanted), 2e-6, name);
        }
    }
}

#[test]
fn the_paired_bootstrap_is_that_of_scipy_but_for_chance() {
    let vectors = vectors("bootstrap");
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let column =
            |name: &str| -> Vec<f64> { serde_json::from_value(vector[name].clone()).expect("are numbers") };
        let truth = column("truth");
        let predictions = |values: Vec<f64>| -> Vec<Prediction> {
            let all = values.into_iter().zip(&truth).enumerate();
            all.map(|(key, (value, truth))| Prediction {
                key: Some(key.to_string()),
                value: Some(value as f32),
                truth: Some(truth.to_string()),
                ..Prediction::default()
            })
            .collect()
        };
        let (first, second) = (predictions(column("first")), predictions(column("second")));
        let of = |predictions| Predicted { predictions, classes: &[] };
        let metric = vector["metric"].as_str().expect("is text");
        let found = paired_bootstrap(metric, 0.05, of(&first), of(&second)).expect("compares");
        near(found.gain, number(&vector["gain"]), 1e-9, metric);
        // The ends of 10,000 resamples vary by some hundredths of the standard error around those of 200,000: at the 2.5 %
        // quantile of a normal law it is sqrt(0.025 * 0.975 / 10000) / 0.0584 = 0.027 of it. Four times that is rare.
        let within = 0.11 * number(&vector["standard_error"]);
        near(found.lower, number(&vector["interval"][0]), within, metric);
        near(found.upper, number(&vector["interval"][1]), within, metric);
    }
}
