//! How mlp gets to a host: by the content of the executable, over the connection that will use it.
//!
//! Of the builds that are here the first runs that is for such a machine and starts there. Whether one starts is found out by starting it.
//! The next time those that did not are known by a file `fails` in their folders.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::builds::{Build, builds, folder};
use super::frame::ABSENT;
use super::{Host, JobError};
use crate::base::Digest;

/// What the script there says, on standard error, before it gives up.
pub(super) const CANNOT: &str = "MLP-CANNOT";

/// The executables that may work on a host.
pub(super) struct Agents {
    builds: Vec<Build>,
    root: Option<String>,
}

impl Agents {
    pub(super) fn of(host: &Host, own: Digest) -> Result<Self, JobError> {
        Ok(Self { builds: builds(host, own)?, root: host.spec.root.clone() })
    }

    /// The build that the host asks for by the first letters of its digest.
    pub(super) fn asked_for(&self, short: &str) -> Option<&Build> {
        self.builds.iter().find(|build| build.short() == short)
    }

    /// What the build of this digest is called.
    pub(super) fn name(&self, digest: &Digest) -> String {
        let build = self.builds.iter().find(|build| build.digest == *digest);
        build.map_or_else(|| "another build".to_owned(), |build| build.name.clone())
    }

    /// Why none of them runs on a machine of this kind; `said` by the last that was tried.
    pub(super) fn none_runs(&self, kind: &str, said: Option<String>) -> String {
        let there = self.builds.iter().any(|build| build.kind == kind || build.kind == "any");
        let why = match (there, said) {
            (true, Some(said)) => format!("what is here does not start on {kind}: {said}"),
            (true, None) => format!("what is here does not start on {kind}, as was found out before"),
            (false, _) => format!("there is no build for {kind} here"),
        };
        let architecture = kind.strip_prefix("Linux-").filter(|architecture| {
            architecture.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        });
        let portable = |build: &Build| build.kind == "any" || build.name.ends_with("-linux-musl");
        match (architecture, folder()) {
            (Some(architecture), Some(folder)) if !self.builds.iter().any(portable) => {
                format!(
                    "{why}; a portable one would be taken from `{}/mlp-{architecture}-linux-musl`",
                    folder.display()
                )
            }
            _ => why,
        }
    }

    /// What runs on the host: the best build if it is there, else what takes it in and then runs it. `sh` alone is asked for, with
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
        let words: Vec<String> =
            self.builds.iter().map(|build| format!("{}:{}", build.kind, build.short())).collect();
        let words = words.join(" ");
        // F is the build to use, X are those that were tried in vain.
        let script = format!(
            "umask 077; R={root}; X=; K=$(uname -s)-$(uname -m); G=; \
             if command -v nvidia-smi >/dev/null 2>&1; then G=-cuda; fi; \
             while :; do F=; \
             for W in {words}; do \
             case \"$W\" in any:*|\"$K\":*|\"$K$G\":*) ;; *) continue ;; esac; \
             D=${{W#*:}}; \
             case \"$X \" in *\" $D \"*) continue ;; esac; \
             if [ -e \"$R/bin/$D/fails\" ]; then continue; fi; \
             F=$D; break; done; \
             A=\"$R/bin/$F/mlp\"; \
             if [ -n \"$F\" ] && [ -x \"$A\" ]; then \
             for D in $X; do mkdir -p \"$R/bin/$D\" && : >\"$R/bin/$D/fails\"; done; \
             exec \"$A\" agent serve \"$R\" {nonce}; fi; \
             echo {ABSENT} {nonce} \"$K\" $F; \
             read -r N I || exit 1; \
             mkdir -p \"$R\"/bin || {{ echo {CANNOT} make \"$R\"/bin >&2; exit 1; }}; \
             T=\"$R\"/bin/.new.$$; trap 'rm -f \"$T\"' EXIT; \
             head -c \"$N\" | gunzip >\"$T\" || {{ echo {CANNOT} write \"$T\" >&2; exit 1; }}; \
             chmod 700 \"$T\"; \
             \"$T\" agent install \"$R\" \"$I\" || {{ X=\"$X $F\"; rm -f \"$T\"; }}; \
             done"
        );
        format!("exec sh -c {}", quoted(&script))
    }
}

impl Build {
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
