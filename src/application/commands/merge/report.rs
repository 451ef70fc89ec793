//! What a merge came to.

use serde::Serialize;

use crate::application::ui::{Report, bytes, clean, plural};
use crate::base::Digest;
use crate::infrastructure::store::Node;
use crate::platform::data::{Conflict, Merged};

#[derive(Serialize)]
pub(super) struct Resolved {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) dry_run: bool,
    pub(super) datasets: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Merged,
    Conflict,
}

#[derive(Serialize)]
pub(super) struct Line {
    pointer: String,
    pub(super) state: State,
    /// Conflicts that the command line resolved.
    resolved: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<File>,
}

/// A file that is left to decide.
#[derive(Serialize)]
struct File {
    /// Relative to the root of the repository.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    theirs: Option<Version>,
}

#[derive(Serialize)]
struct Version {
    id: Digest,
    size: u64,
}

impl Line {
    pub(super) fn new(pointer: String, dataset: &str, merged: Merged) -> Self {
        let state = if merged.conflicts.is_empty() { State::Merged } else { State::Conflict };
        let file = |conflict: Conflict| {
            let path = String::from_utf8_lossy(&conflict.path);
            let path = if path.is_empty() { dataset.to_owned() } else { format!("{dataset}/{path}") };
            let version = |node: Option<Node>| node.map(|node| Version { id: node.id, size: node.size });
            let Conflict { base, ours, theirs, .. } = conflict;
            File { path, base: version(base), ours: version(ours), theirs: version(theirs) }
        };
        let conflicts = merged.conflicts.into_iter().map(file).collect();
        Self { pointer, state, resolved: merged.resolved, conflicts }
    }
}

impl Report for Resolved {
    fn schema(&self) -> &'static str {
        "mlp/merge/1"
    }

    fn human(&self) -> String {
        if self.datasets.is_empty() {
            return "no dataset is in conflict\n".to_owned();
        }
        let mut text = String::new();
        for line in &self.datasets {
            let pointer = clean(&line.pointer);
            match line.state {
                State::Merged if self.dry_run => text += &format!("{pointer}: would merge\n"),
                State::Merged => text += &format!("{pointer}: merged\n"),
                State::Conflict => {
                    let count = plural(line.conflicts.len() as u64, "file");
                    text += &format!("{pointer}: {count} in conflict; ours is kept until you choose\n");
                }
            }
            for file in &line.conflicts {
                text += &format!("  {}\n", clean(&file.path));
                for (side, version) in [("base", &file.base), ("ours", &file.ours), ("theirs", &file.theirs)]
                {
                    let shown = match version {
                        Some(version) => format!("{} {}", version.id.short(), bytes(version.size)),
                        None if side == "base" => "none".to_owned(),
                        None => "removed".to_owned(),
                    };
                    text += &format!("    {side:<6} {shown}\n");
                }
            }
        }
        let left = self.datasets.iter().any(|line| line.state == State::Conflict);
        text += match (left, self.dry_run) {
            (true, _) => {
                "choose, in one command: `mlp merge --ours PATH --theirs PATH --both PATH`; without PATH for all\n"
            }
            (false, true) => "",
            (false, false) => {
                "next: `mlp data pull` gets the files of the merged version, `git commit` ends the merge\n"
            }
        };
        text
    }

    fn quiet(&self) -> String {
        let files = self.datasets.iter().flat_map(|line| &line.conflicts);
        files.map(|file| format!("{}\n", clean(&file.path))).collect()
    }
}
