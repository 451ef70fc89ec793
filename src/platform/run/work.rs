//! What a job carries along for its worker and its record: `work` in `spec.json`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Plan, RunError};
use crate::base::{Digest, GitState, Name};
use crate::infrastructure::compute::{JobError, JobFolder};
use crate::infrastructure::store::Stored;
use crate::platform::data::{DataSpec, Fold};

/// What a job carries along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Work {
    /// `mlp/work/1`.
    pub(super) schema: String,
    /// What the run depends on.
    pub(super) plan: Plan,
    /// Who started it.
    pub(super) author: String,
    /// The code at submission.
    pub(super) git: GitState,
    /// Folder of `mlp.yaml`: an absolute path, or one below the job folder.
    pub(super) root: PathBuf,
    /// What it runs on: `cpu x86-64 avx512`.
    pub(super) device: String,
    /// Digest of the mlp executable.
    pub(super) binary: Digest,
    /// The sweep that the run is a trial of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sweep: Option<Digest>,
    /// The dataset of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dataset: Option<DatasetWork>,
    /// The tensors that a model begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) weights: Option<WeightsWork>,
    /// Paths that a step makes, below the project's root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) makes: Vec<String>,
}

/// A dataset at a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DatasetWork {
    pub(super) name: Name,
    pub(super) spec: DataSpec,
    /// Of a cross-validation: the fold that is not trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fold: Option<Fold>,
    pub(super) root: Stored,
}

/// Tensors to begin with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WeightsWork {
    /// `digits@3`, `weights/base.safetensors`.
    pub(super) name: String,
    /// The safetensors file.
    pub(super) file: Stored,
}

impl Work {
    pub(super) const SCHEMA: &'static str = "mlp/work/1";

    /// The work of the job in `folder`.
    pub(super) fn of(folder: &JobFolder) -> Result<Self, RunError> {
        let work = folder.spec()?.work;
        serde_json::from_value(work).map_err(|error| {
            JobError::Damaged { path: folder.0.join("spec.json"), detail: error.to_string() }.into()
        })
    }

    /// Whether the project lies in the job's own folder, with everything as it was planned.
    pub(super) fn is_laid_out(&self) -> bool {
        self.root.is_relative()
    }
}
