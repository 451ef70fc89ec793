//! Keeping a promise: from another tool's objects to a version in the local store.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::dvc;
use super::gather::{begun, gather};
use super::{ForeignId, Promise, checksum};
use crate::base::{Sink, Unit};
use crate::infrastructure::durable;
use crate::infrastructure::store::worktree::snapshot;
use crate::infrastructure::store::{Local, Node, Remote};
use crate::platform::data::DataError;

/// No listing is longer, in bytes.
const LONGEST: u64 = 4 << 30;

/// Where the objects are looked for, one place after the other, and where they are gathered.
pub struct Places<'a> {
    /// The tool's cache in this clone, its remotes.
    pub sources: &'a [Remote],
    /// A folder of our own. What is in it when the work breaks off is used when it goes on.
    pub gathered: &'a Path,
}

/// Fetches what `promise` names and stores it. Every object is compared with the id that the tool gave it.
pub fn keep(
    promise: &Promise,
    places: &Places<'_>,
    store: &Local,
    sink: &dyn Sink,
) -> Result<Node, DataError> {
    let gathered = places.gathered.join(promise.id.to_string().replace(':', "-"));
    let data = gathered.join("data");
    fs::create_dir_all(&gathered).map_err(DataError::io("make", &gathered))?;
    if promise.id.directory {
        fs::create_dir_all(&data).map_err(DataError::io("make", &data))?;
        let list = gathered.join("list");
        Object { id: &promise.id, executable: false }.get(&list, places.sources)?;
        let length = fs::metadata(&list).map_err(DataError::io("read", &list))?.len();
        if length > LONGEST {
            return Err(damaged(&promise.id, format!("the listing has {length} bytes")));
        }
        let bytes = fs::read(&list).map_err(DataError::io("read", &list))?;
        let entries = dvc::read_listing(&bytes, promise.id.algorithm)
            .map_err(|detail| damaged(&promise.id, format!("its listing cannot be read: {detail}")))?;
        let (done, total) = (AtomicU64::new(0), Some(entries.len() as u64));
        gather(
            &entries,
            &data,
            |entry| &entry.path,
            |entry, to| {
                Object { id: &entry.id, executable: false }.get(to, places.sources)?;
                sink.progress("fetching", done.fetch_add(1, Ordering::Relaxed) + 1, total, Unit::Files);
                Ok(())
            },
        )?;
    } else {
        Object { id: &promise.id, executable: promise.executable }.get(&data, places.sources)?;
    }
    let kept = snapshot(&data, store, None, sink)?;
    fs::remove_dir_all(&gathered).map_err(DataError::io("remove", &gathered))?;
    Ok(kept.root)
}

/// One object of another tool.
pub struct Object<'a> {
    /// Its id.
    pub id: &'a ForeignId,
    /// Whether it is a program.
    pub executable: bool,
}

impl Object<'_> {
    /// Makes the file `to` of the object, from the first place that has it undamaged; one that is there from an
    /// earlier attempt is looked at first.
    pub fn get(&self, to: &Path, sources: &[Remote]) -> Result<(), DataError> {
        let Self { id, executable } = *self;
        if to.symlink_metadata().is_ok() {
            // Nothing here is synced: a machine that stopped may have left anything.
            if checksum::matches(to, id).map_err(DataError::io("read", to))? {
                return Ok(());
            }
            fs::remove_file(to).map_err(DataError::io("remove", to))?;
        }
        let begun = begun(to);
        let mut wrong = None;
        for source in sources {
            let _ = fs::remove_file(&begun);
            if !source.download(&id.key(), &begun, !executable)? {
                continue;
            }
            if checksum::matches(&begun, id).map_err(DataError::io("read", &begun))? {
                if executable {
                    make_executable(&begun)?;
                }
                return durable::set_aside(&begun, to).map_err(DataError::io("write", to));
            }
            wrong = Some(source.name.to_string());
        }
        let _ = fs::remove_file(&begun);
        match wrong {
            Some(place) => Err(damaged(id, format!("what `{place}` has under that id has other bytes"))),
            None => Err(DataError::NotThere {
                id: id.to_string(),
                places: sources.iter().map(|source| source.name.to_string()).collect(),
            }),
        }
    }
}

fn damaged(id: &ForeignId, detail: String) -> DataError {
    DataError::Malformed { path: id.to_string(), format: "object of another tool", detail }
}

#[cfg(unix)]
fn make_executable(file: &Path) -> Result<(), DataError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).map_err(DataError::io("write", file))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<(), DataError> {
    Ok(())
}
