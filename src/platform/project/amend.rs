//! Adding entries to a section of `mlp.yaml`, whose other lines stay as they are.

use std::path::Path;

use super::{FILE, Project, ProjectError};
use crate::infrastructure::durable;

/// Adds `entries` (lines of YAML, not indented, of entries that are not there yet) to the section `section` of the project file in
/// `root`. False, with nothing written, where the section is not in block style: then only its author can do it.
pub fn amend(root: &Path, section: &str, entries: &str) -> Result<bool, ProjectError> {
    let path = root.join(FILE);
    let io = |action| {
        let path = path.clone();
        move |source| ProjectError::Io { action, path, source }
    };
    let text = std::fs::read_to_string(&path).map_err(io("read"))?;
    let Some(text) = amended(&text, section, entries) else { return Ok(false) };
    // What was inserted at a strange place would not be read back.
    if Project::parse(text.clone().into_bytes(), Path::new(FILE)).is_err() {
        return Ok(false);
    }
    durable::replace(&path, text.as_bytes()).map_err(io("write"))?;
    Ok(true)
}

fn amended(text: &str, section: &str, entries: &str) -> Option<String> {
    let indented = |indent: &str| -> String {
        entries
            .lines()
            .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") })
            .collect()
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let key = format!("{section}:");
    let Some(at) = lines.iter().position(|line| line.starts_with(&key)) else {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        return Some(format!("{text}{end}\n{section}:\n{}", indented("  ")));
    };
    let rest = lines[at][key.len()..].trim();
    if !rest.is_empty() && !rest.starts_with('#') {
        return None;
    }
    // As deep as the entries that are there.
    let first = lines[at + 1..].iter().find(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let indent = first.map_or("", |line| &line[..line.len() - line.trim_start().len()]);
    let indent = if indent.is_empty() { "  " } else { indent.trim_end_matches('\n') };
    let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
    if !lines[at].ends_with('\n') {
        lines[at].push('\n');
    }
    lines.insert(at + 1, indented(indent));
    Some(lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_go_into_their_section() {
        assert_eq!(
            amended("mlp: 1", "imports", "a:\n  url: x").as_deref(),
            Some("mlp: 1\n\nimports:\n  a:\n    url: x\n")
        );
        let text = "imports: # places\n\n    b: {url: y}\nsteps:\n";
        let wanted = "imports: # places\n    a: {url: x}\n\n    b: {url: y}\nsteps:\n";
        assert_eq!(amended(text, "imports", "a: {url: x}").as_deref(), Some(wanted));
        assert_eq!(amended("imports: {b: {url: y}}\n", "imports", "a: {url: x}"), None);
    }
}
