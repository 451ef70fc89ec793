//! From YAML to types within limits, and the parser's complaints in the words of this project.

use serde::de::DeserializeOwned;
use serde_yaml::granit_parser::ErrorKind;
use serde_yaml::{Error, MessageFormatter, UserMessageFormatter};

use super::Mistake;
use super::outline::{Broken, Outline, Place};
use super::source::Source;
use crate::base::nearest;

/// Reads a typed file: the manifest, or a user's own configuration.
pub(super) fn read<T: DeserializeOwned>(source: &Source) -> Result<T, Mistake> {
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
    let outline = Outline::of(source.text());
    let (code, message, hint, place) = match &outline.broken {
        // The types complain about what they got of a broken text; the cause is what counts.
        Some(broken) if !is_too_much(error) => match syntax(source, broken) {
            Ok(described) => described,
            Err(tab) => return tab,
        },
        _ => describe(source, error, place, &outline),
    };
    source.mistake(code, message, hint, place)
}

fn is_too_much(error: &Error) -> bool {
    matches!(
        error,
        Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayCounterOverflow { .. }
    )
}

/// What is wrong with the grammar, or the mistake of a tab.
fn syntax(source: &Source, broken: &Broken) -> Result<Described, Mistake> {
    let place = Some(broken.place);
    let line = source.line(broken.place.line);
    if line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t') {
        return Err(source.tab(broken.place.line));
    }
    Ok(match (&broken.kind, broken.open) {
        (ErrorKind::RecursionLimitExceeded, _) => too_much(place),
        (ErrorKind::UnknownAnchor, _) => {
            let hint =
                "define it with `&name` before it is used, or quote a text that begins with `*`".to_owned();
            ("project::syntax", "the alias names no anchor".to_owned(), Some(hint), place)
        }
        (ErrorKind::UnclosedQuotedScalar, _) => {
            let hint = "close the quote".to_owned();
            ("project::syntax", "a quote is not closed".to_owned(), Some(hint), place)
        }
        (kind, Some((bracket, opened))) => {
            let hint = format!(
                "look at the `{bracket}` of line {opened}: is it closed, with commas between its entries?"
            );
            ("project::syntax", plain(kind), Some(hint), place)
        }
        (kind, None) => {
            let hint =
                "look at the indentation, and for a missing colon, space or quote at this place or before it";
            ("project::syntax", plain(kind), Some(hint.to_owned()), place)
        }
    })
}

/// The parser's words, as a fragment of ours.
fn plain(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::SimpleKeyExpected => "expected `:` after the key".to_owned(),
        kind => kind.to_string(),
    }
}

fn too_much(place: Option<Place>) -> Described {
    let hint = "a project file is written by people; flatten it and use fewer aliases".to_owned();
    ("project::too-large", "the file nests too deeply or unfolds to too much".to_owned(), Some(hint), place)
}

/// Number of characters of the plain or quoted text at a column.
fn word(line: &str, column: usize) -> usize {
    let mut rest = line.chars().skip(column.saturating_sub(1));
    let end = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}' | ':' | '#');
    match rest.next() {
        Some(quote @ ('"' | '\'')) => rest.take_while(|c| *c != quote).count() + 2,
        Some(c) if !end(c) => 1 + rest.take_while(|c| !end(*c)).count(),
        _ => 1,
    }
}

/// Code, message, hint and place.
type Described = (&'static str, String, Option<String>, Option<Place>);

fn describe(source: &Source, error: &Error, place: Option<Place>, outline: &Outline) -> Described {
    let at = place.map(|place| (place.line, place.column));
    let around = at.map(|(line, column)| outline.parent_at(line, column)).unwrap_or_default();
    let here = match at {
        Some((line, column)) => outline.path_at(line, column),
        None => String::new(),
    };
    let expected = |what: &str| {
        let message = format!("{}expected {what}{}", prefix(&here), found(source, place));
        ("project::wrong-type", message, None, place)
    };
    match error {
        error if is_too_much(error) => too_much(place),
        Error::SerdeUnknownField { field, expected, .. } => {
            let message = format!("unknown key `{}`{}", shown(field), within(&around));
            ("project::unknown-key", message, suggestion(field, expected, "key"), place)
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let is_key = at.is_some_and(|(line, column)| outline.is_key(line, column));
            let message = match is_key {
                true => format!("unknown key `{}`{}", shown(variant), within(&around)),
                false => format!("{}unknown value `{}`", prefix(&here), shown(variant)),
            };
            ("project::unknown-value", message, suggestion(variant, expected, "value"), place)
        }
        Error::SerdeMissingField { field, .. } => {
            let message = format!("the key `{field}` is missing{}", within(&around));
            let place = at.and_then(|(line, column)| outline.around(line, column)).or(place);
            ("project::missing-key", message, Some(format!("add `{field}:` there")), place)
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(String::new, |key| format!(" `{}`", shown(key)));
            let first = at.and_then(|(line, column)| outline.twin(line, column));
            let hint = match first {
                Some(first) => format!("the first one stands on line {}; keep one of them", first.line),
                None => "keep one of them".to_owned(),
            };
            let message = format!("the key{key} stands twice{}", within(&around));
            ("project::duplicate-key", message, Some(hint), place)
        }
        Error::MultipleDocuments { .. } => {
            let hint = Some("keep the first and remove the lines from `---` on".to_owned());
            ("project::syntax", "the file holds more than one document".to_owned(), hint, place)
        }
        Error::NullIntoString { .. } => {
            let hint = Some(
                "write a value behind the colon; quote `null` and `~` if they are meant as text".to_owned(),
            );
            ("project::wrong-type", format!("{}expected a text, found nothing", prefix(&here)), hint, place)
        }
        Error::SerdeInvalidType { expected: what, .. } | Error::SerdeInvalidValue { expected: what, .. } => {
            expected(what)
        }
        Error::InvalidScalar { ty, .. } => expected(type_name(ty)),
        Error::Unexpected { expected: what, .. } => expected(match *what {
            "mapping start" => "a mapping (`key: value`)",
            "sequence start" => "a list (`[…]`, or lines that begin with `- `)",
            "string scalar" | "scalar" | "value" => "a single value",
            other => other,
        }),
        Error::Message { .. } => {
            let text = UserMessageFormatter.format_message(error).into_owned();
            ("project::invalid-value", format!("{}{}", prefix(&here), printable(&text)), None, place)
        }
        error => {
            let text = UserMessageFormatter.format_message(error).into_owned();
            ("project::wrong-type", format!("{}{}", prefix(&here), printable(&text)), None, place)
        }
    }
}

/// `, found X`, for what a place holds in one line.
fn found(source: &Source, place: Option<Place>) -> String {
    let Some(place) = place else { return String::new() };
    let text: String = source.line(place.line).chars().skip(place.column - 1).take(place.width).collect();
    match text.as_str() {
        "" | ":" => ", found nothing".to_owned(),
        "[" | "-" => ", found a list".to_owned(),
        "{" => ", found a mapping".to_owned(),
        text => format!(", found `{}`", shown(text)),
    }
}

fn printable(text: &str) -> String {
    text.chars().take(300).filter(|c| !c.is_control()).collect()
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

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{}`: ", shown(path)) }
}

fn type_name(ty: &'static str) -> &'static str {
    match ty {
        "u8" | "u16" | "u32" | "u64" | "usize" | "u128" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number",
        "f32" | "f64" => "a number",
        "bool" | "boolean" => "`true` or `false`",
        other => other,
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

#[cfg(test)]
mod tests;
