//! `model_card`: the card has its sections, and no placeholders.

use super::{Case, Finding};
use crate::platform::model::{ModelCard, Placeholders};

pub(super) const MEANING: &str = "The model card (`card:` of the model) as it stands on the trust branch has a section \
     with text for every field: the heading `Intended use` is the field `intended_use`, at any level. With \
     `placeholders: forbid` no TODO, TBD, FIXME or <text in angle brackets> may remain outside code.";

pub(super) fn wanted(gate: &ModelCard) -> String {
    let fields = match gate.fields.as_slice() {
        [] => "a model card".to_owned(),
        fields => format!("a model card with {}", fields.join(", ")),
    };
    match gate.placeholders {
        Placeholders::Forbid => format!("{fields}, without placeholders"),
        Placeholders::Allow => fields,
    }
}

pub(super) fn find(gate: &ModelCard, case: &Case<'_>) -> Finding {
    let model = case.candidate.history.model();
    let Some(card) = &case.rules.card else {
        return Finding::decided(false, format!("the model has no `card:` on {}", case.rules.source))
            .next(format!("add `card: docs/{model}.md` to the model in mlp.yaml and commit it"));
    };
    let push = if case.rules.source.starts_with("origin/") { " && git push" } else { "" };
    let commit = format!("git add {0} && git commit -m \"Complete {0}\"{push}", card.path);
    let Some(text) = &card.text else {
        return Finding::decided(false, format!("`{}` is not on {}", card.path, case.rules.source))
            .next(commit);
    };
    let read = read(text);
    let missing: Vec<&str> =
        gate.fields.iter().map(String::as_str).filter(|field| !read.has(field)).collect();
    let placeholders = match gate.placeholders {
        Placeholders::Forbid => read.placeholders.as_slice(),
        Placeholders::Allow => &[],
    };
    let mut wrong = Vec::new();
    if !missing.is_empty() {
        wrong.push(format!("{} has no {}", card.path, missing.join(", ")));
    }
    if let Some((line, what)) = placeholders.first() {
        let more = match placeholders.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        wrong.push(format!("placeholder `{what}` on line {line}{more}"));
    }
    let finding = if wrong.is_empty() {
        Finding::decided(true, format!("{} is complete", card.path))
    } else {
        Finding::decided(false, wrong.join("; "))
    };
    finding.resting_on(card.digest).next(format!("edit {}, then {commit}", card.path))
}

/// What a card holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    /// Headings that have text below them, as fields.
    filled: Vec<String>,
    /// Placeholders with their lines.
    placeholders: Vec<(usize, String)>,
}

impl Read {
    fn has(&self, field: &str) -> bool {
        let field = as_field(field);
        self.filled.contains(&field)
    }
}

/// `Intended use` -> `intended_use`.
fn as_field(heading: &str) -> String {
    let words: Vec<String> = heading
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join("_")
}

fn read(text: &str) -> Read {
    let mut read = Read::default();
    // Open headings from the outermost: text below an inner heading is text of the outer ones too.
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut fence: Option<&str> = None;
    let mut comment = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark)) {
            match fence {
                None => fence = Some(mark),
                Some(opened) if opened == mark => fence = None,
                Some(_) => {}
            }
            continue;
        }
        let shown =
            if fence.is_some() { trimmed.to_owned() } else { without_comments(trimmed, &mut comment) };
        let level = shown.bytes().take_while(|byte| *byte == b'#').count();
        if fence.is_none() && (1..=6).contains(&level) && shown[level..].starts_with(' ') {
            open.retain(|(outer, _)| *outer < level);
            open.push((level, as_field(&shown[level..])));
            continue;
        }
        if shown.trim().is_empty() {
            continue;
        }
        for (_, heading) in &open {
            if !read.filled.contains(heading) {
                read.filled.push(heading.clone());
            }
        }
        if fence.is_none() {
            read.placeholders.extend(placeholders(&shown).into_iter().map(|what| (index + 1, what)));
        }
    }
    read
}

/// The line without `<!-- … -->`, which may go on over lines.
fn without_comments(line: &str, inside: &mut bool) -> String {
    let mut shown = String::new();
    let mut rest = line;
    loop {
        let mark = if *inside { "-->" } else { "<!--" };
        match rest.find(mark) {
            Some(at) => {
                if !*inside {
                    shown.push_str(&rest[..at]);
                }
                rest = &rest[at + mark.len()..];
                *inside = !*inside;
            }
            None => {
                if !*inside {
                    shown.push_str(rest);
                }
                return shown;
            }
        }
    }
}

/// HTML that Markdown lets through; anything else in angle brackets waits to be replaced.
const TAGS: [&str; 36] = [
    "a",
    "b",
    "br",
    "blockquote",
    "code",
    "dd",
    "del",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "ol",
    "p",
    "picture",
    "pre",
    "small",
    "source",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "td",
    "tr",
    "ul",
];

fn placeholders(line: &str) -> Vec<String> {
    // Every other piece between backticks is code.
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let words = prose.split(|c: char| !c.is_alphanumeric());
    let mut found: Vec<String> =
        words.filter(|word| ["TODO", "TBD", "FIXME"].contains(word)).map(str::to_owned).collect();
    let mut rest = prose.as_str();
    while let Some(start) = rest.find('<') {
        let after = &rest[start + 1..];
        let Some(end) = after.find(['>', '<']) else { break };
        let inner = &after[..end];
        let closed = after[end..].starts_with('>');
        let word = inner
            .trim_start_matches('/')
            .split(|c: char| !c.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        let address = inner.contains("://") || (inner.contains('@') && !inner.contains(' '));
        let begins = inner.chars().next().is_some_and(|c| c.is_alphabetic() || "/.…_".contains(c));
        if closed && begins && !address && !TAGS.contains(&word.to_ascii_lowercase().as_str()) {
            found.push(format!("<{inner}>"));
        }
        rest = &after[if closed { end + 1 } else { end }..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_with_text_below_them_are_fields() {
        let card = read(
            "# Digits\n\n## Intended use\nReading digits.\n## Limits\n\n### Known\nblurry\n## Empty\n<!-- a\nb -->\n## Next\n",
        );
        for field in ["digits", "intended_use", "limits", "known", "Intended use"] {
            assert!(card.has(field), "{field}");
        }
        for field in ["empty", "next", "nowhere"] {
            assert!(!card.has(field), "{field}");
        }
    }

    #[test]
    fn placeholders_are_found_with_their_line_and_code_is_left_alone() {
        let card = read(
            "# A\nTODO: write\nx <describe the limits> y\n`<name>` and TODOS, 3 < 4 > 2\n```\nTODO <x y>\n```\n<https://x.org> <a@b.org> <br> </div> TBD\n",
        );
        let found: Vec<(usize, &str)> =
            card.placeholders.iter().map(|(line, what)| (*line, what.as_str())).collect();
        assert_eq!(found, [(2, "TODO"), (3, "<describe the limits>"), (8, "TBD")]);
    }

    #[test]
    fn text_inside_a_fence_makes_no_headings() {
        let card = read("# A\n```\n# Limits\n```\n");
        assert!(!card.has("limits"));
    }
}
