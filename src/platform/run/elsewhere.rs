//! A run on a host: what travels there, and the job as the host sees it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::code::code_files;
use super::evaluation::FILES;
use super::{Planned, RunError, Workspace};
use crate::base::Sink;
use crate::infrastructure::compute::JobSpec;
use crate::infrastructure::store::{Node, NodeKind, Stored, worktree};

/// Where the project lies in the job folder.
const ROOT: &str = "src";

/// A job for a host.
pub struct Elsewhere {
    /// The job: its paths lie in its folder, and all that it rests on in the local store.
    pub job: JobSpec,
    /// Values of the variables that the step declares. They are sent, and written nowhere.
    pub variables: BTreeMap<String, String>,
}

impl Planned {
    /// The run as a job for a host. Data and code go into the local store first; `apart` are the paths that are no code.
    pub fn elsewhere(
        &self,
        workspace: &Workspace<'_>,
        threads: Option<usize>,
        apart: &[String],
        sink: &dyn Sink,
    ) -> Result<Elsewhere, RunError> {
        let mut job = self.job(threads);
        let mut work = self.work().clone();
        let mut inputs = BTreeMap::new();
        if self.plan.code.is_some() {
            inputs = kept_code(workspace, apart)?;
        }
        let here = |path: &str| -> Result<Stored, RunError> {
            let place = workspace.root.join(path);
            let root = worktree::snapshot(&place, workspace.store, Some(&workspace.cache()), sink)?.root;
            match self.plan.inputs.values().any(|id| *id == root.id) {
                true => Ok(Stored::from(&root)),
                false => Err(RunError::Moving { path: path.to_owned() }),
            }
        };
        match &work.dataset {
            Some(dataset) => {
                // A version that the store has whole needs no work tree, which may hold another by now.
                let known = workspace.store.is_complete(&[dataset.root.id])?;
                let root = if known { dataset.root.clone() } else { here(&dataset.spec.path)? };
                inputs.insert(dataset.spec.path.clone(), root);
            }
            None => {
                for path in self.plan.inputs.keys() {
                    inputs.insert(path.clone(), here(path)?);
                }
            }
        }
        let weights = work.weights.iter().map(|weights| weights.file.id);
        let files = self.plan.inputs.get(FILES).copied();
        job.rests_on = inputs.values().map(|stored| stored.id).chain(weights).chain(files).collect();
        let value = |name: &String| Some((name.clone(), std::env::var(name).ok()?));
        let variables = self.plan.env.keys().filter_map(value).collect();
        work.root = PathBuf::from(ROOT);
        job.work = serde_json::to_value(&work).unwrap_or_default();
        job.cwd = PathBuf::from(ROOT);
        job.inputs = inputs;
        Ok(Elsewhere { job, variables })
    }
}

/// The project's code, put into the store file by file.
fn kept_code(workspace: &Workspace<'_>, apart: &[String]) -> Result<BTreeMap<String, Stored>, RunError> {
    let mut writer = workspace.store.writer()?;
    let mut kept = BTreeMap::new();
    for (path, place) in code_files(workspace.repo, workspace.root, apart)? {
        let (kind, bytes) = content(&place)?;
        let id = writer.blob(&bytes)?;
        let node = Node { name: Vec::new(), kind, size: bytes.len() as u64, id };
        kept.insert(path, Stored::from(&node));
    }
    writer.finish()?;
    Ok(kept)
}

fn content(place: &Path) -> Result<(NodeKind, Vec<u8>), RunError> {
    let read = RunError::io("read", place);
    let meta = match std::fs::symlink_metadata(place) {
        Ok(meta) => meta,
        Err(error) => return Err(read(error)),
    };
    if meta.is_symlink() {
        let target = std::fs::read_link(place).map_err(read)?;
        return Ok((NodeKind::Link, target.to_string_lossy().into_owned().into_bytes()));
    }
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o100 != 0;
    #[cfg(not(unix))]
    let executable = false;
    let kind = if executable { NodeKind::Executable } else { NodeKind::File };
    Ok((kind, std::fs::read(place).map_err(read)?))
}
