//! Writing `events.jsonl`: whole lines, appended, by one writer per process.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::JobError;
use crate::base::{Event, Progress, Sink, What};
use crate::infrastructure::durable;

/// Progress of one task is written at most once in this time.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// How long what says the end of a job waits for room on a full disk.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// A crash of the machine loses at most the events of this time.
const SYNC_EVERY: Duration = Duration::from_secs(10);

/// An event file open for appending. Each event is one `write` of one line, so that several processes may append.
pub struct EventLog(Mutex<Writer>);

struct Writer {
    file: File,
    synced: Instant,
    /// Whether the file ends within a line: the disk was full, or a program wrote no end.
    torn: bool,
    progress: Option<(String, Instant)>,
}

impl EventLog {
    /// Opens the file at `path`, making it if it is not there.
    pub fn append(path: &Path) -> Result<Self, JobError> {
        let options = || File::options().read(true).append(true).create(true).open(path);
        let mut file = options().map_err(JobError::io("open", path))?;
        // A program may have left its last line without an end.
        let torn = match file.metadata().is_ok_and(|meta| meta.is_file()) {
            true => ends_within_a_line(&mut file).map_err(JobError::io("read", path))?,
            // The pipe of a job with secrets has no end to look at.
            false => false,
        };
        Ok(Self(Mutex::new(Writer { file, synced: Instant::now(), torn, progress: None })))
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).file.sync_data()
    }
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

impl Writer {
    /// Whether this progress comes too soon after the last one of its task to be worth a line.
    fn too_soon(&mut self, progress: &Progress) -> bool {
        let now = Instant::now();
        let complete = progress.total == Some(progress.done);
        if let Some((task, at)) = &self.progress
            && *task == progress.task
            && !complete
            && now.duration_since(*at) < PROGRESS_EVERY
        {
            return true;
        }
        self.progress = Some((progress.task.clone(), now));
        false
    }
}

impl Writer {
    /// Appends a line, and ends a torn one first.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
        }
        self.torn = false;
        let written = self.file.write_all(line);
        self.torn = written.is_err();
        written
    }
}

impl Sink for EventLog {
    fn emit(&self, event: &Event) {
        let mut writer = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let What::Progress(progress) = &event.what
            && writer.too_soon(progress)
        {
            return;
        }
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        line.push(b'\n');
        // A full disk must not stop a training: the event is lost. But an error is the last word of a job.
        let patience = if matches!(event.what, What::Error(_)) { PATIENCE } else { Duration::ZERO };
        let _ = durable::when_there_is_room(patience, || writer.write(&line));
        if writer.synced.elapsed() >= SYNC_EVERY {
            writer.synced = Instant::now();
            let _ = writer.file.sync_data();
        }
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        let _ = self.sync();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Level, Unit};

    #[test]
    fn a_line_that_a_program_left_without_an_end_stays_a_line_of_its_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, "{\"event\":\"metric\"}").expect("writes");
        for _ in 0..2 {
            EventLog::append(&path).expect("opens").log(Level::Info, "next");
        }
        let text = std::fs::read_to_string(&path).expect("reads");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, "{\"event\":\"metric\"}"));
    }

    #[test]
    fn several_writers_never_tear_a_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("events.jsonl");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let log = EventLog::append(path).expect("opens");
                    for n in 0..250 {
                        log.log(Level::Info, &format!("writer {writer} line {n} {}", "x".repeat(n)));
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).expect("reads");
        assert_eq!(text.lines().count(), 1000);
        assert!(text.lines().all(|line| serde_json::from_str::<Event>(line).is_ok()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn after_a_full_disk_the_next_event_has_a_line_of_its_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("events.jsonl");
        let log = EventLog::append(&path).expect("opens");
        let swap = |file: File| std::mem::replace(&mut log.0.lock().expect("a lock").file, file);
        log.log(Level::Info, "before");
        let disk = swap(File::options().append(true).open("/dev/full").expect("opens"));
        log.log(Level::Info, "lost");
        // As a disk that had room for a part of the line.
        std::fs::write(&path, format!("{}{{\"time\":", std::fs::read_to_string(&path).expect("reads")))
            .expect("writes");
        swap(disk);
        log.log(Level::Info, "after");
        let text = std::fs::read_to_string(&path).expect("reads");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[2].contains("after") && serde_json::from_str::<Event>(lines[2]).is_ok(), "{text}");
    }

    #[test]
    fn progress_is_thinned_but_its_end_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("events.jsonl");
        let log = EventLog::append(&path).expect("opens");
        for done in 0..=10_000 {
            log.progress("epoch 1/1", done, Some(10_000), Unit::Samples);
        }
        let text = std::fs::read_to_string(&path).expect("reads");
        assert!(text.lines().count() < 5_000, "{}", text.lines().count());
        assert!(text.lines().last().is_some_and(|line| line.contains("\"done\":10000")), "{text}");
    }
}
