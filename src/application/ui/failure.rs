//! How errors and bugs are shown.

use std::fmt::Write as _;
use std::sync::Once;

use console::Style;

use super::clean;
use crate::base::{Diagnose, ErrorEvent, Label};

/// The styles of an error's parts; all plain where stderr shows no colours.
struct Styles {
    severe: Style,
    strong: Style,
    frame: Style,
    help: Style,
}

impl Styles {
    fn new(severity: Severity, colour: bool) -> Self {
        let style = || Style::new().for_stderr().force_styling(colour);
        Self {
            severe: match severity {
                Severity::Error => style().red().bold(),
                Severity::Warning => style().yellow().bold(),
            },
            strong: style().bold(),
            frame: style().blue().bold(),
            help: style().cyan().bold(),
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// The command did not do what was asked.
    Error,
    /// The user should look.
    Warning,
}

/// An error as text with a line end:
///
/// ```text
/// error[project::unknown-key]: unknown key `gatse`
///   --> mlp.yaml:12:5
///    |
/// 12 |     gatse:
///    |     ^^^^^
/// help: did you mean `gates`?
/// ```
pub(crate) fn render(severity: Severity, error: &dyn Diagnose, colour: bool) -> String {
    render_parts(severity, &event(error), error.label().as_ref(), colour)
}

/// As [`render`], for a failure that only its event tells of.
pub(super) fn render_event(event: &ErrorEvent, colour: bool) -> String {
    render_parts(Severity::Error, event, None, colour)
}

fn render_parts(severity: Severity, event: &ErrorEvent, label: Option<&Label>, colour: bool) -> String {
    let styles = Styles::new(severity, colour);
    let word = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut text = format!(
        "{}{} {}\n",
        styles.severe.apply_to(format!("{word}[{}]", clean(&event.code))),
        styles.strong.apply_to(":"),
        styles.strong.apply_to(clean(&event.message))
    );
    match label {
        Some(label) => snippet(&mut text, label, &styles),
        None => {
            if let Some(place) = &event.place {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  {} {}", styles.frame.apply_to("-->"), clean(place));
            }
        }
    }
    if let Some(hint) = &event.hint {
        let _ = writeln!(text, "{} {}", styles.help.apply_to("help:"), clean(hint));
    }
    text
}

/// The place of `label` as an error event names it: `mlp.yaml:12:3`.
fn place(label: &Label) -> String {
    format!("{}:{}:{}", label.path.display(), label.line, label.column)
}

/// The error in the form of an event.
pub(crate) fn event(error: &dyn Diagnose) -> ErrorEvent {
    ErrorEvent {
        code: error.code().to_owned(),
        message: error.to_string(),
        hint: error.hint(),
        place: error.label().as_ref().map(place),
    }
}

/// How much of a line is shown around the caret.
const WINDOW: usize = 100;

fn snippet(text: &mut String, label: &Label, styles: &Styles) {
    let number = label.line.to_string();
    let gutter = " ".repeat(number.len());
    let bar = styles.frame.apply_to("|");
    // A long line is cut to a window around the caret; a tab would shift the caret.
    let before = label.column.saturating_sub(1);
    let start = before.saturating_sub(WINDOW / 2);
    let line: String = label.text.chars().skip(start).take(WINDOW).collect();
    let shown = clean(&line).replace('\t', " ");
    let caret_at: usize = {
        let prefix: String = line.chars().take(before - start).collect();
        console::measure_text_width(&clean(&prefix).replace('\t', " "))
    };
    let marked: String = line.chars().skip(before - start).take(label.width.max(1)).collect();
    let width = console::measure_text_width(&clean(&marked)).max(1);
    let _ = writeln!(text, "{gutter} {} {}", styles.frame.apply_to("-->"), clean(&place(label)));
    let _ = writeln!(text, "{gutter} {bar}");
    let _ = writeln!(text, "{} {bar} {}", styles.frame.apply_to(&number), shown.trim_end());
    let carets = format!("{}{}", " ".repeat(caret_at), styles.severe.apply_to("^".repeat(width)));
    let _ = writeln!(text, "{gutter} {bar} {carets}");
}

/// Makes a panic, which is a bug, say so instead of showing a backtrace; the process then exits with 70.
pub(crate) fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            if crate::base::is_caught() {
                return;
            }
            let message = panic
                .payload()
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.payload().downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "a panic without a message".to_owned());
            let place = panic.location().map(ToString::to_string);
            let event = ErrorEvent {
                code: "mlp::bug".to_owned(),
                message: format!("mlp {} has a bug: {message}", env!("CARGO_PKG_VERSION")),
                hint: Some(
                    "please report this text together with the command that caused it; \
                     nothing that was acknowledged is lost"
                        .to_owned(),
                ),
                place,
            };
            super::output::to_stderr(&render_event(&event, console::colors_enabled_stderr()));
            if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
                super::output::to_stderr(&format!("{}\n", std::backtrace::Backtrace::force_capture()));
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Exit;

    #[derive(Debug, thiserror::Error)]
    #[error("unknown key `gatse`")]
    struct Wrong(Label);

    impl Diagnose for Wrong {
        fn code(&self) -> &'static str {
            "project::unknown-key"
        }
        fn exit(&self) -> Exit {
            Exit::Usage
        }
        fn hint(&self) -> Option<String> {
            Some("did you mean `gates`?".into())
        }
        fn label(&self) -> Option<Label> {
            Some(self.0.clone())
        }
    }

    fn label(text: &str, column: usize, width: usize) -> Label {
        Label { path: "mlp.yaml".into(), line: 12, column, text: text.into(), width }
    }

    #[test]
    fn an_error_shows_its_line_with_a_caret_and_a_hint() {
        let text = render(Severity::Error, &Wrong(label("    gatse:", 5, 5)), false);
        insta::assert_snapshot!(text, @r"
        error[project::unknown-key]: unknown key `gatse`
           --> mlp.yaml:12:5
           |
        12 |     gatse:
           |     ^^^^^
        help: did you mean `gates`?
        ");
    }

    #[test]
    fn the_caret_stays_under_its_character_after_wide_ones_and_tabs() {
        let text = render(Severity::Error, &Wrong(label("\t数字: x", 6, 1)), false);
        assert!(text.contains("12 |  数字: x\n   |        ^\n"), "{text}");
    }

    #[test]
    fn a_line_of_a_megabyte_is_cut_around_the_caret() {
        let text = render(Severity::Error, &Wrong(label(&"[".repeat(1 << 20), 400_000, 1)), false);
        assert!(text.len() < 600, "{} bytes", text.len());
        assert!(text.contains("mlp.yaml:12:400000"));
    }

    #[test]
    fn a_caret_beyond_the_line_does_not_panic() {
        for column in [0, 1, 5, 90, 100_000] {
            render(Severity::Error, &Wrong(label("ab", column, 0)), false);
        }
    }

    #[test]
    fn colours_appear_only_when_asked_for() {
        assert!(render(Severity::Error, &Wrong(label("x", 1, 1)), true).contains("\x1b["));
        assert!(!render(Severity::Error, &Wrong(label("x", 1, 1)), false).contains('\x1b'));
    }
}
