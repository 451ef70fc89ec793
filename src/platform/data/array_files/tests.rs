use std::io::Write;

use proptest::prelude::*;
use safetensors::tensor::TensorView;
use zip::write::SimpleFileOptions;

use super::*;
use crate::base::Null;
use crate::platform::data::npy::tests::npy;
use crate::platform::data::{Inputs, Split, Storage, TargetKind, Targets, tests::dataset};

/// Two images of 2 x 2 pixels and what they show.
const PIXELS: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn whole(format: Format, path: &Path) -> Dataset {
    let mut dataset = dataset(format, path);
    dataset.spec.split = Split { val: 0.0, test: 0.0, ..Split::default() };
    dataset
}

fn load(format: Format, path: &Path) -> Result<Parts, String> {
    whole(format, path).load(None, &Null).map_err(|error| error.to_string())
}

fn npz(arrays: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("{name}.npy"), options).expect("starts");
        zip.write_all(bytes).expect("writes");
    }
    zip.finish().expect("finishes").into_inner()
}

/// As `mnist.npz` of Keras has it.
fn keras() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("x_train", npy("|u1", "(2, 2, 2)", &PIXELS)),
        ("y_train", npy("|u1", "(2,)", &[7, 3])),
        ("x_test", npy("|u1", "(1, 2, 2)", &PIXELS[4..])),
        ("y_test", npy("|u1", "(1,)", &[3])),
    ]
}

fn safetensors(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.clone(), bytes).expect("fits"))
    });
    safetensors::serialize(views, None).expect("writes")
}

fn check(parts: &Parts) {
    assert_eq!(parts.classes, ["3", "7"]);
    assert_eq!((parts.train.shape.as_slice(), parts.train.len(), parts.test.len()), (&[1, 2, 2][..], 2, 1));
    let (Storage::Memory(Inputs::U8(pixels)), Targets::Class(targets)) =
        (&parts.train.inputs, &parts.train.targets)
    else {
        panic!("bytes and classes")
    };
    assert_eq!((pixels[..].to_vec(), targets[..].to_vec()), (PIXELS.to_vec(), vec![1, 0]));
    // The key is that of the same pixels in any format.
    assert_eq!(parts.train.keys[1], parts.test.keys[0]);
}

#[test]
fn an_npz_file_as_keras_writes_it_brings_its_test_part() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("mnist.npz");
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        std::fs::write(&path, npz(&keras(), method)).expect("writes");
        // By itself, or alone in its folder.
        for path in [&path, folder.path()] {
            let parts = load(Format::Npy, path).expect("loads");
            check(&parts);
            assert_eq!(parts.train.origins.name(1).as_deref(), Some("mnist.npz:x_train:2"));
        }
    }
}

#[test]
fn a_folder_of_npy_files_is_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    for (name, bytes) in keras() {
        std::fs::write(folder.path().join(format!("{name}.npy")), bytes).expect("writes");
    }
    check(&load(Format::Npy, folder.path()).expect("loads"));
}

#[test]
fn a_safetensors_file_is_the_same_and_other_tensors_in_it_are_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("mnist.safetensors");
    let bytes = safetensors(&[
        ("train_images", Dtype::U8, vec![2, 2, 2], PIXELS.to_vec()),
        ("train_labels", Dtype::I64, vec![2, 1], [7i64.to_le_bytes(), 3i64.to_le_bytes()].concat()),
        ("test_images", Dtype::U8, vec![1, 2, 2], PIXELS[4..].to_vec()),
        ("test_labels", Dtype::I64, vec![1, 1], 3i64.to_le_bytes().to_vec()),
        ("mean", Dtype::F32, vec![], 0f32.to_le_bytes().to_vec()),
    ]);
    std::fs::write(&path, &bytes).expect("writes");
    for path in [&path, folder.path()] {
        check(&load(Format::Safetensors, path).expect("loads"));
    }
    for length in [0, 4, 50, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).expect("writes");
        let error = load(Format::Safetensors, &path).expect_err("truncated");
        assert!(error.contains("`mnist.safetensors` is not valid safetensors"), "{error}");
    }
}

#[test]
fn a_file_for_each_part_will_do() {
    let folder = tempfile::tempdir().expect("folder");
    for (file, pixels, labels) in [("train", &PIXELS[..], &[7, 3][..]), ("test", &PIXELS[4..], &[3])] {
        let count = labels.len();
        let x = npy("|u1", &format!("({count}, 2, 2)"), pixels);
        let bytes =
            npz(&[("x", x), ("y", npy("|u1", &format!("({count},)"), labels))], CompressionMethod::Stored);
        std::fs::write(folder.path().join(format!("{file}.npz")), bytes).expect("writes");
    }
    check(&load(Format::Npy, folder.path()).expect("loads"));
}

#[test]
fn numbers_are_predicted_where_the_targets_are_floats() {
    let folder = tempfile::tempdir().expect("folder");
    let floats = |numbers: &[f32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let write = |name: &str, shape: &str, numbers: &[f32]| {
        std::fs::write(folder.path().join(name), npy("<f4", shape, &floats(numbers))).expect("writes");
    };
    write("x.npy", "(2, 3)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    write("y.npy", "(2,)", &[0.5, 1.5]);
    let parts = load(Format::Npy, folder.path()).expect("loads");
    let (Storage::Memory(Inputs::F32(values)), Targets::Value(targets)) =
        (&parts.train.inputs, &parts.train.targets)
    else {
        panic!("numbers")
    };
    assert_eq!((values[5], targets[..].to_vec(), parts.train.shape), (6.0, vec![0.5, 1.5], vec![3]));
    let dataset = whole(Format::Npy, folder.path());
    let error = dataset.clone().predicting(TargetKind::Class).load(None, &Null).expect_err("no classes");
    assert_eq!(error.to_string(), "`y.npy` is not valid NPY: label 1 is 0.5, no class");
    write("y.npy", "(2,)", &[0.5, f32::NAN]);
    let error = dataset.load(None, &Null).expect_err("no number");
    assert_eq!(error.to_string(), "`y.npy` is not valid NPY: target 2 is no finite number");
    write("x.npy", "(2, 3)", &[1.0, 2.0, 3.0, 4.0, f32::INFINITY, 6.0]);
    write("y.npy", "(2,)", &[0.5, 1.5]);
    let error = dataset.load(None, &Null).expect_err("no number");
    assert!(error.to_string().contains("example 2 holds a value"), "{error}");
}

#[test]
fn arrays_that_do_not_fit_together_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).expect("writes");
    let error = || load(Format::Npy, folder.path()).expect_err("refused");
    write("pixels.npy", npy("|u1", "(1, 1)", &[1]));
    assert!(error().contains("no arrays `x` and `y`") && error().contains("`pixels.npy`"), "{}", error());
    write("x.npy", npy("|u1", "(1, 1)", &[1]));
    assert!(error().contains("`x.npy` is there, its targets `y` are not"), "{}", error());
    write("y.npy", npy("|u1", "(2,)", &[1, 2]));
    assert!(
        error().contains("`x.npy` is not valid NPY: it holds 1 example, `y.npy` holds 2 labels"),
        "{}",
        error()
    );
    write("y.npy", npy("|u1", "(1, 10)", &[0; 10]));
    assert!(error().contains("one number per example; it has the shape [1, 10]"), "{}", error());
    write("y.npy", npy("|u1", "(1,)", &[0]));
    write("X_train.npy", npy("|u1", "(1, 1)", &[1]));
    assert!(error().contains("`X_train.npy` and `x.npy` are the same part"), "{}", error());
    let alone = load(Format::Npy, &folder.path().join("x.npy")).expect_err("no targets");
    assert!(alone.contains("let `path` be the folder"), "{alone}");
}

#[test]
fn an_array_that_promises_more_than_its_zip_file_can_hold_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.npz");
    let liar = npy("|u1", "(1, 99999999999)", &[1; 10]);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let arrays = [("x", liar.clone()), ("y", npy("|u1", "(1,)", &[1]))];
        std::fs::write(&path, npz(&arrays, method)).expect("writes");
        let error = load(Format::Npy, &path).expect_err("lies");
        assert!(error.contains("`a.npz:x` is not valid NPY"), "{error}");
    }
}

#[test]
fn names_say_part_and_content() {
    for (name, wanted) in [
        ("x", Some(("train", "x"))),
        ("X_train", Some(("train", "x"))),
        ("val_labels", Some(("val", "y"))),
        ("validation_y", Some(("val", "y"))),
        ("x_x", None),
        ("train", None),
        ("x_extra", None),
        ("", None),
    ] {
        assert_eq!(slot(name), wanted, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_files_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().expect("folder");
        for (format, name) in [(Format::Npy, "a.npz"), (Format::Safetensors, "a.safetensors")] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).expect("writes");
            let _ = load(format, &path);
        }
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..2000, value: u8) {
        let folder = tempfile::tempdir().expect("folder");
        let tensors = safetensors(&[
            ("x", Dtype::U8, vec![2, 2, 2], PIXELS.to_vec()),
            ("y", Dtype::U8, vec![2], vec![0, 1]),
        ]);
        for (format, mut bytes) in [
            (Format::Npy, npz(&keras(), CompressionMethod::Stored)),
            (Format::Npy, npz(&keras(), CompressionMethod::Deflated)),
            (Format::Safetensors, tensors),
        ] {
            let at = at % bytes.len();
            bytes[at] = value;
            let path = folder.path().join("a");
            std::fs::write(&path, &bytes).expect("writes");
            let _ = load(format, &path);
        }
    }
}
