use std::path::Path;

use super::*;
use crate::base::{Bytes, Null};
use crate::platform::data::npy::tests::npy;
use crate::platform::data::tests::dataset;
use crate::platform::data::{Digits, Examples, Format, digits};

/// All values, as numbers.
fn numbers(inputs: &Inputs) -> Vec<f32> {
    match inputs {
        Inputs::U8(values) => values.iter().map(|value| f32::from(*value)).collect(),
        Inputs::F32(values) => values.to_vec(),
    }
}

/// Both hold the same, read in whatever way.
fn compare(memory: &Examples, scratch: &Examples) {
    assert!(matches!(memory.inputs, Storage::Memory(_)), "{:?}", memory.inputs);
    assert!(matches!(scratch.inputs, Storage::Scratch(_)));
    assert_eq!((&memory.shape, &memory.keys), (&scratch.shape, &scratch.keys));
    let width: usize = memory.shape.iter().product();
    assert_eq!(memory.inputs.values(), memory.len() * width);
    assert_eq!(scratch.inputs.values(), memory.len() * width);
    assert_eq!(memory.inputs.is_bytes(), scratch.inputs.is_bytes());
    let range = |examples: &Examples, range| numbers(&examples.inputs.range(range, width).expect("reads"));
    let all = range(memory, 0..memory.len());
    assert_eq!(all, range(scratch, 0..memory.len()));
    let (from, to) = (memory.len() / 3, memory.len() / 2);
    assert_eq!(range(memory, from..to), range(scratch, from..to));
    let mut each = Vec::new();
    scratch.inputs.each(|inputs| each.extend(numbers(inputs))).expect("reads");
    assert_eq!(each, all);
    // In any order, some twice.
    let order: Vec<u32> = (0..memory.len() as u32)
        .rev()
        .chain([0, 1, 1, 2])
        .filter(|at| (*at as usize) < memory.len())
        .collect();
    for examples in [memory, scratch] {
        let batch = examples.inputs.batch(order.iter().copied()).expect("reads");
        let values = numbers(batch.inputs());
        for (asked, example) in order.iter().enumerate() {
            let (place, index) = (batch.place(asked, *example), *example as usize);
            assert_eq!(values[place * width..][..width], all[index * width..][..width]);
        }
    }
}

fn check(format: Format, path: &Path, target: Option<&str>) {
    let folder = tempfile::tempdir().expect("folder");
    let mut dataset = dataset(format, path);
    dataset.scratch = folder.path().to_owned();
    dataset.spec.target = target.map(str::to_owned);
    dataset.spec.length = Some(5);
    let memory = dataset.load(None, &Null).expect("loads");
    dataset.spec.memory = Some(Bytes(1));
    let scratch = dataset.load(None, &Null).expect("loads");
    compare(&memory.train, &scratch.train);
    compare(&memory.val, &scratch.val);
    compare(&memory.test, &scratch.test);
    // Just enough is enough.
    let all = [&memory.train, &memory.val, &memory.test].map(|part| part.inputs.values() as u64);
    let size = if memory.train.inputs.is_bytes() { 1 } else { 4 };
    for (less, fits) in [(0, true), (1, false)] {
        dataset.spec.memory = Some(Bytes(all.iter().sum::<u64>() * size - less));
        let inputs = dataset.load(None, &Null).expect("loads").train.inputs;
        assert_eq!(matches!(inputs, Storage::Memory(_)), fits);
    }
    // Of the files nothing is to be seen, not even while they are read.
    assert_eq!(std::fs::read_dir(&dataset.scratch).expect("lists").count(), 0);
}

#[test]
fn examples_in_a_scratch_file_are_those_in_memory() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);

    let images = path("digits");
    digits::write(&Digits { train: 90, test: 20, seed: 1 }, &images, &Null).expect("writes");
    check(Format::Idx, &images, None);

    for index in 0..60_u8 {
        let file = path("images").join(["a", "b"][usize::from(index % 2)]).join(format!("{index:02}.png"));
        std::fs::create_dir_all(file.parent().expect("has one")).expect("makes");
        image::GrayImage::from_fn(5, 4, |x, y| {
            image::Luma([index.wrapping_mul(31).wrapping_add((4 * y + x) as u8)])
        })
        .save(file)
        .expect("writes");
    }
    check(Format::Images, &path("images"), None);

    let rows: String =
        (0..80).map(|row| format!("{},{},{}\n", row * 7 % 50, ["x", "y", "z"][row % 3], row % 2)).collect();
    std::fs::write(path("t.csv"), format!("n,c,y\n{rows}")).expect("writes");
    check(Format::Csv, &path("t.csv"), Some("y"));

    let rows: String = (0..80).map(|row| format!("text {row},{}\n", row % 2)).collect();
    std::fs::write(path("texts.csv"), format!("text,label\n{rows}")).expect("writes");
    check(Format::Text, &path("texts.csv"), None);

    let values: Vec<u8> = (0..240).flat_map(|value| (value as f32).to_le_bytes()).collect();
    std::fs::create_dir(path("arrays")).expect("makes");
    std::fs::write(path("arrays/x.npy"), npy("<f4", "(80, 3)", &values)).expect("writes");
    std::fs::write(path("arrays/y.npy"), npy("|u1", "(80,)", &[[0, 1]; 40].concat())).expect("writes");
    check(Format::Npy, &path("arrays"), None);
}

#[test]
fn inputs_are_joined_wherever_they_lie() {
    let folder = tempfile::tempdir().expect("folder");
    let held = |fits: bool, inputs: &Inputs| -> Storage {
        let room = Room { fits, folder: folder.path().to_owned() };
        let is_bytes = matches!(inputs, Inputs::U8(_));
        let mut writer = Writer::new(&room, is_bytes, 2, 3).expect("begins");
        match inputs {
            Inputs::U8(values) => writer.bytes(values),
            Inputs::F32(values) => writer.numbers(values),
        }
        .expect("writes");
        writer.finish().expect("is written")
    };
    let bytes = || Inputs::U8(Arc::new(vec![1, 2, 3, 4, 5, 6]));
    let halves = || Inputs::F32(Arc::new(vec![0.5, 1.5, 2.5]));
    for (first, second) in
        [(bytes(), bytes()), (bytes(), halves()), (halves(), bytes()), (halves(), halves())]
    {
        let wanted = [numbers(&first), numbers(&second)].concat();
        for (one, other) in [(true, true), (true, false), (false, true), (false, false)] {
            let joined = held(one, &first).with(held(other, &second), 3).expect("joins");
            assert_eq!(matches!(joined, Storage::Memory(_)), one && other);
            let all = joined.range(0..wanted.len() / 3, 3).expect("reads");
            assert_eq!(numbers(&all), wanted);
        }
    }
}

#[test]
fn a_scratch_file_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("t.csv"), "n,y\n1,a\n2,b\n").expect("writes");
    let mut dataset = dataset(Format::Csv, &folder.path().join("t.csv"));
    dataset.spec.target = Some("y".into());
    dataset.spec.memory = Some(Bytes(1));
    dataset.scratch = folder.path().join("gone");
    let error = dataset.load(None, &Null).expect_err("there is no folder").to_string();
    assert!(error.contains("cannot make a scratch file in") && error.contains("gone"), "{error}");
}
