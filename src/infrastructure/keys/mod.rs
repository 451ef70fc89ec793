//! Credentials by reference, redaction, SSH signatures.

mod ec;
mod error;
mod plain;
mod redact;
mod secret;
mod signers;
mod ssh;

#[cfg(test)]
mod tests;

pub use ec::{EcKey, EcPublicKey};
pub use error::{EXPLAIN as KEYS_EXPLAIN, KeyError};
pub use redact::redact;
pub use secret::{SecretSpec, Secrets, expanded, only_for_its_owner, output};
pub use signers::Signers;
pub use ssh::{NAMESPACE_APPROVAL, NAMESPACE_LEDGER, NAMESPACE_WAIVER, SigningKey, sign};
