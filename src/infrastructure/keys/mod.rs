//! Credentials by reference, redaction, SSH signatures.

mod ssh;

pub use ssh::{KeyError, Signers, sign};
