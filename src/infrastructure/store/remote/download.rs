//! Objects that other programs wrote into a place: of any name and length, read and never written.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use opendal::{EntryMode, ErrorKind, Operator};

use super::runtime::wait;
use super::{NAMES, PAGE, Place, Remote};
use crate::infrastructure::store::StoreError;

/// Bytes read at once where a service has no streams.
const PIECE: u64 = 16 << 20;

/// An object that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path below the place, with `/` between its parts.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Changes when its content does, as far as the service or file system tells: entity tag, time of the last change.
    pub tag: String,
}

impl Remote {
    /// Makes the new file `to` of the object `key`; whether it is there. In a folder this may be one more name (a hard link) of the
    /// same file, if `link` allows that; so nothing is ever written through a name that is there. What a failure leaves at `to` is of no use.
    pub fn download(&self, key: &str, to: &Path, link: bool) -> Result<bool, StoreError> {
        self.inner.gets.fetch_add(1, Ordering::Relaxed);
        let mut told = self.begin("read", key, 0);
        let written = |error| StoreError::io("write", to)(error);
        match &self.inner.place {
            Place::Folder(folder) => {
                let from = folder.path(key);
                if link && fs::hard_link(&from, to).is_ok() {
                    return Ok(true);
                }
                let mut from = match File::open(&from) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                    opened => opened.map_err(|error| self.disk("read", key, &error))?,
                };
                let mut file = File::create_new(to).map_err(written)?;
                loop {
                    let piece = io::copy(&mut (&mut from).take(PIECE), &mut file).map_err(written)?;
                    told.received(piece as usize);
                    self.inner.pace.pass(piece as usize);
                    if piece < PIECE {
                        return Ok(true);
                    }
                }
            }
            Place::Service(service) => {
                let mut file = File::create_new(to).map_err(written)?;
                let (operator, path) = (service.again.clone(), key.to_owned());
                match wait(async move { stream(&operator, &path, &mut file).await })? {
                    Ok(Ok(())) => Ok(true),
                    Ok(Err(error)) => Err(written(error)),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                    Err(error) => Err(self.service("read", key, &error)),
                }
            }
            #[cfg(unix)]
            Place::Sftp(sftp) => {
                let mut file = File::create_new(to).map_err(written)?;
                let mut start = 0;
                loop {
                    let (sftp, path) = (Arc::clone(sftp), key.to_owned());
                    let piece = match wait(async move { sftp.range(&path, start..start + PIECE).await })? {
                        Err(failure) if failure.missing => return Ok(false),
                        piece => piece.map_err(|failure| self.host("read", key, &failure))?,
                    };
                    file.write_all(&piece).map_err(written)?;
                    told.received(piece.len());
                    self.inner.pace.pass(piece.len());
                    start += piece.len() as u64;
                    if (piece.len() as u64) < PIECE {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// All objects of the place, sorted by path.
    pub fn found(&self) -> Result<Vec<Found>, StoreError> {
        let mut found = match &self.inner.place {
            Place::Folder(folder) => {
                let mut found = Vec::new();
                below(&folder.0, "", &mut found).map_err(|error| self.disk("list", "", &error))?;
                found
            }
            Place::Service(service) if service.pages.is_none() => {
                let operator = service.again.clone();
                wait(async move { entries(&operator).await })?
                    .map_err(|error| self.service("list", "", &error))?
            }
            _ => {
                let detail = "only folders and buckets can be listed with all that is below them".to_owned();
                return Err(self.failed("list", "", detail));
            }
        };
        self.inner.lists.fetch_add((found.len() as u64 / PAGE).max(1), Ordering::Relaxed);
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}

/// Copies an object piece by piece.
async fn stream(operator: &Operator, key: &str, to: &mut File) -> opendal::Result<io::Result<()>> {
    let mut stream = operator.reader(key).await?.into_stream(..).await?;
    while let Some(pieces) = stream.try_next().await? {
        for piece in pieces {
            if let Err(error) = to.write_all(&piece) {
                return Ok(Err(error));
            }
        }
    }
    Ok(Ok(()))
}

async fn entries(operator: &Operator) -> opendal::Result<Vec<Found>> {
    let mut lister = operator.lister_with("").recursive(true).await?;
    let mut found = Vec::new();
    while let Some(entry) = lister.try_next().await? {
        let metadata = entry.metadata();
        if metadata.mode() == EntryMode::FILE {
            let tag = format!("{:?} {:?}", metadata.etag(), metadata.last_modified());
            found.push(Found { path: entry.path().to_owned(), size: metadata.content_length(), tag });
        }
        if found.len() > NAMES {
            return Err(opendal::Error::new(ErrorKind::Unexpected, "the listing has no end"));
        }
    }
    Ok(found)
}

/// Regular files below a folder. What is none cannot be taken along, and is not left out in silence.
fn below(folder: &Path, prefix: &str, found: &mut Vec<Found>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            let name = entry.path().display().to_string();
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("`{name}` is not UTF-8")));
        };
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            below(&entry.path(), &format!("{path}/"), found)?;
        } else if kind.is_file() {
            let metadata = entry.metadata()?;
            found.push(Found { path, size: metadata.len(), tag: format!("{:?}", metadata.modified()?) });
        } else {
            let detail = format!("`{path}` is a link or no regular file");
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infrastructure::store::StoreSpec;

    #[test]
    fn objects_of_others_are_found_and_copied() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir_all(folder.path().join("a/b")).expect("folders");
        fs::write(folder.path().join("a/b/One File.txt"), "one").expect("writes");
        fs::write(folder.path().join("zero"), "").expect("writes");
        let name = "origin".parse().expect("a name");
        let remote = Remote::open(&name, &StoreSpec::new(folder.path().to_string_lossy())).expect("opens");
        let found = remote.found().expect("lists");
        let found: Vec<_> = found.iter().map(|found| (found.path.as_str(), found.size)).collect();
        assert_eq!(found, [("a/b/One File.txt", 3), ("zero", 0)]);
        for (n, link) in [(1, true), (2, false)] {
            let to = folder.path().join(n.to_string());
            assert!(remote.download("a/b/One File.txt", &to, link).expect("copies"));
            assert_eq!(fs::read(&to).expect("reads"), b"one");
        }
        // The first is another name of the object itself: writing through it would change what others keep.
        let to = folder.path().join("1");
        assert!(remote.download("zero", &to, true).is_err() && remote.download("zero", &to, false).is_err());
        assert_eq!(fs::read(folder.path().join("a/b/One File.txt")).expect("reads"), b"one");
        assert!(!remote.download("nowhere", &folder.path().join("3"), true).expect("is asked"));
    }
}
