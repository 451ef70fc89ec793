//! What `mlp import dvc` tells.

use indexmap::IndexMap;
use serde::Serialize;

use crate::application::ui::{Align, Report, Table, bytes, clean, count, plural};
use crate::base::Name;
use crate::infrastructure::store::StoreSpec;
use crate::platform::data::foreign::dvc::Out;
use crate::platform::project::FILE;

#[derive(Default, Serialize)]
pub(super) struct Told {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) dry_run: bool,
    pub(super) outputs: Vec<Line>,
    /// New entries of `imports:`.
    pub(super) imports: IndexMap<Name, StoreSpec>,
    /// New entries of `steps:`.
    pub(super) steps: IndexMap<Name, Step>,
    /// Stages that have no step.
    pub(super) failed: Vec<Failed>,
    /// Files of DVC that were removed.
    pub(super) removed: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Its pointer is new.
    New,
    /// Its pointer was there; its bytes are where DVC has them.
    Known,
    /// It is a version in the local store.
    Stored,
    /// It stays with DVC.
    Left,
}

#[derive(Serialize)]
pub(super) struct Line {
    pub(super) path: String,
    pub(super) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Name>,
}

impl Line {
    pub(super) fn of(out: &Out, state: State, why: Option<String>) -> Self {
        let content = out.content.as_ref().ok();
        Self {
            path: out.path.clone(),
            state,
            why,
            id: content.map(|content| content.id.to_string()),
            size: content.and_then(|content| content.size),
            files: content.and_then(|content| content.files),
            from: None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Step {
    pub(super) run: String,
    #[serde(rename = "in")]
    pub(super) inputs: Vec<String>,
    #[serde(rename = "out")]
    pub(super) outputs: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Failed {
    pub(super) stage: String,
    pub(super) why: String,
}

impl Report for Told {
    fn schema(&self) -> &'static str {
        "mlp/import-dvc/1"
    }

    fn human(&self) -> String {
        let mut table =
            Table::new(["OUTPUT", "FILES", "SIZE", "FROM", ""]).align(1, Align::Right).align(2, Align::Right);
        for line in &self.outputs {
            let word = match (line.state, self.dry_run) {
                (State::New, true) => "would get a pointer",
                (State::New, false) => "new pointer",
                (State::Known, _) => "has its pointer",
                (State::Stored, _) => "stored",
                (State::Left, _) => line.why.as_deref().unwrap_or_default(),
            };
            table.row([
                clean(&line.path).into_owned(),
                line.files.map_or_else(String::new, count),
                line.size.map_or_else(String::new, bytes),
                line.from.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                word.to_owned(),
            ]);
        }
        let mut text =
            if self.outputs.is_empty() { "no outputs that DVC keeps\n".to_owned() } else { table.render() };
        let would = if self.dry_run { "would be " } else { "" };
        for (section, names) in [
            ("imports", self.imports.keys().map(Name::as_str).collect::<Vec<_>>()),
            ("steps", self.steps.keys().map(Name::as_str).collect()),
        ] {
            if !names.is_empty() {
                text.push_str(&format!("{would}added to `{section}:` of {FILE}: {}\n", names.join(", ")));
            }
        }
        for failed in &self.failed {
            text.push_str(&format!(
                "no step for the stage {}: {}\n",
                clean(&failed.stage),
                clean(&failed.why)
            ));
        }
        if !self.removed.is_empty() {
            let files = plural(self.removed.len() as u64, "file");
            text.push_str(&format!("{would}removed: {files} of DVC\n"));
        }
        if !self.dry_run {
            let waiting = self.outputs.iter().any(|line| matches!(line.state, State::New | State::Known));
            let pull = if waiting { "mlp data pull (fetches the data), then " } else { "" };
            text.push_str(&format!("\nnext: {pull}git add -A && git diff --cached\n"));
        }
        text
    }

    fn quiet(&self) -> String {
        String::new()
    }
}
