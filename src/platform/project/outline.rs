//! Where each key and value of a YAML text stands: what the typed reading forgets, and messages need.

use serde_yaml::granit_parser::{ErrorKind, Event, Parser, Span, StructureStyle, options};

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
    /// In characters; to the end of the line if the value goes on below it.
    pub(super) width: usize,
}

struct Node {
    parent: usize,
    /// The key, or the position in a list as `[2]`.
    step: String,
    key: Option<Place>,
    value: Place,
    /// Line of the last character of the value.
    ends: usize,
}

/// The nodes of a text, as far as it can be read.
pub(super) struct Outline {
    nodes: Vec<Node>,
    /// Where the text stops being YAML.
    pub(super) broken: Option<Broken>,
}

/// A mistake against the grammar of YAML.
pub(super) struct Broken {
    pub(super) kind: ErrorKind,
    pub(super) place: Place,
    /// The innermost bracket that is open there: `{` or `[`, and its line.
    pub(super) open: Option<(char, usize)>,
}

/// A collection that is being read.
enum Open {
    Map {
        node: usize,
        key: Option<(String, Place)>,
    },
    List {
        node: usize,
        next: usize,
    },
    /// A collection used as a key, or beyond a limit: its content has no names.
    Skipped,
}

const MAX_NODES: usize = 50_000;
const MAX_DEPTH: usize = 64;

impl Outline {
    /// Reads the places of `text`, stopping at the first error or limit.
    pub(super) fn of(text: &str) -> Self {
        let limits = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
        let mut outline = Self { nodes: Vec::new(), broken: None };
        let mut open: Vec<Open> = Vec::new();
        let mut brackets: Vec<Option<(char, usize)>> = Vec::new();
        for event in Parser::new_from_str_with_options(text, limits) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let at = error.marker();
                    let place = Place { line: at.line().max(1), column: at.col() + 1, width: 1 };
                    let open = brackets.last().copied().flatten();
                    outline.broken = Some(Broken { kind: error.kind().clone(), place, open });
                    break;
                }
            };
            let bracket =
                |style, bracket| (style == StructureStyle::Flow).then_some((bracket, span.start.line()));
            match &event {
                Event::MappingStart(style, ..) => brackets.push(bracket(*style, '{')),
                Event::SequenceStart(style, ..) => brackets.push(bracket(*style, '[')),
                Event::MappingEnd | Event::SequenceEnd => drop(brackets.pop()),
                _ => {}
            }
            if outline.nodes.len() >= MAX_NODES {
                break;
            }
            match event {
                Event::Scalar(text, ..) => {
                    if let Some(Open::Map { key: key @ None, .. }) = open.last_mut() {
                        *key = Some((text.into_owned(), place(&span)));
                    } else {
                        outline.push(&mut open, &span);
                    }
                }
                Event::Alias(_) => drop(outline.push(&mut open, &span)),
                Event::MappingStart(..) => {
                    let next = outline.push(&mut open, &span).map(|node| Open::Map { node, key: None });
                    open.push(next.unwrap_or(Open::Skipped));
                }
                Event::SequenceStart(..) => {
                    let next = outline.push(&mut open, &span).map(|node| Open::List { node, next: 0 });
                    open.push(next.unwrap_or(Open::Skipped));
                }
                Event::MappingEnd | Event::SequenceEnd => match open.pop() {
                    Some(Open::Map { node, .. } | Open::List { node, .. }) => {
                        outline.nodes[node].ends = span.end.line();
                    }
                    // A collection that was a key: its value has no name either.
                    Some(Open::Skipped) | None => {
                        if let Some(Open::Map { key: key @ None, .. }) = open.last_mut() {
                            *key = Some(("?".to_owned(), place(&span)));
                        }
                    }
                },
                Event::DocumentEnd => break,
                _ => {}
            }
        }
        outline
    }

    /// Adds a value at the point that reading has come to; none if that point has no name.
    fn push(&mut self, open: &mut [Open], span: &Span) -> Option<usize> {
        let (parent, step, key) = match open.last_mut() {
            None => (usize::MAX, String::new(), None),
            Some(Open::Map { node, key }) => {
                let (step, place) = key.take()?;
                (*node, step, Some(place))
            }
            Some(Open::List { node, next }) => {
                *next += 1;
                (*node, format!("[{}]", *next - 1), None)
            }
            Some(Open::Skipped) => return None,
        };
        self.nodes.push(Node { parent, step, key, value: place(span), ends: span.end.line() });
        Some(self.nodes.len() - 1)
    }

    fn child(&self, parent: usize, step: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.parent == parent && node.step == step)
    }

    /// The place of the value at `path`; of the nearest value around it where an alias or a merge brought it.
    pub(super) fn value(&self, path: &[&str]) -> Option<Place> {
        let mut at = 0;
        for step in path {
            match self.child(at, step) {
                Some(child) => at = child,
                None => break,
            }
        }
        let node = self.nodes.get(at)?;
        // A block that goes over lines is shown by its key.
        Some(if node.ends > node.value.line { node.key.unwrap_or(node.value) } else { node.value })
    }

    /// The place of the value at `path`; none if there is no such key.
    pub(super) fn exact(&self, path: &[&str]) -> Option<Place> {
        let node = path.iter().try_fold(0, |at, step| self.child(at, step))?;
        self.nodes.get(node).map(|node| node.value)
    }

    /// The place of the collection that holds the key or value at a place.
    pub(super) fn around(&self, line: usize, column: usize) -> Option<Place> {
        let path = &self.nodes.get(self.nodes.get(self.at(line, column)?)?.parent)?;
        path.key.or(Some(path.value))
    }

    fn at(&self, line: usize, column: usize) -> Option<usize> {
        let at = |place: &Place| place.line == line && place.column == column;
        self.nodes.iter().rposition(|node| node.key.as_ref().is_some_and(at) || at(&node.value))
    }

    /// Whether a key stands at a place.
    pub(super) fn is_key(&self, line: usize, column: usize) -> bool {
        self.nodes.iter().any(|node| node.key.is_some_and(|key| (key.line, key.column) == (line, column)))
    }

    /// The name of what stands at a place: `models.digits.train`; empty at the root and where nothing is known.
    pub(super) fn path_at(&self, line: usize, column: usize) -> String {
        let Some(node) = self.at(line, column) else { return String::new() };
        self.path_of(node)
    }

    fn path_of(&self, mut node: usize) -> String {
        let mut steps = Vec::new();
        while let Some(Node { parent, step, .. }) = self.nodes.get(node) {
            steps.push(step.as_str());
            node = *parent;
        }
        let mut path = String::new();
        for step in steps.iter().rev().filter(|step| !step.is_empty()) {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        path
    }

    /// Name of the collection that holds the key or value at a place.
    pub(super) fn parent_at(&self, line: usize, column: usize) -> String {
        let path = self.path_at(line, column);
        path.rfind(['.', '[']).map(|end| path[..end].to_owned()).unwrap_or_default()
    }

    /// The place of the key before `line`, `column` that has the same name in the same collection.
    pub(super) fn twin(&self, line: usize, column: usize) -> Option<Place> {
        let second = self
            .nodes
            .iter()
            .find(|node| node.key.is_some_and(|key| (key.line, key.column) == (line, column)))?;
        let same = |node: &&Node| node.parent == second.parent && node.step == second.step;
        self.nodes
            .iter()
            .find(same)
            .and_then(|node| node.key)
            .filter(|key| (key.line, key.column) != (line, column))
    }
}

fn place(span: &Span) -> Place {
    let width = if span.start.line() == span.end.line() {
        span.end.index().saturating_sub(span.start.index())
    } else {
        usize::MAX
    };
    Place { line: span.start.line(), column: span.start.col() + 1, width: width.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a:\n  - {b: 1, ç: x}\n  - c\nd: &x {e: f}\ng: *x\n";

    #[test]
    fn values_and_keys_are_found_by_path() {
        let outline = Outline::of(TEXT);
        assert_eq!(outline.value(&["a", "[0]", "ç"]), Some(Place { line: 2, column: 15, width: 1 }));
        assert_eq!(outline.value(&["a", "[1]"]), Some(Place { line: 3, column: 5, width: 1 }));
        assert_eq!(outline.value(&["g", "e"]), Some(Place { line: 5, column: 4, width: 2 }));
        assert_eq!(outline.value(&["a"]), Some(Place { line: 1, column: 1, width: 1 }));
    }

    #[test]
    fn places_have_names() {
        let outline = Outline::of(TEXT);
        assert_eq!(outline.path_at(2, 12), "a[0].ç");
        assert_eq!(outline.path_at(2, 15), "a[0].ç");
        assert_eq!(outline.parent_at(2, 15), "a[0]");
        assert_eq!(outline.path_at(9, 9), "");
    }

    #[test]
    fn hostile_text_is_read_as_far_as_it_goes() {
        for text in
            ["", "[", "{a: [", "? [a, b]\n: c\n", "a: *nothing", &"[".repeat(100_000), "\0", "- - - -"]
        {
            Outline::of(text).value(&["a", "b"]);
        }
    }
}
