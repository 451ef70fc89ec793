//! What only upkeep needs of a remote: whole listings, and the time of an object by the store's own clock.

use std::collections::VecDeque;
#[cfg(unix)]
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use futures::TryStreamExt;
use opendal::{ErrorKind, Operator};

use super::{NAMES, PAGE, Place, Remote, is_key, wait};
use crate::base::{Id, Time};
use crate::infrastructure::store::StoreError;

impl Remote {
    /// Keys of all objects below `prefix` (which ends with `/`), sorted, whole. One request a thousand names where the service
    /// lists recursively.
    pub(in crate::infrastructure::store) fn list_all(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = match &self.inner.place {
            Place::Service(service) if service.pages.is_none() => {
                let (operator, path) = (service.again.clone(), prefix.to_owned());
                let keys = wait(async move { keys(&operator, &path).await })?
                    .map_err(|error| self.service("list", prefix, &error))?;
                self.inner.lists.fetch_add((keys.len() as u64 / PAGE).max(1), Ordering::Relaxed);
                keys
            }
            _ => {
                let (mut keys, mut folders) = (Vec::new(), VecDeque::from([prefix.to_owned()]));
                while let Some(folder) = folders.pop_front() {
                    for name in self.list(&folder)? {
                        match name.ends_with('/') {
                            true => folders.push_back(format!("{folder}{name}")),
                            false => keys.push(format!("{folder}{name}")),
                        }
                    }
                }
                keys
            }
        };
        keys.retain(|key| key.split('/').all(is_key));
        keys.sort_unstable();
        Ok(keys)
    }

    /// Whether there is such an object.
    pub(in crate::infrastructure::store) fn has(&self, key: &str) -> Result<bool, StoreError> {
        match &self.inner.place {
            Place::Folder(folder) => Ok(folder.path(key).exists()),
            Place::Service(service) => {
                self.inner.gets.fetch_add(1, Ordering::Relaxed);
                let (operator, path) = (service.again.clone(), key.to_owned());
                wait(async move { operator.exists(&path).await })?
                    .map_err(|error| self.service("read", key, &error))
            }
            #[cfg(unix)]
            Place::Sftp(_) => Ok(self.modified(key)?.is_some()),
        }
    }

    /// When an object was written, in milliseconds since 1970 by the store's clock; none if the service does not tell, or there
    /// is no such object.
    pub(in crate::infrastructure::store) fn modified(&self, key: &str) -> Result<Option<i64>, StoreError> {
        self.inner.gets.fetch_add(1, Ordering::Relaxed);
        match &self.inner.place {
            Place::Folder(folder) => match std::fs::metadata(folder.path(key))
                .and_then(|found| found.modified())
            {
                Ok(time) => Ok(time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_millis() as i64)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.disk("read", key, &error)),
            },
            #[cfg(unix)]
            Place::Sftp(sftp) => {
                let (sftp, path) = (Arc::clone(sftp), key.to_owned());
                wait(async move { sftp.modified(&path).await })?
                    .map_err(|failure| self.host("read", key, &failure))
            }
            Place::Service(service) => {
                let (operator, path) = (service.again.clone(), key.to_owned());
                match wait(async move { operator.stat(&path).await })? {
                    Ok(found) => Ok(found.last_modified().map(|time| time.into_inner().as_millisecond())),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(self.service("read", key, &error)),
                }
            }
        }
    }

    /// The time now by the store's clock, from an object written for the purpose; none if the service does not tell.
    pub(in crate::infrastructure::store) fn clock(&self) -> Result<Option<i64>, StoreError> {
        let key = format!("probe/{}/clock", Id::new());
        self.put(&key, Time::now().to_string().into_bytes())?;
        let time = self.modified(&key);
        self.remove(&key)?;
        time
    }
}

/// Keys below `prefix`.
async fn keys(operator: &Operator, prefix: &str) -> opendal::Result<Vec<String>> {
    let mut lister = match operator.lister_with(prefix).recursive(true).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut keys = Vec::new();
    while let Some(entry) = lister.try_next().await? {
        if !entry.path().ends_with('/') {
            keys.push(entry.path().to_owned());
        }
        if keys.len() > NAMES {
            return Err(opendal::Error::new(ErrorKind::Unexpected, "the listing has no end"));
        }
    }
    Ok(keys)
}
