use super::*;
use crate::base::Null;
use crate::platform::data::{Digits, Format, Inputs, Split, Storage, TargetKind, Targets, digits};

fn dataset(folder: &Path, split: Split) -> Dataset {
    let mut dataset = crate::platform::data::tests::dataset(Format::Idx, folder);
    dataset.spec.split = split;
    dataset
}

fn file(folder: &Path, name: &str, code: u8, dimensions: &[u32], data: &[u8]) {
    let mut bytes = vec![0, 0, code, dimensions.len() as u8];
    dimensions.iter().for_each(|length| bytes.extend(length.to_be_bytes()));
    bytes.extend(data);
    std::fs::write(folder.join(name), bytes).expect("writes");
}

fn error(folder: &Path) -> String {
    dataset(folder, Split::default()).load(None, &Null).expect_err("refused").to_string()
}

#[test]
fn a_dataset_with_its_own_test_part_keeps_it_and_gives_up_a_share_for_validation() {
    let folder = tempfile::tempdir().expect("folder");
    digits::write(&Digits { train: 600, test: 100, seed: 1 }, folder.path(), &Null).expect("writes");
    let parts = dataset(folder.path(), Split::default()).load(None, &Null).expect("loads");
    assert_eq!(parts.test.len(), 100);
    assert_eq!(parts.train.len() + parts.val.len(), 600);
    assert!((30..100).contains(&parts.val.len()), "{}", parts.val.len());
    assert_eq!(parts.classes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(parts.train.shape, [1, 28, 28]);
    let Storage::Memory(Inputs::U8(pixels)) = &parts.train.inputs else { panic!("images are bytes") };
    assert_eq!(pixels.len(), parts.train.len() * 784);
    assert_eq!(parts.test.origins.name(99).as_deref(), Some("t10k-images-idx3-ubyte.gz:100"));
    assert_eq!((parts.statistics[0].rows, parts.statistics[0].max), (700, Some(9.0)));
}

#[test]
fn examples_keep_their_targets_and_their_part_as_data_grow() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |count: u8| {
        let pixels: Vec<u8> = (0..count).flat_map(|i| [i, i % 3]).collect();
        let labels: Vec<u8> = (0..count).map(|i| i % 3).collect();
        file(folder.path(), "train-images-idx3-ubyte", 8, &[count.into(), 1, 2], &pixels);
        file(folder.path(), "train-labels-idx1-ubyte", 8, &[count.into()], &labels);
        dataset(folder.path(), Split { val: 0.2, test: 0.3, ..Split::default() })
            .load(None, &Null)
            .expect("loads")
    };
    let (small, large) = (write(100), write(200));
    for (part, grown) in [(&small.train, &large.train), (&small.val, &large.val), (&small.test, &large.test)]
    {
        assert!(!part.is_empty());
        assert_eq!(part.keys[..], grown.keys[..part.len()]);
        let (Storage::Memory(Inputs::U8(pixels)), Targets::Class(targets)) = (&part.inputs, &part.targets)
        else {
            panic!("types")
        };
        for (pixels, target) in pixels.chunks(2).zip(targets.iter()) {
            assert_eq!(u32::from(pixels[1]), *target);
        }
    }
}

#[test]
fn a_dataset_that_does_not_fit_together_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    assert!(error(path).contains("`train-images-idx3-ubyte`"));
    file(path, "train-images-idx3-ubyte", 8, &[2, 1, 1], &[1, 2]);
    assert!(error(path).contains("no labels of part `train`"));
    file(path, "train-labels-idx1-ubyte", 8, &[3], &[1, 2, 3]);
    let mismatch = error(path);
    assert!(mismatch.contains("2 examples") && mismatch.contains("3 labels"), "{mismatch}");
    file(path, "train-labels-idx1-ubyte", 8, &[2], &[1, 2]);
    file(path, "t10k-images-idx3-ubyte", 8, &[1, 2, 1], &[1, 2]);
    file(path, "t10k-labels-idx1-ubyte", 8, &[1], &[1]);
    assert!(error(path).contains("examples of `train-images-idx3-ubyte` are [1, 1, 1]"), "{}", error(path));
    file(path, "other-train-images-idx3-ubyte", 8, &[1, 1, 1], &[1]);
    assert!(error(path).contains("are the same part"), "{}", error(path));
}

#[test]
fn labels_and_values_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    file(path, "train-images-idx2-float", 0x0D, &[1, 1], &f32::NAN.to_be_bytes());
    file(path, "train-labels-idx1-ubyte", 8, &[1], &[1]);
    assert!(error(path).contains("no finite number"));
    file(path, "train-images-idx2-float", 0x0D, &[0, 0], &[]);
    file(path, "train-labels-idx1-ubyte", 8, &[0], &[]);
    assert!(error(path).contains("empty"));
}

#[test]
fn numbers_as_labels_make_a_regression_and_asking_for_classes_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    file(path, "train-images-idx2-float", 0x0D, &[1, 2], &[0; 8]);
    file(path, "train-labels-idx1-float", 0x0D, &[1], &0.5f32.to_be_bytes());
    let dataset = dataset(path, Split { val: 0.0, test: 0.0, ..Split::default() });
    let parts = dataset.load(None, &Null).expect("loads");
    let Targets::Value(values) = &parts.train.targets else { panic!("numbers") };
    assert_eq!((values[0], parts.train.shape.as_slice()), (0.5, &[2][..]));
    let refused = dataset.predicting(TargetKind::Class).load(None, &Null).expect_err("no classes");
    assert!(refused.to_string().contains("label 1 is 0.5"), "{refused}");
}

#[test]
fn another_shape_of_as_many_values_is_given_and_one_of_others_refused() {
    let folder = tempfile::tempdir().expect("folder");
    digits::write(&Digits { train: 5, test: 1, seed: 1 }, folder.path(), &Null).expect("writes");
    let dataset = dataset(folder.path(), Split::default());
    assert_eq!(dataset.load(Some(&[784]), &Null).expect("loads").train.shape, [784]);
    assert!(dataset.load(Some(&[3, 28, 28]), &Null).is_err());
}
