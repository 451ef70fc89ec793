//! Pieces of Markdown. What comes from data, records and people is escaped: it never becomes markup.

use std::fmt::Write;

use crate::base::Digest;

/// Where a record stands, for whoever reads: a place in the paper, or a file beside it.
pub type Link = fn(&Digest) -> String;

/// Text as text: no markup, no line ends.
pub(super) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' => escaped.extend(['\\', c]),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text as code.
pub(super) fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // A fence of backticks longer than any in the text, as CommonMark wants it; a bar would end a cell.
    let clean = clean.replace('|', "\\|");
    let longest = clean.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let blank = if clean.starts_with('`') || clean.ends_with('`') { " " } else { "" };
    format!("{fence}{blank}{clean}{blank}{fence}")
}

/// A table with a heading; the rows are Markdown already.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = format!("| {} |\n|{}\n", heading.join(" | "), " --- |".repeat(heading.len()));
    for row in rows {
        // Writing to memory cannot fail.
        let _ = writeln!(table, "| {} |", row.join(" | "));
    }
    table
}

/// A number with as many digits as say something.
pub(super) fn number(value: f64) -> String {
    if value != 0.0 && (value.abs() < 0.001 || value.abs() >= 1e6) {
        return format!("{value:.3e}");
    }
    format!("{value:.4}")
}

/// A record by the beginning of its digest.
pub(super) fn record(link: Link, id: &Digest) -> String {
    format!("[`b3:{}`]({})", id.short(), link(id))
}
