//! How mlp gets to a host: by the content of the executable, over the connection that will use it.

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::frame::ABSENT;
use super::session::agent_path;
use super::{Host, JobError};
use crate::base::Digest;

/// What the script there says, on standard error, before it gives up.
pub(super) const CANNOT: &str = "MLP-CANNOT";

/// The executable that works on a host.
pub(super) struct Agent {
    path: PathBuf,
    digest: Digest,
    root: Option<String>,
    own: bool,
}

impl Agent {
    pub(super) fn of(host: &Host, binary: Digest) -> Result<Self, JobError> {
        let root = host.spec.root.clone();
        match &host.spec.agent {
            Some(path) => {
                let bytes = std::fs::read(path).map_err(JobError::io("read", path))?;
                // ELF, or Mach-O: a shell would try to run anything else as a script.
                if !bytes.starts_with(b"\x7fELF") && !bytes.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) {
                    let detail = format!("`{path}`, its `agent`, is no program");
                    return Err(JobError::HostSpec { host: host.name.clone(), detail });
                }
                Ok(Self { path: path.into(), digest: Digest::of(&bytes), root, own: false })
            }
            None => {
                let path = std::env::current_exe().map_err(JobError::io("find", "the mlp executable"))?;
                Ok(Self { path, digest: binary, root, own: true })
            }
        }
    }

    /// What runs on the host: the agent if it is there, else what brings it and then runs it. `sh` alone is asked for, with
    /// `head`, `gunzip` and `mkdir`; the login shell may be any.
    pub(super) fn script(&self, nonce: &str) -> String {
        let root = match &self.root {
            // `~` and `$USER` are for the shell there to fill in.
            Some(root) => match root.strip_prefix("~/") {
                Some(rest) => format!("\"$HOME\"/{}", quoted(rest)),
                None => quoted(root).replace("$USER", "'\"$USER\"'").replace("$HOME", "'\"$HOME\"'"),
            },
            None => "\"$HOME\"/.mlp".to_owned(),
        };
        let (agent, digest) = (agent_path(&self.digest), self.digest);
        let agent = agent.display();
        let script = format!(
            "umask 077; R={root}; A=\"$R\"/{agent}; \
             if [ -x \"$A\" ]; then exec \"$A\" agent serve \"$R\" {nonce}; fi; \
             echo {ABSENT} {nonce} $(uname -s) $(uname -m); \
             read -r N || exit 1; \
             mkdir -p \"$R\"/bin || {{ echo {CANNOT} make \"$R\"/bin >&2; exit 1; }}; \
             T=\"$R\"/bin/.new.$$; trap 'rm -f \"$T\"' EXIT; \
             head -c \"$N\" | gunzip >\"$T\" || {{ echo {CANNOT} write \"$T\" >&2; exit 1; }}; \
             chmod 700 \"$T\"; \
             \"$T\" agent install \"$R\" {digest} || {{ echo {CANNOT} run \"$T\" >&2; exit 1; }}; \
             exec \"$A\" agent serve \"$R\" {nonce}"
        );
        format!("exec sh -c {}", quoted(&script))
    }

    /// Whether it can run on a machine of this kind (`Linux x86_64`).
    pub(super) fn check(&self, host: &Host, machine: &str) -> Result<(), JobError> {
        let os = match std::env::consts::OS {
            "macos" => "Darwin",
            "linux" => "Linux",
            other => other,
        };
        let arch = |text: &str| text.replace("arm64", "aarch64").replace("amd64", "x86_64");
        let here = format!("{os} {}", std::env::consts::ARCH);
        if !self.own || arch(machine) == here {
            return Ok(());
        }
        Err(JobError::Agent {
            host: host.name.clone(),
            detail: format!("this build of mlp is for {here}, and the host is {machine}"),
        })
    }

    pub(super) fn packed(&self) -> Result<Vec<u8>, JobError> {
        let bytes = std::fs::read(&self.path).map_err(JobError::io("read", &self.path))?;
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&bytes).and_then(|()| packer.finish()).map_err(JobError::io("pack", &self.path))
    }
}

/// A word for `sh`, csh and fish alike.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
