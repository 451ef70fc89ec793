//! Reading a growing file line by line, byte exact, over any number of interruptions.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A line longer than this is given in pieces.
const LONGEST_LINE: u64 = 1 << 20;

/// Reads complete lines from a file that somebody appends to; a line without its end is held back.
pub(super) struct Tail {
    path: PathBuf,
    /// Bytes given so far: where a later reader goes on.
    pub(super) offset: u64,
}

impl Tail {
    pub(super) fn new(path: PathBuf, offset: u64) -> Self {
        Self { path, offset }
    }

    /// Calls `each` with every further complete line, without its end. A file that is not there yet has none.
    pub(super) fn lines(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            let bytes = self.read()?;
            let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
                if bytes.len() as u64 == LONGEST_LINE {
                    each(&bytes);
                    self.offset += LONGEST_LINE;
                    continue;
                }
                return Ok(());
            };
            for line in bytes[..last].split(|byte| *byte == b'\n') {
                each(line);
            }
            self.offset += last as u64 + 1;
        }
    }

    /// As [`Tail::lines`], and then the last line even if it has no end: nobody writes any more.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.lines(each)?;
        let rest = self.read()?;
        if !rest.is_empty() {
            each(&rest);
            self.offset += rest.len() as u64;
        }
        Ok(())
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        bytes_from(&self.path, self.offset, LONGEST_LINE)
    }
}

/// Up to `most` bytes of a file from `offset` on; none if it is not there yet.
pub(super) fn bytes_from(path: &Path, offset: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(offset))?;
            file.take(most).read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(tail: &mut Tail) -> Vec<String> {
        let mut found = Vec::new();
        tail.lines(&mut |line| found.push(String::from_utf8_lossy(line).into_owned())).expect("reads");
        found
    }

    #[test]
    fn a_line_without_its_end_is_held_back_until_it_comes() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("events.jsonl");
        let mut tail = Tail::new(path.clone(), 0);
        assert!(lines(&mut tail).is_empty());
        let mut file = File::create(&path).expect("makes the file");
        file.write_all(b"one\ntw").expect("writes");
        assert_eq!(lines(&mut tail), ["one"]);
        assert_eq!(tail.offset, 4);
        file.write_all(b"o\n\nthree").expect("writes");
        assert_eq!(lines(&mut tail), ["two", ""]);
        assert!(lines(&mut tail).is_empty());
        let mut rest = Vec::new();
        tail.finish(&mut |line| rest.push(line.to_vec())).expect("reads");
        assert_eq!(rest, [b"three".to_vec()]);
    }

    #[test]
    fn a_reader_that_comes_back_misses_and_repeats_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let (mut offset, mut seen) = (0, Vec::new());
        for end in (0..=text.len()).step_by(37).chain([text.len()]) {
            std::fs::write(&path, &text.as_bytes()[..end]).expect("writes");
            let mut tail = Tail::new(path.clone(), offset);
            seen.extend(lines(&mut tail));
            offset = tail.offset;
        }
        assert_eq!(seen.join("\n") + "\n", text);
        assert_eq!(offset, text.len() as u64);
    }

    #[test]
    fn a_line_without_end_does_not_take_all_memory() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        std::fs::write(&path, vec![b'x'; 3 * LONGEST_LINE as usize + 5]).expect("writes");
        let mut sizes = Vec::new();
        Tail::new(path, 0).finish(&mut |line| sizes.push(line.len() as u64)).expect("reads");
        assert_eq!(sizes, [LONGEST_LINE, LONGEST_LINE, LONGEST_LINE, 5]);
    }
}
