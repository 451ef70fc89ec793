//! Reading `mlp.yaml`: a text of limited size, checked before the parser sees it, and mistakes with their place.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::outline::{Outline, Place};
use super::{Manifest, Mistake, ProjectError};
use crate::base::Label;

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What the message of a refused credential holds (`StoreSpec`, URLs of stores).
const SECRET: &str = " do not belong in ";

/// The text of a project file.
pub(super) struct Source {
    /// As the user would name it.
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads the file at `path`, which messages call `shown`.
    pub(super) fn open(path: &Path, shown: &Path) -> Result<Self, ProjectError> {
        let io = |source| ProjectError::Io { action: "read", path: shown.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a directory" } else { "not an ordinary file" };
            return Err(Mistake {
                code: "project::not-a-file",
                message: format!("`{}` is {what}", shown.display()),
                hint: Some("move it away, or name another project with `-C DIR`".to_owned()),
                label: None,
            }
            .into());
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path).map_err(io)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        Self::new(bytes, shown)
    }

    /// Takes bytes that came from elsewhere, which messages call `shown`.
    pub(super) fn new(bytes: Vec<u8>, shown: &Path) -> Result<Self, ProjectError> {
        let size = bytes.len() as u64;
        let (text, invalid) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(at))
            }
        };
        let source = Self { path: shown.to_owned(), text };
        match source.unreadable(size, invalid) {
            Some(mistake) => Err(mistake.into()),
            None => Ok(source),
        }
    }

    /// What is wrong with the text before any YAML.
    fn unreadable(&self, size: u64, invalid: Option<usize>) -> Option<Mistake> {
        let save = || Some("save it as plain UTF-8 without a byte order mark".to_owned());
        if size > MAX_BYTES {
            let hint =
                Some("a project file is written by people; move data and parameters to files of their own");
            let message = "the file is larger than 1 MiB".to_owned();
            return Some(self.mistake("project::too-large", message, hint.map(str::to_owned), Some(START)));
        }
        if self.text.starts_with('\u{feff}') {
            let message = "the file begins with a byte order mark".to_owned();
            return Some(self.mistake("project::encoding", message, save(), Some(START)));
        }
        if let Some(at) = invalid {
            let message = "the text is not UTF-8".to_owned();
            return Some(self.mistake("project::encoding", message, save(), Some(self.place_of(at))));
        }
        let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if let Some(at) = self.text.find(control) {
            let character = self.text[at..].chars().next().unwrap_or_default();
            let message = format!("the text holds the control character U+{:04X}", u32::from(character));
            return Some(self.mistake("project::encoding", message, save(), Some(self.place_of(at))));
        }
        let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        if self.text.lines().all(blank) {
            let hint = "`mlp init --list` shows templates to begin with".to_owned();
            return Some(self.mistake(
                "project::empty",
                "the file is empty".to_owned(),
                Some(hint),
                Some(START),
            ));
        }
        let tab = self.text.lines().position(|line| line.starts_with('\t') && !line.trim().is_empty())?;
        Some(self.tab(tab + 1))
    }

    /// The mistake of a tab in the indentation of a line.
    pub(super) fn tab(&self, line: usize) -> Mistake {
        let column = self.line(line).find('\t').unwrap_or(0) + 1;
        self.mistake(
            "project::tab",
            "a tab in the indentation".to_owned(),
            Some("indent with spaces".to_owned()),
            Some(Place { line, column, width: 1 }),
        )
    }

    fn place_of(&self, byte: usize) -> Place {
        let before = self.text.get(..byte).unwrap_or_default();
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place { line, column, width: 1 }
    }

    /// The whole text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Line `number`, counted from 1, without its end.
    pub(super) fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number.saturating_sub(1)).unwrap_or_default()
    }

    /// A mistake in this file.
    pub(super) fn mistake(
        &self,
        code: &'static str,
        message: String,
        hint: Option<String>,
        place: Option<Place>,
    ) -> Mistake {
        let label = place.map(|place| {
            // A window of the line is enough: a line may be as long as the file.
            let mut text: String = self.line(place.line).chars().take(place.column + 200).collect();
            if message.contains(SECRET) {
                // The value is one: it does not belong on a terminal or in a log of CI either.
                text = text.chars().take(place.column - 1).chain(['…']).collect();
            }
            let rest = text.trim_end().chars().count().saturating_sub(place.column - 1);
            Label {
                path: self.path.clone(),
                line: place.line,
                column: place.column,
                width: place.width.min(rest).max(1),
                text,
            }
        });
        Mistake { code, message, hint, label }
    }

    /// Reads the manifest and checks its references.
    pub(super) fn manifest(&self) -> Result<Manifest, ProjectError> {
        let manifest: Manifest = super::yaml::read(self)?;
        super::resolve::check(&manifest).map_err(|wrong| {
            let outline = Outline::of(&self.text);
            let path: Vec<&str> = wrong.path.iter().map(String::as_str).collect();
            let place = outline.value(&path);
            self.mistake(wrong.code, wrong.message, wrong.hint, place)
        })?;
        Ok(manifest)
    }
}

const START: Place = Place { line: 1, column: 1, width: 1 };
