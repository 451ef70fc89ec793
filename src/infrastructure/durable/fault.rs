//! Fault points: every operation by which mlp changes its files passes one, so that tests can stop the program, or fail the
//! operation, at each of them in turn. The variable `MLP_FAULT` turns them on:
//!
//! ```text
//! POINT:N:ACTION     at the N-th pass of POINT (from 1); `N+` from the N-th on
//! journal:FOLDER     writes down all operations, with the bytes of each file as they were when it was synced
//! ```
//! Several are separated by commas: what one of them prevents, the later ones do not see.
//!
//! POINT is a name of [`Point`] or `any`; ACTION is `kill` (as SIGKILL, before the operation) or the name of an error number.
//! Without the variable a point costs one load from memory, which is why release builds have them, too.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::io::Errno;

use crate::base::variables::FAULT;

/// What is about to be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// A new file under a temporary name.
    Open,
    /// Its bytes.
    Write,
    /// Bytes of a file, or names of a folder, to the disk.
    Fsync,
    /// Another name, in place of what has it.
    Rename,
    /// Another name, if nothing has it.
    Link,
    /// No name any more.
    Unlink,
    /// A folder.
    Mkdir,
}

const POINTS: [(&str, Point); 7] = [
    ("open", Point::Open),
    ("write", Point::Write),
    ("fsync", Point::Fsync),
    ("rename", Point::Rename),
    ("link", Point::Link),
    ("unlink", Point::Unlink),
    ("mkdir", Point::Mkdir),
];

const ERRORS: [(&str, Errno); 9] = [
    ("EIO", Errno::IO),
    ("ENOSPC", Errno::NOSPC),
    ("EDQUOT", Errno::DQUOT),
    ("EROFS", Errno::ROFS),
    ("EACCES", Errno::ACCESS),
    ("EPERM", Errno::PERM),
    ("EXDEV", Errno::XDEV),
    ("EMFILE", Errno::MFILE),
    ("EINTR", Errno::INTR),
];

/// What `MLP_FAULT` says.
enum Plan {
    Fail { point: Option<Point>, first: u64, onwards: bool, error: Option<Errno>, passed: AtomicU64 },
    Journal(Mutex<Journal>),
    Wrong,
}

struct Journal {
    folder: PathBuf,
    lines: File,
    copies: u64,
}

static PLANS: OnceLock<Vec<Plan>> = OnceLock::new();

/// To be called just before `point` is done to `path`.
pub(crate) fn pass(point: Point, path: &Path) -> io::Result<()> {
    pass_to(point, path, Path::new(""))
}

/// As [`pass`], for what gives the file at `path` the name `to`.
pub(crate) fn pass_to(point: Point, path: &Path, to: &Path) -> io::Result<()> {
    let plans = PLANS.get_or_init(|| match std::env::var_os(FAULT) {
        Some(text) => text.to_string_lossy().split(',').map(Plan::parse).collect(),
        None => Vec::new(),
    });
    plans.iter().try_for_each(|plan| plan.pass(point, path, to))
}

impl Plan {
    fn parse(text: &str) -> Self {
        if let Some(folder) = text.strip_prefix("journal:") {
            let folder = PathBuf::from(folder);
            let lines = File::options().create(true).append(true).open(folder.join("journal"));
            return lines.map_or(Self::Wrong, |lines| {
                Self::Journal(Mutex::new(Journal { folder, lines, copies: 0 }))
            });
        }
        Self::parse_fail(text).unwrap_or(Self::Wrong)
    }

    fn parse_fail(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (point, number, action) = (parts.next()?, parts.next()?, parts.next()?);
        let point = match point {
            "any" => None,
            name => Some(POINTS.iter().find(|(other, _)| *other == name)?.1),
        };
        let error = match action {
            "kill" => None,
            name => Some(ERRORS.iter().find(|(other, _)| *other == name)?.1),
        };
        let first = number.trim_end_matches('+').parse().ok().filter(|first| *first > 0)?;
        let onwards = number.ends_with('+');
        parts.next().is_none().then_some(Self::Fail {
            point,
            first,
            onwards,
            error,
            passed: AtomicU64::new(0),
        })
    }

    fn pass(&self, now: Point, path: &Path, to: &Path) -> io::Result<()> {
        match self {
            Self::Wrong => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{FAULT} makes no sense")))
            }
            Self::Journal(journal) => {
                journal.lock().unwrap_or_else(PoisonError::into_inner).note(now, path, to)
            }
            Self::Fail { point, first, onwards, error, passed } => {
                if point.is_some_and(|point| point != now) {
                    return Ok(());
                }
                let number = passed.fetch_add(1, Ordering::Relaxed) + 1;
                match (number == *first || *onwards && number > *first, error) {
                    (false, _) => Ok(()),
                    (true, Some(error)) => Err((*error).into()),
                    (true, None) => die(),
                }
            }
        }
    }
}

impl Journal {
    /// A line `point TAB path TAB new name TAB number of the copy`.
    fn note(&mut self, point: Point, path: &Path, to: &Path) -> io::Result<()> {
        let name = POINTS.iter().find(|(_, other)| *other == point).map_or("", |(name, _)| name);
        let mut copy = String::new();
        if point == Point::Fsync && path.is_file() {
            self.copies += 1;
            copy = self.copies.to_string();
            fs::copy(path, self.folder.join(&copy))?;
        }
        writeln!(self.lines, "{name}\t{}\t{}\t{copy}", path.display(), to.display())
    }
}

/// Ends the process as a kill from outside does: nothing is cleaned up.
fn die() -> ! {
    #[cfg(unix)]
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
    #[cfg(not(unix))]
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str, points: &[Point]) -> Vec<bool> {
        let plan = Plan::parse(text);
        points.iter().map(|point| plan.pass(*point, Path::new("a"), Path::new("")).is_ok()).collect()
    }

    #[test]
    fn a_fault_strikes_at_the_pass_that_it_names() {
        let points = [Point::Write, Point::Fsync, Point::Write, Point::Write];
        assert_eq!(passes("write:2:ENOSPC", &points), [true, true, false, true]);
        assert_eq!(passes("write:2+:ENOSPC", &points), [true, true, false, false]);
        assert_eq!(passes("any:2:EIO", &points), [true, false, true, true]);
        let error = Plan::parse("write:1:ENOSPC").pass(Point::Write, Path::new("a"), Path::new(""));
        assert_eq!(error.expect_err("fails").kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_never_silent() {
        for text in
            ["", "write", "write:0:EIO", "write:x:EIO", "wrote:1:EIO", "write:1:EWHAT", "write:1:EIO:2"]
        {
            assert_eq!(passes(text, &[Point::Mkdir]), [false], "{text}");
        }
    }
}
