//! Records in the local store: `records/ab/<hex>`, one small immutable file each.

use std::path::PathBuf;

use super::{Local, PinKind, StoreError, files};
use crate::base::{AnyRecord, Body, Digest, Record, RecordError, RecordKind};

impl Local {
    /// Stores a record durably and returns its id.
    pub fn put_record<B: Body>(&self, record: &Record<B>) -> Result<Digest, StoreError> {
        self.put_record_bytes(&record.to_bytes())
    }

    /// Stores the bytes of a record, which must be one of this format, durably; returns its id.
    pub(crate) fn put_record_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let id = Digest::of(bytes);
        AnyRecord::parse(bytes)
            .map_err(|error| StoreError::damaged(format!("record `{id}`"), error.to_string()))?;
        let path = self.record_path(&id);
        if files::read_if_there(&path)?.as_deref() != Some(bytes) {
            files::replace(&path, bytes)?;
        }
        // Whoever wrote the file may not have come so far; and the fan-out folder may be new.
        let dir = files::parent(&path);
        files::sync_dir(&dir)?;
        files::sync_dir(&files::parent(&dir))?;
        files::sync_dir(self.root())?;
        Ok(id)
    }

    /// Whether the record `id` is here.
    pub fn has_record(&self, id: &Digest) -> bool {
        self.record_path(id).exists()
    }

    /// Whether the record `id` was found damaged and is not there again.
    pub fn is_set_aside(&self, id: &Digest) -> bool {
        !self.has_record(id) && self.aside(id).exists()
    }

    fn aside(&self, id: &Digest) -> PathBuf {
        self.root().join("bad").join(format!("{}.record", id.hex()))
    }

    /// The verified record `id`, which must be of kind `B`.
    pub fn record<B: Body>(&self, id: &Digest) -> Result<Record<B>, StoreError> {
        Record::from_bytes(&self.record_bytes(id)?).map_err(|error| self.unreadable(id, &error))
    }

    /// The verified record `id`, whatever its kind.
    pub fn any_record(&self, id: &Digest) -> Result<AnyRecord, StoreError> {
        AnyRecord::parse(&self.record_bytes(id)?).map_err(|error| self.unreadable(id, &error))
    }

    /// The verified bytes of the record `id`. A damaged file is moved to `bad/`.
    pub fn record_bytes(&self, id: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.record_path(id);
        let aside = self.aside(id);
        let Some(bytes) = files::read_if_there(&path)? else {
            return Err(match aside.exists() {
                false => StoreError::Missing(*id),
                true => StoreError::damaged(
                    format!("record `{id}`"),
                    format!("it was set aside as `{}`", aside.display()),
                ),
            });
        };
        if Digest::of(&bytes) == *id {
            return Ok(bytes);
        }
        files::set_aside(&path, &aside)?;
        let detail = format!("its bytes do not match its name; moved to `{}`", aside.display());
        Err(StoreError::damaged(format!("record `{}`", path.display()), detail))
    }

    /// Ids of all local records of one kind, oldest pin first.
    pub fn records(&self, kind: RecordKind) -> Result<Vec<Digest>, StoreError> {
        let mut ids = Vec::new();
        for pin in self.pins()?.into_iter().filter(|pin| pin.kind == PinKind::Record(kind)) {
            for id in pin.records {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        Ok(ids)
    }

    fn record_path(&self, id: &Digest) -> std::path::PathBuf {
        files::fanned(&self.root().join("records"), &id.hex())
    }

    fn unreadable(&self, id: &Digest, error: &RecordError) -> StoreError {
        StoreError::damaged(format!("record `{}`", self.record_path(id).display()), error.to_string())
    }
}
