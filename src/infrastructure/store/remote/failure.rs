//! What went wrong on a remote, in the store's own words: a disk, a service, a host.

use opendal::ErrorKind;

use super::Remote;
use super::service::brief;
use super::transport::LATE;
use crate::infrastructure::store::StoreError;

impl Remote {
    /// A failed operation on this store.
    pub(in crate::infrastructure::store) fn failed(
        &self,
        action: &'static str,
        key: &str,
        detail: String,
    ) -> StoreError {
        StoreError::Remote { store: self.name.to_string(), action, key: key.to_owned(), detail }
    }

    pub(super) fn disk(&self, action: &'static str, key: &str, error: &std::io::Error) -> StoreError {
        use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            // No network or URL is at fault: say what helps a disk.
            kind @ (StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied) => {
                StoreError::io(action, self.place(key))(std::io::Error::new(kind, error.to_string()))
            }
            _ => self.failed(action, &self.place(key), error.to_string()),
        }
    }

    #[cfg(unix)]
    pub(super) fn host(&self, action: &'static str, key: &str, failure: &super::sftp::Failure) -> StoreError {
        match failure.refused {
            true => self.refused(failure.text.clone()),
            false => self.failed(action, key, failure.text.clone()),
        }
    }

    pub(super) fn service(&self, action: &'static str, key: &str, error: &opendal::Error) -> StoreError {
        let text = error.to_string();
        match error.kind() {
            // Without any credentials nothing is sent: signing fails.
            _ if text.contains("failed to load signing credential") => {
                self.refused("there are none".to_owned())
            }
            // S3 and Azure say so in a 403 like that for a wrong key.
            _ if text.contains("RequestTimeTooSkewed") || text.contains(LATE) => {
                let detail =
                    "the clock of this machine differs too much from that of the service: set it right";
                self.failed(action, key, detail.to_owned())
            }
            ErrorKind::PermissionDenied => self.refused(self.inner.secrets.masked(&brief(error))),
            _ => self.failed(action, key, self.inner.secrets.masked(&brief(error))),
        }
    }

    pub(super) fn read_only(&self) -> StoreError {
        StoreError::ReadOnly(self.name.to_string())
    }

    fn refused(&self, detail: String) -> StoreError {
        let variables = self.inner.variables.clone();
        StoreError::Credentials { store: self.name.to_string(), detail, variables }
    }
}
