//! A model's name on a server, and the version that answers under it now.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::{Canary, Served};
use crate::base::Name;

/// One served model. The version behind it may be exchanged at any time: a request takes it once and keeps it to its end,
/// so that no request is dropped or answered by half of each.
pub struct Deployment {
    name: Name,
    live: RwLock<Arc<Served>>,
    canary: OnceLock<Arc<Canary>>,
}

impl Deployment {
    /// `served` answers.
    pub fn new(served: Served) -> Self {
        Self { name: served.name.clone(), live: RwLock::new(Arc::new(served)), canary: OnceLock::new() }
    }

    /// The model.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The version that answers now.
    pub fn live(&self) -> Arc<Served> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets `canary` answer its share of the clients; false if there is one already.
    pub fn try_beside(&self, canary: Arc<Canary>) -> bool {
        self.canary.set(canary).is_ok()
    }

    /// The canary.
    pub(super) fn canary(&self) -> Option<&Arc<Canary>> {
        self.canary.get()
    }

    /// From now on `served` answers; gives the version that did before.
    pub fn swap(&self, served: Served) -> Arc<Served> {
        let served = Arc::new(served);
        let before = {
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *live, Arc::clone(&served))
        };
        if let Some(canary) = self.canary.get() {
            canary.beside(&served);
        }
        before
    }
}
