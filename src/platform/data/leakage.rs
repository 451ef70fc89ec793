//! Examples that stand in more than one part, or nearly so.

use std::collections::{HashMap, HashSet};

use super::near::{self, Alike};
use super::{DataError, Dataset, Examples, NearGuard, Parts, phash};
use crate::base::{Digest, Leakage, Near};

/// How many overlapping examples are named.
const SAMPLES: usize = 20;

/// The parts in the order in which an example is looked for in earlier ones.
const PARTS: [&str; 3] = ["train", "val", "test"];

/// Finds examples of `test` or `val` that are also in `train`, or of `test` that are also in `val`, by the hash of their
/// input as stored, and with `guard: {near: …}` those that are nearly so; `tree` is the id of the dataset's root. Each
/// example counts once.
///
/// # Errors
/// [`DataError::Guard`] if the data cannot be compared as the guard says; [`DataError::Io`] if a scratch file cannot be read.
pub fn leakage(dataset: &Dataset, parts: &Parts, tree: Digest) -> Result<Leakage, DataError> {
    let all = [&parts.train, &parts.val, &parts.test];
    // Where each input stands first; parts in the order in which they may look.
    let mut seen: HashMap<u64, (usize, usize)> = HashMap::new();
    let mut overlap = HashSet::new();
    let mut samples = Vec::new();
    for (number, part) in all.iter().enumerate() {
        for (index, key) in part.keys.iter().enumerate() {
            match seen.get(key) {
                Some(&(other, at)) if other != number => {
                    overlap.insert((number, index));
                    if samples.len() < SAMPLES {
                        samples.push(format!(
                            "{} is {}",
                            describe(&all, number, index),
                            describe(&all, other, at)
                        ));
                    }
                }
                Some(_) => {}
                None => {
                    seen.insert(*key, (number, index));
                }
            }
        }
    }
    let near = match dataset.spec.guard.near {
        Some(guard) => Some(find_near(dataset.name.as_str(), all, guard, &overlap)?),
        None => None,
    };
    Ok(Leakage {
        data: dataset.name.clone(),
        tree,
        settings: dataset.settings(),
        overlap: overlap.len() as u64,
        examples: all.iter().map(|part| part.len() as u64).sum(),
        samples,
        near,
    })
}

/// Images that are nearly those of an earlier part; those that are wholly in one, `known`, are counted already.
fn find_near(
    name: &str,
    parts: [&Examples; 3],
    guard: NearGuard,
    known: &HashSet<(usize, usize)>,
) -> Result<Near, DataError> {
    if guard.distance > NearGuard::FARTHEST {
        let detail = format!("`near.distance` is {}, more than {}", guard.distance, NearGuard::FARTHEST);
        return Err(DataError::Guard { name: name.to_owned(), detail });
    }
    let place = |(part, index): (u8, u32)| (usize::from(part), index as usize);
    let mut found = near::alike(name, parts, guard.distance)?;
    found.retain(|alike| !known.contains(&place(alike.image)));
    let sample = |alike: &Alike| {
        let ((part, index), (other, at)) = (place(alike.image), place(alike.like));
        let (image, like) = (describe(&parts, part, index), describe(&parts, other, at));
        format!("{image} is like {like} ({} of {} bits differ)", alike.distance, phash::BITS)
    };
    Ok(Near {
        distance: guard.distance,
        found: found.len() as u64,
        samples: found.iter().take(SAMPLES).map(sample).collect(),
    })
}

/// `test t10k-images-idx3-ubyte:17`, or `test 17` for examples whose origin is not known.
fn describe(parts: &[&Examples; 3], number: usize, index: usize) -> String {
    let part = PARTS[number];
    match parts[number].origins.name(index) {
        Some(origin) => format!("{part} {}", origin.escape_debug()),
        None => format!("{part} {}", index + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::base::Null;
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
        let found = leakage(&dataset(Format::Csv, Path::new("/x")), &parts, tree).expect("compares");
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

    /// A folder with thirty digits as PNG in each of `train/` and `test/`.
    fn digits() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        let spec = crate::platform::data::Digits { train: 60, test: 1, seed: 5 };
        crate::platform::data::digits::write(&spec, folder.path(), &Null).expect("writes");
        let dataset = dataset(Format::Idx, folder.path());
        let parts = dataset.load(None, &Null).expect("loads");
        let pixels = parts.train.inputs.range(0..50, 784).expect("reads");
        let crate::platform::data::Inputs::U8(pixels) = pixels else { panic!("bytes") };
        let folder = tempfile::tempdir().expect("folder");
        for (index, pixels) in pixels.chunks(784).take(50).enumerate() {
            let part = if index % 2 == 0 { "train" } else { "test" };
            let path = folder.path().join(part).join("digit").join(format!("{index:02}.png"));
            std::fs::create_dir_all(path.parent().expect("has one")).expect("makes");
            let image = image::GrayImage::from_raw(28, 28, pixels.to_vec()).expect("fits");
            image.save(path).expect("writes");
        }
        folder
    }

    #[test]
    fn images_that_were_written_again_in_another_part_are_counted_and_named() {
        let folder = digits();
        let path = |name: &str| folder.path().join(name);
        let mut dataset = dataset(Format::Images, folder.path());
        dataset.spec.guard.near = Some(NearGuard::default());
        let look = |dataset: &Dataset| {
            let parts = dataset.load(None, &Null).expect("loads");
            leakage(dataset, &parts, Digest::of(b"")).expect("compares")
        };
        let clean = look(&dataset);
        assert_eq!((clean.overlap, clean.near.map(|near| near.found)), (0, Some(0)));
        // One as it is, one as JPEG, one darker.
        std::fs::copy(path("train/digit/00.png"), path("test/digit/same.png")).expect("copies");
        let image = image::open(path("train/digit/02.png")).expect("reads");
        image.save(path("test/digit/again.jpg")).expect("writes");
        let mut darker = image::open(path("train/digit/04.png")).expect("reads").into_luma8();
        darker.iter_mut().for_each(|value| *value = (f32::from(*value) * 0.8) as u8);
        darker.save(path("test/digit/darker.png")).expect("writes");
        let found = look(&dataset);
        assert_eq!(found.samples, ["test test/digit/same.png is train train/digit/00.png"]);
        let near = found.near.expect("was looked for");
        assert_eq!((near.found, near.samples.len()), (2, 2));
        for (sample, begins) in near.samples.iter().zip([
            "test test/digit/again.jpg is like train train/digit/02.png (",
            "test test/digit/darker.png is like train train/digit/04.png (",
        ]) {
            assert!(sample.starts_with(begins), "{sample}");
        }
        dataset.spec.guard.near = None;
        assert_eq!(look(&dataset).near, None);
    }

    #[test]
    fn what_is_no_image_is_not_compared_as_one() {
        let mut dataset = dataset(Format::Csv, Path::new("/x"));
        dataset.spec.guard.near = Some(NearGuard::default());
        let parts = Parts { train: examples(&[1], "a"), ..Parts::default() };
        let error = leakage(&dataset, &parts, Digest::of(b"")).expect_err("no image");
        assert!(error.to_string().contains("`near` compares images"), "{error}");
        dataset.spec.guard.near = Some(NearGuard { distance: 25, max: 0 });
        let error = leakage(&dataset, &parts, Digest::of(b"")).expect_err("too far");
        assert!(error.to_string().contains("25, more than 24"), "{error}");
    }

    #[test]
    fn parts_without_common_examples_do_not_leak() {
        let parts = Parts { train: examples(&[1, 1], "a"), test: examples(&[2], "b"), ..Parts::default() };
        let found =
            leakage(&dataset(Format::Csv, Path::new("/x")), &parts, Digest::of(b"")).expect("compares");
        assert_eq!((found.overlap, found.samples.len()), (0, 0));
    }
}
