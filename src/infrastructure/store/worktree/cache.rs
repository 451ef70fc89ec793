//! The stat cache: what each file's id was when the file system last said this about it. One flat sorted file, read as a
//! whole (status is always a full sweep) and swapped under a lock.
//!
//! ```text
//! "MLPS1" | per folder, sorted by path: path: length varint, bytes | files varint | bytes varint | files | BLAKE3 (stat cache context)
//! file, sorted by name: bytes shared with the previous name varint | further bytes: length varint, bytes | flags u8 |
//!   mode varint | size varint | dev varint | ino varint | mtime i64 | ctime i64 | id 32 B
//! ```
//! Flags: 1 the store holds this content as part of what the user tracks; 2 the file was too young to be believed later.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::super::mapped::Bytes;
use super::super::object::stat_cache_digest;
use super::super::wire::{Fields, common_prefix, put_bytes, put_varint};
use super::super::{StoreError, files};
use super::names;
use super::stat::Stat;
use crate::base::Digest;

const MAGIC: &[u8; 5] = b"MLPS1";
const TRACKED: u8 = 1;
const RACY: u8 = 2;
/// How long to wait for another process that swaps the cache.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stat cache of one work tree (`<git dir>/mlp/index`).
pub struct StatCache {
    /// Where it lies.
    pub path: PathBuf,
}

/// What the cache says about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cached {
    pub(super) stat: Stat,
    pub(super) id: Digest,
    /// Put into the store, or written from it, by mlp.
    pub(super) tracked: bool,
    /// Not to be believed without reading the file.
    pub(super) racy: bool,
}

/// The cached files of one folder, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    names: Vec<u8>,
    files: Vec<(Range<usize>, Cached)>,
}

/// The cache as read from disk.
pub(super) struct Contents {
    bytes: Bytes,
    folders: Vec<FolderSpan>,
}

struct FolderSpan {
    path: Range<usize>,
    files: u64,
    body: Range<usize>,
}

impl Group {
    /// Adds a file; names must come in ascending order.
    pub(super) fn push(&mut self, name: &[u8], cached: Cached) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.files.push((start..self.names.len(), cached));
    }

    /// Names and what is known about them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Cached)> {
        self.files.iter().map(|(name, cached)| (&self.names[name.clone()], cached))
    }

    /// What is known about `name`.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Cached> {
        let at = self.files.binary_search_by(|(range, _)| self.names[range.clone()].cmp(name)).ok()?;
        Some(&self.files[at].1)
    }

    /// Number of files.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    fn without(&self, gone: &[u8]) -> Self {
        let mut group = Self::default();
        for (name, cached) in self.iter().filter(|(name, _)| *name != gone) {
            group.push(name, *cached);
        }
        group
    }

    /// The files of both; where both know a name, `newer` counts.
    fn merged(&self, newer: &Self) -> Self {
        let mut all =
            self.iter().filter(|(name, _)| newer.get(name).is_none()).chain(newer.iter()).collect::<Vec<_>>();
        all.sort_unstable_by_key(|(name, _)| *name);
        let mut group = Self::default();
        all.into_iter().for_each(|(name, cached)| group.push(name, *cached));
        group
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.files.len() * 80);
        let mut previous: &[u8] = &[];
        for (name, cached) in self.iter() {
            let shared = common_prefix(previous, name);
            put_varint(&mut out, shared as u64);
            put_bytes(&mut out, &name[shared..]);
            out.push(u8::from(cached.tracked) * TRACKED + u8::from(cached.racy) * RACY);
            for number in [u64::from(cached.stat.mode), cached.stat.size, cached.stat.dev, cached.stat.ino] {
                put_varint(&mut out, number);
            }
            out.extend_from_slice(&cached.stat.mtime.to_le_bytes());
            out.extend_from_slice(&cached.stat.ctime.to_le_bytes());
            out.extend_from_slice(cached.id.as_bytes());
            previous = name;
        }
        out
    }

    fn decode(bytes: &[u8], count: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let mut group = Self::default();
        group.files.reserve(count.min(bytes.len() as u64 / 50) as usize);
        let mut previous = 0..0;
        for _ in 0..count {
            let shared = usize::try_from(fields.varint()?).ok()?;
            let further = fields.bytes()?;
            let start = group.names.len();
            if shared > previous.len() {
                return None;
            }
            group.names.extend_from_within(previous.start..previous.start + shared);
            group.names.extend_from_slice(further);
            let name = start..group.names.len();
            if !group.files.is_empty() && group.names[previous] >= group.names[name.clone()] {
                return None;
            }
            let flags = fields.byte()?;
            let mode = u32::try_from(fields.varint()?).ok()?;
            let (size, dev, ino) = (fields.varint()?, fields.varint()?, fields.varint()?);
            let (mtime, ctime) = (fields.u64()? as i64, fields.u64()? as i64);
            let stat = Stat { dev, ino, size, mtime, ctime, mode };
            let (tracked, racy) = (flags & TRACKED != 0, flags & RACY != 0);
            group.files.push((name.clone(), Cached { stat, id: fields.digest()?, tracked, racy }));
            previous = name;
        }
        fields.is_empty().then_some(group)
    }
}

impl Contents {
    /// A cache that knows nothing.
    pub(super) fn empty() -> Self {
        Self { bytes: Bytes::Owned(Vec::new()), folders: Vec::new() }
    }

    /// What is known about the files in the folder `path`. A group that makes no sense is empty: this is only a cache.
    pub(super) fn group(&self, path: &[u8]) -> Group {
        let found = self.folders.binary_search_by(|folder| self.bytes[folder.path.clone()].cmp(path));
        found.map(|at| self.decoded(&self.folders[at])).unwrap_or_default()
    }

    /// Number of files known at or below `root`.
    pub(super) fn files_below(&self, root: &[u8]) -> u64 {
        self.folders
            .iter()
            .filter(|folder| is_within(&self.bytes[folder.path.clone()], root))
            .map(|folder| folder.files)
            .sum()
    }

    fn decoded(&self, folder: &FolderSpan) -> Group {
        Group::decode(&self.bytes[folder.body.clone()], folder.files).unwrap_or_default()
    }

    fn parse(bytes: Bytes) -> Option<Self> {
        let body = &bytes[..bytes.len().checked_sub(32)?];
        if bytes[body.len()..] != *stat_cache_digest(body).as_bytes() {
            return None;
        }
        let mut fields = Fields(body);
        (fields.take(MAGIC.len())? == MAGIC).then_some(())?;
        let mut folders: Vec<FolderSpan> = Vec::new();
        let span = |fields: &Fields, length: usize| {
            let end = body.len() - fields.0.len();
            end - length..end
        };
        while !fields.is_empty() {
            let length = fields.bytes()?.len();
            let path = span(&fields, length);
            let files = fields.varint()?;
            let length = fields.bytes()?.len();
            if folders.last().is_some_and(|last| body[last.path.clone()] >= body[path.clone()]) {
                return None;
            }
            folders.push(FolderSpan { path, files, body: span(&fields, length) });
        }
        Some(Self { folders, bytes })
    }
}

impl StatCache {
    /// The cache at `path`; nothing is read before it is needed.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the cache. One that is missing or damaged is empty: every file is then read once more.
    pub(super) fn load(&self) -> Result<Contents, StoreError> {
        let bytes = Bytes::map(&self.path)?;
        Ok(bytes.and_then(Contents::parse).unwrap_or_else(Contents::empty))
    }

    /// The time of the file system now, from a file just made: the machine's own clock may differ.
    pub(super) fn file_system_time(&self) -> Result<i64, StoreError> {
        let file = files::temporary(&self.path)?;
        let stat = rustix::fs::fstat(file.as_file())
            .map_err(|error| StoreError::io("read", &self.path)(error.into()))?;
        Ok(Stat::of(&stat).mtime)
    }

    /// Swaps in what is now known about everything at or below `root`; what other commands wrote about other paths in the
    /// meantime is kept. Unless `must`, a lock held by another process means that nothing is written.
    pub(super) fn update(
        &self,
        root: &[u8],
        groups: Vec<(Vec<u8>, Group)>,
        must: bool,
    ) -> Result<(), StoreError> {
        let Some(_lock) = self.lock(must)? else { return Ok(()) };
        let old = self.load()?;
        let mut groups = groups;
        groups.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let (parent, name) = split(root);
        let mut out = MAGIC.to_vec();
        let mut new = groups.into_iter().peekable();
        for folder in &old.folders {
            let path = &old.bytes[folder.path.clone()];
            if is_within(path, root) {
                continue;
            }
            while let Some((path, group)) = new.next_if(|(new, _)| new.as_slice() < path) {
                put_group(&mut out, &path, group.len() as u64, &group.encode());
            }
            let same = new.next_if(|(new, _)| new.as_slice() == path);
            if path == parent || same.is_some() {
                let mut group = old.decoded(folder);
                if path == parent {
                    group = group.without(name);
                }
                if let Some((_, newer)) = same {
                    group = group.merged(&newer);
                }
                put_group(&mut out, path, group.len() as u64, &group.encode());
            } else {
                put_group(&mut out, path, folder.files, &old.bytes[folder.body.clone()]);
            }
        }
        for (path, group) in new {
            put_group(&mut out, &path, group.len() as u64, &group.encode());
        }
        let digest = stat_cache_digest(&out);
        out.extend_from_slice(digest.as_bytes());
        drop(old);
        files::replace(&self.path, &out)?;
        files::sync_dir(&files::parent(&self.path))
    }

    /// Takes the lock; the kernel gives it back when the file is closed, however this process ends.
    fn lock(&self, must: bool) -> Result<Option<File>, StoreError> {
        let path = self.path.with_extension("lock");
        let mut file = loop {
            match File::options().read(true).write(true).create(true).truncate(false).open(&path) {
                Ok(file) => break file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    files::make_dir(&files::parent(&path))?
                }
                Err(error) => return Err(StoreError::io("lock", path)(error)),
            }
        };
        let start = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if !must => return Ok(None),
                Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() >= PATIENCE => {
                    let holder = fs::read_to_string(&path).unwrap_or_default();
                    return Err(StoreError::Locked { path, holder: holder.trim().to_owned() });
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(StoreError::io("lock", path)(error.into())),
            }
        }
        // For whoever waits; nothing depends on it.
        let _ = file.set_len(0);
        let _ = writeln!(file, "process {}", std::process::id());
        Ok(Some(file))
    }
}

fn put_group(out: &mut Vec<u8>, path: &[u8], files: u64, body: &[u8]) {
    if files > 0 {
        put_bytes(out, path);
        put_varint(out, files);
        put_bytes(out, body);
    }
}

fn is_within(path: &[u8], root: &[u8]) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || root.ends_with(b"/"))
}

/// Folder and name of an absolute path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// The bytes of an absolute path by which a file is known: the folder it lies in is resolved, the file itself is not.
pub(super) fn key(path: &Path) -> Result<Vec<u8>, StoreError> {
    use std::os::unix::ffi::OsStrExt;
    let absolute = std::path::absolute(path).map_err(StoreError::io("find", path))?;
    let resolved = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => {
            let parent = fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned());
            names::join(parent.as_os_str().as_bytes(), name.as_bytes())
        }
        _ => absolute.as_os_str().as_bytes().to_vec(),
    };
    Ok(resolved)
}
