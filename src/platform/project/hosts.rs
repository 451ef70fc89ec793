//! The user's own hosts, for all projects: `$XDG_CONFIG_HOME/mlp/hosts.yaml`, which `mlp host add` writes.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::open::entry;
use super::source::Source;
use super::{Manifest, ProjectError, personal, yaml};
use crate::base::Name;
use crate::infrastructure::compute::{Host, HostSpec};
use crate::infrastructure::durable;

/// Hosts by name.
pub type Hosts = IndexMap<Name, HostSpec>;

/// The hosts that only this user has.
pub fn own() -> Result<Hosts, ProjectError> {
    let Some(path) = file() else { return Ok(Hosts::new()) };
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Hosts::new()),
        Err(source) => Err(ProjectError::Io { action: "read", path, source }),
        Ok(metadata) => {
            personal::guarded(&path, &metadata, false)?;
            if metadata.len() == 0 {
                return Ok(Hosts::new());
            }
            Ok(yaml::read(&Source::open(&path, &path)?)?)
        }
    }
}

/// Writes them anew; answers the file.
pub fn set_own(hosts: &Hosts) -> Result<PathBuf, ProjectError> {
    let path = file().ok_or_else(|| ProjectError::Io {
        action: "find",
        path: "your configuration".into(),
        source: std::io::Error::other("there is no home folder"),
    })?;
    // A link to a file elsewhere stays one.
    let path = path.canonicalize().unwrap_or(path);
    let io = |action, source| ProjectError::Io { action, path: path.clone(), source };
    // One entry a line; JSON is YAML.
    let line = |(name, spec)| format!("{name}: {}\n", serde_json::to_string(spec).unwrap_or_default());
    let text: String = hosts.iter().map(line).collect();
    let text = if text.is_empty() { "{}\n".to_owned() } else { text };
    let text = format!("# Written by `mlp host add`: one entry a line, and no other comment stays.\n{text}");
    if let Some(folder) = path.parent() {
        durable::make_folders(folder).map_err(|source| io("make the folder of", source))?;
    }
    durable::replace(&path, text.as_bytes()).map_err(|source| io("write", source))?;
    Ok(path)
}

impl Manifest {
    /// The host of this name.
    pub fn host(&self, name: &str) -> Result<Host, ProjectError> {
        Self::host_of(&self.hosts, name)
    }

    /// The one of `hosts` that has this name.
    pub fn host_of(hosts: &Hosts, name: &str) -> Result<Host, ProjectError> {
        if hosts.is_empty() {
            let hint = format!("add it: `mlp host add {}`", name.escape_debug());
            return Err(ProjectError::UnknownHost { name: name.escape_debug().to_string(), hint });
        }
        let (name, spec) = entry("host", name, hosts).map_err(|error| match error {
            ProjectError::Unknown { name, hint, .. } => ProjectError::UnknownHost { name, hint },
            other => other,
        })?;
        Ok(Host { name: name.to_string(), spec: spec.clone() })
    }
}

fn file() -> Option<PathBuf> {
    personal::folder().map(|folder| folder.join("hosts.yaml"))
}
