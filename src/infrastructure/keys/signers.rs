//! Who may sign: the `allowed_signers` file of ssh-keygen(1), section ALLOWED SIGNERS.

use std::ffi::{OsStr, OsString};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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

    /// Lines that `ssh-keygen` passes over because they are no signers', by their number: what is wrong with each.
    pub fn mistakes(&self) -> Vec<(usize, &'static str)> {
        let wrong = |(index, line): (usize, &str)| Some((index + 1, Line::read(line)?.err()?));
        self.0.lines().enumerate().filter_map(wrong).collect()
    }

    /// Principals with a key that may sign in `namespace` at the time `at`, as far as the options of its line tell.
    pub fn able(&self, namespace: &str, at: Time) -> Vec<String> {
        let open = |line: &Line<'_>| {
            let open = |options| plain::options(options, namespace, &stamp(at)).unwrap_or(true);
            line.options.is_none_or(open)
        };
        let lines = self.0.lines().filter_map(|line| Line::read(line)?.ok()).filter(open);
        lines.flat_map(|line| line.principals.split(',').map(str::to_owned)).collect()
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

/// One line of the file.
struct Line<'a> {
    principals: &'a str,
    options: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// None for a blank line or a comment; else the line, or what is wrong with it.
    fn read(line: &'a str) -> Option<Result<Self, &'static str>> {
        let line = line.trim();
        (!line.is_empty() && !line.starts_with('#')).then(|| Self::parse(line))
    }

    fn parse(line: &'a str) -> Result<Self, &'static str> {
        let (principals, rest) = match line.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("its quote is never closed")?,
            None => line.split_once([' ', '\t']).ok_or("it has no key")?,
        };
        let (field, rest) = field(rest);
        let (options, kind, rest) = match is_kind(field) {
            true => (None, field, rest),
            false => {
                let (kind, rest) = self::field(rest);
                (Some(field), kind, rest)
            }
        };
        if !is_kind(kind) {
            return Err("it names no type of key that can sign");
        }
        let key = STANDARD.decode(self::field(rest).0).map_err(|_| "its key is not whole")?;
        // The type is written twice: a length of four bytes, and the name (RFC 4253, section 6.6).
        match key.get(4..4 + kind.len()) == Some(kind.as_bytes()) {
            true => Ok(Self { principals, options }),
            false => Err("its key is not of the type that stands before it"),
        }
    }
}

/// The first field of a line, which ends at the first blank outside quotes, and what follows.
fn field(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && (c == ' ' || c == '\t')
    });
    text.split_at(end.unwrap_or(text.len()))
}

fn is_kind(field: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-", "rsa-sha2-"]
        .iter()
        .any(|kind| field.starts_with(kind))
}

/// `YYYYMMDDHHMMSS`, read as UTC because `ssh-keygen` is run with `TZ=UTC`.
fn stamp(at: Time) -> String {
    let text = at.to_string();
    text.chars().take_while(|c| *c != '.').filter(char::is_ascii_digit).collect()
}
