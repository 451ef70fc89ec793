//! A node as files of jobs name it.

use serde::{Deserialize, Serialize};

use super::{Node, NodeKind};
use crate::base::Digest;

/// A node of the store without its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// `file`, `executable`, `link` or `directory`.
    kind: String,
    /// Bytes.
    pub size: u64,
    /// File or tree id.
    pub id: Digest,
}

impl From<&Node> for Stored {
    fn from(node: &Node) -> Self {
        let kind = match node.kind {
            NodeKind::File => "file",
            NodeKind::Executable => "executable",
            NodeKind::Link => "link",
            NodeKind::Directory => "directory",
        };
        Self { kind: kind.to_owned(), size: node.size, id: node.id }
    }
}

impl Stored {
    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.kind == "link"
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == "directory"
    }

    /// The node, as a root or under a name.
    pub fn node(&self, name: &str) -> Node {
        let kind = match self.kind.as_str() {
            "file" => NodeKind::File,
            "executable" => NodeKind::Executable,
            "link" => NodeKind::Link,
            _ => NodeKind::Directory,
        };
        Node { name: name.as_bytes().to_vec(), kind, size: self.size, id: self.id }
    }
}
