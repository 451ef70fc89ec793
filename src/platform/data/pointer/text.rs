//! The pointer as YAML.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Child, Pointer, Target, refuse};
use crate::base::{Digest, Label, yaml_scalar};
use crate::infrastructure::store::NodeKind;
use crate::platform::data::DataError;

/// The version of the format.
const VERSION: u64 = 1;

/// Whether YAML can show the name as it stands.
fn is_printable(name: &str) -> bool {
    // Line and paragraph separators, byte order mark and what is no character.
    let special = |c: char| matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    !name.chars().any(|c| c.is_control() || special(c))
}

pub(super) fn write(pointer: &Pointer) -> String {
    let mut text = format!("mlp: {VERSION}\n");
    // Writing to a string never fails.
    let _ = match &pointer.target {
        Target::Whole { kind, size, id } => {
            text.push_str(if *kind == NodeKind::Directory { "kind: tree\n" } else { "kind: file\n" });
            if *kind == NodeKind::Executable {
                text.push_str("executable: true\n");
            }
            writeln!(text, "id: {id}\nsize: {size}")
        }
        Target::Children(children) if children.is_empty() => writeln!(text, "kind: tree\nchildren: []"),
        Target::Children(children) => {
            text.push_str("kind: tree\nchildren:\n");
            children.iter().for_each(|child| write_child(child, &mut text));
            Ok(())
        }
    };
    write_extra(&pointer.extra, "", &mut text);
    text
}

fn write_child(child: &Child, text: &mut String) {
    let (key, end) = match child.kind {
        NodeKind::Directory => ("dir", "/"),
        NodeKind::File => ("file", ""),
        NodeKind::Executable => ("executable", ""),
        NodeKind::Link => ("link", ""),
    };
    let name = yaml_scalar(&format!("{}{end}", child.name));
    let _ = writeln!(text, "- {key}: {name}\n  id: {}\n  size: {}", child.id, child.size);
    write_extra(&child.extra, "  ", text);
}

fn write_extra(extra: &Map<String, Value>, indent: &str, text: &mut String) {
    for (key, value) in extra {
        // JSON is YAML in flow style.
        let _ = writeln!(text, "{indent}{}: {value}", yaml_scalar(key));
    }
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Pointer, DataError> {
    let conflict = |line: &str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
    if text.lines().any(conflict) {
        return Err(DataError::Conflict(path.display().to_string()));
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_depth: 32, flow_nesting_limit: 32, max_aliases: 0, max_anchors: 0 },
        with_snippet: false,
        strict_booleans: true,
    };
    let mut map: Map<String, Value> =
        serde_yaml::from_str_with_options(text, options).map_err(|error| broken(text, path, &error))?;
    match take(&mut map, "mlp") {
        Some(Value::Number(number)) if number.as_u64() == Some(VERSION) => {}
        Some(Value::Number(number)) if number.as_u64().is_some_and(|version| version > VERSION) => {
            return Err(refuse(
                path,
                format!("it is of format {number}, this mlp knows format {VERSION}: update mlp"),
            ));
        }
        _ => return Err(refuse(path, "it does not begin with `mlp: 1`")),
    }
    let kind = take(&mut map, "kind");
    let target = match kind.as_ref().and_then(Value::as_str) {
        Some("tree") => match take(&mut map, "children") {
            Some(Value::Array(children)) => Target::Children(read_children(children, path)?),
            Some(_) => return Err(refuse(path, "`children` is not a list")),
            None => whole(NodeKind::Directory, &mut map, path)?,
        },
        Some("file") => {
            let executable = take(&mut map, "executable");
            let kind = match executable {
                None | Some(Value::Bool(false)) => NodeKind::File,
                Some(Value::Bool(true)) => NodeKind::Executable,
                Some(_) => return Err(refuse(path, "`executable` is neither true nor false")),
            };
            whole(kind, &mut map, path)?
        }
        Some("foreign") => return Err(DataError::Unfetched(path.display().to_string())),
        _ => return Err(refuse(path, "`kind` is neither `tree` nor `file`")),
    };
    Ok(Pointer { target, extra: map })
}

fn whole(kind: NodeKind, map: &mut Map<String, Value>, path: &Path) -> Result<Target, DataError> {
    let (id, size) = id_and_size(map).map_err(|detail| refuse(path, detail))?;
    Ok(Target::Whole { kind, size, id })
}

fn read_children(children: Vec<Value>, path: &Path) -> Result<Vec<Child>, DataError> {
    let mut read = Vec::with_capacity(children.len().min(super::MOST_CHILDREN));
    for (index, child) in children.into_iter().enumerate() {
        let Value::Object(map) = child else {
            return Err(refuse(path, format!("child {} is not a map", index + 1)));
        };
        read.push(read_child(map).map_err(|detail| refuse(path, format!("child {}: {detail}", index + 1)))?);
    }
    // A merge by hand may leave another order; git's own does not.
    read.sort_by(|a: &Child, b| a.name.cmp(&b.name));
    if let Some(pair) = read.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(refuse(path, format!("`{}` stands in it twice", pair[0].name.escape_debug())));
    }
    Ok(read)
}

fn read_child(mut map: Map<String, Value>) -> Result<Child, String> {
    const KINDS: [(&str, NodeKind); 4] = [
        ("dir", NodeKind::Directory),
        ("file", NodeKind::File),
        ("executable", NodeKind::Executable),
        ("link", NodeKind::Link),
    ];
    let mut named = KINDS.iter().filter_map(|(key, kind)| take(&mut map, key).map(|name| (name, *kind)));
    let (Some((Value::String(name), kind)), None) = (named.next(), named.next()) else {
        return Err("it needs just one name: `dir`, `file`, `executable` or `link`".to_owned());
    };
    let name = match kind {
        NodeKind::Directory => name.strip_suffix('/').unwrap_or(&name).to_owned(),
        _ => name,
    };
    check_name(&name)?;
    let (id, size) = id_and_size(&mut map)?;
    Ok(Child { name, kind, size, id, extra: map })
}

/// Refuses names that could lead out of the folder, or that belong to git or mlp.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let reserved = [".", "..", ".git", ".mlp", "git~1"].iter().any(|word| name.eq_ignore_ascii_case(word));
    if name.is_empty()
        || name.len() > 255
        || name.contains(['/', '\\', '\0'])
        || reserved
        || !is_printable(name)
    {
        let shown: String = name.chars().take(80).collect();
        return Err(format!("`{}` cannot be the name of an entry", shown.escape_debug()));
    }
    Ok(())
}

fn id_and_size(map: &mut Map<String, Value>) -> Result<(Digest, u64), String> {
    let id = match take(map, "id") {
        Some(Value::String(id)) => id.parse().map_err(|error: crate::base::DigestError| error.to_string())?,
        _ => return Err("it has no `id`".to_owned()),
    };
    let size = take(map, "size").and_then(|size| size.as_u64()).ok_or("it has no `size` in bytes")?;
    Ok((id, size))
}

/// Takes a key out of a map, keeping the order of the others.
fn take(map: &mut Map<String, Value>, key: &str) -> Option<Value> {
    map.shift_remove(key)
}

/// What the YAML reader complains about, with its place.
fn broken(text: &str, path: &Path, error: &serde_yaml::Error) -> DataError {
    let error = error.without_snippet();
    let label = error.location().map(|at| {
        let line = at.line() as usize;
        let content = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let content = content.chars().take(200).collect();
        Box::new(Label {
            path: path.to_owned(),
            line,
            column: (at.column() as usize).max(1),
            text: content,
            width: 1,
        })
    });
    let detail = error.to_string().lines().next().unwrap_or_default().to_owned();
    DataError::Pointer { path: path.display().to_string(), detail, label }
}
