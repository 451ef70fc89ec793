//! The newest answers of one version, read from its log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::log::{self, Gap, Head, SCHEMA};
use super::{Labels, Line, MonitorError};
use crate::base::{Digest, Time, Window};
use crate::platform::train::Prediction;

/// Bytes of one line at most: an input of a megapixel is shorter.
const LONGEST: u64 = 32 << 20;

/// The line of the answer `id` in a file of a log. `id` without an instance means the first of its request.
///
/// # Errors
/// What reading gives.
pub fn find(file: impl Read, id: &str) -> std::io::Result<Option<Line>> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if (&mut file).take(LONGEST).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        // Few lines are worth to be parsed.
        let mentions = std::str::from_utf8(&bytes).is_ok_and(|text| text.contains(id));
        let line = mentions.then(|| serde_json::from_slice::<Line>(&bytes).ok()).flatten();
        if let Some(line) = line.filter(|line| line.id == id || line.id.split('/').next() == Some(id)) {
            return Ok(Some(line));
        }
    }
}

/// The newest answers of a version, and those that have a label.
#[derive(Clone, Debug, Default)]
pub struct Answers<'a> {
    /// The answers, oldest first.
    pub lines: Vec<Line>,
    /// When requests were dropped, and how many.
    gaps: Vec<Gap>,
    /// Lines that cannot be read.
    damaged: u64,
    /// How many answers are kept.
    most: usize,
    tree: Option<Digest>,
    labels: Option<&'a Labels>,
    /// What was answered to what has a label, by prediction id, however long ago: labels come late.
    labelled: BTreeMap<String, Prediction>,
}

impl<'a> Answers<'a> {
    /// At most `most` of the version whose files are `tree`, from what is read into it, and all that have one of `labels`.
    pub fn of(tree: Digest, most: usize, labels: Option<&'a Labels>) -> Self {
        Self { most, tree: Some(tree), labels, ..Self::default() }
    }

    /// The labels, if there are any.
    pub(super) fn labels(&self) -> Option<&'a Labels> {
        self.labels
    }

    /// The answers that have a label, with it.
    pub(super) fn labelled(&self) -> Vec<(&Prediction, &'a str)> {
        let Some(labels) = self.labels else { return Vec::new() };
        self.labelled.iter().filter_map(|(id, answer)| Some((answer, labels.get(id)?))).collect()
    }

    /// Reads the files of the log in `folder`, newest first, for as long as they can hold newer answers than those that are here.
    ///
    /// # Errors
    /// [`MonitorError::Io`] if one cannot be read. One that is removed meanwhile is passed over.
    pub fn read_folder(&mut self, folder: &Path) -> Result<(), MonitorError> {
        let files = log::files(folder).map_err(MonitorError::io("list", folder))?;
        for path in files.iter().rev() {
            let file = match File::open(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(MonitorError::io("read", path))?,
            };
            // Whatever stands in a file was written before it was changed last.
            let changed = file.metadata().and_then(|found| found.modified()).ok();
            let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            if self.labels.is_none()
                && let (Some(changed), Some(oldest)) = (changed, self.oldest())
                && (changed.as_millis() as i64) < oldest.as_ms()
            {
                continue;
            }
            self.read(file).map_err(MonitorError::io("read", path))?;
        }
        Ok(())
    }

    /// Reads the bytes of one file.
    ///
    /// # Errors
    /// What reading gives.
    pub fn read(&mut self, file: impl Read) -> std::io::Result<()> {
        let mut file = BufReader::with_capacity(1 << 16, file);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let length = (&mut file).take(LONGEST).read_until(b'\n', &mut bytes)?;
            if length == 0 {
                break;
            }
            if !self.take(&bytes) {
                break;
            }
        }
        self.trim();
        Ok(())
    }

    /// Takes one line; false if the lines after it are of a format that is not known.
    fn take(&mut self, bytes: &[u8]) -> bool {
        if let Ok(mut line) = serde_json::from_slice::<Line>(bytes) {
            if Some(line.model) == self.tree {
                if self.labels.is_some_and(|labels| labels.get(&line.id).is_some()) {
                    self.labelled.insert(line.id.clone(), line.output.clone());
                }
                // Nothing here looks at whole inputs, which may be long.
                line.input = Vec::new();
                self.lines.push(line);
                if self.lines.len() > 2 * self.most + 1000 {
                    self.trim();
                }
            }
        } else if let Ok(gap) = serde_json::from_slice::<Gap>(bytes) {
            self.gaps.push(gap);
        } else if let Ok(head) = serde_json::from_slice::<Head>(bytes) {
            let known = head.schema == SCHEMA;
            self.damaged += u64::from(!known);
            return known;
        } else if bytes.last() == Some(&b'\n') {
            // The last line of a file that is being written may not be whole yet.
            self.damaged += 1;
        }
        true
    }

    /// Time of the oldest answer that is kept, once there are as many as are wanted.
    fn oldest(&self) -> Option<Time> {
        self.lines.first().filter(|_| self.lines.len() >= self.most).map(|line| line.time)
    }

    fn trim(&mut self) {
        self.lines.sort_by(|a, b| (a.time.as_ms(), &a.id).cmp(&(b.time.as_ms(), &b.id)));
        // The same log may have been read from two places.
        self.lines.dedup_by(|a, b| a.id == b.id);
        self.lines.drain(..self.lines.len().saturating_sub(self.most));
    }

    /// The window in numbers.
    pub fn window(&self) -> Window {
        let first = self.lines.first().map(|line| line.time);
        let since = first.map_or(i64::MAX, |time| time.as_ms());
        Window {
            answers: self.lines.len() as u64,
            first,
            last: self.lines.last().map(|line| line.time),
            dropped: self.gaps.iter().filter(|gap| gap.time.as_ms() >= since).map(|gap| gap.dropped).sum(),
            damaged: self.damaged,
            lines: None,
        }
    }

    /// The bytes of the lines, for a record to rest on.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            // Plain strings and numbers: writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut bytes, line);
            bytes.push(b'\n');
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, ms: i64, model: &[u8]) -> String {
        let line = Line {
            id: id.to_owned(),
            model: Digest::of(model),
            time: Time::from_ms(ms),
            latency_ms: Some(0.5),
            features: [("age".to_owned(), super::super::Value::Number(1.5))].into_iter().collect(),
            output: crate::platform::train::Prediction { value: Some(2.0), ..Default::default() },
            embedding: Vec::new(),
            input: Vec::new(),
        };
        serde_json::to_string(&line).expect("writes") + "\n"
    }

    #[test]
    fn the_newest_of_the_version_are_kept_in_order_and_once() {
        let mut answers = Answers::of(Digest::of(b"m"), 3, None);
        let text: String = [5, 1, 4, 2, 3].iter().map(|n| line(&format!("a{n}"), *n, b"m")).collect();
        answers.read(text.as_bytes()).expect("reads");
        answers.read((text.clone() + &line("b", 9, b"other")).as_bytes()).expect("reads");
        let ids: Vec<&str> = answers.lines.iter().map(|line| line.id.as_str()).collect();
        assert_eq!(ids, ["a3", "a4", "a5"]);
        assert_eq!(answers.window().answers, 3);
    }

    #[test]
    fn labels_find_their_answers_however_many_came_after() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, "id,label\na1,1.5\nz,2\n").expect("writes");
        let labels = Labels::read(&path).expect("reads");
        let mut answers = Answers::of(Digest::of(b"m"), 3, Some(&labels));
        let text: String = (1..9).map(|n| line(&format!("a{n}"), n, b"m")).collect();
        answers.read(text.as_bytes()).expect("reads");
        assert_eq!(answers.lines[0].id, "a6");
        let both: Vec<_> = answers.labelled().iter().map(|(answer, label)| (answer.value, *label)).collect();
        assert_eq!(both, [(Some(2.0), "1.5")]);
    }

    #[test]
    fn what_is_no_line_is_counted_and_a_half_one_at_the_end_is_not() {
        let mut answers = Answers::of(Digest::of(b"m"), 10, None);
        let text = format!(
            "{}\u{0}garbage\n{{}}\n{{\"dropped\":7,\"time\":\"2026-01-01T00:00:00Z\"}}\n{}",
            line("a", 1, b"m"),
            &line("b", 2, b"m")[..30]
        );
        answers.read(text.as_bytes()).expect("reads");
        let window = answers.window();
        assert_eq!((window.answers, window.damaged, window.dropped), (1, 2, 7));
        let newer = format!("{{\"schema\":\"mlp/predictions/9\"}}\n{}", line("c", 3, b"m"));
        answers.read(newer.as_bytes()).expect("reads");
        let own = format!("{{\"schema\":\"{SCHEMA}\"}}\n{}", line("d", 4, b"m"));
        answers.read(own.as_bytes()).expect("reads");
        let window = answers.window();
        assert_eq!((window.answers, window.damaged), (2, 3), "a format that is not known is not guessed at");
    }
}
