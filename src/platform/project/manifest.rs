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
use crate::platform::run::StepSpec;
use crate::platform::serve::ServeSpec;
use crate::platform::train::ModelSpec;

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
    /// The set of default gates.
    #[serde(default)]
    pub profile: Profile,
    /// Principals (of `allowed_signers`) by role.
    #[serde(default)]
    pub roles: BTreeMap<Name, Vec<String>>,
}

/// A versioned set of default gates for the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Data and code in order; nothing else stands in the way.
    #[default]
    Research,
    /// Floors, comparison with what is live, a complete card, one approval.
    Product,
    /// As `product`, with slices and two approvals.
    Regulated,
    /// As `research`, with a complete card.
    Student,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Research, Self::Product, Self::Regulated, Self::Student];

    /// As written in `mlp.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Research => "research",
            Self::Product => "product",
            Self::Regulated => "regulated",
            Self::Student => "student",
        }
    }
}
