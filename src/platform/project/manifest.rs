//! `mlp.yaml` as written: the sum of what each module owns.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Id, Name};
use crate::infrastructure::compute::HostSpec;
use crate::infrastructure::store::StoreSpec;
use crate::platform::data::DataSpec;
use crate::platform::model::{StageSpec, TrustSpec, Waiver};
use crate::platform::monitor::MonitorSpec;
use crate::platform::run::StepSpec;
use crate::platform::serve::ServeSpec;
use crate::platform::train::ModelSpec;

use super::Following;

/// The project file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format: 1.
    pub mlp: u32,
    /// The project.
    pub project: ProjectSpec,
    /// Where trust comes from.
    #[serde(default)]
    pub trust: TrustSpec,
    /// Remote stores; the first is the default.
    #[serde(default)]
    pub stores: IndexMap<Name, StoreSpec>,
    /// Places that other tools and projects keep data in, which pointers of this project name; nothing is ever written there.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub imports: IndexMap<Name, StoreSpec>,
    /// Machines that runs can be sent to.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub hosts: IndexMap<Name, HostSpec>,
    /// Datasets.
    #[serde(default)]
    pub data: IndexMap<Name, DataSpec>,
    /// Models.
    #[serde(default)]
    pub models: IndexMap<Name, ModelSpec>,
    /// Steps in any language.
    #[serde(default)]
    pub steps: IndexMap<Name, StepSpec>,
    /// Stages in order.
    #[serde(default)]
    pub stages: IndexMap<Name, StageSpec>,
    /// Limits of the prediction server.
    #[serde(default)]
    pub serve: ServeSpec,
    /// When a model that answers is no longer what was trained.
    #[serde(default)]
    pub monitor: MonitorSpec,
    /// Suspended gates.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
}

/// The project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectSpec {
    /// Its name.
    pub name: Name,
    /// Its identifier, written by `mlp init`; ledgers on a shared store are told apart by it.
    pub id: Id,
    /// The set of default gates, and the version of it that the project follows: `product@2`. Without a version it is the first.
    #[serde(default)]
    pub profile: Following,
    /// Principals (of `allowed_signers`) by role.
    #[serde(default)]
    pub roles: BTreeMap<Name, Vec<String>>,
}
