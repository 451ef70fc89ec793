//! The versions of the profiles, compiled in. A version that was published never changes.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

use super::{Following, Profile};
use crate::base::Name;

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/profiles/", $name, ".yaml"))
    };
}

/// The files, by profile and version.
const FILES: [(Profile, u32, &str); 8] = [
    (Profile::Research, 1, text!("research-1")),
    (Profile::Research, 2, text!("research-2")),
    (Profile::Product, 1, text!("product-1")),
    (Profile::Product, 2, text!("product-2")),
    (Profile::Regulated, 1, text!("regulated-1")),
    (Profile::Regulated, 2, text!("regulated-2")),
    (Profile::Student, 1, text!("student-1")),
    (Profile::Student, 2, text!("student-2")),
];

/// One version of a profile.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    profile: Profile,
    version: u32,
    /// What it is, in one line.
    pub(super) about: String,
    /// Its gates in order.
    pub(super) gates: Vec<Entry>,
}

/// One gate, or one for each dataset.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) stage: Name,
    /// Its name; `DATA` stands for the name of a dataset.
    pub(super) name: String,
    /// What there is one gate for; one gate in all if absent.
    #[serde(default)]
    pub(super) each: Option<Each>,
    /// The only models that it is for; all if absent.
    #[serde(default)]
    pub(super) of: Option<Of>,
    /// The gate; `DATA` stands for the name of a dataset.
    pub(super) gate: Value,
}

/// What there is one gate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Each {
    /// Every dataset that a model uses.
    Data,
}

/// What a model predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Of {
    /// Classes.
    Classes,
    /// Numbers.
    Numbers,
}

/// The text of a version, as it is published.
pub(super) fn text(following: Following) -> &'static str {
    let wanted = (following.profile, following.version);
    let found = FILES.iter().find(|(profile, version, _)| (*profile, *version) == wanted);
    found.map_or("", |(_, _, text)| text)
}

/// The newest version of a profile.
pub(super) fn newest(profile: Profile) -> u32 {
    FILES.iter().filter(|(known, ..)| *known == profile).map(|(_, version, _)| *version).max().unwrap_or(1)
}

/// A version, read.
pub(super) fn version(following: Following) -> &'static Version {
    static READ: OnceLock<Vec<Version>> = OnceLock::new();
    let all = READ.get_or_init(|| {
        // A test reads them all: they are compiled in and cannot be wrong.
        FILES
            .iter()
            .map(|(_, _, text)| serde_yaml::from_str(text).expect("a published profile reads"))
            .collect()
    });
    let wanted = (following.profile, following.version);
    let found = all.iter().find(|version| (version.profile, version.version) == wanted);
    // `Following` holds only versions that are there; the first is.
    found.unwrap_or(&all[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_the_version_that_it_is_listed_as() {
        for (profile, version, text) in FILES {
            let following = Following { profile, version };
            let read = super::version(following);
            assert_eq!((read.profile, read.version), (profile, version));
            assert!(!read.about.is_empty() && !read.gates.is_empty());
            assert_eq!(super::text(following), text);
        }
    }

    #[test]
    fn a_published_version_never_changes() {
        // Digests of the files as they were published: a change of gates is another version.
        let digests = FILES.map(|(profile, version, text)| {
            let rules: String =
                text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
            format!("{}-{version} {}", profile.as_str(), crate::base::Digest::of(rules.as_bytes()).short())
        });
        insta::assert_snapshot!(digests.join("\n"), @r"
        research-1 4ad326715050
        research-2 a7c2390afe54
        product-1 de71df5c84c4
        product-2 4f09382e5f7f
        regulated-1 1098f5ffb279
        regulated-2 90e66ce0168b
        student-1 e513a6ba0232
        student-2 08193bc4f277
        ");
    }
}
