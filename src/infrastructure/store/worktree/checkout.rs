//! From a root node to a folder: write what is missing, replace and remove what mlp wrote, leave alone what the user did.
//!
//! Trees are untrusted. Every operation names one component below an open folder and follows no link, so that nothing outside the
//! destination can be reached, whatever the trees say and whatever lies in the destination.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::super::{Local, Node, NodeKind, StoreError, Tree, files};
use super::cache::{Cached, Contents, Group, StatCache, key, split};
use super::kept::Kept;
use super::place::{self, Place};
use super::read::{Meter, resolve};
use super::scan::{Entry, Folder, Ignore, Scan, list, open_folder, path_buf};
use super::stat::Stat;
use super::trash::Trash;
use super::{left_over, names, portable, space, survey};
use crate::base::{Digest, Id, Sink};
use crate::infrastructure::durable::fault::{self, Point};

/// Files and links worth handing out to threads.
const WORTH: usize = 1024;
/// Files and links written between two words about it: waking the other thread for each would cost an eighth of the time.
const BATCH: usize = 64;
/// Folders and nodes that may be noted: each folder is an open file, each node some memory.
const MOST_FOLDERS: usize = 16;
const MOST_NODES: usize = 65_536;

/// How a checkout treats what is in the way.
#[derive(Clone, Copy, Default)]
pub struct CheckoutOptions<'a> {
    /// Replace files that differ from what the cache says mlp wrote (they are moved to the trash first).
    pub force: bool,
    /// Trees and files that stay in the store: only files of these are removed. It is asked when the first file is to go. None: all
    /// that is in the store stays there.
    pub kept: Option<&'a dyn Fn() -> Vec<Digest>>,
}

/// What a checkout did.
#[derive(Clone, Debug, Default)]
pub struct Checkout {
    /// Files written.
    pub written: u64,
    /// Files removed.
    pub removed: u64,
    /// Files left alone because they were right already.
    pub kept: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files with local edits that were left alone (without `force`), relative to the destination.
    pub dirty: Vec<String>,
    /// Where in the trash files with local edits are now (with `force`).
    pub trashed: Option<Id>,
}

/// Makes `path` equal to `root`. A file is replaced or removed only if its content is in the store, will stay there, and the cache does
/// not say that somebody changed it; others are listed in [`Checkout::dirty`] and kept, or moved to the trash with `force`. Files that
/// `.mlpignore` lists are not touched. Everything needed is looked up before anything is written.
pub fn checkout(
    root: &Node,
    path: &Path,
    store: &Local,
    cache: Option<&StatCache>,
    options: CheckoutOptions<'_>,
    sink: &dyn Sink,
) -> Result<Checkout, StoreError> {
    store.closure(&[root.id], &mut |_| Ok(()))?;
    survey::check(store, root)?;
    let known = cache.map_or_else(|| Ok(Contents::empty()), StatCache::load)?;
    let key = key(path)?;
    let is_folder = path.is_dir();
    // Where something stands already, less may be needed.
    if !path.exists() || path.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        space::check(path, root.size)?;
    }
    let mut work = Work {
        store,
        known,
        kept: options.kept.map(|roots| Kept::new(store, roots)),
        trash: options.force.then(|| Trash::beside(store, trash_root(root, is_folder, &key))),
        sink,
        meter: Meter::new(sink, "checking out", root.size),
        done: Checkout::default(),
        seen: Vec::new(),
        steps: Vec::new(),
        queue: Vec::new(),
        noted: 0,
    };
    if root.kind == NodeKind::Directory && (is_folder || !path.exists() && !path.is_symlink()) {
        files::make_dir(path)?;
        let dir = Arc::new(open_folder(&key, false)?);
        work.fill(
            dir,
            Spot { path: key.clone(), shown: Vec::new(), depth: 0, ignore: None },
            Some(&root.id),
        )?;
    } else {
        let (parent, name) = split(&key);
        files::make_dir(&path_buf(parent))?;
        let dir = Arc::new(open_folder(parent, false)?);
        let mut folder = Folder::new(parent.to_vec(), 0);
        if let Ok(stat) = rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            let stat = Stat::of(&stat);
            folder.push(name, place::kind_of(&stat), stat);
        }
        let spot = Spot { path: parent.to_vec(), shown: Vec::new(), depth: 0, ignore: None };
        work.reconcile(&dir, folder, &spot, vec![Node { name: name.to_vec(), ..root.clone() }])?;
    }
    while let Some(step) = work.steps.pop() {
        work.step(step)?;
    }
    work.flush()?;
    if let Some(cache) = cache {
        cache.update(&key, work.groups(cache.file_system_time()?), true)?;
    }
    work.done.dirty.sort_unstable();
    work.done.trashed = work.trash.as_ref().and_then(Trash::used);
    Ok(work.done)
}

/// The folder that the paths of what goes to the trash begin in.
fn trash_root<'a>(root: &Node, is_folder: bool, key: &'a [u8]) -> &'a [u8] {
    if root.kind == NodeKind::Directory && is_folder { key } else { split(key).0 }
}

struct Work<'a> {
    store: &'a Local,
    known: Contents,
    kept: Option<Kept<'a>>,
    /// With `force`.
    trash: Option<Trash>,
    sink: &'a dyn Sink,
    meter: Meter<'a>,
    done: Checkout,
    /// What the cache shall know: folder, and its files by name; true for what was known before and not looked at again.
    seen: Vec<(Vec<u8>, Vec<Seen>)>,
    /// What is left to do, last first.
    steps: Vec<Step>,
    /// What is left to write, with the number of its nodes.
    queue: Vec<Noted>,
    noted: usize,
}

/// A file's name, what is known about it, and whether that was proven before.
type Seen = (Vec<u8>, Cached, bool);

/// A folder of the destination.
struct Spot {
    /// Absolute path.
    path: Vec<u8>,
    /// Path below the destination.
    shown: Vec<u8>,
    depth: usize,
    ignore: Option<Arc<Ignore>>,
}

/// Files and links to be written into a folder.
struct Noted {
    dir: Arc<OwnedFd>,
    path: Vec<u8>,
    depth: usize,
    nodes: Vec<Node>,
}

impl Noted {
    /// Writes them in order and tells of each, until `stop`.
    fn put<'a>(&'a self, store: &Local, stop: &AtomicBool, tell: &mpsc::Sender<(&'a Self, Written<'a>)>) {
        let place = Place { store, dir: &self.dir, path: &self.path, depth: self.depth };
        for batch in self.nodes.chunks(BATCH) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let put = |node: &'a Node| place.put(node).map(|stat| (node, stat));
            // Nobody listens any more if the receiver panicked.
            if tell.send((self, batch.iter().map(put).collect())).is_err() {
                return;
            }
        }
    }
}

/// Nodes that were written, with their stats.
type Written<'a> = Result<Vec<(&'a Node, Stat)>, StoreError>;

enum Step {
    /// Make a subfolder equal to a tree, or empty it.
    Fill { parent: Arc<OwnedFd>, name: Vec<u8>, spot: Spot, tree: Option<Digest> },
    /// Remove a subfolder if it is empty.
    Remove { parent: Arc<OwnedFd>, name: Vec<u8> },
    /// Write a file where a folder was.
    Write { parent: Arc<OwnedFd>, spot: Spot, node: Node },
}

impl Work<'_> {
    fn step(&mut self, step: Step) -> Result<(), StoreError> {
        match step {
            Step::Fill { parent, name, spot, tree } => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let dir = rustix::fs::openat(parent.as_fd(), name.as_slice(), flags, Mode::empty())
                    .map_err(|error| StoreError::io("open", path_buf(&spot.path))(error.into()))?;
                self.fill(Arc::new(dir), spot, tree.as_ref())
            }
            Step::Remove { parent, name } => {
                // What was kept in it keeps it, too.
                let _ = rustix::fs::unlinkat(parent.as_fd(), name.as_slice(), AtFlags::REMOVEDIR);
                Ok(())
            }
            Step::Write { parent, spot, node } => {
                match rustix::fs::statat(parent.as_fd(), node.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => self.write(&parent, &spot, vec![node]),
                    _ => {
                        self.done.dirty.push(names::shown(&names::join(&spot.shown, &node.name)));
                        Ok(())
                    }
                }
            }
        }
    }

    /// Makes an open folder equal to `tree`, or empty.
    fn fill(&mut self, dir: Arc<OwnedFd>, spot: Spot, tree: Option<&Digest>) -> Result<(), StoreError> {
        let tree = tree.map_or_else(|| Ok(Tree::default()), |id| self.store.tree(id))?;
        let mut folder = Folder::new(spot.path.clone(), spot.depth);
        let ignore = list(&dir, &mut folder, spot.ignore.clone(), true, self.sink)?;
        folder.temporary.iter().for_each(|name| left_over::remove(&dir, name));
        portable::check(&tree, &dir, &spot.shown)?;
        folder.retain(|name, entry| !entry.ignored || tree.get(name).is_some());
        self.reconcile(&dir, folder, &Spot { ignore, ..spot }, tree.nodes)
    }

    fn reconcile(
        &mut self,
        dir: &Arc<OwnedFd>,
        mut folder: Folder,
        spot: &Spot,
        wanted: Vec<Node>,
    ) -> Result<(), StoreError> {
        let group = self.known.group(&spot.path);
        self.seen.push((spot.path.clone(), Vec::new()));
        folder.recall(&self.known);
        let mut scan = Scan { folders: vec![folder] };
        resolve(&mut scan, None, false, &crate::base::Null)?;
        let folder = &scan.folders[0];
        let mut found = folder.entries.iter().peekable();
        let mut write = Vec::new();
        for node in wanted {
            while let Some(entry) = found.next_if(|entry| folder.name(entry) < node.name.as_slice()) {
                self.clear(dir, spot, folder.name(entry), entry, &group)?;
            }
            names::check(&node.name, &names::join(&spot.shown, &node.name))?;
            let Some(entry) = found.next_if(|entry| folder.name(entry) == node.name.as_slice()) else {
                self.place(dir, spot, node, &mut write)?;
                continue;
            };
            let is_file = |kind| matches!(kind, NodeKind::File | NodeKind::Executable);
            let same_kind = entry.kind == node.kind || (is_file(entry.kind) && is_file(node.kind));
            if same_kind && node.kind == NodeKind::Directory {
                self.place(dir, spot, node, &mut write)?;
            } else if same_kind && entry.id == Some(node.id) {
                let mut stat = entry.stat;
                if entry.kind == node.kind {
                    self.done.kept += 1;
                } else {
                    stat = place::set_executable(dir, &node, &names::join(&spot.path, &node.name))?;
                    self.done.written += 1;
                }
                self.meter.advance(node.size);
                self.remember(
                    &node.name,
                    Cached { stat, id: node.id, tracked: true, racy: false },
                    entry.cached,
                );
            } else if entry.kind == NodeKind::Directory {
                let spot = || Spot {
                    path: spot.path.clone(),
                    shown: spot.shown.clone(),
                    depth: spot.depth,
                    ignore: None,
                };
                self.steps.push(Step::Write { parent: Arc::clone(dir), spot: spot(), node: node.clone() });
                self.clear(dir, &spot(), &node.name, entry, &group)?;
            } else if self.clear(dir, spot, &node.name, entry, &group)? {
                self.place(dir, spot, node, &mut write)?;
            }
        }
        for entry in found {
            self.clear(dir, spot, folder.name(entry), entry, &group)?;
        }
        self.write(dir, spot, write)
    }

    /// Takes what is on disk out of the way, unless the user would lose something; says whether the name is free now.
    fn clear(
        &mut self,
        dir: &Arc<OwnedFd>,
        spot: &Spot,
        name: &[u8],
        entry: &Entry,
        group: &Group,
    ) -> Result<bool, StoreError> {
        let path = names::join(&spot.path, name);
        if entry.kind == NodeKind::Directory {
            let below = spot.below(name);
            self.steps.push(Step::Remove { parent: Arc::clone(dir), name: name.to_vec() });
            self.steps.push(Step::Fill {
                parent: Arc::clone(dir),
                name: name.to_vec(),
                spot: below,
                tree: None,
            });
            return Ok(false);
        }
        if self.is_clean(name, entry, group)? {
            let shown = path_buf(&path);
            fault::pass(Point::Unlink, &shown).map_err(StoreError::io("remove", &shown))?;
            match rustix::fs::unlinkat(dir.as_fd(), name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(StoreError::io("remove", shown)(error.into())),
            }
            self.done.removed += 1;
            return Ok(true);
        }
        if let Some(trash) = &self.trash {
            trash.take(dir, name, &path, &names::join(&spot.shown, name))?;
            self.done.removed += 1;
            return Ok(true);
        }
        self.done.dirty.push(names::shown(&names::join(&spot.shown, name)));
        if let Some(cached) = group.get(name) {
            self.remember(name, *cached, true);
        }
        Ok(false)
    }

    /// Whether nothing is lost with a file: its content is in the store, and as far as the cache knows it is mlp's.
    fn is_clean(&self, name: &[u8], entry: &Entry, group: &Group) -> Result<bool, StoreError> {
        let Some(id) = entry.id else { return Ok(false) };
        let is_ours = group.get(name).is_none_or(|cached| cached.tracked && cached.id == id);
        Ok(is_ours && self.store.has(&id)? && self.kept.as_ref().map_or(Ok(true), |kept| kept.holds(&id))?)
    }

    /// Makes a folder and notes to fill it, or notes to write a file.
    fn place(
        &mut self,
        dir: &Arc<OwnedFd>,
        spot: &Spot,
        node: Node,
        write: &mut Vec<Node>,
    ) -> Result<(), StoreError> {
        if node.kind != NodeKind::Directory {
            write.push(node);
            return Ok(());
        }
        let path = path_buf(&names::join(&spot.path, &node.name));
        fault::pass(Point::Mkdir, &path).map_err(StoreError::io("make the folder", &path))?;
        match rustix::fs::mkdirat(dir.as_fd(), node.name.as_slice(), Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(StoreError::io("make the folder", path)(error.into())),
        }
        let below = spot.below(&node.name);
        self.steps.push(Step::Fill {
            parent: Arc::clone(dir),
            name: node.name,
            spot: below,
            tree: Some(node.id),
        });
        Ok(())
    }

    /// Notes files and links to be written into a folder; writes what is noted when it is worth it.
    fn write(&mut self, dir: &Arc<OwnedFd>, spot: &Spot, nodes: Vec<Node>) -> Result<(), StoreError> {
        if nodes.is_empty() {
            return Ok(());
        }
        self.noted += nodes.len();
        self.queue.push(Noted { dir: Arc::clone(dir), path: spot.path.clone(), depth: spot.depth, nodes });
        let folders = self.queue.len();
        let enough = folders >= 2 * rayon::current_num_threads() && self.noted >= WORTH;
        if enough || folders >= MOST_FOLDERS || self.noted >= MOST_NODES { self.flush() } else { Ok(()) }
    }

    /// Writes all that is noted: several folders at once, but each by one thread, for the kernel lets only one at a time change a
    /// folder, and the others would burn a processor while they wait.
    fn flush(&mut self) -> Result<(), StoreError> {
        let queue = std::mem::take(&mut self.queue);
        self.noted = 0;
        let (store, stop) = (self.store, &AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        rayon::in_place_scope(|scope| {
            for noted in &queue {
                let sender = sender.clone();
                scope.spawn(move |_| noted.put(store, stop, &sender));
            }
            drop(sender);
            let mut first = Ok(());
            for (noted, written) in receiver {
                let Noted { path, .. }: &Noted = noted;
                match written {
                    Ok(written) => {
                        for (node, stat) in written {
                            self.done.written += 1;
                            self.done.bytes += stat.size;
                            self.meter.advance(stat.size);
                            let cached = Cached { stat, id: node.id, tracked: true, racy: false };
                            self.remember_in(path, &node.name, cached, false);
                        }
                    }
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        first = first.and(Err(error));
                    }
                }
            }
            first
        })
    }

    fn remember(&mut self, name: &[u8], cached: Cached, proven: bool) {
        if let Some((_, files)) = self.seen.last_mut() {
            files.push((name.to_vec(), cached, proven));
        }
    }

    fn remember_in(&mut self, path: &[u8], name: &[u8], cached: Cached, proven: bool) {
        if self.seen.last().is_none_or(|(last, _)| last != path) {
            self.seen.push((path.to_vec(), Vec::new()));
        }
        self.remember(name, cached, proven);
    }

    /// What the cache shall know, files too young at the time `now` marked.
    fn groups(&mut self, now: i64) -> Vec<(Vec<u8>, Group)> {
        let mut seen = std::mem::take(&mut self.seen);
        // Stable: a folder that came up twice has its files joined.
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        seen.dedup_by(|later, earlier| {
            later.0 == earlier.0 && {
                earlier.1.append(&mut later.1);
                true
            }
        });
        let group = |mut files: Vec<Seen>| {
            files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            files.dedup_by(|a, b| a.0 == b.0);
            let mut group = Group::default();
            for (name, cached, proven) in files {
                let racy = if proven { cached.racy } else { cached.stat.is_racy(now) };
                group.push(&name, Cached { racy, ..cached });
            }
            group
        };
        seen.into_iter().map(|(path, files)| (path, group(files))).collect()
    }
}

impl Spot {
    fn below(&self, name: &[u8]) -> Self {
        Self {
            path: names::join(&self.path, name),
            shown: names::join(&self.shown, name),
            depth: self.depth + 1,
            ignore: self.ignore.clone(),
        }
    }
}
