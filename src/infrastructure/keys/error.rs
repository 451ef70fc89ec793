//! What can go wrong with keys and signatures.

use std::path::PathBuf;

use crate::base::{Diagnose, Exit, Explain};

/// What can go wrong with keys and signatures.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// `ssh-keygen` is not installed or did not start.
    #[error("cannot run `ssh-keygen`: {0}")]
    NoSshKeygen(String),
    /// There is no key to sign with.
    #[error("no key to sign with: {0}")]
    NoKey(String),
    /// There is no key to sign the files of models with.
    #[error("no key to sign model files with: {0}")]
    NoModelKey(String),
    /// The key could not sign.
    #[error("`{key}` cannot sign: {why}")]
    CannotSign {
        /// The key.
        key: String,
        /// What `ssh-keygen` said.
        why: String,
    },
    /// The signature does not hold.
    #[error("the signature does not verify: {0}")]
    Invalid(String),
    /// A secret cannot be had.
    #[error("secret `{name}`: {detail}")]
    Secret {
        /// Its name.
        name: String,
        /// Why not; never a value.
        detail: String,
    },
    /// A temporary file could not be written.
    #[error("cannot write a temporary file in `{path}`: {source}")]
    Temporary {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The long explanations of this module's errors.
pub const EXPLAIN: &[Explain] = &[
    Explain {
        code: "keys::no-ssh-keygen",
        text: "Signatures are made and checked by the system's `ssh-keygen -Y`, part of OpenSSH 8.9 or newer. Install \
               the OpenSSH client.",
    },
    Explain {
        code: "keys::no-key",
        text: "The key is looked for in this order: `--key FILE`, the variable MLP_SIGNING_KEY, git's \
               `user.signingkey` (where it is an SSH key), `~/.ssh/id_ed25519`. Make one with `ssh-keygen -t ed25519`.",
    },
    Explain {
        code: "keys::no-model-key",
        text: "The files of models are signed in the form of OpenSSF Model Signing, with a private key on the curve P-256 in PEM without a \
               passphrase: `openssl ecparam -name prime256v1 -genkey -noout -out signing.pem`. It comes from `--key FILE`, which only \
               its owner may read, or from the secret MODEL_SIGNING_KEY (`--sign`). SSH keys sign approvals and ledgers, not files.",
    },
    Explain {
        code: "keys::cannot-sign",
        text: "`ssh-keygen` refused the key. A private key must be readable by you alone (chmod 600); a public key needs \
               its private half in the SSH agent (`ssh-add -l` lists what it holds); a wrong passphrase is refused too.",
    },
    Explain {
        code: "keys::invalid-signature",
        text: "The signature does not belong to these bytes, its key is not among the project's signers under that \
               name, or the key was not valid (`valid-after`, `valid-before`) at the time of signing.",
    },
    Explain {
        code: "keys::secret",
        text: "A secret that a step names under `secrets:` is looked up where the command is typed: in the environment variable \
               of its name, or where `secrets:` in your own configuration says (`~/.config/mlp/config.yaml`, or `config.local.yaml` \
               in the project's `.git/mlp`): `WANDB_KEY: {env: VARIABLE}`, `{file: PATH}` or `{command: 'pass show wandb'}`. \
               mlp.yaml itself cannot say where, so that nobody's project reads files or runs commands of yours for it.",
    },
    Explain {
        code: "keys::temporary-file",
        text: "`ssh-keygen` reads signatures and signers from files; mlp writes them, readable by you alone, into the \
               system's folder for temporary files. Check that it exists and has space (TMPDIR).",
    },
];

impl Diagnose for KeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSshKeygen(_) => "keys::no-ssh-keygen",
            Self::NoKey(_) => "keys::no-key",
            Self::NoModelKey(_) => "keys::no-model-key",
            Self::CannotSign { .. } => "keys::cannot-sign",
            Self::Invalid(_) => "keys::invalid-signature",
            Self::Secret { .. } => "keys::secret",
            Self::Temporary { .. } => "keys::temporary-file",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoSshKeygen(_) | Self::Temporary { .. } => Exit::World,
            Self::NoKey(_) | Self::NoModelKey(_) | Self::CannotSign { .. } | Self::Secret { .. } => {
                Exit::Usage
            }
            Self::Invalid(_) => Exit::No,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSshKeygen(_) => "install the OpenSSH client (8.9 or newer)".to_owned(),
            Self::NoKey(_) => {
                "name one with `--key FILE`, or make one with `ssh-keygen -t ed25519`".to_owned()
            }
            Self::NoModelKey(_) => {
                "make one with `openssl ecparam -name prime256v1 -genkey -noout -out signing.pem`, readable by you alone (chmod 600)"
                    .to_owned()
            }
            Self::CannotSign { .. } => {
                "choose another key with `--key FILE`; `ssh-add -l` lists the agent's keys".to_owned()
            }
            Self::Invalid(_) => "`mlp explain keys::invalid-signature` lists the reasons".to_owned(),
            Self::Secret { name, .. } => {
                format!(
                    "set the variable `{name}`, or say where it is under `secrets:` of your configuration"
                )
            }
            Self::Temporary { .. } => "check the folder for temporary files (TMPDIR)".to_owned(),
        })
    }
}
