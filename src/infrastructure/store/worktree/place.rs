//! Writing one file or link of a checkout: without a name, or under a temporary one, until it is whole.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

#[cfg(target_os = "linux")]
use rustix::fs::CWD;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::{Local, Node, NodeKind, ObjectKind, StoreError, WHOLE_FILE_LIMIT};
use super::scan::path_buf;
use super::stat::Stat;
use super::{left_over, names, space};
use crate::base::Id;
use crate::infrastructure::durable::{
    self,
    fault::{self, Point},
};

/// An open folder that files are written into.
pub(super) struct Place<'a> {
    pub(super) store: &'a Local,
    pub(super) dir: &'a OwnedFd,
    /// Its path, for messages.
    pub(super) path: &'a [u8],
    /// Folders between it and the root.
    pub(super) depth: usize,
}

impl Place<'_> {
    /// Writes a file or link; returns its stat under its final name.
    pub(super) fn put(&self, node: &Node) -> Result<Stat, StoreError> {
        #[cfg(target_os = "linux")]
        if node.kind != NodeKind::Link
            && let Some(stat) = self.put_unnamed(node)?
        {
            return Ok(stat);
        }
        let temporary = [durable::TEMPORARY.as_bytes(), Id::new().to_string().as_bytes()].concat();
        let result = self.write(node, &temporary).and_then(|()| {
            let failed = |error: Errno| StoreError::io("write", self.path_of(node))(error.into());
            let path = path_buf(&names::join(self.path, &temporary));
            fault::pass_to(Point::Rename, &path, &self.path_of(node))
                .map_err(StoreError::io("write", self.path_of(node)))?;
            rustix::fs::renameat(self.dir, temporary.as_slice(), self.dir, node.name.as_slice())
                .map_err(failed)?;
            // Renaming changes the time of the last status change: look only now.
            rustix::fs::statat(self.dir, node.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
        });
        if result.is_err() {
            let _ = rustix::fs::unlinkat(self.dir, temporary.as_slice(), AtFlags::empty());
        }
        result.map(|stat| Stat::of(&stat))
    }

    /// Writes a file that has no name until it is whole (`O_TMPFILE`): nothing is left of it after a kill, and the folder is changed
    /// once instead of twice. None where the file system has no such files or the name is taken.
    #[cfg(target_os = "linux")]
    fn put_unnamed(&self, node: &Node) -> Result<Option<Stat>, StoreError> {
        use std::os::fd::AsRawFd;
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mode = if node.kind == NodeKind::Executable { 0o777 } else { 0o666 };
        self.pass(Point::Open, node)?;
        let Ok(file) = rustix::fs::openat(self.dir, ".", flags, Mode::from_raw_mode(mode)) else {
            return Ok(None);
        };
        let mut file = File::from(file);
        self.fill(node, &mut file)?;
        self.pass(Point::Link, node)?;
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        let linked = rustix::fs::linkat(
            CWD,
            unnamed.as_str(),
            self.dir,
            node.name.as_slice(),
            AtFlags::SYMLINK_FOLLOW,
        );
        if linked.is_err() {
            return Ok(None);
        }
        let stat = rustix::fs::fstat(&file);
        stat.map(|stat| Some(Stat::of(&stat)))
            .map_err(|error| StoreError::io("write", self.path_of(node))(error.into()))
    }

    /// An error of the file system while a node was written.
    fn failed(&self, node: &Node, error: std::io::Error) -> StoreError {
        match error.kind() {
            std::io::ErrorKind::StorageFull => {
                let available = space::available(&path_buf(self.path)).unwrap_or(0);
                StoreError::Space { path: self.path_of(node), needed: node.size, available }
            }
            _ => StoreError::io("write", self.path_of(node))(error),
        }
    }

    fn write(&self, node: &Node, temporary: &[u8]) -> Result<(), StoreError> {
        let io = |error: std::io::Error| self.failed(node, error);
        if node.kind == NodeKind::Link {
            let (_, target) = self.store.object(&node.id).map_err(|error| self.needed_for(node, error))?;
            if !names::link_stays_inside(&target, self.depth) {
                let path = names::join(self.path, &node.name);
                return Err(StoreError::Link { path: names::shown(&path), target: names::shown(&target) });
            }
            self.pass(Point::Open, node)?;
            return rustix::fs::symlinkat(target.as_slice(), self.dir, temporary)
                .map_err(|error| io(error.into()));
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = if node.kind == NodeKind::Executable { 0o777 } else { 0o666 };
        self.pass(Point::Open, node)?;
        let file = rustix::fs::openat(self.dir, temporary, flags, Mode::from_raw_mode(mode));
        let mut file = File::from(file.map_err(|error| io(error.into()))?);
        left_over::claim(&file);
        self.fill(node, &mut file)
    }

    /// Writes the content of a node.
    fn fill(&self, node: &Node, file: &mut File) -> Result<(), StoreError> {
        let io = |error: std::io::Error| self.failed(node, error);
        let lying = || {
            let tree = names::shown(self.path);
            StoreError::damaged(format!("the tree of `{tree}`"), "it says another size than the file has")
        };
        if node.size <= WHOLE_FILE_LIMIT {
            let (kind, bytes) = self.store.object(&node.id).map_err(|error| self.needed_for(node, error))?;
            if kind != ObjectKind::Blob || bytes.len() as u64 != node.size {
                return Err(lying());
            }
            self.pass(Point::Write, node)?;
            return file.write_all(&bytes).map_err(io);
        }
        let recipe = self.store.recipe(&node.id).map_err(|error| self.needed_for(node, error))?;
        if recipe.is_none_or(|recipe| recipe.size() != node.size) {
            return Err(lying());
        }
        self.pass(Point::Write, node)?;
        if self.store.clones.give(&node.id, file).map_err(io)? {
            return Ok(());
        }
        // An error of the output names no file: put the right one in.
        match self.store.copy(&node.id, file) {
            Ok(_) => {
                self.store.clones.keep(&node.id, file);
                Ok(())
            }
            Err(StoreError::Io { action: "write", source, .. }) => Err(io(source)),
            Err(error) => Err(self.needed_for(node, error)),
        }
    }

    /// Says which file a damaged object was needed for.
    fn needed_for(&self, node: &Node, error: StoreError) -> StoreError {
        match error {
            StoreError::Damaged { what, detail } => {
                let path = names::shown(&names::join(self.path, &node.name));
                StoreError::Damaged { what, detail: format!("{detail} (needed for `{path}`)") }
            }
            error => error,
        }
    }

    fn pass(&self, point: Point, node: &Node) -> Result<(), StoreError> {
        let path = self.path_of(node);
        fault::pass(point, &path).map_err(StoreError::io("write", path))
    }

    fn path_of(&self, node: &Node) -> PathBuf {
        path_buf(&names::join(self.path, &node.name))
    }
}

/// Gives a file with the right content the right executable bit; returns its new stat.
pub(super) fn set_executable(dir: &OwnedFd, node: &Node, path: &[u8]) -> Result<Stat, StoreError> {
    let failed = |error: Errno| StoreError::io("change the mode of", path_buf(path))(error.into());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir.as_fd(), node.name.as_slice(), flags, Mode::empty()).map_err(failed)?;
    let mode = Stat::of(&rustix::fs::fstat(&file).map_err(failed)?).mode & 0o777;
    // Whoever may read may execute.
    let mode =
        if node.kind == NodeKind::Executable { mode | (mode & 0o444) >> 2 | 0o100 } else { mode & !0o111 };
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode as rustix::fs::RawMode)).map_err(failed)?;
    rustix::fs::fstat(&file).map_err(failed).map(|stat| Stat::of(&stat))
}

/// The kind of node that a stat is about; what is neither file nor folder passes for a link, which is never followed.
pub(super) fn kind_of(stat: &Stat) -> NodeKind {
    match stat.file_type() {
        FileType::Directory => NodeKind::Directory,
        FileType::RegularFile if stat.is_executable() => NodeKind::Executable,
        FileType::RegularFile => NodeKind::File,
        _ => NodeKind::Link,
    }
}
