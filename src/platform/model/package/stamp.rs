//! What a packed folder says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Id, Name};

/// The file that says what a folder holds.
pub const STAMP: &str = "mlp-model.json";

/// What a packed folder holds: the content of `mlp-model.json`. The same version gives the same bytes, whenever it is packed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// `mlp/package/1`.
    pub schema: String,
    /// `folder`, `oci`, `onnx` or `dossier`.
    pub format: String,
    /// The project.
    pub project: Id,
    /// The model.
    pub model: Name,
    /// The version.
    pub version: u64,
    /// The stage it was chosen by, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Name>,
    /// The tree of the version's files.
    pub tree: Digest,
    /// The ledger entry that made it live in the stage, or registered it.
    pub entry: Digest,
    /// The record of the run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Digest>,
    /// The git commit of the code that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The other files of the folder, by path.
    #[serde(default)]
    pub files: BTreeMap<String, PackedFile>,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedFile {
    /// Bytes.
    pub size: u64,
    /// BLAKE3.
    pub digest: Digest,
    /// SHA-256 in hexadecimal, for those who have no BLAKE3.
    pub sha256: String,
}

impl Stamp {
    /// The version written into `schema`.
    pub const SCHEMA: &str = "mlp/package/1";

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Plain strings and numbers: writing cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The same without the list of files.
    pub(super) fn head(&self) -> Self {
        Self { files: BTreeMap::new(), ..self.clone() }
    }

    /// Whether both are of the same model of the same project, in the same format: one may follow the other.
    pub(super) fn is_kin(&self, other: &Self) -> bool {
        (self.project, &self.model, &self.format) == (other.project, &other.model, &other.format)
    }

    /// `digits@7 as oci`, for people.
    pub(super) fn shown(&self) -> String {
        format!("{} as {}", self.reference(), self.format)
    }

    /// `digits@7`.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.model, self.version)
    }
}
