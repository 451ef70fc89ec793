//! Examples that stand in more than one part.

use std::collections::HashMap;

use super::{Dataset, Examples, Parts};
use crate::base::{Digest, Leakage};

/// How many overlapping examples are named.
const SAMPLES: usize = 20;

/// Finds examples of `test` or `val` that are also in `train`, or of `test` that are also in `val`, by the hash of their
/// input as stored; `tree` is the id of the dataset's root. Each example counts once.
pub fn leakage(dataset: &Dataset, parts: &Parts, tree: Digest) -> Leakage {
    // Where each input stands first; parts in the order in which they may look.
    let mut seen: HashMap<u64, (&str, &Examples, usize)> = HashMap::new();
    let (mut overlap, mut examples, mut samples) = (0, 0, Vec::new());
    for (name, part) in [("train", &parts.train), ("val", &parts.val), ("test", &parts.test)] {
        examples += part.len() as u64;
        for (index, key) in part.keys.iter().enumerate() {
            match seen.get(key) {
                Some((other, first, at)) if *other != name => {
                    overlap += 1;
                    if samples.len() < SAMPLES {
                        samples.push(format!(
                            "{} is {}",
                            describe(name, part, index),
                            describe(other, first, *at)
                        ));
                    }
                }
                Some(_) => {}
                None => {
                    seen.insert(*key, (name, part, index));
                }
            }
        }
    }
    Leakage { data: dataset.name.clone(), tree, settings: dataset.settings(), overlap, examples, samples }
}

/// `test t10k-images-idx3-ubyte:17`, or `test 17` for examples whose origin is not known.
fn describe(part: &str, examples: &Examples, index: usize) -> String {
    match examples.origins.name(index) {
        Some(origin) => format!("{part} {}", origin.escape_debug()),
        None => format!("{part} {}", index + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::platform::data::{Format, Origins, tests::dataset};

    fn examples(keys: &[u64], file: &str) -> Examples {
        Examples {
            keys: Arc::new(keys.to_vec()),
            origins: Origins {
                files: Arc::new(vec![file.to_owned()]),
                places: Arc::new((1..=keys.len() as u32).map(|line| (0, line)).collect()),
            },
            ..Examples::default()
        }
    }

    #[test]
    fn each_example_that_stands_in_an_earlier_part_is_counted_and_named() {
        let parts = Parts {
            train: examples(&[1, 2, 2, 3], "train.csv"),
            val: examples(&[4, 4], "val.csv"),
            test: examples(&[2, 5, 4, 2], "test.csv"),
            ..Parts::default()
        };
        let tree = Digest::of(b"tree");
        let found = leakage(&dataset(Format::Csv, Path::new("/x")), &parts, tree);
        assert_eq!((found.overlap, found.examples, found.tree), (3, 10, tree));
        assert_eq!(
            found.samples,
            [
                "test test.csv:1 is train train.csv:2",
                "test test.csv:3 is val val.csv:1",
                "test test.csv:4 is train train.csv:2"
            ]
        );
    }

    #[test]
    fn parts_without_common_examples_do_not_leak() {
        let parts = Parts { train: examples(&[1, 1], "a"), test: examples(&[2], "b"), ..Parts::default() };
        let found = leakage(&dataset(Format::Csv, Path::new("/x")), &parts, Digest::of(b""));
        assert_eq!((found.overlap, found.samples.len()), (0, 0));
    }
}
