//! What a collection of a remote has doomed: `gc/<ulid>.json`, one object a collection, never changed.
//!
//! A pack named there will be deleted when a week has passed by the remote's own clock. Until then readers may still use it, and
//! whoever pushes treats it as absent, so that nothing new comes to rest on it.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Id, Time};
use crate::infrastructure::durable;
use crate::infrastructure::store::{Local, Remote, StoreError};

/// The version written into `schema`.
const SCHEMA: &str = "mlp/gc/1";
/// Bytes such an object may have.
const LIMIT: u64 = 16 << 20;

/// One collection's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::infrastructure::store) struct Doom {
    schema: String,
    /// Its identifier.
    pub(in crate::infrastructure::store) id: Id,
    /// When it was decided, by the clock of who decided: for people.
    pub(in crate::infrastructure::store) time: Time,
    /// Packs that will be deleted.
    pub(in crate::infrastructure::store) packs: Vec<Digest>,
    /// Pins that were taken away, as `<project>/<pin>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::infrastructure::store) retired: Vec<String>,
}

impl Doom {
    /// A decision of now.
    pub(in crate::infrastructure::store) fn new(packs: Vec<Digest>, retired: Vec<String>) -> Self {
        Self { schema: SCHEMA.to_owned(), id: Id::new(), time: Time::now(), packs, retired }
    }

    /// Its key on a remote.
    pub(in crate::infrastructure::store) fn key(&self) -> String {
        format!("gc/{}.json", self.id)
    }

    /// The stored bytes: compact JSON.
    pub(in crate::infrastructure::store) fn to_bytes(&self) -> Vec<u8> {
        // Plain strings and lists: writing cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A decision from its stored bytes; `place` names it in errors.
    pub(in crate::infrastructure::store) fn from_bytes(
        bytes: &[u8],
        place: &str,
    ) -> Result<Self, StoreError> {
        let damaged = |detail: String| StoreError::damaged(format!("collection `{place}`"), detail);
        let doom: Self = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if doom.schema == SCHEMA {
            Ok(doom)
        } else {
            Err(damaged(format!("its schema `{}` is not known to this version", doom.schema.escape_debug())))
        }
    }
}

/// All decisions on a remote, oldest first: one listing, and one request for each that is new here.
pub(in crate::infrastructure::store) fn read(
    local: &Local,
    remote: &Remote,
) -> Result<BTreeMap<Id, Doom>, StoreError> {
    let folder = remote.cache(local.root()).join("gc");
    let mut all = BTreeMap::new();
    for name in remote.list("gc/")? {
        let Some(id) = name.strip_suffix(".json").and_then(|id| id.parse::<Id>().ok()) else { continue };
        let (key, copy) = (format!("gc/{name}"), folder.join(&name));
        let place = remote.place(&key);
        let known = std::fs::read(&copy).ok().and_then(|bytes| Doom::from_bytes(&bytes, &place).ok());
        let doom = match known {
            Some(doom) => doom,
            None => {
                let Some(bytes) = remote.get(&key, LIMIT)? else { continue };
                let doom = Doom::from_bytes(&bytes, &place)?;
                durable::replace_through(&local.root().join("tmp"), &copy, &bytes)
                    .map_err(StoreError::io("write", copy))?;
                doom
            }
        };
        all.insert(id, doom);
    }
    Ok(all)
}

/// The packs that are doomed on a remote.
pub(in crate::infrastructure::store) fn packs(
    local: &Local,
    remote: &Remote,
) -> Result<HashSet<Digest>, StoreError> {
    Ok(read(local, remote)?.into_values().flat_map(|doom| doom.packs).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Doom::from_bytes(&bytes, "test");
        }
    }

    #[test]
    fn a_decision_survives_a_round_trip() {
        let doom = Doom::new(vec![Digest::of(b"pack")], vec!["project/pin".to_owned()]);
        assert_eq!(Doom::from_bytes(&doom.to_bytes(), "test").expect("reads"), doom);
        let newer = String::from_utf8(doom.to_bytes()).expect("is text").replace("mlp/gc/1", "mlp/gc/9");
        assert!(Doom::from_bytes(newer.as_bytes(), "test").is_err());
    }
}
