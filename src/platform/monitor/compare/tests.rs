use serde_json::json;

use super::*;
use crate::base::{Digest, Time};
use crate::platform::monitor::Labels;
use crate::platform::train::{Prediction, Purpose, Stream};

fn number(value: f32) -> Value {
    Value::Number(value)
}

/// What a model sees: an age, a city, and points about a centre.
struct World {
    age: f32,
    rome: f32,
    centre: f32,
    right: f32,
}

const USUAL: World = World { age: 40.0, rome: 0.3, centre: 0.0, right: 0.95 };

impl World {
    fn lines(&self, seed: u64, count: usize) -> Vec<Line> {
        let mut random = Stream::new(seed, Purpose::Weights, &[count as u64]);
        (0..count)
            .map(|index| {
                let (a, b) = random.normal_pair();
                let city = if random.uniform() < self.rome { "Rome" } else { "Bonn" };
                let label = if random.uniform() < self.right { "a" } else { "b" };
                Line {
                    id: format!("{index}"),
                    model: Digest::of(b"m"),
                    time: Time::from_ms(index as i64),
                    latency_ms: Some(1.0 + index as f64 / count as f64),
                    features: [("age", number(self.age + 10.0 * a)), ("city", Value::Text(city.to_owned()))]
                        .map(|(name, value)| (name.to_owned(), value))
                        .into_iter()
                        .collect(),
                    output: Prediction {
                        label: Some(label.to_owned()),
                        probabilities: vec![0.9, 0.1],
                        ..Prediction::default()
                    },
                    embedding: vec![a + self.centre, b, random.normal_pair().0],
                    input: Vec::new(),
                }
            })
            .collect()
    }

    fn sketches(&self, seed: u64) -> Sketches {
        let lines = self.lines(seed, 2000);
        let column = |name: &str| lines.iter().map(|line| line.features[name].clone()).collect();
        let answers = |name: &str| {
            lines
                .iter()
                .flat_map(|line| of_answer(&line.output))
                .filter(|(own, _)| *own == name)
                .map(|(_, value)| value)
                .collect()
        };
        let inputs = ["age", "city"].map(|name| Sketch::of(name.to_owned(), column(name)));
        let outputs = ["class", "confidence"].map(|name| Sketch::of(name.to_owned(), answers(name)));
        let points: Vec<Vec<f32>> = lines.iter().take(80).map(|line| line.embedding.clone()).collect();
        let text = json!({
            "schema": "mlp/sketches/1",
            "answered": "val",
            "inputs": inputs,
            "outputs": outputs,
            "points": points,
        });
        Sketches::from_bytes(text.to_string().as_bytes()).expect("are sketches")
    }
}

fn about() -> Drift {
    serde_json::from_value(json!({
        "model": "m", "version": 1, "tree": Digest::of(b"m"), "window": {"answers": 0}, "limits": {},
    }))
    .expect("is a drift")
}

fn judged(spec: serde_json::Value, world: &World, count: usize, labels: Option<&Labels>) -> Drift {
    let spec: MonitorSpec = serde_json::from_value(spec).expect("is a spec");
    let mut answers = Answers::of(Digest::of(b"m"), spec.drift.window, labels);
    let lines = world.lines(7, count);
    let text: String = lines.iter().map(|line| serde_json::to_string(line).expect("writes") + "\n").collect();
    answers.read(text.as_bytes()).expect("reads");
    let classes = ["a".to_owned(), "b".to_owned()];
    judge(about(), &spec, Some(&USUAL.sketches(1)), &classes, &answers)
}

#[test]
fn more_of_the_same_is_no_drift_by_any_test() {
    for test in ["psi", "ks", "chi_square", "mmd"] {
        let drift = judged(json!({"drift": {"test": test}}), &USUAL, 500, None);
        assert_eq!((drift.breaches.as_slice(), drift.unknown.as_slice()), (&[][..], &[][..]), "{test}");
        assert_eq!(drift.features.len(), 4);
    }
}

#[test]
fn what_moves_is_named() {
    let names = |world: &World, test: &str| -> Vec<String> {
        let drift = judged(json!({"drift": {"test": test}}), world, 500, None);
        drift.features.iter().filter(|feature| feature.drifted).map(|feature| feature.name.clone()).collect()
    };
    for test in ["psi", "ks", "chi_square"] {
        assert_eq!(names(&World { age: 55.0, ..USUAL }, test), ["age"], "{test}");
        assert_eq!(names(&World { rome: 0.8, ..USUAL }, test), ["city"], "{test}");
        assert_eq!(names(&World { right: 0.4, ..USUAL }, test), ["class"], "{test}");
    }
    let drift = judged(json!({}), &World { centre: 2.0, ..USUAL }, 500, None);
    assert!(drift.embedding.is_some_and(|found| found.drifted), "{drift:?}");
    assert!(drift.breaches.len() == 1 && drift.breaches[0].starts_with("the embeddings"), "{drift:?}");
}

#[test]
fn few_answers_are_no_alarm_and_say_so() {
    let drift = judged(json!({"latency": {"p95_ms": 0.001}}), &World { age: 90.0, ..USUAL }, 15, None);
    assert!(drift.breaches.is_empty() && drift.features.is_empty(), "{drift:?}");
    assert_eq!(drift.unknown, ["drift: 15 of at least 100 answers", "latency: 15 of at least 20 requests"]);
}

#[test]
fn a_constant_that_becomes_another_one_is_seen() {
    let sketch = Sketch::of("x".to_owned(), vec![number(5.0); 300]);
    for value in [3.0, 7.0] {
        let found = feature(&sketch, false, &vec![number(value); 200]);
        assert!(found.psi.value > 1.0 && found.ks.is_some_and(|ks| ks.value > 0.9), "{found:?}");
    }
    assert!(feature(&sketch, false, &vec![number(5.0); 200]).psi.value < 1e-3);
    let gone = feature(&sketch, false, &vec![Value::Missing; 200]);
    assert!(gone.psi.value > 1.0 && gone.chi_square.p < 1e-9, "{gone:?}");
}

#[test]
fn latency_and_quality_have_their_limits() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = folder.path().join("labels.csv");
    let text: String =
        (0..300).map(|index| format!("{index},{}\n", if index % 2 == 0 { "a" } else { "b" })).collect();
    std::fs::write(&path, format!("id,label\n{text}nobody,a\n")).expect("writes");
    let labels = Labels::read(&path).expect("reads");
    let spec = |min: f64| json!({"quality": {"metric": "accuracy", "min": min}, "latency": {"p95_ms": 1.5}});
    let drift = judged(spec(0.9), &USUAL, 300, Some(&labels));
    assert_eq!(drift.breaches.len(), 2, "{drift:?}");
    let quality = drift.quality.expect("was measured");
    assert_eq!((quality.labelled, quality.unmatched), (300, 1));
    let latency = drift.latency.expect("was measured");
    assert!((latency.p95 - 0.00195).abs() < 1e-5 && latency.p50 < latency.p95, "{latency:?}");
    // The interval of about one half holds 0.55: so few labels are no alarm.
    let drift = judged(spec(0.55), &USUAL, 300, Some(&labels));
    assert_eq!(drift.breaches.len(), 1, "{drift:?}");
    assert_eq!(judged(spec(0.9), &USUAL, 300, None).unknown, ["accuracy: no labels yet"]);
    std::fs::write(&path, "id,label\n1,a\n2,martian\n3,venusian\n").expect("writes");
    let labels = Labels::read(&path).expect("reads");
    let drift = judged(spec(0.9), &USUAL, 300, Some(&labels));
    assert_eq!(drift.unknown, ["2 of 3 labels are no classes of the model, such as `martian`"]);
    std::fs::write(&path, "id,label\n1,a\n1,b\n1,b\n").expect("writes");
    let drift = judged(spec(0.9), &USUAL, 300, Some(&Labels::read(&path).expect("reads")));
    assert_eq!(drift.unknown, ["1 label replaced by another one of the same answer"]);
    std::fs::write(&path, "id,label\nnobody,a\nno one,b\n").expect("writes");
    let drift = judged(spec(0.9), &USUAL, 300, Some(&Labels::read(&path).expect("reads")));
    assert_eq!(drift.unknown[0], "2 labels given, none of an answer of this version");
}

#[test]
fn a_file_of_labels_that_is_none_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = folder.path().join("labels.csv");
    for (text, word) in
        [("a,b\n1,2\n", "`id`"), ("id,label\nx\n", "line 2"), ("id,label\n\u{0}\u{ff},\n", "")]
    {
        std::fs::write(&path, text).expect("writes");
        match Labels::read(&path) {
            Err(error) => assert!(!word.is_empty() && error.to_string().contains(word), "{error}"),
            Ok(labels) => assert!(word.is_empty() && labels.is_empty()),
        }
    }
}
