//! A user's own configuration: `$XDG_CONFIG_HOME/mlp/config.yaml` for all projects, `config.local.yaml` in the state
//! folder for one repository. Only there may credentials come from any file, variable or command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use indexmap::IndexMap;
use serde::Deserialize;

use super::hosts;
use super::source::Source;
use super::{Manifest, ProjectError, yaml};
use crate::base::{Failure, Name};
use crate::infrastructure::compute::HostSpec;
use crate::infrastructure::keys::{SecretSpec, Secrets};
use crate::infrastructure::store::{StoreError, StoreSpec};

/// The file of one repository.
const LOCAL: &str = "config.local.yaml";

/// What such a file holds.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Personal {
    #[serde(default)]
    stores: IndexMap<Name, StoreSpec>,
    #[serde(default)]
    imports: IndexMap<Name, StoreSpec>,
    #[serde(default)]
    hosts: IndexMap<Name, HostSpec>,
    #[serde(default)]
    secrets: BTreeMap<String, SecretSpec>,
}

/// What only a user has, beside what is joined to a project's manifest.
#[derive(Default)]
pub(super) struct Own {
    /// Stores that the project does not name.
    pub(super) stores: Vec<Name>,
    /// Where secrets come from.
    pub(super) secrets: Secrets,
}

/// Adds the user's own stores, places to import from and hosts to those of a project; returns what only the user has.
pub(super) fn add(manifest: &mut Manifest, state: &Path) -> Result<Own, Failure> {
    // A stranger's project must neither run a command nor choose which file or variable is sent somewhere.
    let mut entries = manifest.stores.iter().chain(&manifest.imports);
    if let Some((name, _)) = entries.find(|(_, spec)| spec.credentials.is_some()) {
        let detail = format!(
            "`credentials` in mlp.yaml would let a project choose what of yours is sent where: write the entry of this store, with \
             `credentials`, into `{}` or into your own configuration",
            state.join(LOCAL).display()
        );
        return Err(StoreError::Spec { store: name.to_string(), detail }.into());
    }
    let (mut own, mut own_imports) = (Own::default(), Vec::new());
    for (path, secret) in files(state) {
        let personal = read(&path, secret)?;
        join(&mut manifest.stores, personal.stores, &mut own.stores, &path)?;
        join(&mut manifest.imports, personal.imports, &mut own_imports, &path)?;
        // Of a host of the project's the user may know another way there.
        manifest.hosts.extend(personal.hosts);
        own.secrets.0.extend(personal.secrets);
    }
    manifest.hosts.extend(hosts::own()?);
    Ok(own)
}

/// Adds entries of the user's file `path`; `own` collects names that only the user has.
///
/// An entry with the name of one of the project's must have its URL and endpoint, so that a project that is somebody else's
/// cannot direct the user's secrets elsewhere; it then stands in place of the project's.
fn join(
    stores: &mut IndexMap<Name, StoreSpec>,
    more: IndexMap<Name, StoreSpec>,
    own: &mut Vec<Name>,
    path: &Path,
) -> Result<(), Failure> {
    for (name, spec) in more {
        match stores.get_mut(&name) {
            None => {
                own.push(name.clone());
                stores.insert(name, spec);
            }
            Some(known)
                if (&known.url, &known.endpoint) == (&spec.url, &spec.endpoint) || own.contains(&name) =>
            {
                *known = spec;
            }
            Some(_) => {
                let detail =
                    format!("`url` and `endpoint` in `{}` are not those of mlp.yaml", path.display());
                return Err(StoreError::Spec { store: name.to_string(), detail }.into());
            }
        }
    }
    Ok(())
}

fn user_file() -> Option<PathBuf> {
    folder().map(|folder| folder.join("config.yaml"))
}

/// The folder of the user's own configuration.
pub(super) fn folder() -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|base| base.config_dir().join("mlp"))
}

/// The files, and whether others may not even read them.
fn files(state: &Path) -> Vec<(PathBuf, bool)> {
    user_file().into_iter().map(|path| (path, false)).chain([(state.join(LOCAL), true)]).collect()
}

fn read(path: &Path, secret: bool) -> Result<Personal, ProjectError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Personal::default()),
        Err(source) => return Err(ProjectError::Io { action: "read", path: path.to_owned(), source }),
        Ok(metadata) => guarded(path, &metadata, secret)?,
    }
    Ok(yaml::read(&Source::open(path, path)?)?)
}

/// It may name commands: whoever can write it can run them.
#[cfg(unix)]
pub(super) fn guarded(path: &Path, metadata: &std::fs::Metadata, secret: bool) -> Result<(), ProjectError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    let (others, may) = if secret { (0o077, "read or write") } else { (0o022, "write") };
    if mode & others == 0 {
        return Ok(());
    }
    let detail = format!("others may {may} it; `chmod 600 {}`", path.display());
    let source = std::io::Error::new(std::io::ErrorKind::PermissionDenied, detail);
    Err(ProjectError::Io { action: "trust", path: path.to_owned(), source })
}

#[cfg(not(unix))]
pub(super) fn guarded(_: &Path, _: &std::fs::Metadata, _: bool) -> Result<(), ProjectError> {
    Ok(())
}
