//! Who may sign: the `allowed_signers` file of ssh-keygen(1), section ALLOWED SIGNERS.

use std::ffi::{OsStr, OsString};

use super::ssh::{said, ssh_keygen, temporary};
use super::{EcPublicKey, KeyError, plain};
use crate::base::Time;

/// What `namespaces` of a signer names who may sign models for other tools.
const NAMESPACE_MODEL: &str = "model-signing";
/// Longest armoured signature that is looked at, in bytes; those of all key types are far below.
const LONGEST_SIGNATURE: usize = 64 << 10;

/// The content of an `allowed_signers` file.
///
/// Times in its options (`valid-after`, `valid-before`) without a `Z` are read as UTC, so that they mean the same
/// on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers(pub String);

impl Signers {
    /// Whether nobody is named: the project has no signers, and nothing is signed.
    pub fn is_empty(&self) -> bool {
        self.principals().is_empty()
    }

    /// The principals (or patterns of principals, such as `*@example.org`) named in the file, in order, each once.
    pub fn principals(&self) -> Vec<String> {
        let mut found = Vec::new();
        for line in self.0.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let field = match line.strip_prefix('"') {
                Some(rest) => rest.split('"').next(),
                None => line.split_whitespace().next(),
            };
            for principal in field.unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
                if !found.iter().any(|known| known == principal) {
                    found.push(principal.to_owned());
                }
            }
        }
        found
    }

    /// Checks `signature` over `bytes` by `principal` in `namespace`, with keys valid at `at`.
    pub fn verify(
        &self,
        principal: &str,
        namespace: &str,
        bytes: &[u8],
        signature: &str,
        at: Time,
    ) -> Result<(), KeyError> {
        let plain = !principal.is_empty()
            && !principal.chars().any(|c| c.is_control() || c.is_whitespace() || "*?,!".contains(c));
        if !plain {
            return Err(KeyError::Invalid(format!("`{}` is not a principal", principal.escape_debug())));
        }
        if plain::holds(&self.0, principal, namespace, bytes, signature, &stamp(at)).is_some() {
            return Ok(());
        }
        let output = self.ask("verify", Some(principal), Some(namespace), signature, at, bytes)?;
        if output.status.success() {
            return Ok(());
        }
        Err(KeyError::Invalid(format!("`{principal}`: {}", said(&output))))
    }

    /// The principal that made `signature` over `bytes`: `likely` (the user's email address) if it holds for that one,
    /// else the first named in the file for which it holds. A pattern alone names nobody.
    pub fn signer(
        &self,
        likely: &str,
        namespace: &str,
        bytes: &[u8],
        signature: &str,
        at: Time,
    ) -> Result<String, KeyError> {
        let output = self.ask("find-principals", None, None, signature, at, b"")?;
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        let named = found.split(['\n', ',']).map(str::trim).filter(|name| !name.is_empty());
        let mut failure = KeyError::Invalid(said(&output));
        for principal in std::iter::once(likely).chain(named) {
            match self.verify(principal, namespace, bytes, signature, at) {
                Ok(()) => return Ok(principal.to_owned()),
                Err(error @ KeyError::Invalid(_)) => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// The keys on the curve P-256 that may sign models at `at`, with whose they are. A line with `namespaces` is taken if they name
    /// `model-signing`.
    pub fn ec_keys(&self, at: Time) -> Vec<(String, EcPublicKey)> {
        let key = |line: &str| {
            let mut fields = line.split_whitespace();
            let (principal, options) = (fields.next()?, fields.next()?);
            let is_open = options == "ecdsa-sha2-nistp256"
                || plain::options(options, NAMESPACE_MODEL, &stamp(at)).unwrap_or(false);
            Some((principal.to_owned(), EcPublicKey::from_ssh(line).filter(|_| is_open)?))
        };
        let lines = self.0.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        lines.filter_map(key).collect()
    }

    fn ask(
        &self,
        what: &str,
        principal: Option<&str>,
        namespace: Option<&str>,
        signature: &str,
        at: Time,
        bytes: &[u8],
    ) -> Result<std::process::Output, KeyError> {
        if signature.len() > LONGEST_SIGNATURE {
            return Err(KeyError::Invalid("it is too long to be a signature".to_owned()));
        }
        let signers = temporary(self.0.as_bytes())?;
        let signature = temporary(signature.as_bytes())?;
        let mut arguments: Vec<OsString> = vec!["-Y".into(), what.into(), "-f".into(), signers.path().into()];
        arguments.extend(["-s".into(), signature.path().into()]);
        arguments.push(format!("-Overify-time={}", stamp(at)).into());
        for (flag, value) in [("-I", principal), ("-n", namespace)] {
            if let Some(value) = value {
                arguments.extend([flag.into(), value.into()]);
            }
        }
        ssh_keygen(arguments.iter().map(OsString::as_os_str).map(|text: &OsStr| text), bytes)
    }
}

/// `YYYYMMDDHHMMSS`, read as UTC because `ssh-keygen` is run with `TZ=UTC`.
fn stamp(at: Time) -> String {
    let text = at.to_string();
    text.chars().take_while(|c| *c != '.').filter(char::is_ascii_digit).collect()
}
