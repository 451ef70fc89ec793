//! The files that a run kept: what its program wrote below `$MLP_OUT`.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::RunError;
use crate::base::{Digest, Run, What, nearest};
use crate::infrastructure::compute::event;
use crate::infrastructure::store::{Local, Node, NodeKind};

/// Where they lie in the tree of a run.
const OUT: &str = "out";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Path below `$MLP_OUT`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What the program said it is: `model`, `plot`, `predictions`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Digest of its content.
    pub digest: Digest,
}

/// The files of a run, by path; their kinds are those of its `events`.
pub fn files(store: &Local, run: &Run, events: &[u8]) -> Result<Vec<Kept>, RunError> {
    let mut files = Vec::new();
    if let Some(root) = root(store, run)? {
        walk(store, &root, "", &mut files)?;
    }
    let kinds: BTreeMap<String, String> = events
        .split(|byte| *byte == b'\n')
        .filter_map(|line| match event(line).what {
            What::Artifact(artifact) => Some((artifact.path, artifact.kind?)),
            _ => None,
        })
        .collect();
    for file in &mut files {
        file.kind = kinds.get(&file.path).cloned();
    }
    Ok(files)
}

/// Writes the verified bytes of the file at `path` to `out`.
pub fn copy_file(store: &Local, run: &Run, path: &str, out: &mut dyn Write) -> Result<(), RunError> {
    let path = path.trim_start_matches("./");
    let node = match root(store, run)? {
        Some(root) => store.find(&root, path)?,
        None => None,
    };
    match node {
        Some(node) if is_file(&node) => {
            store.copy(&node.id, out)?;
            Ok(())
        }
        _ => {
            let files = files(store, run, &[])?;
            let nearest = nearest(path, files.iter().map(|file| file.path.as_str())).map(str::to_owned);
            Err(RunError::NoFile { run: super::short(run.run), path: path.to_owned(), nearest })
        }
    }
}

fn root(store: &Local, run: &Run) -> Result<Option<Digest>, RunError> {
    let Some(output) = run.output else { return Ok(None) };
    let node = store.find(&output, OUT)?;
    Ok(node.filter(|node| node.kind == NodeKind::Directory).map(|node| node.id))
}

fn walk(store: &Local, folder: &Digest, above: &str, files: &mut Vec<Kept>) -> Result<(), RunError> {
    for node in store.tree(folder)?.nodes {
        let path = format!("{above}{}", String::from_utf8_lossy(&node.name));
        if node.kind == NodeKind::Directory {
            walk(store, &node.id, &format!("{path}/"), files)?;
        } else if is_file(&node) {
            files.push(Kept { path, size: node.size, kind: None, digest: node.id });
        }
    }
    Ok(())
}

fn is_file(node: &Node) -> bool {
    matches!(node.kind, NodeKind::File | NodeKind::Executable)
}
