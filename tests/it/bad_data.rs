//! Data that cannot be trained on: each mistake is told with file and place, before a run begins or in its record.

use crate::support::project::Project;

/// A project with one dataset of this format, whose folder `write` fills, added and committed.
fn project(settings: &str, write: impl FnOnce(&Project)) -> Project {
    let project = Project::new(&format!(
        "data:\n  it: {{path: data/it, {settings}, split: {{val: 0.2, test: 0.2, by: hash, seed: 1}}}}\nmodels:\n  m:\n    data: it\n    \
         network: [flatten, {{linear: 4}}, output]\n    train: {{epochs: 1, batch_size: 8}}\n"
    ));
    write(&project);
    crate::support::ok(project.path(), &["data", "add", "it"]);
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "data"]);
    project
}

/// What is seen while planning, because the shape of inputs is not said: refused before there is a run.
fn is_refused(project: &Project, words: &[&str]) {
    let said = crate::support::refused(project.path(), &["train", "m"], 2);
    told(&said, words);
    assert_eq!(project.json(&["runs", "ls"], 0)["runs"], serde_json::json!([]));
}

/// What the run itself finds: it fails, and its record says why.
fn fails(project: &Project, words: &[&str]) {
    let said = crate::support::refused(project.path(), &["train", "m"], 1);
    told(&said, words);
    let runs = project.json(&["runs", "ls"], 0);
    assert_eq!(runs["runs"][0]["state"], "failed", "{runs}");
    let run = runs["runs"][0]["run"].as_str().expect("has a number").to_owned();
    told(&crate::support::ok(project.path(), &["runs", "show", &run]), words);
}

fn told(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}

const ROWS: &str = "age,size,y\n";

fn rows(count: usize) -> String {
    (0..count).map(|i| format!("{},{},{}\n", i, i * 3 % 17, ["a", "b"][i % 2])).collect()
}

#[test]
fn a_row_of_a_csv_file_with_a_column_too_many_is_named() {
    let project = project("format: csv, target: y", |project| {
        project.write("data/it/train.csv", &format!("{ROWS}{}1,2,a,b\n", rows(40)));
    });
    is_refused(&project, &["data::malformed", "train.csv:42", "4"]);
}

#[test]
fn a_truncated_image_is_named() {
    for (format, extension) in [(image::ImageFormat::Png, "png"), (image::ImageFormat::Jpeg, "jpg")] {
        let project = project("format: images", |project| {
            for index in 0..20_u32 {
                let path = format!("data/it/{}/{index:02}.{extension}", ["a", "b"][index as usize % 2]);
                let picture =
                    image::GrayImage::from_fn(24, 24, |x, y| image::Luma([(x * y + 7 * index) as u8]));
                let mut bytes = std::io::Cursor::new(Vec::new());
                picture.write_to(&mut bytes, format).expect("encodes");
                let bytes = bytes.into_inner();
                let kept = if index == 5 { bytes.len() / 2 } else { bytes.len() };
                project.write(&path, "");
                std::fs::write(project.path().join(&path), &bytes[..kept]).expect("writes");
            }
        });
        fails(&project, &[&format!("b/05.{extension}")]);
    }
}

#[test]
fn an_array_with_what_is_no_number_is_named_with_the_example() {
    let project = project("format: npy", |project| {
        let array = |shape: &str, kind: &str, bytes: &[u8]| {
            let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
            head += &" ".repeat(63 - (10 + head.len()) % 64);
            [b"\x93NUMPY\x01\x00", &(head.len() as u16 + 1).to_le_bytes()[..], head.as_bytes(), b"\n", bytes]
                .concat()
        };
        let mut values: Vec<f32> = (0..60).map(|value| value as f32).collect();
        values[31] = f32::NAN;
        let values: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        project.write("data/it/x.npy", "");
        std::fs::write(project.path().join("data/it/x.npy"), array("(30, 2)", "<f4", &values))
            .expect("writes");
        std::fs::write(project.path().join("data/it/y.npy"), array("(30,)", "|u1", &[0, 1].repeat(15)))
            .expect("writes");
    });
    is_refused(&project, &["data::malformed", "x.npy", "example 16"]);
}

#[test]
fn a_label_that_is_no_class_is_named() {
    let project = project("format: idx", |project| {
        let head = |kind: u8, lengths: &[u32]| -> Vec<u8> {
            [vec![0, 0, kind, lengths.len() as u8], lengths.iter().flat_map(|n| n.to_be_bytes()).collect()]
                .concat()
        };
        let images = [head(8, &[30, 2, 2]), (0..120).collect()].concat();
        let labels: Vec<u8> =
            (0..30).flat_map(|n| if n == 17 { 0.5_f32 } else { (n % 2) as f32 }.to_be_bytes()).collect();
        project.write("data/it/README", "");
        std::fs::write(project.path().join("data/it/train-images-idx3-ubyte"), images).expect("writes");
        let labels = [head(13, &[30]), labels].concat();
        std::fs::write(project.path().join("data/it/train-labels-idx1-ubyte"), labels).expect("writes");
    });
    is_refused(&project, &["data::malformed", "train-labels-idx1-ubyte", "label 18 is 0.5"]);
}

#[test]
fn a_class_that_is_not_in_the_training_part_is_named_with_an_example() {
    let project = project("format: csv, target: y", |project| {
        project.write("data/it/train.csv", &format!("{ROWS}{}", rows(40)));
        project.write("data/it/test.csv", &format!("{ROWS}100,1,a\n101,2,z\n"));
    });
    fails(&project, &["the class `z` has no example in `train`", "test.csv:3"]);
}

#[test]
fn a_model_refuses_data_with_other_columns_than_it_was_trained_on() {
    let project = project("format: csv, target: y", |project| {
        project.write("data/it/train.csv", &format!("{ROWS}{}", rows(60)));
    });
    crate::support::ok(project.path(), &["train", "m"]);
    project.write("data/it/train.csv", &format!("{ROWS}{}", rows(60)).replace("size", "weight"));
    crate::support::ok(project.path(), &["data", "add", "it"]);
    let said = crate::support::refused(project.path(), &["eval", "m"], 2);
    assert!(
        said.contains("train.csv") && said.contains("columns are not those that the model was trained on"),
        "{said}"
    );
}

#[test]
fn data_of_one_class_are_refused() {
    let project = project("format: csv, target: y", |project| {
        let rows: String = (0..40).map(|i| format!("{i},{},a\n", i % 7)).collect();
        project.write("data/it/train.csv", &format!("{ROWS}{rows}"));
    });
    fails(&project, &["every example is of the class `a`"]);
}

#[test]
fn numbers_without_a_loss_for_numbers_are_told_of_the_loss() {
    let project = project("format: csv, target: y", |project| {
        let rows: String = (0..40).map(|i| format!("{i},{},{}.5\n", i % 7, i * i)).collect();
        project.write("data/it/train.csv", &format!("{ROWS}{rows}"));
    });
    fails(&project, &["if the target is a number to be predicted, say `loss: mse`"]);
}

#[test]
fn one_word_in_a_column_of_numbers_is_told() {
    let project = project("format: csv, target: y", |project| {
        project.write("data/it/train.csv", &format!("{ROWS}{}oops,3,a\n", rows(60)));
    });
    let output = crate::support::run(project.path(), &["train", "m"], 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    told(&said, &["column `age` is taken as categories", "`oops` (", "train.csv:62"]);
}

#[test]
fn an_error_of_the_worker_is_said_once_on_the_terminal() {
    let project = project("format: csv, target: y", |project| {
        let rows: String = (0..40).map(|i| format!("{i},{},a\n", i % 7)).collect();
        project.write("data/it/train.csv", &format!("{ROWS}{rows}"));
    });
    let said = crate::support::refused(project.path(), &["train", "m"], 1);
    assert_eq!(said.matches("every example is of the class").count(), 1, "{said}");
}

#[test]
fn a_number_of_a_table_that_is_not_finite_is_named() {
    let project = project("format: csv, target: y", |project| {
        project.write("data/it/train.csv", &format!("{ROWS}{}inf,2,a\ninf,2,b\n", rows(40)));
    });
    is_refused(&project, &["data::malformed", "train.csv:4", "`inf` in column `age` is no finite number"]);
}

#[test]
fn a_quiet_training_that_fails_says_why() {
    let project = project("format: csv, target: y", |project| {
        let rows: String = (0..40).map(|i| format!("{i},{},a\n", i % 7)).collect();
        project.write("data/it/train.csv", &format!("{ROWS}{rows}"));
    });
    let output = crate::support::run(project.path(), &["train", "m", "-q"], 1);
    assert!(output.stdout.is_empty(), "{output:?}");
    told(&String::from_utf8_lossy(&output.stderr), &["error[", "failed: "]);
}

/// What `mlp check` says of data that do not fit, before anything is read.
fn check_says(project: &Project, words: &[&str]) {
    let output = crate::support::run(project.path(), &["check"], 2);
    told(&String::from_utf8_lossy(&output.stdout), words);
}

/// An NPY file of bytes.
fn npy(dimensions: &[usize]) -> Vec<u8> {
    let shape: String = dimensions.iter().map(|length| format!("{length}, ")).collect();
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend((0..dimensions.iter().product::<usize>()).map(|i| (i % 3) as u8));
    bytes
}

#[test]
fn a_check_looks_at_headers_and_shapes_without_training() {
    let head = "mlp: 1\nproject: {name: test, id: 01jd3q0000000000000000000a, profile: research}\n";
    let project = Project::new("");
    let say = |data: &str, model: &str| {
        let text = format!(
            "{head}data:\n  it: {{path: data/it, {data}}}\nmodels:\n  m:\n    data: it\n    {model}\n"
        );
        project.write("mlp.yaml", &text);
    };
    let network = "network: [flatten, {linear: 4}, output]";
    say("format: csv, target: y", network);
    crate::support::ok(project.path(), &["check"]);

    project.write("data/it/train.csv", &format!("{ROWS}{}", rows(10)));
    crate::support::ok(project.path(), &["check"]);
    say("format: csv, target: yy", network);
    check_says(&project, &["data::target", "no column `yy`", "did you mean `y`", "mlp.yaml:4"]);
    say("format: csv, target: y", &format!("{network}\n    evaluate: {{slices: {{by: sise}}}}"));
    check_says(&project, &["no column `sise`", "did you mean `size`", "mlp.yaml:9"]);
    say("format: csv, target: y", &format!("{network}\n    evaluate: {{slices: {{by: y}}}}"));
    check_says(&project, &["no column `y`", "did you mean `label`"]);
    say("format: csv, target: y", &format!("{network}\n    evaluate: {{slices: {{by: size}}}}"));
    crate::support::ok(project.path(), &["check"]);
    project.write("data/it/test.csv", "age,weight,y\n1,2,a\n");
    check_says(&project, &["test.csv", "its columns are not those of `train.csv`"]);

    for name in ["train.csv", "test.csv"] {
        std::fs::remove_file(project.path().join("data/it").join(name)).expect("removes");
    }
    let put = |name: &str, dimensions: &[usize]| {
        std::fs::write(project.path().join("data/it").join(name), npy(dimensions)).expect("writes");
    };
    put("x.npy", &[12, 5, 6]);
    say("format: npy", network);
    check_says(&project, &["x.npy", "its targets `y` are not"]);
    put("y.npy", &[11]);
    check_says(&project, &["12 examples", "11 labels"]);
    put("y.npy", &[12]);
    crate::support::ok(project.path(), &["check"]);
    say("format: npy", &format!("input: {{shape: [1, 28, 28]}}\n    {network}"));
    check_says(&project, &["data::shape", "[1, 28, 28]", "[1, 5, 6]", "mlp.yaml:8"]);
    // The network against the shape that the files have.
    say("format: npy", "network: [{conv2d: {out: 2, kernel: 9}}, flatten, output]");
    check_says(&project, &["train::layer", "layer 1"]);
}
