//! What a command says: its report on stdout, its talk on stderr.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::Neutral;
use super::failure::{self, Severity};
use super::panel::Panel;
use super::progress::Bars;
use crate::base::{ErrorEvent, Event, Failure, JobState, Level, Log, Sink, StateChange, What};

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

    /// What `--quiet` leaves of it. What changes things and is not a query answers with an empty text.
    fn quiet(&self) -> String {
        self.human()
    }
}

/// Where a command writes.
pub struct Ui {
    /// How.
    pub mode: Mode,
    /// Whether details are told too.
    verbose: bool,
    /// Whether events are the answer: they go to stdout with `--json`, and to stderr otherwise.
    stream: AtomicBool,
    /// Whether something could not be written for another reason than a closed pipe.
    lost: Mutex<Option<std::io::Error>>,
    bars: Bars,
}

impl Ui {
    /// Output in this mode.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            verbose: false,
            stream: AtomicBool::new(false),
            lost: Mutex::new(None),
            bars: Bars::new(),
        }
    }

    /// Tells details too.
    pub fn verbose(self) -> Self {
        Self { verbose: true, ..self }
    }

    /// Makes the events the answer: from now on `--json` writes them to stdout, one line each, and the report is the last line.
    /// For commands that work or follow; a query leaves it and gives exactly one document.
    pub fn stream(&self) {
        self.stream.store(true, Ordering::Relaxed);
    }

    /// Lines that stay below the log; none unless a person looks at a terminal.
    pub fn panel(&self) -> Option<Panel> {
        if self.mode == Mode::Human { self.bars.panel() } else { None }
    }

    /// Writes the report to stdout.
    pub fn report(&self, report: &dyn ErasedReport) {
        self.bars.clear();
        match self.mode {
            Mode::Human => self.answer(&report.text()),
            Mode::Quiet => self.answer(&report.quiet_text()),
            Mode::Json => self.answer(&format!("{}\n", report.json())),
        }
    }

    /// Writes text as it is to stdout, whatever the mode: for what is not a report but a file (a schema, a script).
    pub fn raw(&self, text: &str) {
        self.answer(text);
    }

    /// Writes bytes as they are to stdout, whatever the mode: for what is not a report but the output of another program.
    pub fn raw_bytes(&self, bytes: &[u8]) {
        self.answer_bytes(bytes);
    }

    /// Where the output of another program goes, piece by piece: byte for byte to stdout, but as harmless text if that is a terminal,
    /// unless it is to be `raw`.
    pub fn program(&self, raw: bool) -> Program<'_> {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        Program { ui: self, neutral: (terminal && !raw).then(Neutral::default) }
    }

    /// Whether a person looks at what is said on stderr.
    pub fn watched(&self) -> bool {
        self.mode == Mode::Human && std::io::IsTerminal::is_terminal(&std::io::stderr())
    }

    /// Where an answer goes that is a file too long for memory. Whoever writes treats a closed pipe as the end, not as a failure.
    pub fn out(&self) -> impl Write {
        self.bars.clear();
        std::io::stdout().lock()
    }

    /// Writes the failure to stderr (and as a JSON line to stdout with `--json`).
    pub fn failure(&self, failure: &Failure) {
        self.bars.clear();
        if self.mode == Mode::Json {
            self.answer(&line(&Event::now(What::Error(failure::event(&*failure.0)))));
        }
        to_stderr(&failure::render(Severity::Error, &*failure.0, console::colors_enabled_stderr()));
    }

    /// Why some of the answer could not be written, if a reader that went away was not the reason.
    pub fn lost(&self) -> Option<std::io::Error> {
        self.lost.lock().ok()?.take()
    }

    fn answer(&self, text: &str) {
        self.answer_bytes(text.as_bytes());
    }

    fn answer_bytes(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
            && let Ok(mut lost) = self.lost.lock()
        {
            *lost = Some(error);
        }
    }

    fn talk(&self, what: &What) {
        match what {
            What::Progress(progress) => self.bars.progress(progress),
            What::Log(Log { level, text }) => {
                let text = super::clean(text);
                match level {
                    Level::Debug if !self.verbose => {}
                    Level::Debug | Level::Info => self.bars.print(&format!("{text}\n")),
                    Level::Warn => {
                        let style = console::Style::new().for_stderr().yellow().bold();
                        self.bars.print(&format!("{} {text}\n", style.apply_to("warning:")));
                    }
                }
            }
            What::State(change) => {
                if let Some(reason) = &change.reason {
                    self.bars.print(&format!("{}: {}\n", change.state, super::clean(reason)));
                }
            }
            What::Error(error) => self.bars.print(&self.shown(error)),
            What::Metric(_) | What::Artifact(_) | What::Result { .. } => {}
        }
    }

    fn shown(&self, error: &ErrorEvent) -> String {
        failure::render_event(error, console::colors_enabled_stderr())
    }
}

/// Takes the output of another program ([`Ui::program`]).
pub struct Program<'a> {
    ui: &'a Ui,
    neutral: Option<Neutral>,
}

impl Program<'_> {
    /// Writes the next piece.
    pub fn write(&mut self, bytes: &[u8]) {
        match &mut self.neutral {
            Some(neutral) => self.ui.answer(&neutral.take(bytes)),
            None => self.ui.answer_bytes(bytes),
        }
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if let Some(neutral) = &mut self.neutral {
            self.ui.answer(&neutral.finish());
        }
    }
}

/// Writes to stderr; one that is closed or full is not worth failing for.
pub(super) fn to_stderr(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// The event as one line of JSON.
fn line(event: &Event) -> String {
    // Events hold strings, numbers and maps with string keys: writing cannot fail.
    format!("{}\n", serde_json::to_string(event).unwrap_or_default())
}

impl Sink for Ui {
    fn emit(&self, event: &Event) {
        match self.mode {
            Mode::Human => self.talk(&event.what),
            Mode::Json if self.stream.load(Ordering::Relaxed) => self.answer(&line(event)),
            Mode::Json => to_stderr(&line(event)),
            Mode::Quiet => match &event.what {
                What::Error(error) => to_stderr(&self.shown(error)),
                // Of a program that says nothing else its end is all that is known.
                What::State(change @ StateChange { state: JobState::Failed | JobState::Lost, .. }) => {
                    self.talk(&What::State(change.clone()));
                }
                _ => {}
            },
        }
    }
}

/// A report whose type is forgotten.
pub trait ErasedReport {
    /// The JSON form, with `schema` first.
    fn json(&self) -> serde_json::Value;
    /// The form for people.
    fn text(&self) -> String;
    /// What `--quiet` leaves.
    fn quiet_text(&self) -> String;
}

impl<R: Report> ErasedReport for R {
    fn json(&self) -> serde_json::Value {
        let mut document = serde_json::Map::new();
        document.insert("schema".to_owned(), self.schema().into());
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => document.extend(fields),
            Ok(value) => drop(document.insert("value".to_owned(), value)),
            Err(error) => drop(document.insert("error".to_owned(), error.to_string().into())),
        }
        document.into()
    }

    fn text(&self) -> String {
        self.human()
    }

    fn quiet_text(&self) -> String {
        self.quiet()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Answer {
        zeta: u8,
        alpha: u8,
    }

    impl Report for Answer {
        fn schema(&self) -> &'static str {
            "mlp/answer/1"
        }
        fn human(&self) -> String {
            "answer\n".into()
        }
    }

    #[test]
    fn the_schema_comes_first_and_keys_keep_their_order() {
        assert_eq!(
            Answer { zeta: 1, alpha: 2 }.json().to_string(),
            r#"{"schema":"mlp/answer/1","zeta":1,"alpha":2}"#
        );
    }
}
