//! `mlpstore.json`: what says that a place is a store, written on its first use ever.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Place, Remote};
use crate::base::{Id, Time};
use crate::infrastructure::durable::{self, Sync};
use crate::infrastructure::store::{Local, StoreError};

/// The object that says that a store is one.
pub(super) const STORE: &str = "mlpstore.json";

/// Its content.
#[derive(Serialize, Deserialize)]
struct Marker {
    format: u32,
    id: Id,
    created: Time,
}

impl Remote {
    /// Makes sure that the place is a store, writing `mlpstore.json` on its first use ever.
    pub(in crate::infrastructure::store) fn ensure(&self, local: &Path) -> Result<(), StoreError> {
        let cached = self.cache(local).join(STORE);
        let known = cached.is_file();
        if known && !matches!(self.inner.place, Place::Folder(_)) {
            return Ok(());
        }
        let bytes = match self.get(STORE, 4096)? {
            Some(bytes) => bytes,
            // An empty folder where a store was: most likely it is not mounted.
            None if known => {
                let detail = format!("it has no `{STORE}` any more; is it mounted, and is its URL right?");
                return Err(StoreError::Foreign { store: self.name.to_string(), detail });
            }
            None => {
                let marker = Marker { format: 1, id: Id::new(), created: Time::now() };
                let bytes = serde_json::to_vec(&marker).unwrap_or_default();
                let created = match self.create_with(STORE, &bytes, Sync::Disk, true) {
                    // Where nobody can win exactly once the last one wins, and all read back what stands.
                    Err(StoreError::NoCreateIfAbsent { .. }) => {
                        self.put(STORE, bytes.clone()).map(|()| false)
                    }
                    created => created,
                };
                // Somebody else was first, or the answer was lost: what stands counts.
                match created? {
                    true => bytes,
                    false => self.get(STORE, 4096)?.ok_or_else(|| {
                        self.failed("write", STORE, "it was written and is not there".to_owned())
                    })?,
                }
            }
        };
        let foreign = |detail: String| StoreError::Foreign { store: self.name.to_string(), detail };
        let marker: Marker = serde_json::from_slice(&bytes)
            .map_err(|error| foreign(format!("its `{STORE}` is not what mlp writes: {error}")))?;
        if marker.format != 1 {
            return Err(foreign(format!("its format {} needs a newer mlp", marker.format)));
        }
        if !known {
            durable::replace_through(&local.join("tmp"), &cached, &bytes)
                .map_err(StoreError::io("write", cached))?;
        }
        Ok(())
    }

    /// The id that the store got when it was first used.
    pub fn id(&self, local: &Local) -> Result<Id, StoreError> {
        self.ensure(local.root())?;
        let cached = self.cache(local.root()).join(STORE);
        let bytes = std::fs::read(&cached).map_err(StoreError::io("read", &cached))?;
        let marker: Marker = serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::damaged(format!("`{}`", cached.display()), error.to_string()))?;
        Ok(marker.id)
    }
}
