//! Data stay out of git: their line in `.gitignore`.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataError;
use crate::infrastructure::durable;

/// Adds a line for `path` to the `.gitignore` of its folder; returns that file, or none if the line was there.
pub fn ignore(path: &Path) -> Result<Option<PathBuf>, DataError> {
    let Some((file, line)) = place(path) else { return Ok(None) };
    let mut text = read(&file)?;
    if text.lines().any(|other| other == line) {
        return Ok(None);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&line);
    text.push('\n');
    durable::replace(&file, text.as_bytes()).map_err(DataError::io("write", &file))?;
    Ok(Some(file))
}

/// Takes the line of `path` away again; returns the file that it stood in. A file that held nothing else is removed.
pub fn unignore(path: &Path) -> Result<Option<PathBuf>, DataError> {
    let Some((file, line)) = place(path) else { return Ok(None) };
    let text = read(&file)?;
    let kept: Vec<&str> = text.lines().filter(|other| *other != line).collect();
    if kept.len() == text.lines().count() {
        return Ok(None);
    }
    if kept.is_empty() {
        durable::remove(&file).map_err(DataError::io("remove", &file))?;
    } else {
        let text = format!("{}\n", kept.join("\n"));
        durable::replace(&file, text.as_bytes()).map_err(DataError::io("write", &file))?;
    }
    Ok(Some(file))
}

/// The file and the line that ignores `path`: `/mnist`, with what git reads as a pattern escaped.
fn place(path: &Path) -> Option<(PathBuf, String)> {
    let name = path.file_name()?.to_str()?;
    let mut line = String::from("/");
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | ' ') {
            line.push('\\');
        }
        line.push(c);
    }
    // A line of `.gitignore` cannot hold a line end.
    if name.contains(['\n', '\r']) {
        return None;
    }
    Some((path.parent()?.join(".gitignore"), line))
}

fn read(file: &Path) -> Result<String, DataError> {
    match fs::read(file) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| DataError::Malformed {
            path: file.display().to_string(),
            format: ".gitignore",
            detail: "it is not UTF-8".into(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(DataError::io("read", file)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_added_once_and_taken_away_again() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join(".gitignore");
        fs::write(&file, "*.log").expect("writes");
        let data = folder.path().join("mnist");
        assert_eq!(ignore(&data).expect("adds"), Some(file.clone()));
        assert_eq!(ignore(&data).expect("is there"), None);
        assert_eq!(fs::read_to_string(&file).expect("reads"), "*.log\n/mnist\n");
        assert_eq!(unignore(&data).expect("removes"), Some(file.clone()));
        assert_eq!(fs::read_to_string(&file).expect("reads"), "*.log\n");
    }

    #[test]
    fn a_file_made_for_one_line_goes_with_it_and_patterns_are_escaped() {
        let folder = tempfile::tempdir().expect("folder");
        let data = folder.path().join("a[1] *");
        ignore(&data).expect("adds");
        let file = folder.path().join(".gitignore");
        assert_eq!(fs::read_to_string(&file).expect("reads"), "/a\\[1\\]\\ \\*\n");
        unignore(&data).expect("removes");
        assert!(!file.exists());
    }
}
