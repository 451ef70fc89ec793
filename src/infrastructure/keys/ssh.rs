//! SSH signatures (SSHSIG, <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>) by the system's `ssh-keygen -Y`.

use crate::base::{Diagnose, Exit, Time};

/// What can go wrong with keys and signatures.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// `ssh-keygen` is not installed or did not start.
    #[error("cannot run `ssh-keygen`: {0}")]
    NoSshKeygen(String),
    /// The signature does not hold.
    #[error("the signature does not verify: {0}")]
    Invalid(String),
}

impl Diagnose for KeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSshKeygen(_) => "keys::no-ssh-keygen",
            Self::Invalid(_) => "keys::invalid-signature",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoSshKeygen(_) => Exit::World,
            Self::Invalid(_) => Exit::No,
        }
    }
}

/// The content of an `allowed_signers` file (see ssh-keygen(1), ALLOWED SIGNERS).
#[derive(Clone, Debug, Default)]
pub struct Signers(pub String);

/// Signs `bytes` in `namespace` with `key` (a private key file, or a public key whose private half the agent holds).
/// Returns the armoured signature.
pub fn sign(bytes: &[u8], namespace: &str, key: &std::path::Path) -> Result<String, KeyError> {
    let _ = (bytes, namespace, key);
    todo!()
}

impl Signers {
    /// The principals named in the file.
    pub fn principals(&self) -> Vec<String> {
        todo!()
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
        let _ = (principal, namespace, bytes, signature, at);
        todo!()
    }
}
