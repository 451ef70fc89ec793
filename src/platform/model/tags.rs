//! Ledger entries as git tags in the grammar of GTO (<https://github.com/iterative/gto>, `gto/constants.py`, `tag_re`):
//! `ARTIFACT@vX.Y.Z` registers a version on the commit that made it, `ARTIFACT#STAGE#N` puts the version of a commit into a stage, and
//! of one stage the tag with the highest `N` counts. Version 7 is `v7.0.0`; `N` is the number of the ledger entry, so that every
//! clone makes the same tags.

use super::{ModelError, Version};
use crate::base::{Entry, Name};

/// A tag to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name: `digits@v7.0.0`, `digits#production#12`.
    pub name: String,
    /// The commit, in hexadecimal.
    pub commit: String,
    /// What it says.
    pub message: String,
}

/// Whether GTO takes this for a name: lower case letters, digits and `-`, no `-` at an end.
fn is_name(name: &Name) -> bool {
    let name = name.as_str();
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.bytes().all(known) && !name.starts_with('-') && !name.ends_with('-')
}

/// The tag that registers `version` of `model`.
///
/// # Errors
/// [`ModelError::Tag`] if the model or stage has a name that the grammar does not allow, or no commit made the version.
pub fn version_tag(model: &Name, version: &Version, stage: &Name) -> Result<Tag, ModelError> {
    let wrong = |why: String| ModelError::Tag { model: model.clone(), number: version.number, why };
    if let Some(name) = [model, stage].into_iter().find(|name| !is_name(name)) {
        return Err(wrong(format!(
            "GTO allows `{name}` in no tag: lower case letters, digits and `-` alone"
        )));
    }
    let commit = version.commit.clone();
    Ok(Tag {
        name: format!("{model}@v{}.0.0", version.number),
        commit: commit.ok_or_else(|| wrong("no commit made it".to_owned()))?,
        message: format!(
            "Register {model}@{}\n\ntree {}\nentry {}\n",
            version.number, version.tree, version.entry
        ),
    })
}

/// The tag that says what `entry`, a promotion or rollback of `version`, does.
pub fn stage_tag(registered: &Tag, entry: &Entry) -> Option<Tag> {
    let subject = &entry.subject;
    let (model, stage) = (&subject.model, subject.stage.as_ref()?);
    Some(Tag {
        name: format!("{model}#{stage}#{}", entry.seq),
        commit: registered.commit.clone(),
        message: format!(
            "{} {model}@{} to {stage}\n\ntree {}\nentry {}\n",
            if entry.kind == crate::base::EntryKind::Rollback { "Roll back" } else { "Promote" },
            subject.version,
            subject.tree,
            entry.digest()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, Time};

    fn version(commit: Option<&str>) -> Version {
        Version {
            number: 7,
            tree: Digest::of(b"tree"),
            run: None,
            commit: commit.map(str::to_owned),
            entry: Digest::of(b"entry"),
            time: Time::now(),
            actor: String::new(),
        }
    }

    #[test]
    fn names_follow_the_grammar_or_are_refused() {
        let name = |text: &str| text.parse::<Name>().expect("is a name");
        let tag =
            version_tag(&name("digits"), &version(Some("c0ffee")), &name("production")).expect("is one");
        assert_eq!((tag.name.as_str(), tag.commit.as_str()), ("digits@v7.0.0", "c0ffee"));
        for (model, stage) in
            [("Digits", "production"), ("a_b", "production"), ("digits", "Prod"), ("digits-", "x")]
        {
            assert!(
                version_tag(&name(model), &version(Some("c0ffee")), &name(stage)).is_err(),
                "{model} {stage}"
            );
        }
        assert!(version_tag(&name("digits"), &version(None), &name("production")).is_err());
    }
}
