//! The prediction log on the disk: files of JSON lines in a folder per model, named by the time they were begun, rotated and bounded.
//! A thread of its own writes them: an answer never waits for it, and what it cannot keep up with is dropped and counted.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::features::Features;
use super::{Answered, LogSpec, MonitorError, lines};
use crate::base::{Digest, Id, Time};
use crate::infrastructure::durable::fault::{Point, pass};
use crate::platform::train::Model;

/// Requests that may wait to be written, and their bytes.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 64 << 20;
/// Time between two looks at what is to be flushed, and between two fsyncs.
const FLUSH: Duration = Duration::from_millis(200);
const SYNC: Duration = Duration::from_secs(5);
/// Embeddings at once, and then per second: each costs a prediction.
const EMBEDDINGS: f64 = 1000.0;
const EMBEDDINGS_PER_SECOND: f64 = 20.0;
/// After a failure the disk is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers that were not logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    /// How many requests.
    pub(super) dropped: u64,
    /// When that was told.
    pub(super) time: Time,
}

/// The first line of a file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// [`SCHEMA`].
    pub(super) schema: String,
}

/// The version of the files.
pub(super) const SCHEMA: &str = "mlp/predictions/1";

/// The log of one model of a server. Dropped, it writes what waits and ends.
pub struct Log {
    sender: Option<SyncSender<Job>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    sample: f64,
}

/// A request and the version that answered it.
struct Job {
    answered: Answered,
    by: Arc<dyn Answering>,
}

/// A version that answers.
pub trait Answering: Send + Sync {
    /// The model.
    fn model(&self) -> &Model;
    /// Tree of its files.
    fn tree(&self) -> Digest;
}

#[derive(Default)]
struct Shared {
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Requests that were not logged.
    dropped: AtomicU64,
    /// Lines that were.
    written: AtomicU64,
    /// What the disk said last.
    trouble: Mutex<Option<String>>,
}

impl Log {
    /// A log in `folder`, which is made when there is something to write.
    ///
    /// # Errors
    /// [`MonitorError::Io`] if the system gives no thread.
    pub fn open(folder: &Path, spec: &LogSpec) -> Result<Self, MonitorError> {
        let (sender, receiver) = sync_channel(WAITING);
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            folder: folder.to_owned(),
            spec: spec.clone(),
            shared: Arc::clone(&shared),
            file: None,
            told: 0,
            paused: None,
            embeddings: (EMBEDDINGS, Instant::now()),
            features: None,
        };
        let thread = std::thread::Builder::new()
            .name("prediction log".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(MonitorError::io("start a thread for", folder))?;
        Ok(Self { sender: Some(sender), shared, thread: Some(thread), sample: spec.sample })
    }

    /// Hands an answer over, if it is one of the sample. Never waits: what does not fit is dropped and counted.
    pub fn offer(&self, answered: Answered, by: Arc<dyn Answering>) {
        if !chosen(answered.id, self.sample) {
            return;
        }
        let size = answered.size();
        let fits = self.shared.waiting.fetch_add(size, Ordering::Relaxed) + size <= WAITING_BYTES;
        let sent =
            fits && self.sender.as_ref().is_some_and(|sender| sender.try_send(Job { answered, by }).is_ok());
        if !sent {
            self.shared.waiting.fetch_sub(size, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests that were not logged since the server began.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Answers that were logged since the server began.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// What the disk said last, if it failed since this was asked last.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // It ends with the channel; a panic in it was told already.
            let _ = thread.join();
        }
    }
}

/// Whether a request is of the sample: a function of its id alone.
fn chosen(id: Id, sample: f64) -> bool {
    if sample >= 1.0 {
        return true;
    }
    let digest = Digest::of(id.to_string().as_bytes());
    let number = u64::from_str_radix(&digest.hex()[..13], 16).unwrap_or_default();
    (number as f64) < sample * (1_u64 << 52) as f64
}

struct Writer {
    folder: PathBuf,
    spec: LogSpec,
    shared: Arc<Shared>,
    file: Option<Open>,
    /// How many of the dropped ones stand in the log.
    told: u64,
    /// Since when nothing is written, after a failure.
    paused: Option<Instant>,
    /// Embeddings that may be made, and since when.
    embeddings: (f64, Instant),
    /// Of the version that answered last.
    features: Option<(Digest, Features)>,
}

struct Open {
    file: BufWriter<File>,
    size: u64,
    synced: Instant,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Job>) {
        let mut settled = Instant::now();
        loop {
            let next = receiver.recv_timeout(FLUSH);
            if let Ok(job) = &next {
                self.take(job);
                self.shared.waiting.fetch_sub(job.answered.size(), Ordering::Relaxed);
            }
            match next {
                Ok(_) if settled.elapsed() < FLUSH => {}
                Ok(_) | Err(RecvTimeoutError::Timeout) => {
                    self.settle(false);
                    settled = Instant::now();
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.settle(true);
                    return;
                }
            }
        }
    }

    fn take(&mut self, job: &Job) {
        if self.paused.is_some_and(|since| since.elapsed() < PAUSE) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.paused = None;
        match self.bytes(job).and_then(|(bytes, lines)| Ok((self.write(&bytes)?, lines))) {
            Ok(((), lines)) => drop(self.shared.written.fetch_add(lines, Ordering::Relaxed)),
            Err(error) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                self.fail(&error.to_string());
            }
        }
    }

    /// The lines of a request, and how many.
    fn bytes(&mut self, job: &Job) -> io::Result<(Vec<u8>, u64)> {
        let (model, tree) = (job.by.model(), job.by.tree());
        if self.features.as_ref().is_none_or(|(of, _)| *of != tree) {
            self.features = Some((tree, Features::of(model)));
        }
        let Some((_, features)) = &self.features else { return Ok((Vec::new(), 0)) };
        let (left, since) = self.embeddings;
        let left = (left + since.elapsed().as_secs_f64() * EMBEDDINGS_PER_SECOND).min(EMBEDDINGS);
        let embed = (left as usize).min(job.answered.predictions.len());
        self.embeddings = (left - embed as f64, Instant::now());
        let lines =
            lines(model, features, tree, &job.answered, self.spec.inputs, embed).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        self.gap(&mut bytes);
        for line in &lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        Ok((bytes, lines.len() as u64))
    }

    /// Tells of what was dropped since it was told last.
    fn gap(&self, bytes: &mut Vec<u8>) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            let gap = Gap { dropped: dropped - self.told, time: Time::now() };
            // Plain numbers: writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut *bytes, &gap);
            bytes.push(b'\n');
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|open| open.size >= self.spec.rotate.0) {
            self.close()?;
        }
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if self.file.is_none() {
            self.file = Some(self.open()?);
        }
        let Some(open) = &mut self.file else { return Ok(()) };
        open.file.write_all(bytes)?;
        open.size += bytes.len() as u64;
        self.told = dropped;
        Ok(())
    }

    fn open(&self) -> io::Result<Open> {
        fs::create_dir_all(&self.folder)?;
        prune(&self.folder, self.spec.keep.0.saturating_sub(self.spec.rotate.0));
        let mut options = File::options();
        options.append(true).create_new(true);
        // Inputs may be of persons.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let path = self.folder.join(format!("{}.{EXTENSION}", Id::new()));
        pass(Point::Write, &path)?;
        let mut file = BufWriter::with_capacity(1 << 16, options.open(path)?);
        serde_json::to_writer(&mut file, &Head { schema: SCHEMA.to_owned() })?;
        file.write_all(b"\n")?;
        Ok(Open { file, size: 0, synced: Instant::now() })
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(mut open) = self.file.take() else { return Ok(()) };
        open.file.flush()?;
        open.file.get_ref().sync_data()
    }

    /// Flushes what is buffered, and now and then puts it on the disk.
    fn settle(&mut self, end: bool) {
        if !end && self.paused.is_some_and(|since| since.elapsed() < PAUSE) {
            return;
        }
        let mut bytes = Vec::new();
        self.gap(&mut bytes);
        let settled = if bytes.is_empty() { Ok(()) } else { self.write(&bytes) };
        let settled = settled.and_then(|()| match &mut self.file {
            _ if end => self.close(),
            Some(open) => {
                open.file.flush()?;
                if open.synced.elapsed() >= SYNC {
                    open.synced = Instant::now();
                    open.file.get_ref().sync_data()?;
                }
                Ok(())
            }
            None => Ok(()),
        });
        if let Err(error) = settled {
            self.fail(&error.to_string());
        }
    }

    /// Gives the file up, so that the next one begins with a whole line, and waits.
    fn fail(&mut self, trouble: &str) {
        if let Some(open) = self.file.take() {
            // What is buffered would fail again.
            let _ = open.file.into_parts();
        }
        self.paused = Some(Instant::now());
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble.to_owned());
    }
}

/// How the files end.
const EXTENSION: &str = "jsonl";

/// The files of a log, oldest first.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_file() && path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Removes the oldest files until the others have at most `keep` bytes.
fn prune(folder: &Path, keep: u64) {
    let mut left = 0;
    for path in files(folder).unwrap_or_default().into_iter().rev() {
        left += fs::metadata(&path).map_or(0, |found| found.len());
        if left > keep {
            // One that another server removes at the same time is gone, too.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests;
