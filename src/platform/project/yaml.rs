//! From YAML to types within limits, and the parser's complaints in the words of this project.

use serde_yaml::{Error, MessageFormatter, UserMessageFormatter};

use super::outline::{Outline, Place};
use super::source::Source;
use super::{Manifest, Mistake};
use crate::base::nearest;

/// Reads the typed manifest.
pub(super) fn read(source: &Source) -> Result<Manifest, Mistake> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: 64,
            flow_nesting_limit: 64,
            max_events: 200_000,
            max_nodes: 100_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 100_000,
            max_merge_keys: 1_000,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 50_000,
            max_replay_stack_depth: 16,
        },
        with_snippet: false,
        strict_booleans: true,
    };
    serde_yaml::from_str_with_options(source.text(), options).map_err(|error| explain(source, &error))
}

/// The innermost error: where an alias is used, what is wrong stands at its definition.
fn innermost(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => innermost(error),
        error => error,
    }
}

fn explain(source: &Source, error: &Error) -> Mistake {
    let error = innermost(error);
    let place = error.location().map(|at| Place {
        line: at.line() as usize,
        column: (at.column() as usize).max(1),
        width: word(source.line(at.line() as usize), at.column() as usize),
    });
    if let Some(place) = place
        && is_syntax(error)
        && source.line(place.line).chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t')
    {
        return source.tab(place.line);
    }
    let outline = Outline::of(source.text());
    let (code, message, hint, place) = describe(error, place, &outline);
    source.mistake(code, message, hint, place)
}

/// Number of characters of the word or quoted text at a column.
fn word(line: &str, column: usize) -> usize {
    let mut rest = line.chars().skip(column.saturating_sub(1)).peekable();
    match rest.next() {
        Some(quote @ ('"' | '\'')) => rest.take_while(|c| *c != quote).count() + 2,
        Some(c) if c.is_alphanumeric() || c == '_' || c == '-' || c == '.' => {
            1 + rest.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')).count()
        }
        _ => 1,
    }
}

fn is_syntax(error: &Error) -> bool {
    matches!(
        error,
        Error::ExternalMessage { .. }
            | Error::Eof { .. }
            | Error::Message { .. }
            | Error::UnknownAnchor { .. }
            | Error::ContainerEndMismatch { .. }
    )
}

type Described = (&'static str, String, Option<String>, Option<Place>);

fn describe(error: &Error, place: Option<Place>, outline: &Outline) -> Described {
    let at = place.map(|place| (place.line, place.column));
    let here = at.map(|(line, column)| outline.path_at(line, column)).unwrap_or_default();
    let around = at.map(|(line, column)| outline.parent_at(line, column)).unwrap_or_default();
    let text = UserMessageFormatter.format_message(error).into_owned();
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let message = format!("unknown key `{}`{}", shown(field), within(&around));
            ("project::unknown-key", message, suggestion(field, expected, "key"), place)
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let message = format!("unknown value `{}`{}", shown(variant), named(&here));
            ("project::unknown-value", message, suggestion(variant, expected, "value"), place)
        }
        Error::SerdeMissingField { field, .. } => {
            let message = format!("the key `{field}` is missing{}", within(&here));
            ("project::missing-key", message, Some(format!("add `{field}:` there")), place)
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(String::new, |key| format!(" `{}`", shown(key)));
            let first = at.and_then(|(line, column)| outline.twin(line, column));
            let hint = match first {
                Some(first) => format!("the first one stands on line {}; keep one of them", first.line),
                None => "keep one of them".to_owned(),
            };
            (
                "project::duplicate-key",
                format!("the key{key} stands twice{}", within(&around)),
                Some(hint),
                place,
            )
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            let hint = "a project file is written by people; flatten it and use fewer aliases".to_owned();
            let message = "the file nests too deeply or unfolds to too much".to_owned();
            ("project::too-large", message, Some(hint), place)
        }
        Error::MultipleDocuments { .. } => {
            let hint = Some("keep the first and remove the lines from `---` on".to_owned());
            ("project::syntax", "the file holds more than one document".to_owned(), hint, place)
        }
        Error::UnknownAnchor { .. } => {
            let hint = Some(
                "define it with `&name` before it is used, or quote a text that begins with `*`".to_owned(),
            );
            ("project::syntax", "the alias names no anchor".to_owned(), hint, place)
        }
        Error::Eof { .. } => {
            let hint = Some("something is not finished: look for what is missing at the end".to_owned());
            ("project::syntax", "the file ends too early".to_owned(), hint, place)
        }
        Error::ExternalMessage { .. }
            if text.contains("nest") || text.contains("limit") || text.contains("depth") =>
        {
            let hint = Some("a project file is written by people; flatten it".to_owned());
            ("project::too-large", "the file nests too deeply".to_owned(), hint, place)
        }
        Error::ExternalMessage { .. } => {
            let hint = Some(
                "look a little before this place for a missing quote, bracket, colon or space".to_owned(),
            );
            ("project::syntax", text, hint, place)
        }
        Error::Message { .. } => ("project::invalid-value", format!("{}{text}", prefix(&here)), None, place),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            let message = format!("{}expected {expected}, found {}", prefix(&here), shown(unexpected));
            ("project::wrong-type", message, None, place)
        }
        Error::InvalidScalar { ty, .. } => {
            ("project::wrong-type", format!("{}expected {}", prefix(&here), type_name(ty)), None, place)
        }
        Error::NullIntoString { .. } => {
            let hint = Some(
                "write a value behind the colon; quote `null` and `~` if they are meant as text".to_owned(),
            );
            ("project::wrong-type", format!("{}expected a text, found nothing", prefix(&here)), hint, place)
        }
        _ => ("project::wrong-type", format!("{}{text}", prefix(&here)), None, place),
    }
}

/// Foreign text in a message, cut to a readable length.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", cut.escape_debug())
}

fn within(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" in `{}`", shown(path)) }
}

fn named(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at `{}`", shown(path)) }
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{}`: ", shown(path)) }
}

fn type_name(ty: &str) -> String {
    match ty {
        "u8" | "u16" | "u32" | "u64" | "usize" | "u128" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "bool" | "boolean" => "`true` or `false`".to_owned(),
        other => format!("a value of type {other}"),
    }
}

fn suggestion(wrong: &str, expected: &[&'static str], what: &str) -> Option<String> {
    if let Some(near) = nearest(wrong, expected.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    if expected.is_empty() {
        return None;
    }
    let known: Vec<String> = expected.iter().map(|name| format!("`{name}`")).collect();
    Some(format!("known {what}s here: {}", known.join(", ")))
}
