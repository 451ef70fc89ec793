//! Reading files: hash them, and prepare what the store lacks. Small files go in runs, in parallel, in order; long files one by one,
//! each cut and compressed by all cores.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rustix::fs::{FileType, Mode, OFlags};

use super::super::catalog::Catalog;
use super::super::chunk::Class;
use super::super::codec::{self, Plan};
use super::super::recipe::Recipe;
use super::super::writer::Encoded;
use super::super::{Local, NodeKind, ObjectKind, StoreError, WHOLE_FILE_LIMIT, Writer};
use super::names;
use super::scan::{Folder, Scan, open_folder};
use super::stat::Stat;
use crate::base::{Digest, Sink, Unit};

/// A run is at most this many files and bytes: enough to outweigh handing it to a thread, little enough to keep memory small.
const RUN_FILES: usize = 256;
const RUN_BYTES: u64 = 2 << 20;
/// What is read of a long file at a time.
const WINDOW: usize = 16 << 20;
/// How often a file that changes under us is read again.
const TRIES: usize = 3;

/// Where read content goes.
pub(super) struct Target<'a, 'b> {
    /// Where what is new is added.
    pub(super) writer: &'a mut Writer<'b>,
    /// The same store, to look up how a file was cut before.
    pub(super) store: &'b Local,
}

/// Progress at most twenty times a second.
pub(super) struct Meter<'a> {
    sink: &'a dyn Sink,
    task: &'static str,
    total: u64,
    done: u64,
    last: Instant,
}

/// What a run of small files came to.
struct Done {
    /// Id and stat per file; no id for a file that turned out to be long.
    files: Vec<(Option<Digest>, Stat)>,
    /// What the store lacks, with the number of its bytes in `stored`.
    objects: Vec<(Encoded, usize)>,
    stored: Vec<u8>,
}

impl<'a> Meter<'a> {
    /// A meter of `total` bytes.
    pub(super) fn new(sink: &'a dyn Sink, task: &'static str, total: u64) -> Self {
        Self { sink, task, total, done: 0, last: Instant::now() }
    }

    /// Counts and, if it is time, tells.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if self.last.elapsed() >= Duration::from_millis(50) {
            self.last = Instant::now();
            self.sink.progress(self.task, self.done, Some(self.total.max(self.done)), Unit::Bytes);
        }
    }
}

/// Reads every file without an id, fills in ids and stats, adds what is new to `target`; returns how many files were read.
/// `strict` refuses links that lead out of the root.
pub(super) fn resolve(
    scan: &mut Scan,
    mut target: Option<Target<'_, '_>>,
    strict: bool,
    sink: &dyn Sink,
) -> Result<u64, StoreError> {
    let (mut runs, mut long) = (Vec::new(), Vec::new());
    let (mut hashed, mut total) = (0, 0);
    for (at, folder) in scan.folders.iter().enumerate() {
        let (mut run, mut bytes) = (Vec::new(), 0);
        for (index, entry) in folder.entries.iter().enumerate() {
            if entry.id.is_some() || entry.kind == NodeKind::Directory {
                continue;
            }
            hashed += u64::from(entry.kind != NodeKind::Link);
            total += entry.stat.size;
            if entry.stat.size > WHOLE_FILE_LIMIT {
                long.push((at, index));
                continue;
            }
            run.push(index);
            bytes += entry.stat.size;
            if run.len() >= RUN_FILES || bytes >= RUN_BYTES {
                runs.push((at, std::mem::take(&mut run)));
                bytes = 0;
            }
        }
        if !run.is_empty() {
            runs.push((at, run));
        }
    }
    let mut meter = Meter::new(sink, if target.is_some() { "adding" } else { "hashing" }, total);
    let catalog = target.as_ref().map(|target| target.writer.catalog());
    for batch in runs.chunks(4 * rayon::current_num_threads()) {
        let folders = &scan.folders;
        let done = batch
            .par_iter()
            .map(|(at, run)| read_run(&folders[*at], run, catalog.as_ref(), strict))
            .collect::<Result<Vec<_>, StoreError>>()?;
        for ((at, run), done) in batch.iter().zip(done) {
            let mut read = 0;
            for (index, (id, stat)) in run.iter().zip(done.files) {
                if id.is_none() {
                    long.push((*at, *index));
                }
                read += stat.size;
                let entry = &mut scan.folders[*at].entries[*index];
                entry.cached &= entry.kind == NodeKind::Link && entry.tracked == id;
                (entry.id, entry.stat) = (id, stat);
            }
            if let Some(target) = &mut target {
                let mut start = 0;
                for (object, length) in &done.objects {
                    target.writer.push(object, &done.stored[start..start + length])?;
                    start += length;
                }
            }
            meter.advance(read);
        }
    }
    for (at, index) in long {
        let folder = &scan.folders[at];
        let entry = &folder.entries[index];
        let dir = open_folder(&folder.path, folder.depth > 0)?;
        let class = match (&target, entry.tracked) {
            (Some(target), Some(id)) => target.store.recipe(&id)?.map(|recipe| recipe.class),
            _ => None,
        };
        let path = folder.path_of(entry);
        let name = folder.name(entry);
        let (id, stat) = read_long(&dir, name, &path, class, &mut target, &mut meter)?;
        let entry = &mut scan.folders[at].entries[index];
        (entry.id, entry.stat, entry.cached) = (Some(id), stat, false);
    }
    Ok(hashed)
}

fn read_run(
    folder: &Folder,
    run: &[usize],
    catalog: Option<&Arc<Catalog>>,
    strict: bool,
) -> Result<Done, StoreError> {
    let dir = open_folder(&folder.path, folder.depth > 0)?;
    let mut done = Done { files: Vec::with_capacity(run.len()), objects: Vec::new(), stored: Vec::new() };
    let mut content = Vec::with_capacity(64 << 10);
    for index in run {
        let entry = &folder.entries[*index];
        let name = folder.name(entry);
        let stat = if entry.kind == NodeKind::Link {
            read_link(&dir, folder, name, strict, &mut content)?;
            Some(entry.stat)
        } else {
            read_small(&dir, name, &folder.path_of(entry), &mut content)?
        };
        let Some(stat) = stat else {
            done.files.push((None, entry.stat));
            continue;
        };
        let id = Digest::of(&content);
        done.files.push((Some(id), stat));
        if let Some(catalog) = catalog
            && catalog.find(&id).is_none()
        {
            let start = done.stored.len();
            let codec = codec::encode(Plan::choose(name, &content), &content, &mut done.stored);
            let object = Encoded { id, kind: ObjectKind::Blob, codec, length: content.len() as u32 };
            done.objects.push((object, done.stored.len() - start));
        }
    }
    Ok(done)
}

/// Opens a regular file, never through a link and never waiting for the other end of a pipe.
fn open_file(dir: &OwnedFd, name: &[u8], path: &Path) -> Result<(File, Stat), StoreError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty())
        .map_err(|error| StoreError::io("read", path)(error.into()))?;
    let stat = rustix::fs::fstat(&file).map_err(|error| StoreError::io("read", path)(error.into()))?;
    let stat = Stat::of(&stat);
    if stat.file_type() != FileType::RegularFile {
        return Err(StoreError::Changing(path.to_owned()));
    }
    Ok((File::from(file), stat))
}

/// Reads a file of at most a megabyte; none if it is longer.
fn read_small(
    dir: &OwnedFd,
    name: &[u8],
    path: &Path,
    content: &mut Vec<u8>,
) -> Result<Option<Stat>, StoreError> {
    for _ in 0..TRIES {
        let (mut file, stat) = open_file(dir, name, path)?;
        if stat.size > WHOLE_FILE_LIMIT {
            return Ok(None);
        }
        // One byte more than expected: a single read then shows the end of the file, too.
        let expected = stat.size as usize;
        content.resize(expected + 1, 0);
        let mut filled = 0;
        loop {
            let count = file.read(&mut content[filled..]).map_err(StoreError::io("read", path))?;
            filled += count;
            if count == 0 || filled >= expected {
                break;
            }
        }
        if filled == expected {
            content.truncate(expected);
            return Ok(Some(stat));
        }
    }
    Err(StoreError::Changing(path.to_owned()))
}

fn read_link(
    dir: &OwnedFd,
    folder: &Folder,
    name: &[u8],
    strict: bool,
    content: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let path = names::join(&folder.path, name);
    let target = rustix::fs::readlinkat(dir.as_fd(), name, Vec::new())
        .map_err(|error| StoreError::io("read", super::scan::path_buf(&path))(error.into()))?;
    if strict && !names::link_stays_inside(target.to_bytes(), folder.depth) {
        return Err(StoreError::Link { path: names::shown(&path), target: names::shown(target.to_bytes()) });
    }
    content.clear();
    content.extend_from_slice(target.to_bytes());
    Ok(())
}

/// Hashes a long file and adds its chunks and recipe; again if it changes meanwhile.
fn read_long(
    dir: &OwnedFd,
    name: &[u8],
    path: &Path,
    class: Option<Class>,
    target: &mut Option<Target<'_, '_>>,
    meter: &mut Meter<'_>,
) -> Result<(Digest, Stat), StoreError> {
    for _ in 0..TRIES {
        let (mut file, stat) = open_file(dir, name, path)?;
        let mut hasher = blake3::Hasher::new();
        // One byte more, so that the end is seen without growing.
        let mut window = Vec::with_capacity(stat.size.min(WINDOW as u64) as usize + 1);
        let mut chunks = Vec::new();
        let class = Class::choose(stat.size, class);
        let mut plan = None;
        let mut size = 0;
        loop {
            let kept = window.len();
            let count = (&mut file).take((WINDOW - kept) as u64).read_to_end(&mut window);
            let count = count.map_err(StoreError::io("read", path))?;
            hasher.update_rayon(&window[kept..]);
            size += count as u64;
            if let Some(target) = target {
                let plan = *plan.get_or_insert_with(|| Plan::choose(name, &window));
                let (consumed, ids) = target.writer.chunks(class, plan, &window, count == 0)?;
                chunks.extend(ids);
                window.drain(..consumed);
            } else {
                window.clear();
            }
            meter.advance(count as u64);
            if count == 0 {
                break;
            }
        }
        let after = rustix::fs::fstat(&file).map_err(|error| StoreError::io("read", path)(error.into()))?;
        let after = Stat::of(&after);
        let id = Digest::from_bytes(*hasher.finalize().as_bytes());
        if after == stat && size == stat.size {
            if let Some(target) = target {
                target.writer.file(id, class, chunks)?;
                target.store.clones.keep(&id, &file);
            }
            return Ok((id, stat));
        }
    }
    Err(StoreError::Changing(path.to_owned()))
}

impl Writer<'_> {
    /// Adds the recipe of a file whose chunks were added.
    fn file(&mut self, id: Digest, class: Class, chunks: Vec<(Digest, u32)>) -> Result<(), StoreError> {
        self.recipe(&Recipe { class, chunks, file: id })
    }
}
