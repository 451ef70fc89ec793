//! Folders of images by class.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::decoded::Kept;
use super::storage::{Room, Writer};
use super::stored::{Answers, Stored, assemble};
use super::{DataError, Dataset, Parts, images, split};
use crate::base::{Level, Sink, Unit, plural};

/// Images decoded between two progress events.
const STRIDE: u64 = 256;
/// Bytes of decoded images that are on their way to their storage at a time, and how many images at least.
const BUFFER: usize = 16 << 20;
const FEWEST: usize = 16;

/// The images of one part, before any is read.
struct Listing {
    /// Path relative to the dataset and class, sorted by path.
    images: Vec<(String, String)>,
}

/// Training, validation and test images; the latter two only where the folder brings parts.
type Listings = (Listing, Option<Listing>, Option<Listing>);

/// What the folder holds; counts other files.
fn listings(root: &Path, others: &mut u64) -> Result<Listings, DataError> {
    let own = |name: &str| root.join(name).is_dir().then(|| name.to_owned());
    let mut list = |part: Option<String>| -> Result<Option<Listing>, DataError> {
        part.map(|part| list(root, &part, others)).transpose()
    };
    let brings_parts = own("train").is_some();
    let train = list(Some(own("train").unwrap_or_default()))?.filter(|listing| !listing.images.is_empty());
    let (val, test) = if brings_parts {
        (list(own("val").or_else(|| own("validation")))?, list(own("test"))?)
    } else {
        (None, None)
    };
    match train {
        Some(train) => Ok((train, val, test)),
        None => Err(DataError::Layout {
            path: root.display().to_string(),
            format: "images",
            detail: "it has no folder with PNG, JPEG or WebP files; each class is a folder of its images"
                .into(),
        }),
    }
}

fn classes((train, val, test): &Listings) -> Vec<String> {
    let all = [Some(train), val.as_ref(), test.as_ref()].into_iter().flatten();
    let classes: BTreeSet<&str> =
        all.flat_map(|listing| &listing.images).map(|(_, class)| class.as_str()).collect();
    classes.into_iter().map(str::to_owned).collect()
}

/// The classes of a folder of images, without looking at any.
pub fn image_classes(root: &Path) -> Result<Vec<String>, DataError> {
    Ok(classes(&listings(root, &mut 0)?))
}

pub(super) fn load(dataset: &Dataset, shape: Option<&[usize]>, sink: &dyn Sink) -> Result<Parts, DataError> {
    let root = &dataset.path;
    let mut others = 0;
    let listings = listings(root, &mut others)?;
    let classes = classes(&listings);
    let (train, val, test) = listings;
    if others > 0 {
        let text = format!(
            "left out {} of `{}`: no `.png`, `.jpg`, `.jpeg` or `.webp`",
            plural(others, "file"),
            dataset.name
        );
        sink.log(Level::Warn, &text);
    }

    let shape = match shape {
        Some(shape) => shape.to_vec(),
        None => {
            let first = &train.images[0].0;
            images::shape(&read(root, first)?, first)?
        }
    };
    images::check_shape(&shape, dataset.name.as_str())?;
    let all = || [Some(&train), val.as_ref(), test.as_ref()].into_iter().flatten();
    let progress =
        Progress { done: AtomicU64::new(0), total: all().map(|l| l.images.len() as u64).sum(), sink };
    let room = dataset.room(progress.total.saturating_mul(shape.iter().product::<usize>() as u64));
    let images = usize::try_from(progress.total).unwrap_or(usize::MAX);
    let open = || dataset.decoded.as_ref().map_or(Kept::Not, |decoded| decoded.open(&shape, images));
    let kept = open();
    let was_kept = matches!(kept, Kept::Read { .. });
    let decoded = |mut kept: Kept| -> Result<Option<_>, DataError> {
        let mut decode =
            |listing: &Listing| listing.decode(root, &shape, &classes, &room, &mut kept, &progress);
        let train = decode(&train)?;
        let (val, test) =
            (val.as_ref().map(&mut decode).transpose()?, test.as_ref().map(&mut decode).transpose()?);
        Ok(kept.finish().then_some((train, val, test)))
    };
    let found = match decoded(kept)? {
        None => {
            let text = format!(
                "what was kept of the decoded images of `{}` is damaged: decoding anew",
                dataset.name
            );
            sink.log(Level::Warn, &text);
            decoded(open())?
        }
        found => found,
    };
    if was_kept {
        sink.log(Level::Debug, &format!("the images of `{}` were decoded before", dataset.name));
    }
    let (train, val, test) = found.ok_or_else(|| DataError::Layout {
        path: root.display().to_string(),
        format: "images",
        detail: "its decoded images cannot be read".into(),
    })?;
    assemble(train, val, test, &dataset.spec.split, &shape, classes)
}

/// The images of `part`, a folder of class folders below `root`; counts other files.
fn list(root: &Path, part: &str, others: &mut u64) -> Result<Listing, DataError> {
    let mut images = Vec::new();
    for class in entries(&root.join(part))? {
        let name = class.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if class.is_dir() && !name.starts_with('.') {
            walk(root, &class, &name, &mut images, others)?;
        }
    }
    images.sort();
    Ok(Listing { images })
}

fn walk(
    root: &Path,
    folder: &Path,
    class: &str,
    images: &mut Vec<(String, String)>,
    others: &mut u64,
) -> Result<(), DataError> {
    for path in entries(folder)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_link = path.is_symlink();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            // A linked folder could lead in circles.
            if !is_link {
                walk(root, &path, class, images, others)?;
            }
            continue;
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        if !matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg" | "webp")) {
            *others += 1;
            continue;
        }
        let Some(relative) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
            return Err(DataError::Layout {
                path: path.display().to_string(),
                format: "images",
                detail: "its name is not UTF-8".into(),
            });
        };
        images.push((relative.replace('\\', "/"), class.to_owned()));
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(DataError::io("read", folder))
}

fn read(root: &Path, name: &str) -> Result<Vec<u8>, DataError> {
    let path = root.join(name);
    std::fs::read(&path).map_err(DataError::io("read", &path))
}

struct Progress<'a> {
    done: AtomicU64,
    total: u64,
    sink: &'a dyn Sink,
}

impl Progress<'_> {
    fn many(&self, images: u64) {
        let done = self.done.fetch_add(images, Ordering::Relaxed) + images;
        self.sink.progress("reading decoded images", done, Some(self.total), Unit::Files);
    }

    fn one(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(STRIDE) || done == self.total {
            self.sink.progress("decoding", done, Some(self.total), Unit::Files);
        }
    }
}

impl Listing {
    fn decode(
        &self,
        root: &Path,
        shape: &[usize],
        classes: &[String],
        room: &Room,
        kept: &mut Kept,
        progress: &Progress<'_>,
    ) -> Result<Stored, DataError> {
        let width = shape.iter().product::<usize>();
        let mut writer = Writer::new(room, true, self.images.len(), width)?;
        let mut keys = Vec::with_capacity(self.images.len());
        let at_once = (BUFFER / width).max(FEWEST).min(self.images.len().max(1));
        let mut values = vec![0; width * at_once];
        for images in self.images.chunks(at_once) {
            let values = &mut values[..images.len() * width];
            if let Some(known) = kept.next(values, width) {
                progress.many(images.len() as u64);
                keys.extend(known);
                writer.bytes(values)?;
                continue;
            }
            let decoded: Vec<Result<u64, DataError>> = values
                .par_chunks_exact_mut(width)
                .zip(images)
                .map(|(values, (name, _))| {
                    let bytes = read(root, name)?;
                    values.copy_from_slice(&images::decode(&bytes, shape, name)?);
                    progress.one();
                    Ok(split::key(&bytes))
                })
                .collect();
            // The first in order, so that the same folder always gives the same error.
            let decoded = decoded.into_iter().collect::<Result<Vec<u64>, _>>()?;
            kept.keep(values, width, &decoded);
            keys.extend(decoded);
            writer.bytes(values)?;
        }
        let (files, labels): (Vec<_>, Vec<_>) = self.images.iter().cloned().unzip();
        let index = |label: &String| classes.binary_search(label).unwrap_or_default() as u32;
        Ok(Stored {
            width,
            values: writer.finish()?,
            answers: Answers::Class(labels.iter().map(index).collect()),
            places: (0..files.len() as u32).map(|file| (file, 0)).collect(),
            keys,
            files: Arc::new(files),
        })
    }
}

#[cfg(test)]
mod tests;
