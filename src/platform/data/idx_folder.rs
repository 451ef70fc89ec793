//! A folder of IDX files under MNIST's names.

use std::collections::BTreeMap;
use std::path::Path;

use super::pairs::{self, Pair};
use super::{DataError, Dataset, Parts, idx};
use crate::base::{Sink, Unit};

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
            idx::read(&dataset.path.join(name), name)
        };
        Pair {
            format: "IDX",
            inputs: read(images_name)?,
            targets: read(labels_name)?,
            inputs_name: images_name.clone(),
            targets_name: labels_name.clone(),
        }
        .checked()
        .map(Some)
    };
    let train = pair("train")?.ok_or_else(|| {
        layout(&dataset.path, "`train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz` is missing")
    })?;
    let (val, test) = (pair("val")?, pair("test")?);
    sink.progress("reading", total, Some(total), Unit::Files);
    pairs::load(dataset, shape, "idx", [Some(train), val, test])
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

fn layout(folder: &Path, detail: impl Into<String>) -> DataError {
    DataError::Layout { path: folder.display().to_string(), format: "idx", detail: detail.into() }
}

#[cfg(test)]
mod tests;
