//! What a command says: its report on stdout, its talk on stderr.

use serde::Serialize;

use crate::base::{Event, Failure, Sink};

/// How output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For people.
    Human,
    /// One JSON document for a report, JSON lines for events.
    Json,
    /// Only errors, and the answer of a query.
    Quiet,
}

/// What a command answers.
pub trait Report: Serialize {
    /// `mlp/<command>/1`: the versioned name of the JSON form.
    fn schema(&self) -> &'static str;

    /// The form for people, with a line end after each line.
    fn human(&self) -> String;
}

/// Where a command writes.
pub struct Ui {
    /// How.
    pub mode: Mode,
}

impl Ui {
    /// Writes the report to stdout.
    pub fn report(&self, report: &dyn ErasedReport) {
        let _ = report;
        todo!()
    }

    /// Writes the failure to stderr (and as a JSON line to stdout with `--json`).
    pub fn failure(&self, failure: &Failure) {
        let _ = failure;
        todo!()
    }
}

/// A report whose type is forgotten.
pub trait ErasedReport {
    /// The JSON form, with `schema` first.
    fn json(&self) -> serde_json::Value;
    /// The form for people.
    fn text(&self) -> String;
}

impl<R: Report> ErasedReport for R {
    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn text(&self) -> String {
        self.human()
    }
}

impl Sink for Ui {
    fn emit(&self, event: &Event) {
        let _ = event;
        todo!()
    }
}
