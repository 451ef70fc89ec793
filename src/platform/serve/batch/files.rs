//! What files hold: images, IDX and NPY arrays, tables, texts, JSON lines, and folders of such.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use csv::StringRecord;

use super::{Batch, OnError, slice};
use crate::platform::data::{self, CsvFault, CsvRows, Inputs, images};
use crate::platform::serve::{ServeError, input};

/// Bytes of an image file, or of one line of JSON.
const LARGEST: u64 = 64 << 20;

impl Batch<'_> {
    /// Predicts every input in a file or folder, in order. `-` reads JSON lines from standard input; a folder means all files below it,
    /// by name, but hidden ones.
    ///
    /// What a file holds is told by its first bytes (PNG, JPEG, WebP, IDX, gzipped IDX, NPY, Parquet), else by its name (`.csv`,
    /// `.jsonl`, `.txt`).
    pub fn file(&mut self, name: &str) -> Result<(), ServeError> {
        if name == "-" {
            return self.json_lines(name, std::io::stdin().lock());
        }
        self.file_as(name, Path::new(name))
    }

    /// The same for the file or folder at `path`, which is called `name`.
    pub fn file_as(&mut self, name: &str, path: &Path) -> Result<(), ServeError> {
        let (file, first) = match open(path) {
            Ok(Some(opened)) => opened,
            Ok(None) => return self.folder(name, path),
            Err(source) => return self.unreadable(name, path, source),
        };
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match first.as_slice() {
            [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, ..] => self.image(name, file),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => self.image(name, file),
            [0, 0, 8..=14, 1..=4, ..] | [0x1f, 0x8b, ..] => {
                self.arrays(name, |name| Ok(data::idx_inputs(path, name)?))
            }
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
                self.arrays(name, |name| Ok(data::npy_inputs(path, name)?))
            }
            [b'P', b'A', b'R', b'1', ..] => self.parquet(name, path),
            _ if extension == "csv" => self.table(name, file),
            _ if extension == "txt" => self.lines(name, BufReader::new(file)),
            _ if extension == "jsonl" || extension == "json" => self.json_lines(name, BufReader::new(file)),
            _ => {
                let detail = "is none of PNG, JPEG, WebP, IDX, NPY, Parquet, `.csv`, `.jsonl` and `.txt`";
                self.unfit(name, detail)
            }
        }
    }

    /// All files below a folder, by name.
    fn folder(&mut self, name: &str, path: &Path) -> Result<(), ServeError> {
        let mut entries = match entries(path) {
            Ok(entries) => entries,
            Err(source) => return self.unreadable(name, path, source),
        };
        if entries.is_empty() {
            return self.unfit(name, "holds nothing to predict for");
        }
        entries.sort();
        let name = name.trim_end_matches('/');
        entries.into_iter().try_for_each(|below| self.file_as(&format!("{name}/{below}"), &path.join(&below)))
    }

    /// A file that holds nothing to predict is one input that does not fit.
    fn unfit(&mut self, name: &str, detail: impl Into<String>) -> Result<(), ServeError> {
        self.push(name.to_owned(), |_| Err(detail.into()))
    }

    /// What cannot be read is an input that does not fit too, but where that ends all.
    fn unreadable(&mut self, name: &str, path: &Path, source: std::io::Error) -> Result<(), ServeError> {
        let error = ServeError::Io { action: "read", path: path.to_owned(), source };
        match self.on_error {
            OnError::Skip => self.unfit(name, error.to_string()),
            OnError::Stop => {
                self.flush()?;
                Err(error)
            }
        }
    }

    fn image(&mut self, name: &str, file: File) -> Result<(), ServeError> {
        self.push(name.to_owned(), |served| {
            if !served.signature.pixels {
                return Err("is an image, and the model takes none".to_owned());
            }
            let mut bytes = Vec::new();
            file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
            let pixels =
                images::decode(&bytes, &served.signature.shape, name).map_err(|error| error.to_string())?;
            Ok(Inputs::U8(Arc::new(pixels)))
        })
    }

    /// Inputs one after the other, as `read` gives them with their dimensions.
    fn arrays(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<(Vec<usize>, Inputs), ServeError>,
    ) -> Result<(), ServeError> {
        let (dimensions, inputs) = match read(name) {
            Ok(read) => read,
            Err(error) => return self.unfit(name, error.to_string()),
        };
        let size = self.served.signature.size();
        let shape = &self.served.signature.shape;
        let found = &dimensions[1..];
        // As when training: the same number of values is the same input.
        if found.iter().product::<usize>() != size {
            return self.unfit(name, format!("holds inputs of shape {found:?}, the model takes {shape:?}"));
        }
        for index in 0..dimensions[0] {
            self.push(format!("{name}:{}", index + 1), |_| Ok(slice(&inputs, index, size)))?;
        }
        Ok(())
    }

    /// A text in each line.
    fn lines(&mut self, name: &str, reader: impl BufRead) -> Result<(), ServeError> {
        self.each_line(name, reader, |batch, place, line| {
            let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned());
            match text.map(|text| text.trim_start_matches('\u{feff}').trim()) {
                Ok("") => Ok(()),
                text => batch.text(place, text),
            }
        })
    }

    fn text(&mut self, place: String, text: Result<&str, String>) -> Result<(), ServeError> {
        self.push(place, |served| {
            let Some(encoding) = &served.signature.text else {
                return Err("is a text, and the model takes none".to_owned());
            };
            Ok(Inputs::F32(Arc::new(encoding.encode(text?)?)))
        })
    }

    fn table(&mut self, name: &str, file: File) -> Result<(), ServeError> {
        let mut rows = match CsvRows::open(file, false) {
            Ok(rows) => rows,
            Err(fault) => return self.unfit(name, fault.to_string()),
        };
        let Some(positions) = self.positions(name, rows.header())? else { return Ok(()) };
        let mut record = StringRecord::new();
        loop {
            match rows.read(&mut record) {
                Ok(None) => return Ok(()),
                Ok(Some(line)) => self.row(format!("{name}:{line}"), &positions, &record)?,
                Err(CsvFault::Row { line, detail }) => {
                    self.push(format!("{name}:{line}"), |_| Err(detail))?;
                }
                Err(CsvFault::Io(error)) => return self.unfit(name, error.to_string()),
            }
        }
    }

    fn parquet(&mut self, name: &str, path: &Path) -> Result<(), ServeError> {
        let (header, rows) = match data::parquet_rows(path, name) {
            Ok(read) => read,
            Err(error) => return self.unfit(name, error.to_string()),
        };
        let Some(positions) = self.positions(name, &header)? else { return Ok(()) };
        rows.iter()
            .enumerate()
            .try_for_each(|(index, row)| self.row(format!("{name}:{}", index + 1), &positions, row))
    }

    /// Where the columns that the model takes stand in a table; none if the table does not fit.
    fn positions(&mut self, name: &str, header: &StringRecord) -> Result<Option<Vec<usize>>, ServeError> {
        let signature = &self.served.signature;
        let wanted: Vec<&str> = match (&signature.text, &signature.encoding) {
            (Some(text), _) => vec![&text.column],
            (None, Some(encoding)) => encoding.columns.iter().map(|column| column.name.as_str()).collect(),
            (None, None) => {
                self.unfit(name, "is a table, and the model takes none")?;
                return Ok(None);
            }
        };
        let mut positions = Vec::with_capacity(wanted.len());
        for column in wanted {
            let is_it = |name: &str| name.trim_start_matches('\u{feff}') == column;
            let Some(position) = header.iter().position(is_it) else {
                self.unfit(name, format!("has no column `{column}`"))?;
                return Ok(None);
            };
            positions.push(position);
        }
        Ok(Some(positions))
    }

    /// A row of a table, or the text in it.
    fn row(&mut self, place: String, positions: &[usize], row: &StringRecord) -> Result<(), ServeError> {
        let mut cells = positions.iter().map(|position| row.get(*position).unwrap_or_default());
        if self.served.signature.text.is_some() {
            return self.text(place, Ok(cells.next().unwrap_or_default()));
        }
        self.push(place, |served| {
            let Some(encoding) = &served.signature.encoding else {
                return Err("is a table, and the model takes none".to_owned());
            };
            let mut values = Vec::with_capacity(encoding.width());
            encoding.encode(cells, &mut values).map_err(|error| error.to_string())?;
            Ok(Inputs::F32(Arc::new(values)))
        })
    }

    fn json_lines(&mut self, name: &str, reader: impl BufRead) -> Result<(), ServeError> {
        self.each_line(name, reader, |batch, place, line| {
            if line.iter().all(u8::is_ascii_whitespace) {
                return Ok(());
            }
            batch.push(place, |served| {
                input::instance(line, &served.signature).map_err(|refusal| refusal.message)
            })
        })
    }

    /// Gives each line with its place to `each`. One that is too long does not fit.
    fn each_line(
        &mut self,
        name: &str,
        mut reader: impl BufRead,
        mut each: impl FnMut(&mut Self, String, &[u8]) -> Result<(), ServeError>,
    ) -> Result<(), ServeError> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let place = format!("{name}:{number}");
            let mut read = reader.by_ref().take(LARGEST + 1).read_until(b'\n', &mut line);
            let cut = line.len() as u64 > LARGEST && line.last() != Some(&b'\n');
            if cut && read.is_ok() {
                read = reader.skip_until(b'\n');
            }
            match read {
                Err(source) => return self.unreadable(&place, Path::new(name), source),
                Ok(_) if cut => self.unfit(&place, format!("is longer than {} MiB", LARGEST >> 20))?,
                Ok(0) => break,
                Ok(_) => each(self, place, &line)?,
            }
        }
        Ok(())
    }
}

/// A file and its first bytes; none for a folder.
fn open(path: &Path) -> std::io::Result<Option<(File, Vec<u8>)>> {
    if std::fs::metadata(path)?.is_dir() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let mut first = Vec::new();
    Read::by_ref(&mut file).take(12).read_to_end(&mut first)?;
    std::io::Seek::rewind(&mut file)?;
    Ok(Some((file, first)))
}

/// Names of the files and folders in a folder that are not hidden.
fn entries(path: &Path) -> std::io::Result<Vec<String>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let below = entry.file_name().to_string_lossy().into_owned();
        // A link to a folder could lead in a circle.
        let is_folder_link = entry.file_type()?.is_symlink() && entry.path().is_dir();
        if !below.starts_with('.') && !is_folder_link {
            entries.push(below);
        }
    }
    Ok(entries)
}

/// How many inputs a file or folder holds, by a look that is cheap; none where only reading tells.
pub fn count(name: &str) -> Option<u64> {
    let path = Path::new(name);
    if name == "-" {
        return None;
    }
    if path.is_dir() {
        let entries = std::fs::read_dir(path).ok()?.flatten();
        let below = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        return below.map(|entry| count(&entry.path().to_string_lossy())).sum();
    }
    let mut first = [0; 8];
    let mut file = File::open(path).ok()?;
    let read = file.read(&mut first).ok()?;
    match &first[..read] {
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, ..] | [b'R', b'I', b'F', b'F', ..] => Some(1),
        [0, 0, 8..=14, 1..=4, count @ ..] => Some(u64::from(u32::from_be_bytes(count.try_into().ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_counted_where_that_is_cheap() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.png"), b"\x89PNG....").expect("writes");
        std::fs::write(path("b.idx"), [0, 0, 8, 3, 0, 0, 1, 44, 0, 0]).expect("writes");
        std::fs::write(path(".hidden"), b"x").expect("writes");
        assert_eq!(count(&folder.path().to_string_lossy()), Some(301));
        std::fs::write(path("c.csv"), b"a\n1\n").expect("writes");
        assert_eq!(count(&folder.path().to_string_lossy()), None);
        assert_eq!(count("-"), None);
    }
}
