//! `mlp predict`: files in, a table, JSON or a file out.

use std::io::Write;
use std::process::Stdio;

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
    assert!(error.contains("`.csv` or `.jsonl`"), "{error}");
}

#[test]
fn files_that_cannot_be_predicted_for_are_named() {
    let project = Project::new(true);
    project.write("text.txt", b"hello");
    project.write("half.idx", &idx(&images())[..100]);
    project.write("broken.png", &png(&image(0, 0))[..40]);
    project.write("table.csv", b"a,b\n1,2\n");
    let mut other = idx(&images()[..1]);
    other[11] = 4;
    other.truncate(16 + 4 * SIDE);
    project.write("other.idx", &other);
    for (file, exit, word) in [
        ("text.txt", 2, "is none of PNG"),
        ("half.idx", 2, "truncated"),
        ("broken.png", 2, "broken.png"),
        ("table.csv", 2, "is a table"),
        ("other.idx", 2, "[4, 8]"),
        ("absent.png", 3, "absent.png"),
        (".git", 2, "is a folder"),
    ] {
        let error = refused(project.path(), &["predict", "stripes", file], exit);
        assert!(error.contains(word), "{file}: {error}");
    }
}
