//! Promises of a project: where their objects are looked for, what they became.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::base::{Failure, Sink};
use crate::infrastructure::durable;
use crate::infrastructure::store::{Remote, StoreSpec};
use crate::platform::data::foreign::{Places, Promise, dvc, keep};
use crate::platform::data::{DataError, Pointer};
use crate::platform::project::Project;

/// What a promise became in this clone, if all of that is still here.
pub(super) fn known(project: &Project, promise: &Promise) -> Result<Option<Pointer>, Failure> {
    let path = memo(project, promise);
    if !path.exists() {
        return Ok(None);
    }
    let pointer = Pointer::read(&path)?;
    Ok(project.store.is_complete(&pointer.ids())?.then_some(pointer))
}

/// Fetches what a promise names; the pointer of the version that it becomes. `path` is where the data belong, absolute.
pub(super) fn fulfil(
    project: &Project,
    promise: &Promise,
    path: &Path,
    sink: &dyn Sink,
) -> Result<Pointer, Failure> {
    let _alone = alone(project)?;
    if let Some(pointer) = known(project, promise)? {
        return Ok(pointer);
    }
    let gathered = folder(project);
    let places = Places { sources: &sources(project, promise, path)?, gathered: &gathered };
    let root = keep(promise, &places, &project.store, sink)?;
    let pointer = Pointer::of(&root, &project.store)?;
    let memo = memo(project, promise);
    durable::replace(&memo, pointer.text().as_bytes()).map_err(DataError::io("write", &memo))?;
    Ok(pointer)
}

/// The cache of the tool in this clone, then the place that the promise names.
fn sources(project: &Project, promise: &Promise, path: &Path) -> Result<Vec<Remote>, Failure> {
    let mut sources = Vec::new();
    if let Some(root) = dvc::find(path, project.repo.root()) {
        sources.push(at("dvc-cache", &dvc::Config::read(&root)?.cache)?);
    }
    if let Some(name) = &promise.from {
        let Some(spec) = project.manifest.imports.get(name) else {
            let detail = "it is not in `imports:`, and a pointer names it".to_owned();
            return Err(
                crate::infrastructure::store::StoreError::Spec { store: name.to_string(), detail }.into()
            );
        };
        sources.push(Remote::open(name, spec)?);
    }
    Ok(sources)
}

/// A folder of this machine as a place to read from.
pub(super) fn at(name: &str, folder: &Path) -> Result<Remote, Failure> {
    let name = name.parse().map_err(crate::platform::project::ProjectError::Name)?;
    Ok(Remote::open(&name, &StoreSpec::new(format!("fs://{}", folder.display())))?)
}

/// Waits until no other command gathers objects in this repository, and keeps others waiting for as long as the answer lives: two would
/// write the same files.
pub(super) fn alone(project: &Project) -> Result<File, Failure> {
    let folder = folder(project);
    std::fs::create_dir_all(&folder).map_err(DataError::io("make", &folder))?;
    let path = folder.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(DataError::io("open", &path))?;
    file.lock().map_err(DataError::io("lock", &path))?;
    Ok(file)
}

/// Where objects of other tools are gathered, and where it stands what they became.
pub(super) fn folder(project: &Project) -> PathBuf {
    project.repo.state_dir().join("imports")
}

fn memo(project: &Project, promise: &Promise) -> PathBuf {
    folder(project).join(format!("{}.mlp", promise.id.to_string().replace(':', "-")))
}
