use serde_json::json;

use super::*;
use crate::base::{Digest, Null};
use crate::platform::data::TextEncoding;
use crate::platform::serve::Signature;
use crate::platform::train::Model;

/// A model of texts of two bytes that gives the sum of their tokens' numbers. That of the byte 2 is too large to be doubled.
pub(in crate::platform::serve) fn served() -> Served {
    let mut values = vec![0.5f32; 2 * 257 + 4 + 1];
    values[6..8].fill(3e38);
    values[2 * 257..2 * 257 + 4].fill(2.0);
    let header = json!({
        "layers.1.weight": {"dtype": "F32", "shape": [257, 2], "data_offsets": [0, 2056]},
        "layers.3.weight": {"dtype": "F32", "shape": [1, 4], "data_offsets": [2056, 2072]},
        "layers.3.bias": {"dtype": "F32", "shape": [1], "data_offsets": [2072, 2076]},
    })
    .to_string();
    let numbers: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let weights = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat();
    let text = TextEncoding::bytes("text", 2).expect("makes");
    let description = json!({
        "schema": "mlp/model/1",
        "task": "regression",
        "input": {"shape": [2], "normalization": {"pixels": false, "mean": [0.0], "std": [1.0]}, "text": text},
        "target": {"mean": 0.0, "std": 1.0},
        "network": [{"embedding": {"tokens": 257, "size": 2}}, "flatten", {"linear": 1}],
        "weights": {"digest": Digest::of(&weights), "parameters": values.len()},
        "framework": "mlp test",
    });
    let model = Model::from_bytes(description.to_string().as_bytes(), &weights).expect("is a model");
    let (name, signature) = ("texts".parse().expect("is a name"), Signature::of(&model));
    Served { name, version: 1, stage: None, tree: Digest::of(b""), signature, model }
}

/// Places, with the reason where they do not fit.
type Places = Vec<(String, Option<String>)>;

/// What becomes of the files: places with the reason where they do not fit, and how it ends.
fn outcomes(
    on_error: OnError,
    files: impl Fn(&mut Batch<'_>) -> Result<(), ServeError>,
) -> (Places, Result<(), String>) {
    let (served, mut found) = (served(), Vec::new());
    let mut take = |outcomes: Vec<Outcome>| {
        found.extend(outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Predicted(one) => (one.source, None),
            Outcome::Unfit(one) => (one.source, Some(one.error)),
        }));
        Ok(())
    };
    let mut batch = Batch::new(&served, on_error, 0, None, &mut take, &Null);
    let end = files(&mut batch).and_then(|()| batch.flush()).map_err(|error| error.to_string());
    drop(batch);
    (found, end)
}

#[test]
fn an_input_without_an_answer_is_named_and_those_beside_it_are_answered() {
    let folder = tempfile::tempdir().expect("makes a folder");
    for (name, bad, why) in [
        ("infinite.jsonl", "[3, 3]", "the model gave a value that is not finite"),
        ("unknown.jsonl", "[999, 1]", "no token"),
    ] {
        let path = folder.path().join(name);
        let lines = ["[98, 99]", bad, "\"ab\""].join("\n");
        std::fs::write(&path, lines).expect("writes");
        let (found, end) = outcomes(OnError::Skip, |batch| batch.file_as(name, &path));
        assert_eq!(end, Ok(()));
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, [1, 2, 3].map(|line| format!("{name}:{line}")));
        let fits: Vec<_> = found.iter().map(|(_, error)| error.is_none()).collect();
        assert_eq!(fits, [true, false, true]);
        assert!(found[1].1.as_ref().is_some_and(|error| error.contains(why)), "{found:?}");
        let (found, end) = outcomes(OnError::Stop, |batch| batch.file_as(name, &path));
        let said = end.expect_err("stops");
        assert!(said.contains(&format!("{name}:2")) && said.contains(why), "{said}");
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn what_cannot_be_read_is_skipped_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.txt"), b"ab\n\xff\n\ncd\n").expect("writes");
    std::os::unix::fs::symlink("nothing", path("b.txt")).expect("links");
    let long = std::fs::File::create(path("c.jsonl")).expect("makes");
    long.set_len(70 << 20).expect("grows");
    let mut long = std::fs::OpenOptions::new().append(true).open(path("c.jsonl")).expect("opens");
    std::io::Write::write_all(&mut long, b"\n\"ab\"\n").expect("writes");
    let (found, end) = outcomes(OnError::Skip, |batch| batch.file_as("f", folder.path()));
    assert_eq!(end, Ok(()));
    let shown: Vec<_> = found.iter().map(|(place, error)| (place.as_str(), error.is_none())).collect();
    let expected = [
        ("f/a.txt:1", true),
        ("f/a.txt:2", false),
        ("f/a.txt:4", true),
        ("f/b.txt", false),
        ("f/c.jsonl:1", false),
        ("f/c.jsonl:2", true),
    ];
    assert_eq!(shown, expected);
    let why = |index: usize| found[index].1.clone().unwrap_or_default();
    assert!(why(1).contains("UTF-8") && why(4).contains("64 MiB"), "{found:?}");
    let (found, end) = outcomes(OnError::Stop, |batch| batch.file_as("f/b.txt", &path("b.txt")));
    assert!(end.is_err_and(|said| said.contains("cannot read")) && found.is_empty());
}
