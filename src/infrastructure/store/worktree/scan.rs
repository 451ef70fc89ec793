//! The parallel walk over a folder: names, stats, and the ids that the cache knows. Nothing is read but `.mlpignore` files.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rayon::prelude::*;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::{NodeKind, StoreError};
use super::cache::{Cached, Contents};
use super::names;
use super::stat::Stat;
use crate::base::{Digest, Level, Sink};
use crate::infrastructure::durable;

/// Folders nest at most this deep below a root: a checkout keeps one folder open per level.
pub(super) const DEEPEST: usize = 128;

/// One folder as found on disk, entries sorted by name.
pub(super) struct Folder {
    /// Absolute path.
    pub(super) path: Vec<u8>,
    /// Folders between it and the root.
    pub(super) depth: usize,
    names: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    /// Files called as mlp calls those that it is writing.
    pub(super) temporary: Vec<Vec<u8>>,
}

/// One entry of a folder.
pub(super) struct Entry {
    start: u32,
    length: u16,
    pub(super) kind: NodeKind,
    /// Listed in an `.mlpignore` (only kept where asked for).
    pub(super) ignored: bool,
    pub(super) stat: Stat,
    /// The id, once known: from the cache or by reading.
    pub(super) id: Option<Digest>,
    /// Whether the id came from the cache without reading.
    pub(super) cached: bool,
    /// What the cache says mlp stored or wrote under this name, whatever is there now.
    pub(super) tracked: Option<Digest>,
    /// Position of a directory in [`Scan::folders`].
    pub(super) child: usize,
}

/// Everything below a root; parents before children.
pub(super) struct Scan {
    pub(super) folders: Vec<Folder>,
}

/// The rules of the `.mlpignore` files between a folder and the root.
pub(super) struct Ignore {
    rules: Gitignore,
    above: Option<Arc<Ignore>>,
}

impl Folder {
    /// A folder without entries.
    pub(super) fn new(path: Vec<u8>, depth: usize) -> Self {
        Self { path, depth, names: Vec::new(), entries: Vec::new(), temporary: Vec::new() }
    }

    /// The name of an entry.
    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        &self.names[entry.start as usize..][..usize::from(entry.length)]
    }

    /// The absolute path of an entry.
    pub(super) fn path_of(&self, entry: &Entry) -> PathBuf {
        path_buf(&names::join(&self.path, self.name(entry)))
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, name: &[u8], kind: NodeKind, stat: Stat) -> &mut Entry {
        let start = self.names.len() as u32;
        self.names.extend_from_slice(name);
        let at = self.entries.len();
        self.entries.push(Entry {
            start,
            length: name.len() as u16,
            kind,
            ignored: false,
            stat,
            id: None,
            cached: false,
            tracked: None,
            child: usize::MAX,
        });
        &mut self.entries[at]
    }

    /// Drops the entries for which `keep` says no.
    pub(super) fn retain(&mut self, keep: impl Fn(&[u8], &Entry) -> bool) {
        let names = &self.names;
        self.entries.retain(|entry| keep(&names[entry.start as usize..][..usize::from(entry.length)], entry));
    }

    /// Fills in what the cache knows.
    pub(super) fn recall(&mut self, cache: &Contents) {
        let group = cache.group(&self.path);
        let mut known = group.iter().peekable();
        let names = &self.names;
        for entry in &mut self.entries {
            let name = &names[entry.start as usize..][..usize::from(entry.length)];
            while known.next_if(|(candidate, _)| *candidate < name).is_some() {}
            if let Some((_, Cached { stat, id, tracked, racy })) =
                known.next_if(|(candidate, _)| *candidate == name)
            {
                entry.tracked = tracked.then_some(*id);
                if !racy && *stat == entry.stat && entry.kind != NodeKind::Directory {
                    // Links are read again, which costs as little: what is allowed depends on the root.
                    entry.id = (entry.kind != NodeKind::Link).then_some(*id);
                    entry.cached = true;
                }
            }
        }
    }

    fn sort(&mut self) {
        let names = &self.names;
        self.entries.sort_unstable_by(|a, b| {
            names[a.start as usize..][..usize::from(a.length)]
                .cmp(&names[b.start as usize..][..usize::from(b.length)])
        });
    }
}

impl Scan {
    /// Walks the folder `root` (an absolute path; if it is a link, what it points to).
    pub(super) fn of(root: Vec<u8>, cache: &Contents, sink: &dyn Sink) -> Result<Self, StoreError> {
        let mut scan = Self { folders: Vec::new() };
        let mut level = vec![(root, None, 0)];
        while !level.is_empty() {
            let listed = level
                .into_par_iter()
                .map(|(path, above, depth)| {
                    let dir = open_folder(&path, depth > 0)?;
                    let mut folder = Folder::new(path, depth);
                    let ignore = list(&dir, &mut folder, above, false, sink)?;
                    folder.recall(cache);
                    Ok((folder, ignore))
                })
                .collect::<Result<Vec<_>, StoreError>>()?;
            if let Some((folder, _)) = listed.first()
                && folder.depth > DEEPEST
            {
                let path = names::shown(&folder.path);
                return Err(StoreError::Name { path, reason: "its folders nest too deep" });
            }
            // Children get the positions after all folders of this level.
            let first_child = scan.folders.len() + listed.len();
            level = Vec::new();
            for (mut folder, ignore) in listed {
                for at in 0..folder.entries.len() {
                    if folder.entries[at].kind == NodeKind::Directory {
                        folder.entries[at].child = first_child + level.len();
                        let path = names::join(&folder.path, folder.name(&folder.entries[at]));
                        level.push((path, ignore.clone(), folder.depth + 1));
                    }
                }
                scan.folders.push(folder);
            }
        }
        Ok(scan)
    }
}

/// Opens a folder; below the root never through a link.
pub(super) fn open_folder(path: &[u8], no_follow: bool) -> Result<OwnedFd, StoreError> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if no_follow {
        flags |= OFlags::NOFOLLOW;
    }
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::NOENT => StoreError::Absent(path_buf(path)),
        error => StoreError::io("open", path_buf(path))(error.into()),
    })
}

/// Lists `dir` into `folder`, sorted, with stats. Left out: `.git`, `.mlp`, what `.mlpignore` lists (unless `keep_ignored`),
/// and what is neither file, link nor folder. Returns the rules for its subfolders.
pub(super) fn list(
    dir: &OwnedFd,
    folder: &mut Folder,
    above: Option<Arc<Ignore>>,
    keep_ignored: bool,
    sink: &dyn Sink,
) -> Result<Option<Arc<Ignore>>, StoreError> {
    let failed = |error: Errno| StoreError::io("list", path_buf(&folder.path))(error.into());
    let mut found = Vec::new();
    let mut rules = above;
    for entry in Dir::read_from(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        match name.to_bytes() {
            b"." | b".." => continue,
            b".mlpignore" => rules = Some(read_rules(&folder.path, rules.take())?),
            _ => {}
        }
        found.push(entry);
    }
    for entry in found {
        let name = entry.file_name();
        let bytes = name.to_bytes();
        if bytes.starts_with(durable::TEMPORARY.as_bytes()) {
            folder.temporary.push(bytes.to_vec());
            continue;
        }
        let stat = match rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Stat::of(&stat),
            // Removed since the folder was listed.
            Err(Errno::NOENT) => continue,
            Err(error) => {
                return Err(StoreError::io("read", path_buf(&names::join(&folder.path, bytes)))(
                    error.into(),
                ));
            }
        };
        let kind = match stat.file_type() {
            FileType::RegularFile if stat.is_executable() => NodeKind::Executable,
            FileType::RegularFile => NodeKind::File,
            FileType::Symlink => NodeKind::Link,
            FileType::Directory => NodeKind::Directory,
            _ => {
                left_out(sink, folder, bytes, "neither a file nor a folder");
                continue;
            }
        };
        let ignored = rules.as_ref().is_some_and(|rules| rules.matches(&folder.path, bytes, kind));
        if ignored && !keep_ignored {
            continue;
        }
        if names::is_reserved(bytes) {
            if !ignored {
                left_out(sink, folder, bytes, "the name is reserved");
            }
            continue;
        }
        folder.push(bytes, kind, stat).ignored = ignored;
    }
    folder.sort();
    Ok(rules)
}

fn left_out(sink: &dyn Sink, folder: &Folder, name: &[u8], why: &str) {
    let path = names::shown(&names::join(&folder.path, name));
    sink.log(Level::Warn, &format!("`{path}` is left out: {why} (list it in `.mlpignore` to hide this)"));
}

fn read_rules(folder: &[u8], above: Option<Arc<Ignore>>) -> Result<Arc<Ignore>, StoreError> {
    let folder = path_buf(folder);
    let path = folder.join(".mlpignore");
    let wrong =
        |error: ignore::Error| StoreError::io("read", &path)(std::io::Error::other(error.to_string()));
    let mut builder = GitignoreBuilder::new(&folder);
    if let Some(error) = builder.add(&path) {
        return Err(wrong(error));
    }
    Ok(Arc::new(Ignore { rules: builder.build().map_err(wrong)?, above }))
}

impl Ignore {
    /// Whether the innermost rule that says anything about the name says to leave it out.
    fn matches(&self, folder: &[u8], name: &[u8], kind: NodeKind) -> bool {
        let path = path_buf(&names::join(folder, name));
        let mut ignore = Some(self);
        while let Some(rules) = ignore {
            let answer = rules.rules.matched(&path, kind == NodeKind::Directory);
            if !answer.is_none() {
                return answer.is_ignore();
            }
            ignore = rules.above.as_deref();
        }
        false
    }
}

/// A path from its bytes.
pub(super) fn path_buf(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned()
}
