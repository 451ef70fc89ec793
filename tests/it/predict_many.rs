//! `mlp predict` for folders, arrays and datasets: outputs with lineage, inputs that do not fit, going on after a stop.

use std::fs;
use std::process::Command;

use mlp::base::Digest;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::Value;

use crate::support::serving::{CLASSES, Project, SIDE, image, png};
use crate::support::{mlp, ok, refused, run};

/// An IDX file of so many dimensions.
fn idx(dimensions: &[usize], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    for length in dimensions {
        bytes.extend((*length as u32).to_be_bytes());
    }
    bytes.extend(values);
    bytes
}

/// An NPY file of bytes.
fn npy(dimensions: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({dimensions}), }}");
    let padded = format!("{header:<117}\n");
    [b"\x93NUMPY\x01\x00", &(padded.len() as u16).to_le_bytes()[..], padded.as_bytes(), values].concat()
}

fn json(project: &Project, args: &[&str]) -> Value {
    serde_json::from_str(&ok(project.path(), &[args, &["--json"]].concat())).expect("is JSON")
}

fn git(project: &Project, args: &[&str]) {
    // Makes the configuration that the environment names.
    drop(mlp(project.path()));
    let status = Command::new("git")
        .current_dir(project.path())
        .env("GIT_CONFIG_GLOBAL", project.path().join(".test-gitconfig"))
        .args(args)
        .status()
        .expect("git starts");
    assert!(status.success(), "git {args:?}");
}

#[test]
fn folders_and_arrays_are_predicted_in_order() {
    let project = Project::new(true);
    fs::create_dir_all(project.path().join("photos/deep")).expect("makes");
    for (name, class) in [("photos/b.png", 1), ("photos/a.png", 0), ("photos/deep/c.png", 2)] {
        project.write(name, &png(&image(class, 901)));
    }
    project.write("photos/.hidden", b"x");
    let images: Vec<u8> = (0..5).flat_map(|index| image(index % 3, 900 + index)).collect();
    project.write("more.npy", &npy(&format!("5, {SIDE}, {SIDE}"), &images));
    let told = json(&project, &["predict", "stripes@1", "photos", "more.npy"]);
    let found: Vec<(&str, &str)> = told["predictions"]
        .as_array()
        .expect("has some")
        .iter()
        .map(|one| (one["source"].as_str().expect("is text"), one["label"].as_str().expect("is text")))
        .collect();
    assert_eq!(
        found[..4],
        [
            ("photos/a.png", CLASSES[0]),
            ("photos/b.png", CLASSES[1]),
            ("photos/deep/c.png", CLASSES[2]),
            ("more.npy:1", CLASSES[0])
        ]
    );
    assert_eq!(found.len(), 8);
}

#[test]
fn outputs_carry_their_lineage_and_hold_the_same_numbers() {
    let project = Project::new(true);
    let images: Vec<u8> = (0..300).flat_map(|index| image(index % 3, 900 + index)).collect();
    project.write("all.idx", &idx(&[300, SIDE, SIDE], &images));
    for output in ["out.csv", "out.jsonl", "out.parquet"] {
        let told = json(&project, &["predict", "stripes@production", "all.idx", "--output", output]);
        assert_eq!((&told["predictions"], &told["unfit"]), (&300.into(), &0.into()));
        let beside =
            fs::read_to_string(project.path().join(format!("{output}.lineage.json"))).expect("is there");
        let lineage: Value = serde_json::from_str(&beside).expect("is JSON");
        assert_eq!(lineage["schema"], "mlp/predict-lineage/1");
        assert_eq!(
            (&lineage["digest"], &lineage["stage"]),
            (&project.tree.to_string().into(), &"production".into())
        );
        let digest = Digest::of(&fs::read(project.path().join("all.idx")).expect("reads"));
        assert_eq!(lineage["inputs"][0]["digest"], digest.to_string());
        assert!(!project.path().join(format!("{output}.partial")).exists());
    }
    let csv = fs::read_to_string(project.path().join("out.csv")).expect("reads");
    let lines: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let file = fs::File::open(project.path().join("out.parquet")).expect("opens");
    let reader = SerializedFileReader::new(file).expect("is Parquet");
    let words = reader.metadata().file_metadata().key_value_metadata().expect("has words");
    let lineage = words.iter().find(|word| word.key == "mlp.lineage").and_then(|word| word.value.clone());
    assert!(lineage.is_some_and(|lineage| lineage.contains(&project.tree.to_string())));
    let rows: Vec<_> = reader.get_row_iter(None).expect("has rows").map(|row| row.expect("is one")).collect();
    assert_eq!((rows.len(), lines.len()), (300, 300));
    for (row, line) in rows.iter().zip(&lines) {
        assert_eq!(
            (row.get_string(0).expect("is text"), row.get_string(1).expect("is text")),
            (&line[0].to_owned(), &line[1].to_owned())
        );
        assert_eq!(row.get_float(3).expect("is a number"), line[3].parse::<f32>().expect("is a number"));
    }
    // A Parquet file of answers is a table like another, and says so to a model of images.
    assert!(refused(project.path(), &["predict", "stripes", "out.parquet"], 2).contains("is a table"));
}

#[test]
fn a_dataset_is_predicted_whether_it_is_checked_out_or_not() {
    let project = Project::new(true);
    let data = project.path().join("data/stripes");
    fs::create_dir_all(&data).expect("makes");
    for (name, count, from) in [("train", 12, 0), ("t10k", 6, 500)] {
        let images: Vec<u8> = (0..count).flat_map(|index| image(index % 3, from + index)).collect();
        let labels: Vec<u8> = (0..count).map(|index| (index % 3) as u8).collect();
        fs::write(data.join(format!("{name}-images-idx3-ubyte")), idx(&[count, SIDE, SIDE], &images))
            .expect("writes");
        fs::write(data.join(format!("{name}-labels-idx1-ubyte")), idx(&[count], &labels)).expect("writes");
    }
    ok(project.path(), &["data", "add", "stripes"]);
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-qm", "data"]);
    let here =
        json(&project, &["predict", "stripes@1", "stripes", "--part", "test", "--output", "here.jsonl"]);
    assert_eq!(here["predictions"], 6);
    // Another version lies in the work tree now; then none.
    fs::remove_file(data.join("t10k-labels-idx1-ubyte")).expect("removes");
    fs::remove_file(data.join("t10k-images-idx3-ubyte")).expect("removes");
    ok(project.path(), &["data", "add", "stripes"]);
    for round in ["edited", "gone"] {
        let output = format!("{round}.jsonl");
        json(&project, &["predict", "stripes@1", "stripes@HEAD", "--part", "test", "--output", &output]);
        let read = |name: &str| fs::read_to_string(project.path().join(name)).expect("reads");
        assert_eq!(read("here.jsonl").replace("stripes/t10k", "stripes@HEAD/t10k"), read(&output), "{round}");
        let lineage = |name: &str| -> Value {
            serde_json::from_str(&read(&format!("{name}.lineage.json"))).expect("is JSON")
        };
        let input = &lineage(&output)["inputs"][0];
        assert_eq!(
            (&input["dataset"], &input["digest"]),
            (&"stripes".into(), &lineage("here.jsonl")["inputs"][0]["digest"])
        );
        let _ = fs::remove_dir_all(&data);
    }
    let one = json(&project, &["predict", "stripes@1", "stripes/t10k-images-idx3-ubyte@HEAD"]);
    assert_eq!(one["predictions"].as_array().map(Vec::len), Some(6));
    assert_eq!(one["predictions"][0]["source"], "stripes/t10k-images-idx3-ubyte@HEAD:1");
}

#[test]
fn an_output_never_replaces_an_input() {
    let project = Project::new(true);
    fs::create_dir_all(project.path().join("photos/deep")).expect("makes");
    project.write("photos/a.png", &png(&image(0, 901)));
    project.write("rows.csv", b"a\n1\n");
    project.write("out.csv.lineage.json", b"[]\n");
    std::os::unix::fs::symlink("rows.csv", project.path().join("link.csv")).expect("links");
    for (input, output) in [
        ("rows.csv", "rows.csv"),
        ("rows.csv", "photos/../rows.csv"),
        ("link.csv", "rows.csv"),
        ("rows.csv", "link.csv"),
        ("photos", "photos/deep/out.csv"),
        (".", "new.csv"),
        ("out.csv.lineage.json", "out.csv"),
    ] {
        let said = refused(project.path(), &["predict", "stripes", input, "--output", output], 2);
        assert!(said.contains("serve::input") && said.contains("elsewhere"), "{input} {output}: {said}");
    }
    assert_eq!(fs::read(project.path().join("rows.csv")).expect("reads"), b"a\n1\n");
    assert!(!project.path().join("photos/deep/out.csv.partial").exists());
}

#[test]
fn what_does_not_fit_is_named_and_counted_and_the_call_goes_on_where_it_stopped() {
    let project = Project::new(true);
    let line = |index: usize| serde_json::to_string(&image(index % 3, 900 + index)).expect("writes") + "\n";
    let mut lines: Vec<String> = (0..700).map(line).collect();
    lines[520] = "[1, 2]\n".to_owned();
    lines[600] = "nonsense\n".to_owned();
    project.write("rows.jsonl", lines.concat().as_bytes());
    let args = ["predict", "stripes@1", "rows.jsonl", "--output", "out.csv"];
    let said = refused(project.path(), &args, 2);
    assert!(said.contains("rows.jsonl:521"), "{said}");
    assert!(!project.path().join("out.csv").exists() && project.path().join("out.csv.partial").exists());

    // A slip in a name costs nothing of it.
    let kept = || fs::read(project.path().join("out.csv.partial")).expect("reads");
    let before = kept();
    let said = refused(project.path(), &["predict", "stripes@1", "rows.json", "--output", "out.csv"], 3);
    assert!(said.contains("rows.json") && said.contains("serve::io"), "{said}");
    assert_eq!(kept(), before);

    let mut skip = args.to_vec();
    skip.extend(["--on-error", "skip", "--json"]);
    let output = run(project.path(), &skip, 0);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("rows.jsonl:521") && said.contains("rows.jsonl:601"), "{said}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(
        (&told["predictions"], &told["unfit"], &told["resumed"]),
        (&698.into(), &2.into(), &520.into())
    );
    // The same as in one go, to the byte.
    let whole = json(
        &project,
        &["predict", "stripes@1", "rows.jsonl", "--output", "whole.csv", "--on-error", "skip"],
    );
    assert_eq!(whole["resumed"], 0);
    for name in ["csv", "csv.lineage.json"] {
        let read = |stem: &str| fs::read(project.path().join(format!("{stem}.{name}"))).expect("reads");
        assert_eq!(read("out"), read("whole"), "{name}");
    }
    let lineage: Value =
        serde_json::from_slice(&fs::read(project.path().join("out.csv.lineage.json")).expect("reads"))
            .expect("is JSON");
    assert_eq!(lineage["unfit"][0]["source"], "rows.jsonl:521");
    // Other inputs are another question.
    refused(project.path(), &args, 2);
    lines[520] = line(520);
    lines[600] = line(600);
    project.write("rows.jsonl", lines.concat().as_bytes());
    let told = json(&project, &args);
    assert_eq!((&told["predictions"], &told["resumed"]), (&700.into(), &0.into()));
}
