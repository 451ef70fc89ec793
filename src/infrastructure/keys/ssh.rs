//! SSH signatures (SSHSIG, <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>) by the system's
//! `ssh-keygen -Y`. Every argument is passed as one, never through a shell.

use std::ffi::OsStr;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::NamedTempFile;

use super::KeyError;
use crate::base::variables::SIGNING_KEY;

/// The namespace of signed approvals.
pub const NAMESPACE_APPROVAL: &str = "mlp-approval";

/// The namespace of signed waivers.
pub const NAMESPACE_WAIVER: &str = "mlp-waiver";

/// The namespace of signed ledger entries.
pub const NAMESPACE_LEDGER: &str = "mlp-ledger";

/// A key to sign with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// A private key file, or a public key file whose private half the agent holds.
    File(PathBuf),
    /// A public key as text (git's `key::ssh-ed25519 AAAA…`), its private half held by the agent.
    Literal(String),
}

impl SigningKey {
    /// The first of: `flag` (`--key`), `MLP_SIGNING_KEY`, `configured` (git's `user.signingkey`, where it is an SSH key),
    /// `~/.ssh/id_ed25519`. Nothing is read but whether the last one is there.
    pub fn choose(flag: Option<&Path>, configured: Option<&str>) -> Result<Self, KeyError> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let variable = std::env::var(SIGNING_KEY).ok().filter(|value| !value.is_empty());
        Self::first(flag, variable.as_deref(), configured, home.as_deref())
    }

    pub(super) fn first(
        flag: Option<&Path>,
        variable: Option<&str>,
        configured: Option<&str>,
        home: Option<&Path>,
    ) -> Result<Self, KeyError> {
        if let Some(path) = flag {
            return Self::file(path.to_owned(), "--key");
        }
        if let Some(text) = variable {
            return Self::written(text, home, SIGNING_KEY);
        }
        if let Some(text) = configured {
            return Self::written(text, home, "git's user.signingkey");
        }
        let usual = home.map(|home| home.join(".ssh").join("id_ed25519"));
        match usual {
            Some(path) if path.is_file() => Ok(Self::File(path)),
            _ => Err(KeyError::NoKey("there is no `~/.ssh/id_ed25519`, and none was named".to_owned())),
        }
    }

    fn written(text: &str, home: Option<&Path>, origin: &str) -> Result<Self, KeyError> {
        let literal = text.strip_prefix("key::").unwrap_or(text);
        if text.starts_with("key::") || text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-") {
            return Ok(Self::Literal(literal.trim().to_owned()));
        }
        let path = match (text.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        Self::file(path, origin)
    }

    fn file(path: PathBuf, origin: &str) -> Result<Self, KeyError> {
        if path.is_file() {
            Ok(Self::File(path))
        } else {
            Err(KeyError::NoKey(format!("{origin} names `{}`, which is not a file", path.display())))
        }
    }

    /// The key, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Literal(text) => text.chars().take(40).collect::<String>() + "…",
        }
    }

    /// Signs `bytes` in `namespace`; returns the armoured signature.
    pub fn sign(&self, bytes: &[u8], namespace: &str) -> Result<String, KeyError> {
        match self {
            Self::File(path) => sign(bytes, namespace, path),
            Self::Literal(text) => {
                let file = temporary(format!("{text}\n").as_bytes())?;
                sign(bytes, namespace, file.path())
            }
        }
    }
}

/// Signs `bytes` in `namespace` with `key` (a private key file, or a public key whose private half the agent holds).
/// Returns the armoured signature.
pub fn sign(bytes: &[u8], namespace: &str, key: &Path) -> Result<String, KeyError> {
    let arguments = ["-Y", "sign", "-n", namespace, "-f"].map(OsStr::new);
    let output = ssh_keygen(arguments.into_iter().chain([key.as_os_str()]), bytes)?;
    let signature = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && signature.starts_with("-----BEGIN SSH SIGNATURE-----") {
        return Ok(signature);
    }
    Err(KeyError::CannotSign { key: key.display().to_string(), why: refusal(key, &output) })
}

/// Why `ssh-keygen` did not sign with `key`: what it says of the two usual mistakes tells nobody what to do.
fn refusal(key: &Path, output: &Output) -> String {
    if key.metadata().is_ok_and(|found| found.len() == 0) {
        return "the file is empty; `ssh-keygen -t ed25519` makes a key".to_owned();
    }
    if String::from_utf8_lossy(&output.stderr).contains("UNPROTECTED PRIVATE KEY FILE") {
        return format!("others may read it: `chmod 600 {}` first", key.display());
    }
    said(output)
}

/// Runs `ssh-keygen ARGUMENTS` with `input` on its standard input, in UTC and in English.
pub(super) fn ssh_keygen<'a>(
    arguments: impl Iterator<Item = &'a OsStr>,
    input: &[u8],
) -> Result<Output, KeyError> {
    // The input goes through a file: a pipe could fill up while nobody reads the other side.
    let mut file = temporary(input)?;
    file.seek(SeekFrom::Start(0)).map_err(temporary_error)?;
    let stdin = file.reopen().map_err(temporary_error)?;
    Command::new("ssh-keygen")
        .args(arguments)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| KeyError::NoSshKeygen(error.to_string()))
}

/// A temporary file that only this user can read (tempfile makes it with mode 0600).
pub(super) fn temporary(bytes: &[u8]) -> Result<NamedTempFile, KeyError> {
    let mut file = NamedTempFile::with_prefix("mlp-").map_err(temporary_error)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(temporary_error)?;
    Ok(file)
}

fn temporary_error(source: std::io::Error) -> KeyError {
    KeyError::Temporary { path: std::env::temp_dir(), source }
}

/// What the program had to say, on one line.
pub(super) fn said(output: &Output) -> String {
    let text = [&output.stderr[..], &output.stdout[..]].map(String::from_utf8_lossy).join("\n");
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("Signing data on standard input"))
        .take(3)
        .collect();
    let line = lines.join("; ");
    if line.is_empty() { format!("ssh-keygen ended with {}", output.status) } else { line }
}
