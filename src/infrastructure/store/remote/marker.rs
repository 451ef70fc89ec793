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
    /// Makes sure that the place is a store, writing `mlpstore.json` on its first use ever; whether it was written now.
    pub(in crate::infrastructure::store) fn ensure(&self, local: &Path) -> Result<bool, StoreError> {
        if self.is_store(local)? {
            return Ok(false);
        }
        let marker = Marker { format: 1, id: Id::new(), created: Time::now() };
        let bytes = serde_json::to_vec(&marker).unwrap_or_default();
        let created = match self.create_with(STORE, &bytes, Sync::Disk, true) {
            // Where nobody can win exactly once the last one wins, and all read back what stands.
            Err(StoreError::NoCreateIfAbsent { .. }) => self.put(STORE, bytes.clone()).map(|()| false),
            created => created,
        }?;
        // Somebody else was first, or the answer was lost: what stands counts.
        if !created && !self.is_store(local)? {
            return Err(self.failed("write", STORE, "it was written and is not there".to_owned()));
        }
        if created {
            self.know(local, &bytes)?;
        }
        Ok(true)
    }

    /// As [`Remote::ensure`], for whoever only reads: a place that never was a store is an error.
    pub(in crate::infrastructure::store) fn expect(&self, local: &Path) -> Result<(), StoreError> {
        if self.is_store(local)? {
            return Ok(());
        }
        Err(StoreError::Empty { store: self.name.to_string(), url: self.inner.url.clone() })
    }

    /// Its URL, as mlp.yaml has it.
    pub(in crate::infrastructure::store) fn url(&self) -> &str {
        &self.inner.url
    }

    /// Whether the place is a store. Nothing is written there.
    ///
    /// # Errors
    /// It was one and is none any more, or it is one of another kind.
    pub(in crate::infrastructure::store) fn is_store(&self, local: &Path) -> Result<bool, StoreError> {
        let foreign = |detail: String| StoreError::Foreign { store: self.name.to_string(), detail };
        if self.cache(local).join(STORE).is_file() {
            // An empty folder where a store was: most likely it is not mounted.
            return match &self.inner.place {
                Place::Folder(folder) if !folder.path(STORE).is_file() => Err(foreign(format!(
                    "it has no `{STORE}` any more; is it mounted, and is its URL right?"
                ))),
                _ => Ok(true),
            };
        }
        let Some(bytes) = self.get(STORE, 4096)? else {
            // Pins are written last: where there are some, it was a store. Somebody may be beginning one just now; what cannot be
            // listed is no proof.
            let has_pins = self.list("pins/").is_ok_and(|pins| !pins.is_empty());
            if !has_pins || self.get(STORE, 4096)?.is_some() {
                return Ok(false);
            }
            return Err(foreign(format!(
                "it has pins and no `{STORE}`; `mlp store repair --store {}` in a clone that has used it brings it back",
                self.name
            )));
        };
        let marker: Marker = serde_json::from_slice(&bytes)
            .map_err(|error| foreign(format!("its `{STORE}` is not what mlp writes: {error}")))?;
        if marker.format != 1 {
            return Err(foreign(format!("its format {} needs a newer mlp", marker.format)));
        }
        self.know(local, &bytes)?;
        Ok(true)
    }

    /// What is wrong with the marker of a store that this clone has used, so that its copy may be put in its place.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if it is that of another store: nothing of this one belongs there.
    pub(in crate::infrastructure::store) fn marker_fault(
        &self,
        local: &Path,
    ) -> Result<Option<&'static str>, StoreError> {
        let Ok(known) = std::fs::read(self.cache(local).join(STORE)) else { return Ok(None) };
        let id = |bytes: &[u8]| serde_json::from_slice::<Marker>(bytes).ok().map(|marker| marker.id);
        Ok(match self.get(STORE, 4096)? {
            Some(there) if there == known => None,
            Some(there) => match id(&there) {
                Some(other) if id(&known) != Some(other) => {
                    let detail = format!("it is another store now ({other})");
                    return Err(StoreError::Foreign { store: self.name.to_string(), detail });
                }
                Some(_) => None,
                None => Some("it is not what mlp writes"),
            },
            None if self.list("pins/")?.is_empty() => None,
            None => Some("it is gone"),
        })
    }

    /// Puts this clone's copy of the marker in its place.
    pub(in crate::infrastructure::store) fn remark(&self, local: &Path) -> Result<(), StoreError> {
        let cached = self.cache(local).join(STORE);
        let bytes = std::fs::read(&cached).map_err(StoreError::io("read", &cached))?;
        self.remove(STORE)?;
        self.put(STORE, bytes)
    }

    /// Keeps a copy of the marker: from now on the place is known to be a store.
    fn know(&self, local: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let cached = self.cache(local).join(STORE);
        durable::replace_through(&local.join("tmp"), &cached, bytes).map_err(StoreError::io("write", cached))
    }

    /// The id that the store got when it was first used.
    pub fn id(&self, local: &Local) -> Result<Id, StoreError> {
        self.expect(local.root())?;
        let cached = self.cache(local.root()).join(STORE);
        let bytes = std::fs::read(&cached).map_err(StoreError::io("read", &cached))?;
        let marker: Marker = serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::damaged(format!("`{}`", cached.display()), error.to_string()))?;
        Ok(marker.id)
    }
}
