//! Adding entries to a section of `mlp.yaml`, whose other lines stay as they are.

use std::path::Path;

use super::outline::Outline;
use super::{FILE, Following, Project, ProjectError};
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

/// Makes the project file in `root` follow another version of a profile; all else in it stays, comments too.
///
/// # Errors
/// [`ProjectError::Profile`], with nothing written, where the file does not name a profile in a way that can be replaced, or would
/// not be right any more.
pub fn follow(root: &Path, to: Following) -> Result<(), ProjectError> {
    let path = root.join(FILE);
    let io = |action| {
        let path = path.clone();
        move |source| ProjectError::Io { action, path, source }
    };
    let text = std::fs::read_to_string(&path).map_err(io("read"))?;
    let by_hand =
        |why: &str| ProjectError::Profile { why: format!("{why}; write `profile: {to}` under `project:`") };
    let text = followed(&text, to).ok_or_else(|| by_hand("mlp.yaml does not name its profile"))?;
    let manifest = Project::parse(text.clone().into_bytes(), Path::new(FILE))?;
    if manifest.project.profile != to {
        return Err(by_hand("the profile of mlp.yaml cannot be replaced as text"));
    }
    durable::replace(&path, text.as_bytes()).map_err(io("write"))
}

/// The text with another value of `project.profile`; none if it has no such key.
fn followed(text: &str, to: Following) -> Option<String> {
    let place = Outline::of(text).exact(&["project", "profile"])?;
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let line = lines.get_mut(place.line.checked_sub(1)?)?;
    let at = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte);
    let (start, end) = (at(place.column - 1), at(place.column - 1 + place.width));
    line.replace_range(start..end, &to.to_string());
    Some(lines.concat())
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
    fn only_the_profile_is_replaced() {
        let to: Following = "product@2".parse().expect("is a profile");
        for (text, wanted) in [
            (
                "mlp: 1\nproject: {name: ä, profile: product, id: x}\n",
                "mlp: 1\nproject: {name: ä, profile: product@2, id: x}\n",
            ),
            (
                "project:\n  profile: research@1 # why\n  name: p\n",
                "project:\n  profile: product@2 # why\n  name: p\n",
            ),
            ("project:\n  profile: \"student\"\n", "project:\n  profile: product@2\n"),
        ] {
            assert_eq!(followed(text, to).as_deref(), Some(wanted));
        }
        assert_eq!(followed("project: {name: p}\n", to), None);
    }

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
