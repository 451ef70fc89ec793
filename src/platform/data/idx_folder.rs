//! A folder of IDX files under MNIST's names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::idx::{Element, Idx, malformed};
use super::stored::{Answers, Stored, Values, assemble, keys};
use super::{DataError, Dataset, Parts, TargetKind};
use crate::base::{Sink, Unit};

/// Images (or vectors) and labels of one part.
struct Pair {
    images: Idx,
    labels: Idx,
    images_name: String,
    labels_name: String,
}

pub(super) fn load(dataset: &Dataset, shape: Option<&[usize]>, sink: &dyn Sink) -> Result<Parts, DataError> {
    let files = find(&dataset.path)?;
    let total = files.len() as u64;
    let mut done = 0;
    let mut pair = |part: &'static str| -> Result<Option<Pair>, DataError> {
        let (images, labels) = (files.get(&(part, "images")), files.get(&(part, "labels")));
        let (images_name, labels_name) = match (images, labels) {
            (None, None) => return Ok(None),
            (Some(images), Some(labels)) => (images, labels),
            (None, _) => {
                return Err(layout(&dataset.path, format!("it has labels but no images of part `{part}`")));
            }
            (_, None) => {
                return Err(layout(&dataset.path, format!("it has images but no labels of part `{part}`")));
            }
        };
        let mut read = |name: &String| {
            sink.progress("reading", done, Some(total), Unit::Files);
            done += 1;
            Idx::read(&dataset.path.join(name), name)
        };
        let pair = Pair {
            images: read(images_name)?,
            labels: read(labels_name)?,
            images_name: images_name.clone(),
            labels_name: labels_name.clone(),
        };
        pair.check()?;
        Ok(Some(pair))
    };
    let train = pair("train")?.ok_or_else(|| {
        layout(&dataset.path, "`train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz` is missing")
    })?;
    let (val, test) = (pair("val")?, pair("test")?);
    sink.progress("reading", total, Some(total), Unit::Files);

    let stored_shape = train.shape();
    let whole = [Some(&train), val.as_ref(), test.as_ref()];
    for other in whole.into_iter().flatten() {
        if other.shape() != stored_shape || other.images.element != train.images.element {
            let detail = format!(
                "examples of `{}` are {:?}, those of `{}` {:?}",
                train.images_name,
                stored_shape,
                other.images_name,
                other.shape()
            );
            return Err(layout(&dataset.path, detail));
        }
    }
    let shape = wanted(dataset, &stored_shape, shape)?;
    let as_numbers = match dataset.target {
        TargetKind::Value => true,
        TargetKind::Class => false,
        TargetKind::Auto => matches!(train.labels.element, Element::F32 | Element::F64),
    };
    let classes = if as_numbers { Vec::new() } else { classes(whole)? };
    let stored = |pair: Pair| pair.stored(&classes, as_numbers);
    let (train, val, test) = (stored(train)?, val.map(stored).transpose()?, test.map(stored).transpose()?);
    let classes = classes.iter().map(i64::to_string).collect();
    Ok(assemble(train, val, test, &dataset.spec.split, &shape, classes))
}

/// The files of a folder by part and content; a plain file goes before its compressed twin.
fn find(folder: &Path) -> Result<BTreeMap<(&'static str, &'static str), String>, DataError> {
    let mut files: BTreeMap<_, String> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let entry = entry.map_err(DataError::io("read", folder))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // What a download left unfinished begins with a dot.
        let Some(slot) = slot(&name).filter(|_| !name.starts_with('.')) else { continue };
        match files.get(&slot) {
            Some(other) if name.strip_suffix(".gz") == Some(other) => {}
            Some(other) if other.strip_suffix(".gz") != Some(&name) => {
                let (first, second) = if *other < name { (other, &name) } else { (&name, other) };
                return Err(layout(folder, format!("`{first}` and `{second}` are the same part")));
            }
            _ => {
                files.insert(slot, name);
            }
        }
    }
    Ok(files)
}

/// Part and content of a file by its name: `train-images-idx3-ubyte.gz`, `t10k-labels.idx1-ubyte`,
/// `emnist-letters-test-images-idx3-ubyte`.
fn slot(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let stem = &name[..name.rfind("-idx").or_else(|| name.rfind(".idx"))?];
    let (stem, content) = match stem.strip_suffix("-images") {
        Some(stem) => (stem, "images"),
        None => (stem.strip_suffix("-labels")?, "labels"),
    };
    let part = match stem.rsplit('-').next()? {
        "train" => "train",
        "val" | "validation" => "val",
        "t10k" | "test" => "test",
        _ => return None,
    };
    Some((part, content))
}

/// The shape of examples: as asked, if it has as many values as the stored one.
fn wanted(dataset: &Dataset, stored: &[usize], asked: Option<&[usize]>) -> Result<Vec<usize>, DataError> {
    match asked {
        Some(shape) if shape.iter().product::<usize>() != stored.iter().product::<usize>() => {
            Err(DataError::Shape {
                name: dataset.name.to_string(),
                wanted: shape.to_vec(),
                detail: format!("its IDX files hold {stored:?}"),
            })
        }
        Some(shape) => Ok(shape.to_vec()),
        None => Ok(stored.to_vec()),
    }
}

/// All labels that occur, sorted.
fn classes(pairs: [Option<&Pair>; 3]) -> Result<Vec<i64>, DataError> {
    let mut classes = std::collections::BTreeSet::new();
    for pair in pairs.into_iter().flatten() {
        for (index, number) in pair.labels.numbers().enumerate() {
            if number.fract() != 0.0 || number.abs() > 1e15 {
                let detail = format!("label {} is {number}, no class", index + 1);
                return Err(malformed(&pair.labels_name, detail));
            }
            classes.insert(number as i64);
        }
    }
    Ok(classes.into_iter().collect())
}

impl Pair {
    fn check(&self) -> Result<(), DataError> {
        if self.labels.dimensions.len() != 1 {
            let detail = format!("labels have one dimension, it has {}", self.labels.dimensions.len());
            return Err(malformed(&self.labels_name, detail));
        }
        if self.images.count() != self.labels.count() {
            let detail = format!(
                "it holds {} images, `{}` holds {} labels",
                self.images.count(),
                self.labels_name,
                self.labels.count()
            );
            return Err(malformed(&self.images_name, detail));
        }
        if self.images.dimensions.len() < 2 || self.images.width() == 0 {
            return Err(malformed(
                &self.images_name,
                format!("its examples are empty: {:?}", self.images.dimensions),
            ));
        }
        Ok(())
    }

    /// Shape of one example; images of one channel get their channel dimension.
    fn shape(&self) -> Vec<usize> {
        match self.images.dimensions[1..] {
            [height, width] => vec![1, height, width],
            ref shape => shape.to_vec(),
        }
    }

    fn stored(self, classes: &[i64], as_numbers: bool) -> Result<Stored, DataError> {
        let width = self.images.width();
        let keys = keys(&self.images.bytes, width * self.images.element.size());
        let answers = if as_numbers {
            Answers::Value(self.labels.numbers().map(|number| number as f32).collect())
        } else {
            let index = |number: f64| classes.partition_point(|class| *class < number as i64) as u32;
            Answers::Class(self.labels.numbers().map(index).collect())
        };
        let values = match self.images.element {
            Element::U8 => Values::U8(self.images.bytes),
            _ => {
                let numbers: Vec<f32> = self.images.numbers().map(|number| number as f32).collect();
                if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                    let detail = format!("example {} holds a value that is no finite number", at / width + 1);
                    return Err(malformed(&self.images_name, detail));
                }
                Values::F32(numbers)
            }
        };
        let places = (1..=keys.len() as u32).map(|index| (0, index)).collect();
        Ok(Stored { width, values, answers, keys, files: Arc::new(vec![self.images_name]), places })
    }
}

fn layout(folder: &Path, detail: impl Into<String>) -> DataError {
    DataError::Layout { path: folder.display().to_string(), format: "idx", detail: detail.into() }
}

#[cfg(test)]
mod tests;
