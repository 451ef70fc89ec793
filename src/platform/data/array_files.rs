//! Arrays by name: NPY files in a folder, the arrays of an NPZ file, the tensors of a safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata};
use zip::{CompressionMethod, ZipArchive};

use super::array::{Array, Element, Order};
use super::bounded::Holds;
use super::pairs::{self, Pair};
use super::{DataError, Dataset, Format, Parts, npy};
use crate::base::{Sink, Unit};

/// How many names of arrays a message tells.
const NAMED: usize = 12;
/// Longest header of a safetensors file, as the crate has it.
const LONGEST_HEADER: u64 = 100_000_000;

const PARTS: [&str; 3] = ["train", "val", "test"];

/// Where one array stands.
#[derive(Clone, Debug)]
struct Entry {
    path: PathBuf,
    /// The file's name.
    file: String,
    /// Its name in the file; none for an NPY file.
    key: Option<String>,
}

/// Part and content of an array, `("train", "x")`.
type Slot = (&'static str, &'static str);

pub(super) fn load(dataset: &Dataset, shape: Option<&[usize]>, sink: &dyn Sink) -> Result<Parts, DataError> {
    let found = Found::of(dataset)?;
    let total = found.arrays.len() as u64;
    let mut done = 0;
    let pairs = found.pairs(|entry| {
        sink.progress("reading", done, Some(total), Unit::Files);
        done += 1;
        entry.read()
    })?;
    sink.progress("reading", total, Some(total), Unit::Files);
    pairs::load(dataset, shape, found.format, pairs)
}

/// The shape that examples have or are asked to have, by the headers alone.
pub(super) fn shape(dataset: &Dataset, asked: Option<&[usize]>) -> Result<Vec<usize>, DataError> {
    let found = Found::of(dataset)?;
    pairs::shape(dataset, asked, found.format, &found.pairs(Entry::header)?)
}

/// The arrays of a dataset.
struct Found {
    /// As in `mlp.yaml`.
    format: &'static str,
    path: PathBuf,
    arrays: BTreeMap<Slot, Entry>,
    /// Arrays whose names say nothing.
    others: Vec<String>,
}

impl Found {
    fn of(dataset: &Dataset) -> Result<Self, DataError> {
        let path = &dataset.path;
        let (format, archive) = match dataset.spec.format {
            Format::Safetensors => ("safetensors", "safetensors"),
            _ => ("npy", "npz"),
        };
        let mut found = Self { format, path: path.clone(), arrays: BTreeMap::new(), others: Vec::new() };
        if !std::fs::metadata(path).map_err(DataError::io("read", path))?.is_dir() {
            found.archive(path, None)?;
            return Ok(found);
        }
        let mut archives = Vec::new();
        for entry in std::fs::read_dir(path).map_err(DataError::io("read", path))? {
            let file = entry.map_err(DataError::io("read", path))?.path();
            // What a download left unfinished begins with a dot.
            let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()).filter(|s| !s.starts_with('.'))
            else {
                continue;
            };
            let extension = file.extension().unwrap_or_default().to_ascii_lowercase();
            if extension == archive {
                archives.push((part(stem), file));
            } else if extension == "npy" && format == "npy" {
                let shown = name(&file);
                found.put(slot(stem), Entry { path: file.clone(), file: shown, key: None })?;
            }
        }
        archives.sort_by(|a, b| a.1.cmp(&b.1));
        let alone = archives.len() == 1;
        for (part, file) in &archives {
            match part {
                // `train.npz` and `test.npz`, each with `x` and `y`.
                Some(part) if !alone => found.archive(file, Some(part))?,
                _ if alone => found.archive(file, None)?,
                _ => found.others.push(name(file)),
            }
        }
        Ok(found)
    }

    /// Inputs and targets of train, val and test, as `read` gives them.
    fn pairs(
        &self,
        mut read: impl FnMut(&Entry) -> Result<Array, DataError>,
    ) -> Result<[Option<Pair>; 3], DataError> {
        let mut get = |slot: Slot| -> Result<Option<(Array, String)>, DataError> {
            let Some(entry) = self.arrays.get(&slot) else { return Ok(None) };
            Ok(Some((read(entry)?.channels_first(), entry.shown())))
        };
        let mut pair = |part: &'static str| -> Result<Option<Pair>, DataError> {
            match (get((part, "x"))?, get((part, "y"))?) {
                (None, None) => Ok(None),
                (Some((inputs, inputs_name)), Some((targets, targets_name))) => {
                    let format = if self.format == "npy" { "NPY" } else { "safetensors" };
                    Pair { format, inputs, targets, inputs_name, targets_name }.checked().map(Some)
                }
                (None, Some((_, name))) => {
                    Err(self.layout(format!("`{name}` is there, its inputs `x` are not")))
                }
                (Some((_, name)), None) => {
                    Err(self.layout(format!("`{name}` is there, its targets `y` are not")))
                }
            }
        };
        let pairs = [pair("train")?, pair("val")?, pair("test")?];
        if pairs[0].is_none() { Err(self.nothing()) } else { Ok(pairs) }
    }

    /// Notes the arrays of the file at `path`, which are all of `part` if one is given.
    fn archive(&mut self, path: &Path, part: Option<&'static str>) -> Result<(), DataError> {
        for key in keys(path, self.format)? {
            let slot = match (slot(&key), part) {
                (Some(("train", content)), Some(part)) => Some((part, content)),
                (slot, None) => slot,
                (_, Some(_)) => None,
            };
            self.put(slot, Entry { path: path.to_owned(), file: name(path), key: Some(key) })?;
        }
        Ok(())
    }

    fn put(&mut self, slot: Option<Slot>, entry: Entry) -> Result<(), DataError> {
        let Some(slot) = slot else {
            self.others.push(entry.shown());
            return Ok(());
        };
        if let Some(other) = self.arrays.get(&slot) {
            let mut both = [other.shown(), entry.shown()];
            both.sort();
            return Err(self.layout(format!("`{}` and `{}` are the same part", both[0], both[1])));
        }
        self.arrays.insert(slot, entry);
        Ok(())
    }

    fn nothing(&self) -> DataError {
        let mut others = self.others.clone();
        others.sort();
        others.truncate(NAMED);
        let others: Vec<String> = others.iter().map(|other| format!("`{}`", other.escape_debug())).collect();
        let has = if others.is_empty() { String::new() } else { format!("; it has {}", others.join(", ")) };
        self.layout(format!(
            "it has no arrays `x` and `y`, nor `x_train` and `y_train` (and `x_test`, `y_test`){has}"
        ))
    }

    fn layout(&self, detail: String) -> DataError {
        DataError::Layout { path: self.path.display().to_string(), format: self.format, detail }
    }
}

/// Part and content of an array by its name: `x`, `y_train`, `X_test`, `train_images`, `val_labels`.
fn slot(name: &str) -> Option<Slot> {
    let name = name.to_ascii_lowercase();
    let (mut place, mut content) = (None, None);
    for word in name.split('_') {
        let (slot, meaning) = match word {
            "x" | "images" | "inputs" | "features" => (&mut content, "x"),
            "y" | "labels" | "targets" => (&mut content, "y"),
            word => (&mut place, part(word)?),
        };
        if slot.replace(meaning).is_some() {
            return None;
        }
    }
    Some((place.unwrap_or("train"), content?))
}

fn part(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let word = if matches!(word.as_str(), "valid" | "validation") { "val" } else { word.as_str() };
    PARTS.into_iter().find(|part| *part == word)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Names of the arrays in the file at `path`.
fn keys(path: &Path, format: &str) -> Result<Vec<String>, DataError> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy")) {
        return Err(DataError::Layout {
            path: path.display().to_string(),
            format: "npy",
            detail: "one NPY file has no targets; let `path` be the folder with `x.npy` and `y.npy`".into(),
        });
    }
    if format == "safetensors" {
        let (metadata, _, _) = header(path)?;
        return Ok(metadata.offset_keys());
    }
    let archive = archive(path)?;
    let names = archive.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
    Ok(names.filter_map(|name| name.strip_suffix(".npy")).map(str::to_owned).collect())
}

impl Entry {
    /// `x.npy`, or `mnist.npz:x_train`.
    fn shown(&self) -> String {
        match &self.key {
            None => self.file.clone(),
            Some(key) => format!("{}:{}", self.file, key.escape_debug()),
        }
    }

    fn read(&self) -> Result<Array, DataError> {
        match &self.key {
            None => npy::read(&self.path, &self.file),
            Some(key) if self.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors")) => {
                self.tensor(key)
            }
            Some(key) => self.zipped(key),
        }
    }

    /// The array without its elements.
    fn header(&self) -> Result<Array, DataError> {
        let shown = self.shown();
        match &self.key {
            None => {
                let file = File::open(&self.path).map_err(DataError::io("read", &self.path))?;
                npy::header(&mut BufReader::new(file), &shown)
            }
            Some(key) if self.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors")) => {
                let (metadata, _, _) = header(&self.path)?;
                described(&metadata, key, &shown).map(|(array, ..)| array)
            }
            Some(key) => {
                let mut archive = archive(&self.path)?;
                let file = archive
                    .by_name(&format!("{key}.npy"))
                    .map_err(|error| malformed(&shown, "NPZ", error.to_string()))?;
                npy::header(&mut BufReader::new(file), &shown)
            }
        }
    }

    /// An array of an NPZ file, which is a zip file of NPY files.
    fn zipped(&self, key: &str) -> Result<Array, DataError> {
        let mut archive = archive(&self.path)?;
        let shown = self.shown();
        let file = archive
            .by_name(&format!("{key}.npy"))
            .map_err(|error| malformed(&shown, "NPZ", error.to_string()))?;
        let holds = match file.compression() {
            CompressionMethod::Stored => Holds::Exactly(file.size()),
            _ => Holds::deflated(file.compressed_size()),
        };
        npy::parse(&mut BufReader::new(file), holds, &shown)
    }

    /// A tensor of a safetensors file. Only its own bytes are read.
    fn tensor(&self, key: &str) -> Result<Array, DataError> {
        let shown = self.shown();
        let (metadata, start, mut file) = header(&self.path)?;
        let (array, from, to) = described(&metadata, key, &shown)?;
        // The crate has checked that shape, type and place agree.
        let length = to.saturating_sub(from) as u64;
        file.seek(SeekFrom::Start(start + from as u64)).map_err(DataError::io("read", &self.path))?;
        let bytes = Holds::Exactly(length).read(file.take(length), 0, length);
        Ok(Array { bytes: bytes.map_err(|detail| malformed(&shown, "safetensors", detail))?, ..array })
    }
}

/// The tensor `key` without its elements, and where those are.
fn described(metadata: &Metadata, key: &str, shown: &str) -> Result<(Array, usize, usize), DataError> {
    let fail = |detail: String| malformed(shown, "safetensors", detail);
    let Some(info) = metadata.info(key) else {
        return Err(fail("it is gone while the file was read".to_owned()));
    };
    let element = match info.dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::I8 => Element::I8,
        Dtype::U16 => Element::U16,
        Dtype::I16 => Element::I16,
        Dtype::U32 => Element::U32,
        Dtype::I32 => Element::I32,
        Dtype::U64 => Element::U64,
        Dtype::I64 => Element::I64,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => {
            return Err(fail(format!("elements of type {other:?} are not read; save it as F32")));
        }
    };
    if info.shape.is_empty() {
        return Err(fail("it is a single number, not an array".to_owned()));
    }
    let (from, to) = info.data_offsets;
    let array = Array { element, order: Order::Little, dimensions: info.shape.clone(), bytes: Vec::new() };
    Ok((array, from, to))
}

fn archive(path: &Path) -> Result<ZipArchive<BufReader<File>>, DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| malformed(&name(path), "NPZ", error.to_string()))
}

/// The header of a safetensors file, where its data begin, and the file.
fn header(path: &Path) -> Result<(Metadata, u64, File), DataError> {
    let fail = |detail: String| malformed(&name(path), "safetensors", detail);
    let mut file = File::open(path).map_err(DataError::io("read", path))?;
    let whole = file.metadata().map_err(DataError::io("read", path))?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| fail("it ends within the length of its header".to_owned()))?;
    let header = u64::from_le_bytes(length);
    if header > LONGEST_HEADER || header > whole.saturating_sub(8) {
        return Err(fail(format!("its header has {header} bytes, the file {whole}")));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(header).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    let start = 8 + header;
    let promised = metadata.data_len() as u64;
    if whole.checked_sub(start) != Some(promised) {
        return Err(fail(format!(
            "its header promises {promised} bytes of data, it holds {}",
            whole.saturating_sub(start)
        )));
    }
    Ok((metadata, start, file))
}

fn malformed(shown: &str, format: &'static str, detail: String) -> DataError {
    DataError::Malformed { path: shown.to_owned(), format, detail }
}

#[cfg(test)]
mod tests;
