//! Reading the Markdown that people write about a model: sections with text, placeholders, items of lists.

/// Words that stand for what is still to be written.
const OPEN: [&str; 3] = ["TODO", "TBD", "FIXME"];

/// What a card or charter holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Headings that have text below them, as fields.
    filled: Vec<String>,
    /// Items of lists: line, the headings they stand under, the names between backticks.
    items: Vec<Item>,
    /// Placeholders with their lines.
    pub(super) placeholders: Vec<(usize, String)>,
}

/// One item of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) line: usize,
    under: Vec<String>,
    /// What stands between backticks.
    pub(super) names: Vec<String>,
}

impl Parts {
    /// The items of the lists below the heading `field`.
    pub(super) fn items(&self, field: &str) -> Vec<&Item> {
        let field = as_field(field);
        self.items.iter().filter(|item| item.under.contains(&field)).collect()
    }

    pub(super) fn has(&self, field: &str) -> bool {
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

/// The level of a heading, and its text.
fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let is_one = (1..=6).contains(&level) && line[level..].starts_with(' ');
    is_one.then(|| (level, line[level..].trim()))
}

/// The mark of a line that opens or closes a block of code.
fn fence_mark(line: &str) -> Option<&'static str> {
    ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark))
}

/// The lines of `text`, and whether each stands in a block of code or is the edge of one.
fn lines(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut open: Option<&str> = None;
    text.lines().map(move |line| {
        let before = open;
        match (fence_mark(line), open) {
            (Some(mark), None) => open = Some(mark),
            (Some(mark), Some(opened)) if mark == opened => open = None,
            _ => {}
        }
        (line, before.is_some() || open.is_some())
    })
}

/// The text below the first heading that is one of `fields`, up to the next heading of its level; none if there is none but
/// placeholders.
pub(super) fn section(text: &str, fields: &[&str]) -> Option<String> {
    let mut found: Option<(usize, Vec<&str>)> = None;
    for (line, is_code) in lines(text) {
        match (&mut found, heading(line).filter(|_| !is_code)) {
            (None, Some((level, words))) if fields.contains(&as_field(words).as_str()) => {
                found = Some((level, Vec::new()));
            }
            (Some((own, _)), Some((level, _))) if level <= *own => break,
            (Some((_, lines)), _) => lines.push(line),
            _ => {}
        }
    }
    let text = found?.1.join("\n").trim().to_owned();
    let is_open = |line: &str| line.is_empty() || OPEN.iter().any(|word| line.starts_with(word));
    (!text.lines().map(str::trim).all(is_open)).then_some(text)
}

/// The text with headings so many levels deeper, six at most.
pub(super) fn lowered(text: &str, below: usize) -> String {
    let lower = |(line, is_code): (&str, bool)| match heading(line).filter(|_| !is_code) {
        Some((level, _)) => format!("{}{}", "#".repeat((level + below).min(6)), &line[level..]),
        None => line.to_owned(),
    };
    lines(text).map(lower).collect::<Vec<_>>().join("\n")
}

/// Reads a page.
pub(super) fn read(text: &str) -> Parts {
    let mut read = Parts::default();
    // Open headings from the outermost: text below an inner heading is text of the outer ones too.
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut comment = false;
    // Whether the line before belongs to an item that may go on.
    let mut listed = false;
    for (index, (line, is_code)) in lines(text).enumerate() {
        if fence_mark(line).is_some() {
            continue;
        }
        let trimmed = line.trim();
        let shown = if is_code { trimmed.to_owned() } else { without_comments(trimmed, &mut comment) };
        if let Some((level, words)) = heading(&shown).filter(|_| !is_code) {
            open.retain(|(outer, _)| *outer < level);
            open.push((level, as_field(words)));
            listed = false;
            continue;
        }
        if shown.trim().is_empty() {
            listed = false;
            continue;
        }
        for (_, heading) in &open {
            if !read.filled.contains(heading) {
                read.filled.push(heading.clone());
            }
        }
        if !is_code {
            let names = shown.split('`').skip(1).step_by(2).map(str::to_owned);
            if is_item(&shown) {
                let under = open.iter().map(|(_, heading)| heading.clone()).collect();
                read.items.push(Item { line: index + 1, under, names: names.collect() });
                listed = true;
            } else if let (true, Some(item)) = (listed, read.items.last_mut()) {
                item.names.extend(names);
            }
            read.placeholders.extend(placeholders(&shown).into_iter().map(|what| (index + 1, what)));
        }
    }
    read
}

/// Whether a line begins an item: `- a`, `* a`, `+ a`, `1. a`, `2) a`.
fn is_item(line: &str) -> bool {
    let rest = line.trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let mark = match digits {
        0 => rest.strip_prefix(['-', '*', '+']),
        _ => rest[digits..].strip_prefix(['.', ')']),
    };
    mark.is_some_and(|rest| rest.starts_with(' '))
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
    let mut found: Vec<String> = words.filter(|word| OPEN.contains(word)).map(str::to_owned).collect();
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
    fn items_belong_to_their_headings_and_go_on_over_lines() {
        let page = read(
            "# A\n## Goals\n- one `x`\n  and `y`\n* two\n\nno `z` item\n1. three `w`\n## Other\n- four `v`\n```\n- `u`\n```\n",
        );
        let goals: Vec<(usize, Vec<String>)> =
            page.items("goals").iter().map(|item| (item.line, item.names.clone())).collect();
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(goals, [(3, names(&["x", "y"])), (5, names(&[])), (8, names(&["w"]))]);
        assert_eq!(page.items("A").len(), 4);
        assert_eq!(page.items("nowhere").len(), 0);
    }

    #[test]
    fn text_inside_a_fence_makes_no_headings() {
        let card = read("# A\n```\n# Limits\n```\n");
        assert!(!card.has("limits"));
    }
}
