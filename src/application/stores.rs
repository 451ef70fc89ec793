//! The stores that a command works on.

use crate::base::{Failure, nearest};
use crate::infrastructure::store::{Remote, StoreError};
use crate::platform::project::Project;

/// The store called `name` in `stores:`, or the first of them.
pub(super) fn remote(project: &Project, name: Option<&str>) -> Result<Remote, Failure> {
    let stores = &project.manifest.stores;
    let found = match name {
        None => stores.first(),
        Some(name) => stores.get_key_value(name),
    };
    let Some((name, spec)) = found else {
        return Err(match name {
            None => StoreError::NoStores.into(),
            Some(name) => {
                let near = nearest(name, stores.keys().map(|known| known.as_str()));
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                let detail = format!("it is not in `stores:`{near}");
                StoreError::Spec { store: name.escape_debug().to_string(), detail }.into()
            }
        });
    };
    Ok(Remote::open(name, spec)?)
}

/// All stores, in the order of `stores:`.
pub(super) fn remotes(project: &Project) -> Result<Vec<Remote>, Failure> {
    let stores = project.manifest.stores.iter();
    stores.map(|(name, spec)| Ok(Remote::open(name, spec)?)).collect()
}
