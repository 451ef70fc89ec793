//! Predictions for files: images, IDX files, tables, JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;

use super::input::{self, Values};
use super::{ServeError, Served};
use crate::base::{Sink, Unit};
use crate::platform::data::{self, Inputs, images};
use crate::platform::train::Prediction;

/// Inputs that are predicted at once.
const CHUNK: usize = 256;
/// Bytes of an image file, or of one line of JSON.
const LARGEST: u64 = 64 << 20;

/// The prediction for one input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predicted {
    /// Where the input stands: `7.png`, `rows.csv:2` (line), `t10k-images-idx3-ubyte:1` (from 1), `-:1`.
    pub source: String,
    /// The prediction.
    #[serde(flatten)]
    pub prediction: Prediction,
}

/// Predicts for every input in `files`, in order. `-` reads JSON lines from standard input.
///
/// What a file holds is told by its first bytes (PNG, JPEG, WebP, IDX, gzipped IDX), else by its name (`.csv`, `.jsonl`, `.txt`).
/// The first input that does not fit ends it with an error that names its place.
pub fn predict_files(
    served: &Served,
    files: &[String],
    sink: &dyn Sink,
) -> Result<Vec<Predicted>, ServeError> {
    let mut batch =
        Batch { served, sources: Vec::new(), values: Values::new(&served.signature), done: Vec::new(), sink };
    for file in files {
        batch.file(file)?;
    }
    batch.flush()?;
    Ok(batch.done)
}

struct Batch<'a> {
    served: &'a Served,
    sources: Vec<String>,
    values: Values,
    done: Vec<Predicted>,
    sink: &'a dyn Sink,
}

impl Batch<'_> {
    fn file(&mut self, name: &str) -> Result<(), ServeError> {
        if name == "-" {
            return self.json_lines(name, std::io::stdin().lock());
        }
        let path = Path::new(name);
        let io = |source| ServeError::Io { action: "read", path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(wrong(name, "is a folder; name the files in it"));
        }
        let mut first = Vec::new();
        Read::by_ref(&mut file).take(12).read_to_end(&mut first).map_err(io)?;
        std::io::Seek::rewind(&mut file).map_err(io)?;
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match first.as_slice() {
            [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, ..] => self.image(name, file),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => self.image(name, file),
            [0, 0, 8..=14, 1..=4, ..] | [0x1f, 0x8b, ..] => self.idx(name, path),
            _ if extension == "csv" => self.table(name, file),
            _ if extension == "txt" => self.lines(name, path),
            _ if extension == "jsonl" || extension == "json" => self.json_lines(name, BufReader::new(file)),
            _ => Err(wrong(name, "is none of PNG, JPEG, WebP, IDX, `.csv`, `.jsonl` and `.txt`")),
        }
    }

    fn image(&mut self, name: &str, file: File) -> Result<(), ServeError> {
        if !self.served.signature.pixels {
            return Err(wrong(name, "is an image, and the model takes none"));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|source| ServeError::Io {
            action: "read",
            path: name.into(),
            source,
        })?;
        let pixels = images::decode(&bytes, &self.served.signature.shape, name)?;
        self.push(name.to_owned(), &Inputs::U8(std::sync::Arc::new(pixels)))
    }

    fn idx(&mut self, name: &str, path: &Path) -> Result<(), ServeError> {
        let (dimensions, inputs) = data::idx_inputs(path, name)?;
        let size = self.served.signature.size();
        let shape = &self.served.signature.shape;
        let found = &dimensions[1..];
        // As when training: the same number of values is the same input.
        if found.iter().product::<usize>() != size {
            return Err(wrong(name, format!("holds inputs of shape {found:?}, the model takes {shape:?}")));
        }
        for index in 0..dimensions[0] {
            let range = index * size..(index + 1) * size;
            let one = match &inputs {
                Inputs::U8(values) => Inputs::U8(std::sync::Arc::new(values[range].to_vec())),
                Inputs::F32(values) => Inputs::F32(std::sync::Arc::new(values[range].to_vec())),
            };
            self.push(format!("{name}:{}", index + 1), &one)?;
        }
        Ok(())
    }

    /// A text in each line.
    fn lines(&mut self, name: &str, path: &Path) -> Result<(), ServeError> {
        let mut texts = Vec::new();
        data::each_line(path, name, |line, text| texts.push((line, text.to_owned())))?;
        texts.into_iter().try_for_each(|(line, text)| self.text(format!("{name}:{line}"), &text))
    }

    fn text(&mut self, place: String, text: &str) -> Result<(), ServeError> {
        let Some(encoding) = &self.served.signature.text else {
            return Err(wrong(&place, "is a text, and the model takes none"));
        };
        let ids = encoding.encode(text).map_err(|detail| wrong(&place, detail))?;
        self.push(place, &Inputs::F32(std::sync::Arc::new(ids)))
    }

    fn table(&mut self, name: &str, file: File) -> Result<(), ServeError> {
        if let Some(encoding) = &self.served.signature.text {
            return self.texts(name, file, &encoding.column);
        }
        let Some(encoding) = &self.served.signature.encoding else {
            return Err(wrong(name, "is a table, and the model takes none"));
        };
        let malformed = |error: csv::Error| wrong(name, error.to_string());
        // As the data loader reads tables: blanks around cells do not count, nor does a byte order mark.
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(BufReader::new(file));
        let header = reader.headers().map_err(malformed)?.clone();
        let mut positions = Vec::with_capacity(encoding.columns.len());
        for column in &encoding.columns {
            let position = header.iter().position(|name| name.trim_start_matches('\u{feff}') == column.name);
            positions.push(position.ok_or_else(|| wrong(name, format!("has no column `{}`", column.name)))?);
        }
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(malformed)? {
            let place = format!("{name}:{}", record.position().map_or(0, csv::Position::line));
            let cells = positions.iter().map(|position| record.get(*position).unwrap_or_default());
            let mut row = Vec::with_capacity(encoding.width());
            encoding.encode(cells, &mut row).map_err(|error| wrong(&place, error.to_string()))?;
            self.push(place, &Inputs::F32(std::sync::Arc::new(row)))?;
        }
        Ok(())
    }

    /// The texts in a column of a table.
    fn texts(&mut self, name: &str, file: File, column: &str) -> Result<(), ServeError> {
        let malformed = |error: csv::Error| wrong(name, error.to_string());
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(BufReader::new(file));
        let header = reader.headers().map_err(malformed)?.clone();
        let position = header.iter().position(|name| name.trim_start_matches('\u{feff}') == column);
        let position = position.ok_or_else(|| wrong(name, format!("has no column `{column}`")))?;
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(malformed)? {
            let place = format!("{name}:{}", record.position().map_or(0, csv::Position::line));
            self.text(place, record.get(position).unwrap_or_default())?;
        }
        Ok(())
    }

    fn json_lines(&mut self, name: &str, mut reader: impl BufRead) -> Result<(), ServeError> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let io = |source| ServeError::Io { action: "read", path: name.into(), source };
            if reader.by_ref().take(LARGEST).read_until(b'\n', &mut line).map_err(io)? == 0 {
                break;
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let place = format!("{name}:{number}");
            let inputs = input::instance(&line, &self.served.signature)
                .map_err(|refusal| wrong(&place, refusal.message))?;
            self.push(place, &inputs)?;
        }
        Ok(())
    }

    fn push(&mut self, source: String, inputs: &Inputs) -> Result<(), ServeError> {
        self.values.append(inputs).map_err(|detail| wrong(&source, detail))?;
        self.sources.push(source);
        if self.sources.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ServeError> {
        if self.sources.is_empty() {
            return Ok(());
        }
        let values = std::mem::replace(&mut self.values, Values::new(&self.served.signature));
        let predictions = self.served.model.predict(&values.into_inputs())?;
        let sources = std::mem::take(&mut self.sources);
        let pairs = sources.into_iter().zip(predictions);
        self.done.extend(pairs.map(|(source, prediction)| Predicted { source, prediction }));
        self.sink.progress("predicting", self.done.len() as u64, None, Unit::Samples);
        Ok(())
    }
}

fn wrong(path: &str, detail: impl Into<String>) -> ServeError {
    ServeError::Input { path: path.to_owned(), detail: detail.into() }
}
