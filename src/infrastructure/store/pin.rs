//! Pins: statements that something needs some trees and records; evidence is found through them, gc keeps what they name.

use serde::{Deserialize, Serialize};

use super::{Local, StoreError};
use crate::base::{Digest, Id, RecordKind};

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
            schema: "mlp/pin/1".to_owned(),
            id: Id::new(),
            kind,
            name: name.into(),
            commit: None,
            roots: Vec::new(),
            records: Vec::new(),
        }
    }
}

impl Local {
    /// Stores a pin durably.
    pub fn put_pin(&self, pin: &Pin) -> Result<(), StoreError> {
        let _ = pin;
        todo!()
    }

    /// All local pins, oldest first.
    pub fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        todo!()
    }

    /// Removes a pin; removing one that is not there is not an error.
    pub fn remove_pin(&self, id: Id) -> Result<(), StoreError> {
        let _ = id;
        todo!()
    }
}
