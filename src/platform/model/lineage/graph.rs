//! The graph that `mlp why` answers with.

use serde::Serialize;

use crate::base::Digest;

/// Something that lineage speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// What it is called: `digits@7`, a digest, a commit.
    pub id: String,
    /// `version`, `prediction`, `data`, `file`, `commit`, `settings`, `binary`, `entry` (of a ledger), or the kind of a record.
    pub kind: String,
    /// What is to be known of it, for people.
    pub about: String,
    /// Its content, where the id is not that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// It is named, and its bytes are not in the local store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

/// `from` rests on `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Id of the node that rests on the other.
    pub from: String,
    /// Id of the other.
    pub to: String,
    /// As what: `made by`, `data`, `code`, `settings`, `evidence`, ….
    #[serde(rename = "as")]
    pub role: String,
}

/// Nodes and what they rest on, from one node on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The id of the node that was asked about.
    pub root: String,
    /// Each node once, the root first.
    pub nodes: Vec<Node>,
    /// In the order that a reader wants them.
    pub edges: Vec<Edge>,
}

impl Graph {
    /// The node called `id`.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// What the node called `id` rests on.
    pub fn below(&self, id: &str) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.from == id)
    }
}
