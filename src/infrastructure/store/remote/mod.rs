//! A remote store: objects by key, in a folder, on an S3 service or in memory.
//!
//! Keys are made of digests, numbers and ULIDs alone and match `[0-9a-z/.-]+`; what a service lists and does not match
//! is ignored. Every call blocks; the requests run on a runtime of the store's own.

mod check;
mod credentials;
mod download;
mod failure;
mod folder;
mod gate;
mod link;
mod location;
mod marker;
pub(super) mod pages;
mod probe;
mod rate;
mod runtime;
mod service;
#[cfg(unix)]
mod sftp;
mod tidy;
mod told;
mod transport;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use opendal::{ErrorKind, Operator};

pub use self::check::{Outcome, Trial, Tried};
pub use self::credentials::credential_variables;
use self::credentials::{Credentials, Secrets};
pub use self::download::Found;
use self::folder::Folder;
use self::location::Location;
use self::rate::Pace;
pub use self::rate::Rate;
use self::runtime::wait;
use self::service::{Service, Settings};
#[cfg(unix)]
use self::sftp::Sftp;
pub use self::told::TARGET as REQUESTS_LOG;
use self::told::Told;
use super::{StoreError, StoreSpec};
use crate::base::{Digest, Name};
use crate::infrastructure::durable::Sync;

/// Names on one page of a listing.
const PAGE: u64 = 1000;
/// Names in one listing, at most: more is not a store of ours.
const NAMES: usize = 1_000_000;

/// A remote store. Clones share one connection and one count of requests.
#[derive(Clone)]
pub struct Remote {
    /// Its name in `mlp.yaml`.
    pub name: Name,
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    url: String,
    /// Tells stores apart on this machine: digest of URL and endpoint, 16 hexadecimal digits.
    key: String,
    /// The variables that its credentials are read from.
    variables: Vec<String>,
    secrets: Secrets,
    pace: Pace,
    gets: AtomicU64,
    puts: AtomicU64,
    lists: AtomicU64,
}

enum Place {
    Folder(Folder),
    Service(Box<Service>),
    #[cfg(unix)]
    Sftp(Arc<Sftp>),
}

/// The place that a location means. Nothing is sent.
fn place(location: &Location, settings: &Settings<'_>) -> Result<Place, StoreError> {
    let service = |service: Service| Ok(Place::Service(Box::new(service)));
    match location {
        Location::Folder(path) => Ok(Place::Folder(Folder(path.clone()))),
        Location::Memory(memory) => service(Service::memory(memory)),
        Location::S3 { bucket, prefix } => service(Service::s3(settings, bucket, prefix)?),
        Location::Gcs { bucket, prefix } => service(Service::gcs(settings, bucket, prefix)?),
        Location::Azure { container, prefix } => service(Service::azure(settings, container, prefix)?),
        Location::WebDav { endpoint, path } => service(Service::webdav(settings, endpoint, path)?),
        Location::Http { endpoint, path } => service(Service::http(settings, endpoint, path)?),
        Location::WebHdfs { endpoint, path } => service(Service::webhdfs(settings, endpoint, path)?),
        #[cfg(unix)]
        Location::Sftp { destination, port, path } => {
            let file = |name: &str, path: &Option<String>| match path {
                None => Ok(None),
                Some(path) => {
                    let path = crate::infrastructure::keys::expanded(path, settings.environment);
                    if Path::new(&path).is_absolute() {
                        return Ok(Some(path));
                    }
                    // It would be another file in each folder that mlp is called in.
                    let detail = format!("`{name}` must begin with `/` or `~/`");
                    Err(StoreError::Spec { store: settings.store.to_string(), detail })
                }
            };
            let key = file("key_file", &settings.spec.key_file)?;
            let hosts = file("known_hosts", &settings.spec.known_hosts)?;
            Ok(Place::Sftp(Arc::new(Sftp::new(destination, *port, path, key, hosts))))
        }
        #[cfg(not(unix))]
        Location::Sftp { .. } => Err(StoreError::Spec {
            store: settings.store.to_string(),
            detail: "sftp:// works on Unix alone".to_owned(),
        }),
    }
}

/// Requests sent to a remote so far, without repetitions of failed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Objects or parts of objects read.
    pub gets: u64,
    /// Objects written.
    pub puts: u64,
    /// Pages listed.
    pub lists: u64,
}

impl Requests {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.gets + self.puts + self.lists
    }
}

impl Remote {
    /// The store `name`. Nothing is sent before its first use, so that a command which does not need it works without.
    pub fn open(name: &Name, spec: &StoreSpec) -> Result<Self, StoreError> {
        Self::open_with(name, spec, &|key| std::env::var(key).ok())
    }

    /// The store `name`, with credentials from `environment` instead of the process's environment variables.
    pub fn open_with(
        name: &Name,
        spec: &StoreSpec,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, StoreError> {
        let location = Location::parse(name, spec)?;
        let credentials = Credentials::read(name, spec, environment)?;
        let pace = Pace::new(spec.limit_rate);
        let settings = Settings { store: name, spec, credentials, environment, pace: pace.clone() };
        let place = place(&location, &settings)?;
        let secrets = settings.credentials.secrets();
        let identity = format!("{}\n{}", spec.url, spec.endpoint.as_deref().unwrap_or_default());
        let counter = AtomicU64::default;
        let scheme = spec.url.split_once("://").map_or("fs", |(scheme, _)| scheme);
        let inner = Inner {
            place,
            url: spec.url.clone(),
            variables: credentials::variables(name, scheme),
            key: Digest::of(identity.as_bytes()).hex()[..16].to_owned(),
            secrets,
            pace,
            gets: counter(),
            puts: counter(),
            lists: counter(),
        };
        Ok(Self { name: name.clone(), inner: Arc::new(inner) })
    }

    /// Requests sent so far.
    pub fn requests(&self) -> Requests {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            gets: read(&self.inner.gets),
            puts: read(&self.inner.puts),
            lists: read(&self.inner.lists),
        }
    }

    /// The folder below the local store `local` where things known about this remote are kept.
    pub(super) fn cache(&self, local: &Path) -> PathBuf {
        local.join("remotes").join(&self.inner.key)
    }

    /// The bytes of an object of at most `limit` bytes, if it is there.
    pub(super) fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.gets.fetch_add(1, Ordering::Relaxed);
        let told = self.begin("read", key, 0);
        let bytes = match &self.inner.place {
            Place::Folder(folder) => {
                folder.get(key, limit).map_err(|error| self.disk("read", key, &error))?
            }
            Place::Service(service) => {
                let (operator, path) = (service.again.clone(), key.to_owned());
                match wait(async move { read(&operator, &path, limit).await })? {
                    Ok(bytes) => Some(bytes),
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => return Err(self.service("read", key, &error)),
                }
            }
            #[cfg(unix)]
            Place::Sftp(sftp) => {
                let (sftp, path) = (Arc::clone(sftp), key.to_owned());
                wait(async move { sftp.get(&path, limit).await })?
                    .map_err(|failure| self.host("read", key, &failure))?
            }
        };
        self.arrived(told, bytes.as_ref().map_or(0, Vec::len));
        match bytes {
            Some(bytes) if bytes.len() as u64 > limit => Err(StoreError::Damaged {
                what: self.place(key),
                detail: format!("larger than the {limit} bytes that such an object may have"),
            }),
            bytes => Ok(bytes),
        }
    }

    /// Exactly the bytes `range` of an object.
    pub(super) fn range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.inner.gets.fetch_add(1, Ordering::Relaxed);
        let told = self.begin("read part of", key, 0);
        let bytes = match &self.inner.place {
            Place::Folder(folder) => {
                folder.range(key, range.clone()).map_err(|error| self.disk("read", key, &error))?
            }
            Place::Service(service) => {
                let (operator, path, range) = (service.again.clone(), key.to_owned(), range.clone());
                wait(async move { operator.read_with(&path).range(range).await })?
                    .map_err(|error| self.service("read", key, &error))?
                    .to_vec()
            }
            #[cfg(unix)]
            Place::Sftp(sftp) => {
                let (sftp, path, range) = (Arc::clone(sftp), key.to_owned(), range.clone());
                wait(async move { sftp.range(&path, range).await })?
                    .map_err(|failure| self.host("read", key, &failure))?
            }
        };
        self.arrived(told, bytes.len());
        if bytes.len() as u64 == range.end - range.start {
            Ok(bytes)
        } else {
            Err(StoreError::Damaged {
                what: self.place(key),
                detail: "shorter than its index says".to_owned(),
            })
        }
    }

    /// Writes an object whose name follows from its content, or is unique: writing it twice changes nothing.
    pub(super) fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<(), StoreError> {
        check(key);
        let bytes = bytes.into();
        self.inner.puts.fetch_add(1, Ordering::Relaxed);
        let _told = self.begin("write", key, bytes.len());
        match &self.inner.place {
            Place::Folder(folder) => folder
                .create(key, &bytes, Sync::Disk)
                .map(drop)
                .map_err(|error| self.disk("write", key, &error)),
            Place::Service(service) if service.pages.is_some() => Err(self.read_only()),
            #[cfg(unix)]
            Place::Sftp(sftp) => {
                let (sftp, path) = (Arc::clone(sftp), key.to_owned());
                wait(async move { sftp.put(&path, &bytes).await })?
                    .map_err(|failure| self.host("write", key, &failure))
            }
            Place::Service(service) => {
                let (operator, path) = (service.again.clone(), key.to_owned());
                wait(async move { operator.write(&path, bytes).await })?
                    .map(drop)
                    .map_err(|error| self.service("write", key, &error))
            }
        }
    }

    /// Creates an object in one request if it is not there; whether it was created. After an error of a service nobody
    /// knows: read back.
    pub(super) fn create(&self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        self.create_with(key, bytes, Sync::Disk, false)
    }

    /// With `again` a service is asked again after a failure: then nobody knows who created it.
    fn create_with(&self, key: &str, bytes: &[u8], sync: Sync, again: bool) -> Result<bool, StoreError> {
        check(key);
        self.inner.puts.fetch_add(1, Ordering::Relaxed);
        let _told = self.begin("create", key, bytes.len());
        match &self.inner.place {
            Place::Folder(folder) => {
                folder.create(key, bytes, sync).map_err(|error| self.disk("create", key, &error))
            }
            Place::Service(service) if service.pages.is_some() => Err(self.read_only()),
            #[cfg(unix)]
            Place::Sftp(sftp) => {
                let (sftp, path, bytes) = (Arc::clone(sftp), key.to_owned(), bytes.to_vec());
                wait(async move { sftp.create(&path, &bytes).await })?
                    .map_err(|failure| self.host("create", key, &failure))
            }
            Place::Service(service) => {
                let operator = if again { &service.again } else { &service.once };
                let (operator, path, bytes) = (operator.clone(), key.to_owned(), bytes.to_vec());
                match wait(async move { operator.write_with(&path, bytes).if_not_exists(true).await })? {
                    Ok(_) => Ok(true),
                    Err(error) if error.kind() == ErrorKind::ConditionNotMatch => Ok(false),
                    Err(error) if error.kind() == ErrorKind::Unsupported => {
                        Err(StoreError::NoCreateIfAbsent {
                            store: self.name.to_string(),
                            detail: "its service cannot create an object only if it is not there".to_owned(),
                        })
                    }
                    Err(error) => Err(self.service("create", key, &error)),
                }
            }
        }
    }

    /// Names directly below `prefix` (which ends with `/`), sorted; those of folders end with `/`.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let told = self.begin("list", prefix, 0);
        let names = match &self.inner.place {
            Place::Folder(folder) => folder.list(prefix).map_err(|error| self.disk("list", prefix, &error)),
            #[cfg(unix)]
            Place::Sftp(sftp) => {
                let (sftp, path) = (Arc::clone(sftp), prefix.to_owned());
                wait(async move { sftp.list(&path).await })?
                    .map_err(|failure| self.host("list", prefix, &failure))
            }
            Place::Service(service) => match &service.pages {
                Some(pages) => {
                    wait(pages.names(prefix))?.map_err(|error| self.service("list", prefix, &error))
                }
                None => {
                    let (operator, path) = (service.again.clone(), prefix.to_owned());
                    wait(async move { names(&operator, &path).await })?
                        .map_err(|error| self.service("list", prefix, &error))
                }
            },
        };
        drop(told);
        let count = names.as_ref().map_or(0, Vec::len) as u64;
        self.inner.lists.fetch_add((count / PAGE).max(1), Ordering::Relaxed);
        let mut names = names?;
        names.retain(|name| is_key(name));
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an object; one that is not there is not an error. Only of probes, and of what a collection has doomed.
    pub(super) fn remove(&self, key: &str) -> Result<(), StoreError> {
        check(key);
        let _told = self.begin("remove", key, 0);
        match &self.inner.place {
            Place::Folder(folder) => folder.remove(key).map_err(|error| self.disk("remove", key, &error)),
            Place::Service(service) if service.pages.is_some() => Err(self.read_only()),
            #[cfg(unix)]
            Place::Sftp(sftp) => {
                let (sftp, path) = (Arc::clone(sftp), key.to_owned());
                wait(async move { sftp.remove(&path).await })?
                    .map_err(|failure| self.host("remove", key, &failure))
            }
            Place::Service(service) => {
                let (operator, path) = (service.once.clone(), key.to_owned());
                wait(async move { operator.delete(&path).await })?
                    .map_err(|error| self.service("remove", key, &error))
            }
        }
    }

    /// Keeps to the rate with what is sent, and tells of an operation, where a service's transport does not do both.
    fn begin(&self, action: &str, key: &str, sent: usize) -> Told {
        if matches!(self.inner.place, Place::Service(_)) {
            return Told::nothing();
        }
        self.inner.pace.pass(sent);
        Told::operation(self.name.as_str(), action, key, sent)
    }

    /// Ends an operation with what was received.
    fn arrived(&self, mut told: Told, bytes: usize) {
        told.received(bytes);
        if !matches!(self.inner.place, Place::Service(_)) {
            self.inner.pace.pass(bytes);
        }
    }

    /// Where an object is, for messages.
    pub(super) fn place(&self, key: &str) -> String {
        match &self.inner.place {
            Place::Folder(folder) => folder.path(key).display().to_string(),
            _ => format!("{}:{key}", self.name),
        }
    }

    fn is_read_only(&self) -> bool {
        matches!(&self.inner.place, Place::Service(service) if service.pages.is_some())
    }

    /// The size at which a pack for this store is closed, where others are closed at `target`.
    pub(super) fn pack_target(&self, target: usize) -> usize {
        match &self.inner.place {
            Place::Service(service) => service.pack.map_or(target, |most| most.min(target)),
            _ => target,
        }
    }
}

/// Reads at most `limit` bytes and one piece more, in one request and without asking for the size first.
async fn read(operator: &Operator, key: &str, limit: u64) -> opendal::Result<Vec<u8>> {
    let mut stream = operator.reader(key).await?.into_stream(..).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.try_next().await? {
        for part in piece {
            bytes.extend_from_slice(&part);
        }
        if bytes.len() as u64 > limit {
            break;
        }
    }
    Ok(bytes)
}

/// Names below `prefix`, relative to it.
async fn names(operator: &Operator, prefix: &str) -> opendal::Result<Vec<String>> {
    let mut lister = match operator.lister(prefix).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    while let Some(entry) = lister.try_next().await? {
        if let Some(name) = entry.path().strip_prefix(prefix).filter(|name| !name.is_empty()) {
            names.push(name.to_owned());
        }
        if names.len() > NAMES {
            return Err(opendal::Error::new(ErrorKind::Unexpected, "the listing has no end"));
        }
    }
    Ok(names)
}

/// Whether a name that a service gave can be part of a key of ours.
fn is_key(name: &str) -> bool {
    let name = name.strip_suffix('/').unwrap_or(name);
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'.' | b'-'))
}

/// Keys are built here and never hold a user's string; anything else is a mistake in this program.
fn check(key: &str) {
    debug_assert!(key.split('/').all(is_key), "`{key}` is not a key");
}

#[cfg(test)]
mod tests;
