use proptest::prelude::*;

use super::*;
use crate::base::Null;
use crate::platform::data::text_encoding::tests::WORDS;
use crate::platform::data::{DataSpec, Examples, Format, Inputs, Split, Storage, Targets, tests::dataset};

fn whole(path: &Path, change: impl FnOnce(&mut DataSpec)) -> Dataset {
    let mut dataset = dataset(Format::Text, path);
    dataset.spec.split = Split { val: 0.0, test: 0.0, ..Split::default() };
    dataset.spec.length = Some(3);
    change(&mut dataset.spec);
    dataset
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    std::fs::write(path, text).expect("writes");
}

fn error(dataset: &Dataset) -> String {
    dataset.load(None, &Null).expect_err("refused").to_string()
}

fn ids(examples: &Examples) -> &[f32] {
    let Storage::Memory(Inputs::F32(values)) = &examples.inputs else { panic!("ids are numbers") };
    values
}

fn classes(examples: &Examples) -> &[u32] {
    let Targets::Class(classes) = &examples.targets else { panic!("labels are classes") };
    classes
}

#[test]
fn a_table_of_texts_is_tokenised_by_the_file_beside_it() {
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path(), "train.csv", "id,review,stars\n7,\"Good, good\",pos\n8,bad,neg\n");
    write(folder.path(), "test.csv", "stars,review\npos,good film\n");
    write(folder.path(), "tokenizer.json", WORDS);
    let dataset = whole(folder.path(), |spec| {
        spec.text = Some("review".into());
        spec.target = Some("stars".into());
        spec.tokenizer = Some("tokenizer.json".into());
    });
    let parts = dataset.load(None, &Null).expect("loads");
    assert_eq!(parts.classes, ["neg", "pos"]);
    assert_eq!(
        (ids(&parts.train), classes(&parts.train)),
        (&[1.0, 0.0, 1.0, 2.0, 3.0, 3.0][..], &[1, 0][..])
    );
    assert_eq!((ids(&parts.test), classes(&parts.test)), (&[1.0, 0.0, 3.0][..], &[1][..]));
    assert_eq!(parts.train.origins.name(1).as_deref(), Some("train.csv:3"));
    assert_eq!((parts.train.shape.as_slice(), parts.statistics.len()), (&[3][..], 1));
    // Another version of the data is read as the model was trained.
    write(
        folder.path(),
        "tokenizer.json",
        WORDS.replace("\"good\": 1, \"bad\": 2", "\"good\": 2, \"bad\": 1"),
    );
    let again = dataset.tokenized(parts.text.expect("encoding")).load(Some(&[3]), &Null).expect("loads");
    assert_eq!(ids(&again.test), ids(&parts.test));
}

#[test]
fn a_file_of_lines_is_a_class() {
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path(), "train/pos.txt", "\u{feff}ab\r\n\n  b \n");
    write(folder.path(), "train/neg.txt", "c");
    write(folder.path(), "test/pos.txt", "d\n");
    write(folder.path(), "train/README.txt", "what this is");
    let parts = whole(folder.path(), |_| ()).load(None, &Null).expect("loads");
    assert_eq!(parts.classes, ["neg", "pos"]);
    assert_eq!(ids(&parts.train), [100.0, 0.0, 0.0, 98.0, 99.0, 0.0, 99.0, 0.0, 0.0]);
    assert_eq!((classes(&parts.train), classes(&parts.test)), (&[0, 1, 1][..], &[1][..]));
    assert_eq!(parts.train.origins.name(2).as_deref(), Some("train/pos.txt:3"));
    assert_eq!(parts.statistics[0].name, "label");
}

#[test]
fn equal_texts_stay_in_one_part_whatever_file_they_come_from() {
    let folder = tempfile::tempdir().expect("folder");
    let lines: String = (0..200).map(|i| format!("text {i}\n")).collect();
    write(folder.path(), "a.txt", &lines);
    write(folder.path(), "b.txt", &lines);
    let dataset = whole(folder.path(), |spec| spec.split = Split { val: 0.2, test: 0.2, ..Split::default() });
    let parts = dataset.load(None, &Null).expect("loads");
    for part in [&parts.train, &parts.val, &parts.test] {
        let zeros = classes(part).iter().filter(|class| **class == 0).count();
        assert!(zeros > 0 && zeros * 2 == part.len(), "{zeros} of {}", part.len());
    }
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    assert!(error(&whole(path, |_| ())).contains("neither `train.csv`"));
    write(path, "pos.txt", b"good\n\xff\n");
    assert_eq!(error(&whole(path, |_| ())), "`pos.txt:2` is not valid text: the line is not UTF-8");
    write(path, "train.csv", "text,label\ngood,\n");
    assert!(
        error(&whole(path, |_| ()))
            .contains("train.csv:2` is not valid CSV: column `label`, the target, is empty")
    );
    write(path, "train.csv", "text,label\ngood,pos,1\n");
    assert!(error(&whole(path, |_| ())).contains("`train.csv:2` is not valid CSV: the row has 3 cells"));
    write(path, "train.csv", "txt,label\ngood,pos\n");
    let missing = whole(path, |_| ()).load(None, &Null).expect_err("no column");
    assert!(missing.to_string().contains("no column `text`"), "{missing}");
    assert_eq!(crate::base::Diagnose::hint(&missing).as_deref(), Some("did you mean `txt`?"));
    write(path, "train.csv", "text,label\ngood,pos\n");
    write(path, "tokenizer.json", "{}");
    let named = |spec: &mut DataSpec| spec.tokenizer = Some("tokenizer.json".into());
    assert!(error(&whole(path, named)).contains("`tokenizer.json` is not valid tokenizer"));
    assert!(error(&whole(&path.join("train.csv"), named)).contains("must lie in its folder"));
    assert!(error(&whole(path, |spec| spec.tokenizer = Some("x.json".into()))).contains("x.json"));
    let error = whole(path, |_| ()).load(Some(&[4]), &Null).expect_err("another length");
    assert!(error.to_string().contains("a length of 3 tokens, the shape [3]"), "{error}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let folder = tempfile::tempdir().expect("folder");
        write(folder.path(), "a.txt", &bytes);
        let _ = whole(folder.path(), |_| ()).load(None, &Null);
        write(folder.path(), "train.csv", [b"text,label\n", bytes.as_slice()].concat());
        let _ = whole(folder.path(), |_| ()).load(None, &Null);
    }
}
