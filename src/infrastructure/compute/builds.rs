//! The builds of mlp that are here for hosts: this one, and others that were put into the user's cache or beside this one, for machines
//! on which it does not run.
//!
//! ```text
//! ~/.cache/mlp/agents/<version>/mlp-x86_64-linux-musl     linked statically: runs on any Linux of this architecture
//! ~/.cache/mlp/agents/<version>/mlp-x86_64-linux-cuda     drives GPUs of NVIDIA
//! ```

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::{Host, JobError};
use crate::base::Digest;
use crate::hardware::facts;

/// Architectures of which builds are looked for.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];
/// What this executable is called.
const OWN: &str = "this build";

/// A build that may be brought to a host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Build {
    /// What it is called.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    /// For which machines it is, as `uname` says it: `Linux-x86_64`; with `-cuda` for those of them that have an NVIDIA driver; `any`
    /// where the user says so.
    pub(super) kind: String,
}

impl Build {
    /// The part of the digest that its folder on a host is called by.
    pub(super) fn short(&self) -> String {
        self.digest.hex()[..16].to_owned()
    }
}

/// The builds that may run on `host`, the best first. `own` is the digest of this executable.
pub(super) fn builds(host: &Host, own: Digest) -> Result<Vec<Build>, JobError> {
    if let Some(path) = &host.spec.agent {
        let bytes = std::fs::read(path).map_err(JobError::io("read", path))?;
        // ELF, or Mach-O: a shell would try to run anything else as a script.
        if !bytes.starts_with(b"\x7fELF") && !bytes.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) {
            let detail = format!("`{path}`, its `agent`, is no program");
            return Err(JobError::HostSpec { host: host.name.clone(), detail });
        }
        let (name, digest) = (format!("`{path}`"), Digest::of(&bytes));
        return Ok(vec![Build { name, path: path.into(), digest, kind: "any".to_owned() }]);
    }
    let path = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
    let places = [folder(), path.parent().map(Path::to_owned)];
    let mut builds = found(&places, "cuda")?;
    builds.push(Build { name: OWN.to_owned(), path, digest: own, kind: own_kind() });
    builds.extend(found(&places, "musl")?);
    Ok(builds)
}

/// Where a user puts builds for hosts; none where there is no home folder.
pub(super) fn folder() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.cache_dir().join("mlp/agents").join(env!("CARGO_PKG_VERSION")))
}

/// The builds of one flavour, each from the first folder that has it.
fn found(places: &[Option<PathBuf>], flavour: &str) -> Result<Vec<Build>, JobError> {
    let mut builds = Vec::new();
    for architecture in ARCHITECTURES {
        let name = format!("mlp-{architecture}-linux-{flavour}");
        let mut paths = places.iter().flatten().map(|folder| folder.join(&name));
        let Some(path) = paths.find(|path| path.is_file()) else { continue };
        let kind = format!("Linux-{architecture}{}", if flavour == "cuda" { "-cuda" } else { "" });
        builds.push(Build { digest: digest(&path)?, name, path, kind });
    }
    Ok(builds)
}

/// Hashed once: the digest is kept in the user's cache.
fn digest(path: &Path) -> Result<Digest, JobError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let cache = folder().unwrap_or_else(std::env::temp_dir).join(format!(".{name}.digest"));
    facts::digest(path, &cache).map_err(JobError::io("read", path))
}

/// As `uname` says it on machines like this one.
fn own_kind() -> String {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "Darwin-arm64".to_owned(),
        ("macos", architecture) => format!("Darwin-{architecture}"),
        ("linux", architecture) => format!("Linux-{architecture}"),
        (system, architecture) => format!("{system}-{architecture}"),
    }
}
