//! Texts with labels: a table with a column of texts, or one file of lines per class.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use rayon::prelude::*;

use super::rows::{self, Row, Table};
use super::split::Part;
use super::text_encoding::LARGEST_TOKENIZER;
use super::{DataError, Dataset, Parts, TextEncoding};
use crate::base::{Sink, Unit};

/// Column of the texts where nothing is said.
const TEXT: &str = "text";
/// Column of the targets where nothing is said, and the name of the classes of files of lines.
const LABEL: &str = "label";
/// Texts encoded at a time.
const AT_ONCE: usize = 4096;
/// Tokens of one text where nothing is said.
const LENGTH: usize = 128;

pub(super) fn load(dataset: &Dataset, shape: Option<&[usize]>, sink: &dyn Sink) -> Result<Parts, DataError> {
    let encoding = match &dataset.text {
        Some(encoding) => encoding.clone(),
        None => encoding(dataset)?,
    };
    if let Some(shape) = shape.filter(|shape| **shape != [encoding.length]) {
        return Err(DataError::Shape {
            name: dataset.name.to_string(),
            wanted: shape.to_vec(),
            detail: format!("its texts have a length of {0} tokens, the shape [{0}]", encoding.length),
        });
    }
    let table = table(dataset, sink)?;
    if !table.rows.iter().any(|row| row.part == Part::Train) {
        return Err(layout(dataset, "it has no text to train on".into()));
    }
    let (classes, answers) = table.answers(dataset)?;
    let encode = |row: &Row| {
        let failed = |detail| DataError::Malformed { path: table.place(row), format: "text", detail };
        encoding.encode(&row.cells[0]).map_err(failed)
    };
    let mut writer = table.writer(dataset, encoding.length)?;
    for rows in table.rows.chunks(AT_ONCE) {
        let encoded: Vec<Result<Vec<f32>, DataError>> = rows.par_iter().map(encode).collect();
        for ids in encoded {
            writer.numbers(&ids?)?;
        }
    }
    let [train, val, test] = table.divided(encoding.length, writer.finish()?, answers);
    // Of the texts there is nothing to expect.
    let statistics = table.statistics().split_off(1);
    Ok(Parts { classes, statistics, text: Some(encoding), train, val, test, ..Parts::default() })
}

/// The encoding that `mlp.yaml` asks for.
fn encoding(dataset: &Dataset) -> Result<TextEncoding, DataError> {
    let spec = &dataset.spec;
    let column = spec.text.as_deref().unwrap_or(TEXT);
    let length = spec.length.unwrap_or(LENGTH);
    let Some(name) = &spec.tokenizer else {
        return TextEncoding::bytes(column, length).map_err(|detail| layout(dataset, detail));
    };
    if !dataset.path.is_dir() {
        let detail = format!("`{name}` must lie in its folder, to be a part of its versions; it is one file");
        return Err(layout(dataset, detail));
    }
    let path = dataset.path.join(name);
    let malformed = |detail| DataError::Malformed { path: name.clone(), format: "tokenizer", detail };
    let length_on_disk = std::fs::metadata(&path).map_err(DataError::io("read", &path))?.len();
    if length_on_disk > LARGEST_TOKENIZER as u64 {
        return Err(malformed(format!("it has {length_on_disk} bytes, more than {LARGEST_TOKENIZER}")));
    }
    let bytes = std::fs::read(&path).map_err(DataError::io("read", &path))?;
    let json = String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8".into()))?;
    TextEncoding::of_file(&json, column, length).map_err(malformed)
}

/// The shape of examples, by names and headers alone.
pub(super) fn outline(dataset: &Dataset) -> Result<Vec<usize>, DataError> {
    let length = encoding(dataset)?.length;
    match extension(dataset)? {
        Some(extension) => {
            let text = dataset.spec.text.as_deref().unwrap_or(TEXT);
            let label = dataset.spec.target.as_deref().unwrap_or(LABEL);
            rows::columns(dataset, extension, Some(text), Some(label))?;
        }
        None => drop(line_files(dataset)?),
    }
    Ok(vec![length])
}

/// The format of the table that the texts lie in; none for files of lines.
fn extension(dataset: &Dataset) -> Result<Option<&'static str>, DataError> {
    let path = &dataset.path;
    let has = |name: &str| path.join(name).is_file();
    let is_file = !std::fs::metadata(path).map_err(DataError::io("read", path))?.is_dir();
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) if is_file => match extension.to_ascii_lowercase().as_str() {
            "parquet" => Some("parquet"),
            _ => Some("csv"),
        },
        None if is_file => Some("csv"),
        _ => ["csv", "parquet"].into_iter().find(|extension| has(&format!("train.{extension}"))),
    })
}

/// All texts and their labels, as a table of two columns.
fn table(dataset: &Dataset, sink: &dyn Sink) -> Result<Table, DataError> {
    match extension(dataset)? {
        Some(extension) => {
            let text = dataset.spec.text.as_deref().unwrap_or(TEXT);
            let label = dataset.spec.target.as_deref().unwrap_or(LABEL);
            Table::read(dataset, extension, Some(text), Some(label), sink)
        }
        None => lines(dataset, sink),
    }
}

/// Files of lines, one per class: `pos.txt` and `neg.txt`, below `train/`, `val/` and `test/` if the dataset brings its
/// parts.
fn lines(dataset: &Dataset, sink: &dyn Sink) -> Result<Table, DataError> {
    let files = line_files(dataset)?;
    let mut table = Table::pairs("text", [TEXT, LABEL]);
    let total = files.len() as u64;
    let own: Vec<Part> = files.values().map(|(part, _)| *part).collect();
    for (name, (part, path)) in files {
        sink.progress("reading", table.files.len() as u64, Some(total), Unit::Files);
        let class = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = table.files.len() as u32;
        each_line(&path, &name, |line, text| {
            table.push(StringRecord::from(vec![text, class.as_str()]), file, line, part);
        })?;
        table.files.push(name);
    }
    sink.progress("reading", total, Some(total), Unit::Files);
    table.divide(dataset, |part| own.contains(&part));
    Ok(table)
}

/// The files of lines by name, with the part of each.
fn line_files(dataset: &Dataset) -> Result<BTreeMap<String, (Part, PathBuf)>, DataError> {
    let root = &dataset.path;
    let mut files = BTreeMap::new();
    if root.join("train").is_dir() {
        for (part, name) in
            [(Part::Train, "train"), (Part::Val, "val"), (Part::Val, "validation"), (Part::Test, "test")]
        {
            if root.join(name).is_dir() {
                list(&root.join(name), &format!("{name}/"), part, &mut files)?;
            }
        }
    } else {
        list(root, "", Part::Train, &mut files)?;
    }
    if files.is_empty() {
        let detail =
            "it has neither `train.csv` nor `train.parquet` nor files `CLASS.txt` with a text in each line";
        return Err(layout(dataset, detail.into()));
    }
    Ok(files)
}

/// The files of lines in `folder`.
fn list(
    folder: &Path,
    prefix: &str,
    part: Part,
    files: &mut BTreeMap<String, (Part, PathBuf)>,
) -> Result<(), DataError> {
    for entry in std::fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let path = entry.map_err(DataError::io("read", folder))?.path();
        let is_text = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("txt"));
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // A README beside the parts is no class.
        if is_text
            && !name.starts_with('.')
            && !name.to_ascii_lowercase().starts_with("readme")
            && path.is_file()
        {
            files.insert(format!("{prefix}{name}"), (part, path));
        }
    }
    Ok(())
}

/// Gives each line of a file of texts that is not blank to `each`, with its number from 1. `shown` is the file's name in
/// messages.
fn each_line(path: &Path, shown: &str, mut each: impl FnMut(u32, &str)) -> Result<(), DataError> {
    let mut reader = BufReader::new(File::open(path).map_err(DataError::io("read", path))?);
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(DataError::io("read", path))? == 0 {
            break;
        }
        let line = std::str::from_utf8(&bytes).map_err(|_| DataError::Malformed {
            path: format!("{shown}:{number}"),
            format: "text",
            detail: "the line is not UTF-8".into(),
        })?;
        let line = line.trim_start_matches('\u{feff}').trim();
        if !line.is_empty() {
            each(number, line);
        }
    }
    Ok(())
}

fn layout(dataset: &Dataset, detail: String) -> DataError {
    DataError::Layout { path: dataset.path.display().to_string(), format: "text", detail }
}

#[cfg(test)]
mod tests;
