//! What a user means by the beginning of a digest, a run or a commit.

use super::{Lineage, LineageError};
use crate::base::{Digest, Name, RecordKind, Time};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A model version.
    Version(Name, u64),
    /// A record.
    Record(Digest),
    /// An entry of a ledger.
    Entry(Digest),
    /// A git commit.
    Commit(String),
    /// A version of data, a file, or anything else that is content.
    Content(Digest),
    /// A file that git keeps, with the commits of runs that saw it as it is.
    Code {
        /// Its path in the repository.
        path: String,
        /// Those commits.
        commits: Vec<String>,
    },
    /// A logged answer.
    Prediction {
        /// What the client was told.
        id: String,
        /// The model that answered.
        model: Name,
        /// The files of the version that answered.
        tree: Digest,
        /// When.
        time: Time,
    },
}

/// Digits of a digest or commit that a user must type at least.
const LEAST: usize = 4;

impl Lineage<'_> {
    /// What `text` is the beginning of: a run's identifier, a digest (with or without `b3:`), a commit.
    ///
    /// # Errors
    /// [`LineageError::Unknown`], [`LineageError::Short`] and [`LineageError::Ambiguous`].
    pub fn find(&self, text: &str) -> Result<Thing, LineageError> {
        let wanted = text.to_ascii_lowercase();
        let hex = wanted.strip_prefix("b3:").unwrap_or(&wanted);
        let named = wanted.starts_with("b3:");
        if named && hex.len() < LEAST && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(LineageError::Short(text.to_owned()));
        }
        let mut found: Vec<(String, Thing)> = Vec::new();
        let mut add = |name: String, thing: Thing| {
            if found.iter().all(|(known, _)| *known != name) {
                found.push((name, thing));
            }
        };
        if hex.len() >= LEAST && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let fits = |id: &Digest| id.hex().starts_with(hex);
            for (history, version) in self.versions().filter(|(_, version)| fits(&version.tree)) {
                add(version.tree.to_string(), Thing::Version(history.model().clone(), version.number));
            }
            for id in self.order.iter().filter(|id| fits(id)) {
                add(id.to_string(), Thing::Record(*id));
            }
            let entries = self.histories.iter().flat_map(|history| history.entries());
            for id in entries.map(|entry| entry.digest()).filter(fits) {
                add(id.to_string(), Thing::Entry(id));
            }
            let mut content: Vec<&Digest> =
                self.naming.keys().chain(self.pinned.keys()).filter(|id| fits(id)).collect();
            content.sort_unstable();
            content.into_iter().for_each(|id| add(id.to_string(), Thing::Content(*id)));
            if !named {
                for commit in self.commits().filter(|commit| commit.starts_with(hex)) {
                    add(commit.to_owned(), Thing::Commit(commit.to_owned()));
                }
            }
        }
        if !named && wanted.len() >= LEAST {
            for id in &self.order {
                let record = &self.records[id];
                if record.kind != RecordKind::Run {
                    continue;
                }
                let run = record.body["run"].as_str().unwrap_or_default();
                if run.to_ascii_lowercase().starts_with(&wanted) {
                    add(run.to_owned(), Thing::Record(*id));
                }
            }
        }
        match found.as_slice() {
            [(_, one)] => return Ok(one.clone()),
            [] => {}
            several => {
                let candidates = several.iter().take(5).map(|(name, _)| name.clone()).collect();
                return Err(LineageError::Ambiguous { text: text.to_owned(), candidates });
            }
        }
        // A whole digest may be that of a file in a version of data; a whole commit may be one that nothing was made from.
        match wanted.parse::<Digest>() {
            Ok(id) => Ok(Thing::Content(id)),
            Err(_) => Err(LineageError::Unknown(
                text.chars().take(80).collect::<String>().escape_debug().to_string(),
            )),
        }
    }

    /// The newest run of the model or step `name`.
    pub fn newest_run(&self, name: &str) -> Option<Thing> {
        let run = |id: &&Digest| {
            let record = &self.records[*id];
            record.kind == RecordKind::Run && record.body["name"].as_str() == Some(name)
        };
        let mut runs: Vec<&Digest> = self.order.iter().filter(run).collect();
        runs.sort_by_key(|id| self.records[*id].time);
        runs.last().map(|id| Thing::Record(**id))
    }

    /// All commits that runs saw and versions were registered with, each once.
    pub fn commits(&self) -> impl Iterator<Item = &str> {
        let of_runs = self.order.iter().filter_map(|id| self.commit_of(&self.records[id]));
        let of_versions = self.histories.iter().flat_map(|history| history.versions());
        let all = of_runs.chain(of_versions.filter_map(|version| version.commit.as_deref()));
        let mut seen = std::collections::HashSet::new();
        all.filter(move |commit| seen.insert(*commit))
    }
}
