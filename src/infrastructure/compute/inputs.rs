//! What a job finds in its working directory.

use std::path::Path;

use super::{JobError, JobFolder, JobSpec, mirror};
use crate::infrastructure::durable;
use crate::infrastructure::store::{Local, Stored};

/// Puts the job's inputs into its working directory.
pub(super) fn lay_out(folder: &JobFolder, spec: &JobSpec) -> Result<(), JobError> {
    let cwd = folder.0.join(&spec.cwd);
    if spec.cwd.is_relative() {
        std::fs::create_dir_all(&cwd).map_err(JobError::io("make", &cwd))?;
    }
    if spec.inputs.is_empty() {
        return Ok(());
    }
    let store = folder.store()?;
    spec.inputs.iter().try_for_each(|(path, stored)| {
        let place = cwd.join(path);
        match stored.is_link() {
            true => lay_link(&store, stored, &place),
            false => mirror::lay(&store, stored, &place),
        }
    })
}

/// A link of the project's code may lead anywhere, as it may where the code was written; one of a dataset never leaves the dataset.
#[cfg(unix)]
fn lay_link(store: &Local, stored: &Stored, place: &Path) -> Result<(), JobError> {
    let target = store.read(&stored.id)?;
    let target = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&target);
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(JobError::io("make", parent))?;
    }
    durable::remove(place).map_err(JobError::io("remove", place))?;
    std::os::unix::fs::symlink(target, place).map_err(JobError::io("make the link", place))
}

#[cfg(not(unix))]
fn lay_link(_: &Local, _: &Stored, _: &Path) -> Result<(), JobError> {
    Err(JobError::Platform)
}
