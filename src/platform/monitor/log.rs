//! The prediction log on the disk: files of JSON lines in a folder per model, named by the time they were begun, rotated and bounded.
//! A thread of its own writes them: an answer never waits for it, and what it cannot keep up with is dropped and counted.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::features::Features;
use super::{Answered, LogSpec, MonitorError, lines};
use crate::base::{Digest, Id, Null, Time};
use crate::infrastructure::durable::fault::{Point, pass};
use crate::platform::train::Model;

/// Requests that may wait to be written, and their bytes.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 64 << 20;
/// Time between two looks at what is to be flushed, and between two fsyncs.
const FLUSH: Duration = Duration::from_millis(200);
const SYNC: Duration = Duration::from_secs(5);
/// Bytes that are flushed before it is time.
const BUFFER: usize = 1 << 16;
/// Embeddings at once, and then per second: each costs a prediction.
const EMBEDDINGS: f64 = 1000.0;
const EMBEDDINGS_PER_SECOND: f64 = 20.0;
/// After a failure the disk is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// After so long without a loss the next one is warned of again.
const CALM: Duration = Duration::from_secs(60);

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

/// Who is told of requests that are not logged.
pub trait Losses: Send + Sync {
    /// So many more.
    fn lost(&self, requests: u64);
    /// How many so far, and why: said once, and again only after a while without a loss.
    fn warn(&self, text: &str);
}

impl Losses for Null {
    fn lost(&self, _: u64) {}
    fn warn(&self, _: &str) {}
}

struct Shared {
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Requests that were not logged.
    dropped: AtomicU64,
    /// Lines that were.
    written: AtomicU64,
    losses: Arc<dyn Losses>,
}

impl Shared {
    fn new(losses: Arc<dyn Losses>) -> Self {
        let (waiting, dropped, written) = Default::default();
        Self { waiting, dropped, written, losses }
    }

    fn lose(&self, requests: u64) {
        if requests > 0 {
            self.dropped.fetch_add(requests, Ordering::Relaxed);
            self.losses.lost(requests);
        }
    }
}

impl Log {
    /// A log in `folder`, which is made when there is something to write.
    ///
    /// # Errors
    /// [`MonitorError::Io`] if the system gives no thread.
    pub fn open(folder: &Path, spec: &LogSpec, losses: Arc<dyn Losses>) -> Result<Self, MonitorError> {
        let (sender, receiver) = sync_channel(WAITING);
        let shared = Arc::new(Shared::new(losses));
        let writer = Writer::new(folder, spec, Arc::clone(&shared));
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
            self.shared.lose(1);
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
    /// Those in what is buffered, too.
    telling: u64,
    /// Since when nothing is written, after a failure, and what the disk said.
    paused: Option<Instant>,
    trouble: Option<String>,
    /// Losses that are known here, and when there was the last one.
    lost: (u64, Option<Instant>),
    /// Embeddings that may be made, and since when.
    embeddings: (f64, Instant),
    /// Of the version that answered last.
    features: Option<(Digest, Features)>,
}

/// A file that is written to, and what it does not have yet.
struct Open {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Requests and lines in the buffer.
    requests: u64,
    lines: u64,
    size: u64,
    synced: Instant,
}

impl Writer {
    fn new(folder: &Path, spec: &LogSpec, shared: Arc<Shared>) -> Self {
        Self {
            folder: folder.to_owned(),
            spec: spec.clone(),
            shared,
            file: None,
            told: 0,
            telling: 0,
            paused: None,
            trouble: None,
            lost: (0, None),
            embeddings: (EMBEDDINGS, Instant::now()),
            features: None,
        }
    }

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
            self.shared.lose(1);
            return;
        }
        self.paused = None;
        let added = self.bytes(job).and_then(|(bytes, lines)| {
            self.gap()?;
            self.add(&bytes, 1, lines)
        });
        if let Err(error) = added {
            self.shared.lose(1);
            self.fail(&error);
        } else if self.file.as_ref().is_some_and(|open| open.buffer.len() >= BUFFER)
            && let Err(error) = self.flush()
        {
            self.fail(&error);
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
        for line in &lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        Ok((bytes, lines.len() as u64))
    }

    /// Tells of what was dropped since it was told last.
    fn gap(&mut self) -> io::Result<()> {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped > self.telling {
            let gap = Gap { dropped: dropped - self.telling, time: Time::now() };
            let mut bytes = serde_json::to_vec(&gap)?;
            bytes.push(b'\n');
            self.add(&bytes, 0, 0)?;
            self.telling = dropped;
        }
        Ok(())
    }

    /// Adds lines to what is buffered; in a failure these are not, and all others still are.
    fn add(&mut self, bytes: &[u8], requests: u64, lines: u64) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|open| open.size >= self.spec.rotate.0) {
            self.close()?;
        }
        let open = match &mut self.file {
            Some(open) => open,
            none => none.insert(open(&self.folder, &self.spec)?),
        };
        open.buffer.extend_from_slice(bytes);
        open.size += bytes.len() as u64;
        open.requests += requests;
        open.lines += lines;
        Ok(())
    }

    /// Gives what is buffered to the system.
    fn flush(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.file else { return Ok(()) };
        open.file.write_all(&open.buffer)?;
        open.buffer.clear();
        self.shared.written.fetch_add(open.lines, Ordering::Relaxed);
        (open.requests, open.lines) = (0, 0);
        self.told = self.telling;
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.take().map_or(Ok(()), |open| open.file.sync_data())
    }

    /// Flushes what is buffered, and now and then puts it on the disk.
    fn settle(&mut self, end: bool) {
        if end || self.paused.is_none_or(|since| since.elapsed() >= PAUSE) {
            let settled = self.gap().and_then(|()| if end { self.close() } else { self.flush() });
            let settled = settled.and_then(|()| match &mut self.file {
                Some(open) if open.synced.elapsed() >= SYNC => {
                    open.synced = Instant::now();
                    open.file.sync_data()
                }
                _ => Ok(()),
            });
            if let Err(error) = settled {
                self.fail(&error);
            }
        }
        self.warn();
    }

    /// Gives the file up, so that the next one begins with a whole line, and waits. What was buffered is lost, too: what that
    /// would have told of losses is told later.
    fn fail(&mut self, trouble: &io::Error) {
        if let Some(open) = self.file.take() {
            self.shared.lose(open.requests);
            if open.file.metadata().is_ok_and(|found| found.is_file() && found.len() == 0) {
                // A full disk must not fill up with names.
                let _ = fs::remove_file(&open.path);
            }
        }
        self.telling = self.told;
        self.paused = Some(Instant::now());
        self.trouble = Some(trouble.to_string());
    }

    /// Warns of losses, once until there were none for a while.
    fn warn(&mut self) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped == self.lost.0 {
            return;
        }
        if self.lost.1.is_none_or(|last| last.elapsed() >= CALM) {
            let why = self.trouble.take();
            let why = why.unwrap_or_else(|| "more is answered than can be written".to_owned());
            let text = format!(
                "answers are missing from the prediction log `{}`, {dropped} so far: {why}",
                self.folder.display()
            );
            self.shared.losses.warn(&text);
        }
        self.lost = (dropped, Some(Instant::now()));
    }
}

/// Begins a file, after what is too much was removed.
fn open(folder: &Path, spec: &LogSpec) -> io::Result<Open> {
    fs::create_dir_all(folder)?;
    prune(folder, spec.keep.0.saturating_sub(spec.rotate.0));
    let mut options = File::options();
    options.append(true).create_new(true);
    // Inputs may be of persons.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let path = folder.join(format!("{}.{EXTENSION}", Id::new()));
    pass(Point::Write, &path)?;
    let file = options.open(&path)?;
    // Held while it is written to, so that no other server removes it; without locks that is not known.
    #[cfg(unix)]
    let _ = file.try_lock_shared();
    let mut buffer = serde_json::to_vec(&Head { schema: SCHEMA.to_owned() })?;
    buffer.push(b'\n');
    Ok(Open { file, path, buffer, requests: 0, lines: 0, size: 0, synced: Instant::now() })
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

/// Removes the oldest files until the others have at most `keep` bytes, but none that a server still writes to.
fn prune(folder: &Path, keep: u64) {
    let mut left = 0;
    for path in files(folder).unwrap_or_default().into_iter().rev() {
        left += fs::metadata(&path).map_or(0, |found| found.len());
        let held =
            || File::open(&path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        if left > keep && !held() {
            // One that another server removes at the same time is gone, too.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests;
