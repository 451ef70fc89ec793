use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::base::{Diagnose, Null};
use crate::platform::data::{
    Examples, Fold, Format, Inputs, Split, Storage, TargetKind, Targets, tests::dataset,
};

fn whole(path: &Path, target: Option<&str>) -> Dataset {
    let mut dataset = dataset(Format::Csv, path);
    dataset.spec.target = target.map(str::to_owned);
    dataset.spec.split = Split { val: 0.0, test: 0.0, ..Split::default() };
    dataset
}

fn load(text: impl AsRef<[u8]>, target: Option<&str>) -> Result<Parts, DataError> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("wine.csv");
    std::fs::write(&path, text).expect("writes");
    whole(&path, target).load(None, &Null)
}

fn numbers(examples: &Examples) -> &[f32] {
    let Storage::Memory(Inputs::F32(values)) = &examples.inputs else { panic!("tables are numbers") };
    values
}

#[test]
fn numbers_stay_and_texts_become_one_column_per_category() {
    let parts = load("age,city,sick\n30,Rome,yes\n,Bonn,no\n50,NA,yes\n", Some("sick")).expect("loads");
    assert_eq!(parts.columns, ["age", "city=Bonn", "city=Rome"]);
    assert_eq!(numbers(&parts.train), [30.0, 0.0, 1.0, 40.0, 1.0, 0.0, 50.0, 0.0, 0.0]);
    assert_eq!(parts.classes, ["no", "yes"]);
    let Targets::Class(targets) = &parts.train.targets else { panic!("classes") };
    assert_eq!(targets[..], [1, 0, 1]);
    assert_eq!(parts.train.origins.name(1).as_deref(), Some("wine.csv:3"));
    assert_eq!((parts.statistics[0].missing, parts.statistics[0].max), (1, Some(50.0)));
    assert_eq!(parts.statistics[2].name, "sick");
}

#[test]
fn the_encoding_is_learnt_on_the_training_part_and_used_on_the_others() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("train.csv"), "x,c,y\n1,a,0\n3,b,1\n").expect("writes");
    std::fs::write(folder.path().join("test.csv"), "x,c,y\n?,zebra,1\n").expect("writes");
    let parts = whole(folder.path(), Some("y")).load(None, &Null).expect("loads");
    assert_eq!(numbers(&parts.test), [2.0, 0.0, 0.0]);
    assert_eq!((parts.train.len(), parts.val.len(), parts.test.len()), (2, 0, 1));
    std::fs::write(folder.path().join("test.csv"), "x,c,y\nmany,a,1\n").expect("writes");
    let error = whole(folder.path(), Some("y")).load(None, &Null).expect_err("no number");
    assert_eq!(error.to_string(), "test.csv:2: `many` in column `x` is not a number");
    std::fs::write(folder.path().join("test.csv"), "x,y,c\n1,1,a\n").expect("writes");
    let error = whole(folder.path(), Some("y")).load(None, &Null).expect_err("other columns");
    assert!(error.to_string().contains("not those of `train.csv`"), "{error}");
}

#[test]
fn an_own_validation_part_is_divided_into_folds_too_and_each_fold_learns_its_own_encoding() {
    let folder = tempfile::tempdir().expect("folder");
    let rows = |from: u32, to: u32| -> String {
        (from..to).fold("x,y\n".to_owned(), |text, n| text + &format!("{n},{}\n", n % 2))
    };
    for (name, from, to) in [("train.csv", 0, 30), ("val.csv", 30, 60), ("test.csv", 60, 70)] {
        std::fs::write(folder.path().join(name), rows(from, to) + "?,0\n").expect("writes");
    }
    let mut seen = Vec::new();
    for number in 1..=2 {
        let fold = Some(Fold { number, of: 2 });
        let parts = whole(folder.path(), Some("y")).folded(fold).load(None, &Null).expect("loads");
        assert_eq!((parts.train.len() + parts.val.len(), parts.test.len()), (62, 11));
        let trained: Vec<f32> = numbers(&parts.train).to_vec();
        let known: Vec<f32> = trained.iter().copied().filter(|x| x.fract() == 0.0).collect();
        // A missing cell of the test is the mean of what this fold trains on.
        let mean = numbers(&parts.test)[10];
        let wanted = known.iter().sum::<f32>() / known.len() as f32;
        assert!((mean - wanted).abs() < 1.0 && mean != numbers(&parts.test)[0], "{mean} is not {wanted}");
        seen.extend(numbers(&parts.val).iter().copied().filter(|x| *x != mean));
    }
    seen.sort_by(f32::total_cmp);
    assert_eq!(seen, (0..60).map(|n| n as f32).collect::<Vec<_>>());
}

#[test]
fn a_row_with_a_cell_too_many_names_file_and_line() {
    let error = load("a,b,y\n1,2,x\n1,2,3,x\n", Some("y")).expect_err("too long");
    assert_eq!(error.to_string(), "`wine.csv:3` is not valid CSV: the row has 4 cells, the header 3");
}

#[test]
fn targets_are_classes_or_numbers() {
    let kind = |text: &str, target: TargetKind| {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).expect("writes");
        whole(&path, Some("y")).predicting(target).load(None, &Null).map(|parts| parts.classes)
    };
    let whole_numbers = "x,y\n1,10\n2,9\n3,-1\n";
    assert_eq!(kind(whole_numbers, TargetKind::Auto).expect("loads"), ["-1", "9", "10"]);
    assert!(kind(whole_numbers, TargetKind::Value).expect("loads").is_empty());
    assert!(kind("x,y\n1,0.5\n2,1\n", TargetKind::Auto).expect("loads").is_empty());
    assert_eq!(kind("x,y\n1,0.5\n2,1\n", TargetKind::Class).expect("loads"), ["0.5", "1"]);
    let error = kind("x,y\n1,0.5\n2,red\n", TargetKind::Value).expect_err("no number");
    assert_eq!(error.to_string(), "t.csv:3: `red` in column `y` is not a number");
}

#[test]
fn a_missing_or_unknown_target_says_what_to_write() {
    let text = "age,quality\n1,2\n";
    assert!(load(text, None).expect_err("none").hint().expect("hint").contains("`age`, `quality`"));
    let error = load(text, Some("qualty")).expect_err("misspelt");
    assert_eq!(error.hint().as_deref(), Some("did you mean `quality`?"));
    let error = load("age,quality\n1,2\n3,\n", Some("quality")).expect_err("empty cell");
    assert!(error.to_string().contains("wine.csv:3"), "{error}");
}

#[test]
fn files_that_are_no_table_are_refused() {
    for (text, says) in [
        (&b""[..], "one column"),
        (b"a;b\n1;2\n", "separated by commas"),
        (b"a,a\n1,2\n", "twice"),
        (b"a,y\n", "no row to train on"),
        (b"a,y\n\xff,1\n", "wine.csv:2` is not valid CSV: cell 1 is not UTF-8"),
        (b"a,y\n,1\n", "no column with values"),
    ] {
        let error = load(text, Some("y")).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    let ids: String = (0..1500).map(|i| format!("id{i},1\n")).collect();
    assert!(
        load(format!("id,y\n{ids}"), Some("y"))
            .expect_err("texts")
            .to_string()
            .contains("1500 different texts")
    );
}

#[test]
fn spaces_quotes_and_a_byte_order_mark_are_understood() {
    let parts = load("\u{feff}age, city ,y\r\n 1 ,\"Rome, Italy\",a\r\n", Some("y")).expect("loads");
    assert_eq!(parts.columns, ["age", "city=Rome, Italy"]);
}

#[test]
fn rows_with_equal_inputs_stay_in_one_part() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.csv");
    let rows: String = (0..400).map(|i| format!("{},{}\n", i % 100, i / 200)).collect();
    std::fs::write(&path, format!("x,y\n{rows}")).expect("writes");
    let mut dataset = whole(&path, Some("y"));
    dataset.spec.split = Split { val: 0.2, test: 0.2, ..Split::default() };
    let parts = dataset.load(None, &Null).expect("loads");
    for part in [&parts.train, &parts.val, &parts.test] {
        assert!(!part.is_empty() && part.len() % 4 == 0, "{}", part.len());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = load(&bytes, Some("y"));
        let _ = load([b"x,y\n", bytes.as_slice()].concat(), Some("y"));
    }
}
