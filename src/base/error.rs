//! How an error speaks: a code, an exit, a hint that says what to do next, and a place in a file where there is one.

use std::path::PathBuf;

/// What the process answers to its caller. The numbers are public and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: yes, done.
    Ok = 0,
    /// 1: the answer is no: a gate refused, a run failed, content does not match.
    No = 1,
    /// 2: change the command or `mlp.yaml`.
    Usage = 2,
    /// 3: change the world (space, network, credentials); a retry may help.
    World = 3,
    /// 70: a bug in mlp.
    Bug = 70,
    /// 130: interrupted or cancelled.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A place in a text file that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The file, as the user would name it.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The text of that line, without its end.
    pub text: String,
    /// How many characters the caret line marks, at least 1.
    pub width: usize,
}

/// What every error of mlp can tell besides its message.
///
/// The message (`Display`) is a lower-case fragment with names in backticks, without a full stop.
pub trait Diagnose: std::error::Error + Send + Sync + 'static {
    /// `module::kebab-reason`, stable; `mlp explain CODE` tells more.
    fn code(&self) -> &'static str;

    /// The exit status that this error ends the process with.
    fn exit(&self) -> Exit;

    /// One line that says what to do next.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The place in a file that is at fault.
    fn label(&self) -> Option<Label> {
        None
    }
}

/// The long explanation of an error code, printed by `mlp explain` and listed in the reference.
#[derive(Clone, Copy, Debug)]
pub struct Explain {
    /// `module::kebab-reason`.
    pub code: &'static str,
    /// What it means, why it happens and what to do, in a few sentences.
    pub text: &'static str,
}

/// Any error on its way to the renderer.
pub struct Failure(pub Box<dyn Diagnose>);

impl<E: Diagnose> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code(), self.0)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// The candidate that `wrong` was most likely meant to be, if any is close (Jaro-Winkler similarity over 0.8).
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(wrong, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("gatse", ["stages", "gates", "data"]), Some("gates"));
        assert_eq!(nearest("zebra", ["stages", "gates", "data"]), None);
    }
}
