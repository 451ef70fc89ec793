//! `mlp predict`: files in, a table, JSON or a file out.

use std::io::Write;
use std::process::Stdio;

use mlp::base::{Digest, Name, Null};
use mlp::platform::data::{DataSpec, Dataset};
use mlp::platform::serve::{Served, Signature, predict_files};
use mlp::platform::train::{self, Control, Model, ModelSpec};
use serde_json::Value;

use crate::support::serving::{CLASSES, Project, SIDE, image, png};
use crate::support::{mlp, ok, refused};

/// An IDX file of images.
fn idx(images: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for length in [images.len(), SIDE, SIDE] {
        bytes.extend((length as u32).to_be_bytes());
    }
    bytes.extend(images.concat());
    bytes
}

fn images() -> Vec<Vec<u8>> {
    (0..300).map(|index| image(index % 3, 900 + index)).collect()
}

#[test]
fn images_idx_files_and_json_lines_give_the_same_predictions() {
    let project = Project::new(true);
    let images = images();
    project.write("images-idx3-ubyte", &idx(&images));
    project.write("a.png", &png(&images[0]));
    let lines: String =
        images.iter().map(|image| format!("{}\n", serde_json::to_string(image).expect("writes"))).collect();
    project.write("images.jsonl", lines.as_bytes());

    let predict = |file: &str| -> Value {
        serde_json::from_str(&ok(project.path(), &["predict", "stripes@1", file, "--json"])).expect("is JSON")
    };
    let from_idx = predict("images-idx3-ubyte");
    assert_eq!(from_idx["schema"], "mlp/predict/1");
    assert_eq!(from_idx["digest"], project.tree.to_string());
    let found = from_idx["predictions"].as_array().expect("predictions");
    assert_eq!(found.len(), 300);
    for (index, prediction) in found.iter().enumerate() {
        assert_eq!(prediction["source"], format!("images-idx3-ubyte:{}", index + 1));
        assert_eq!(prediction["label"], CLASSES[index % 3]);
    }
    let from_lines = predict("images.jsonl");
    for (a, b) in found.iter().zip(from_lines["predictions"].as_array().expect("predictions")) {
        assert_eq!(a["probabilities"], b["probabilities"]);
    }
    let from_png = &predict("a.png")["predictions"][0];
    let highest = |value: &Value| value["probabilities"][0].as_f64().expect("a probability");
    // In a batch of another size sums may be rounded otherwise.
    assert!((highest(from_png) - highest(&found[0])).abs() < 1e-6, "{from_png}");

    let mut child = mlp(project.path())
        .args(["predict", "stripes", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("has stdin").write_all(lines.as_bytes()).expect("is read");
    let output = child.wait_with_output().expect("ends");
    let text = String::from_utf8(output.stdout).expect("is text");
    assert!(text.contains("-:300") && text.contains("PROBABILITY"), "{text}");
}

#[test]
fn an_output_file_is_written_whole_or_not_at_all() {
    let project = Project::new(true);
    project.write("images.idx", &idx(&images()[..4]));
    let said = ok(project.path(), &["predict", "stripes", "images.idx", "--output", "out.csv"]);
    assert!(said.contains("wrote 4 predictions of stripes@1 to out.csv"), "{said}");
    let csv = std::fs::read_to_string(project.path().join("out.csv")).expect("was written");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "input,label,probability_left,probability_middle,probability_right");
    assert!(lines[1].starts_with("images.idx:1,left,"), "{csv}");
    assert_eq!(lines.len(), 5);
    ok(project.path(), &["predict", "stripes", "images.idx", "--output", "out.jsonl"]);
    let jsonl = std::fs::read_to_string(project.path().join("out.jsonl")).expect("was written");
    assert_eq!(jsonl.lines().count(), 4);

    project.write("bad.jsonl", b"[1, 2]\n");
    let error =
        refused(project.path(), &["predict", "stripes", "images.idx", "bad.jsonl", "--output", "no.csv"], 2);
    assert!(error.contains("bad.jsonl:1") && error.contains("serve::input"), "{error}");
    assert!(!project.path().join("no.csv").exists());
    let error = refused(project.path(), &["predict", "stripes", "images.idx", "--output", "out.xlsx"], 2);
    assert!(error.contains("`.csv`, `.jsonl` or `.parquet`"), "{error}");
}

#[test]
fn files_that_cannot_be_predicted_for_are_named() {
    let project = Project::new(true);
    project.write("text.txt", b"hello");
    project.write("notes.md", b"hello");
    project.write("half.idx", &idx(&images())[..100]);
    project.write("broken.png", &png(&image(0, 0))[..40]);
    project.write("table.csv", b"a,b\n1,2\n");
    let mut other = idx(&images()[..1]);
    other[11] = 4;
    other.truncate(16 + 4 * SIDE);
    project.write("other.idx", &other);
    for (file, exit, word) in [
        ("notes.md", 2, "is none of PNG"),
        ("text.txt", 2, "is a text, and the model takes none"),
        ("half.idx", 2, "truncated"),
        ("broken.png", 2, "broken.png"),
        ("table.csv", 2, "is a table"),
        ("other.idx", 2, "[4, 8]"),
        ("absent.png", 3, "absent.png"),
        (".git/refs/tags", 2, "holds nothing to predict for"),
    ] {
        let error = refused(project.path(), &["predict", "stripes", file], exit);
        assert!(error.contains(word), "{file}: {error}");
    }
}

#[test]
fn texts_are_tokenised_when_predicting_as_when_training() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let lines = |word: &str| (0..60).map(|n| format!("{word} {word} {n}\n")).collect::<String>();
    std::fs::create_dir(folder.path().join("texts")).expect("folder");
    std::fs::write(path("texts/up.txt"), lines("zz")).expect("writes");
    std::fs::write(path("texts/down.txt"), lines("aa")).expect("writes");
    let spec: DataSpec =
        serde_json::from_value(serde_json::json!({"path": "texts", "format": "text", "length": 6}))
            .expect("is one");
    let name: Name = "texts".parse().expect("a name");
    let parts = Dataset::new(&name, &spec, folder.path()).load(None, &Null).expect("loads");
    let model: ModelSpec = serde_json::from_value(serde_json::json!({
        "data": "texts",
        "network": [{"embedding": {"tokens": 257, "size": 8}}, "global_avg_pool", {"linear": 2}],
        "train": {"epochs": 10, "batch_size": 16, "optimizer": {"adamw": {"lr": 0.01}}},
    }))
    .expect("is a model");
    let control = Control { stop: &|| false, fence: &|| true };
    let [checkpoints, out] = ["checkpoints", "out"].map(|name| folder.path().join(name));
    std::fs::create_dir(&checkpoints).and_then(|()| std::fs::create_dir(&out)).expect("folders");
    let begin = |model: &ModelSpec| train::train(model, &parts, None, &checkpoints, &out, &control, &Null);
    for (network, why) in [
        (serde_json::json!([{"linear": 2}]), "begin it with `embedding"),
        (serde_json::json!([{"embedding": {"tokens": 9, "size": 8}}, "flatten", {"linear": 2}]), "has 257"),
        (
            serde_json::json!([{"embedding": {"tokens": 257, "size": 8, "padding": 1}}, "flatten", {"linear": 2}]),
            "these texts are filled with 0",
        ),
    ] {
        let network = serde_json::from_value(network).expect("layers");
        let error = begin(&ModelSpec { network, ..model.clone() }).expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
    }
    let outcome = begin(&model).expect("trains");

    let model = Model::load(&outcome.model.expect("finished")).expect("loads");
    assert_eq!(model.text, parts.text);
    let signature = Signature::of(&model);
    let served = Served { name, version: 1, stage: None, tree: Digest::of(b""), signature, model };
    std::fs::write(path("new.txt"), "zz zz 77\n\naa aa 78\n").expect("writes");
    std::fs::write(path("new.csv"), "id,text\n1,zz zz 77\n2,aa aa 78\n").expect("writes");
    std::fs::write(path("new.jsonl"), "\"zz zz 77\"\n[98,98,33,98,98,33]\n").expect("writes");
    let found: Vec<_> = ["new.txt", "new.csv", "new.jsonl"]
        .into_iter()
        .map(|name| predict_files(&served, &[path(name)], &Null).expect("predicts"))
        .collect();
    for predicted in &found {
        let labels: Vec<_> = predicted.iter().map(|one| one.prediction.label.as_deref()).collect();
        assert_eq!(labels, [Some("up"), Some("down")]);
        assert_eq!(predicted[0].prediction, found[0][0].prediction);
    }
    assert!(found[0][1].source.ends_with("new.txt:3"), "{}", found[0][1].source);
}
