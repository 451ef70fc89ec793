//! Pins: statements that something needs some trees and records; evidence is found through them, gc keeps what they name.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Local, StoreError, files, sealed};
use crate::base::{Digest, Id, RecordKind};
use crate::infrastructure::durable::{self, Sync};

/// The version written into `schema`.
const SCHEMA: &str = "mlp/pin/1";

/// What a pin belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinKind {
    /// A dataset version of a branch at a commit.
    Data,
    /// A record and what it rests on.
    Record(RecordKind),
}

/// One pin: `pins/<project id>/<ulid>.json` on a remote, `pins/<ulid>.json` in the local store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// `mlp/pin/1`.
    pub schema: String,
    /// Its identifier; sorts by time.
    pub id: Id,
    /// What it belongs to.
    pub kind: PinKind,
    /// For people: dataset, model or step name, branch.
    pub name: String,
    /// Git commit, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Root trees and blobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<Digest>,
    /// Records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Digest>,
}

impl Pin {
    /// A new pin.
    pub fn new(kind: PinKind, name: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            id: Id::new(),
            kind,
            name: name.into(),
            commit: None,
            roots: Vec::new(),
            records: Vec::new(),
        }
    }
}

/// Bytes a pin may have.
pub(super) const LIMIT: u64 = 16 * 1024 * 1024;

impl Pin {
    /// The stored bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Plain strings and lists: writing cannot fail.
        sealed::seal(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// A pin from its stored bytes; `place` names it in errors, `id` is what its name says.
    pub(super) fn from_bytes(bytes: &[u8], id: Id, place: &str) -> Result<Self, StoreError> {
        let damaged = |detail: String| StoreError::Damaged { what: format!("pin `{place}`"), detail };
        // The first pins were a line of JSON alone, without an end.
        let json = match bytes.contains(&b'\n') {
            false => bytes,
            true => sealed::open(bytes).map_err(|detail| damaged(detail.to_owned()))?.as_bytes(),
        };
        let pin: Self = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if pin.schema != SCHEMA {
            return Err(damaged(format!(
                "its schema `{}` is not known to this version",
                pin.schema.escape_debug()
            )));
        }
        if pin.id != id {
            return Err(damaged(format!("it says it is `{}`", pin.id)));
        }
        Ok(pin)
    }

    /// The file or object name of a pin.
    pub(super) fn file_name(id: Id) -> String {
        format!("{id}.json")
    }

    /// The pin that a file or object name stands for.
    pub(super) fn parse_file_name(name: &str) -> Option<Id> {
        name.strip_suffix(".json").filter(|id| id.len() == 26)?.parse().ok()
    }
}

impl Local {
    /// Stores a pin durably. Pins never change: one that is there already is left alone.
    pub fn put_pin(&self, pin: &Pin) -> Result<(), StoreError> {
        let path = self.pin_path(pin.id);
        durable::create(&self.root().join("tmp"), &path, &pin.to_bytes(), Sync::Disk)
            .map(drop)
            .map_err(StoreError::io("write", path))
    }

    /// All local pins, oldest first.
    pub fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        self.pin_ids()?.into_iter().map(|id| self.pin(id)).collect()
    }

    /// One local pin.
    pub(super) fn pin(&self, id: Id) -> Result<Pin, StoreError> {
        let path = self.pin_path(id);
        let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
        Pin::from_bytes(&bytes, id, &path.display().to_string())
    }

    /// Ids of all local pins, oldest first.
    pub(super) fn pin_ids(&self) -> Result<Vec<Id>, StoreError> {
        let folder = self.root().join("pins");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(StoreError::io("list", &folder))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(StoreError::io("list", &folder))?.file_name();
            ids.extend(name.to_str().and_then(Pin::parse_file_name));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Removes a pin; removing one that is not there is not an error.
    pub fn remove_pin(&self, id: Id) -> Result<(), StoreError> {
        files::remove(&self.pin_path(id))
    }

    fn pin_path(&self, id: Id) -> PathBuf {
        self.root().join("pins").join(Pin::file_name(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Local) {
        let folder = tempfile::tempdir().expect("makes a folder");
        let store = Local::open(&folder.path().join("store")).expect("opens");
        (folder, store)
    }

    #[test]
    fn pins_come_back_oldest_first_and_can_be_removed() {
        let (_folder, store) = store();
        assert!(store.pins().expect("none yet").is_empty());
        let mut pins: Vec<Pin> = (0..3).map(|n| Pin::new(PinKind::Data, format!("set{n}"))).collect();
        pins.sort_by_key(|pin| pin.id);
        for pin in pins.iter().rev() {
            store.put_pin(pin).expect("stores");
        }
        assert_eq!(store.pins().expect("reads"), pins);
        store.remove_pin(pins[1].id).expect("removes");
        store.remove_pin(pins[1].id).expect("is gone already");
        assert_eq!(store.pins().expect("reads").len(), 2);
    }

    #[test]
    fn a_damaged_pin_is_named() {
        let (_folder, store) = store();
        let pin = Pin::new(PinKind::Record(RecordKind::Run), "digits");
        store.put_pin(&pin).expect("stores");
        let path = store.pin_path(pin.id);
        fs::write(&path, b"{").expect("damages");
        let error = store.pins().expect_err("damaged").to_string();
        assert!(error.contains(&pin.id.to_string()), "{error}");
    }
}
