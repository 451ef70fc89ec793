//! All objects of a bucket or folder as the files of a dataset.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::gather::{begun, gather};
use crate::base::{Digest, Sink, Unit};
use crate::infrastructure::durable;
use crate::infrastructure::store::{Found, Remote};
use crate::platform::data::DataError;

/// Copies the objects of `remote` into a folder below `gathered`; returns it, and how many there are. What an earlier attempt copied is
/// used if the listing has not changed since, and removed if it has.
pub fn bucket(remote: &Remote, gathered: &Path, sink: &dyn Sink) -> Result<(PathBuf, u64), DataError> {
    // A service may show a folder as an object whose name ends with a slash.
    let objects: Vec<Found> =
        remote.found()?.into_iter().filter(|object| !object.path.ends_with('/')).collect();
    let listing = format!("{objects:?}");
    let data = gathered.join(&Digest::of(listing.as_bytes()).hex()[..16]);
    if !data.exists() {
        // None of it is of use any more.
        let _ = fs::remove_dir_all(gathered);
    }
    fs::create_dir_all(&data).map_err(DataError::io("make", &data))?;
    let (done, total) = (AtomicU64::new(0), objects.iter().map(|object| object.size).sum());
    gather(
        &objects,
        &data,
        |object| &object.path,
        |object, to| {
            copy(remote, object, to)?;
            let done = done.fetch_add(object.size, Ordering::Relaxed) + object.size;
            sink.progress("importing", done, Some(total), Unit::Bytes);
            Ok(())
        },
    )?;
    Ok((data, objects.len() as u64))
}

fn copy(remote: &Remote, object: &Found, to: &Path) -> Result<(), DataError> {
    let there = to.symlink_metadata();
    if there.is_ok_and(|there| there.is_file() && there.len() == object.size) {
        return Ok(());
    }
    let begun = begun(to);
    let _ = fs::remove_file(&begun);
    let there = remote.download(&object.path, &begun, false)?;
    let length = fs::metadata(&begun).map_or(0, |found| found.len());
    if !there || length != object.size {
        return Err(DataError::Download {
            url: format!("{}:{}", remote.name, object.path.escape_debug()),
            detail: format!(
                "it has {length} bytes where the listing says {}: it is being changed",
                object.size
            ),
        });
    }
    // The next attempt goes by the length: what has its name is on the disk.
    let synced = fs::File::open(&begun).and_then(|file| file.sync_data());
    synced.and_then(|()| durable::set_aside(&begun, to)).map_err(DataError::io("write", to))
}
