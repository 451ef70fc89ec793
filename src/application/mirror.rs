//! Ledger entries mirrored into git tags.

use console::style;

use super::ui::argument;
use crate::base::{Entry, Failure, Name};
use crate::infrastructure::git::{GitError, Repo};
use crate::platform::model::{Tag, Version, stage_tag, version_tag};
use crate::platform::project::Project;

/// What is to be mirrored.
pub(super) struct Mirror<'a> {
    repo: &'a Repo,
    registered: Tag,
}

impl<'a> Mirror<'a> {
    /// Prepares to tag `version`, if it is `wanted`; fails early where that cannot be done.
    pub(super) fn of(
        wanted: bool,
        project: &'a Project,
        version: &Version,
        model: &Name,
        stage: &Name,
    ) -> Result<Option<Self>, Failure> {
        if !wanted {
            return Ok(None);
        }
        let registered = version_tag(model, version, stage)?;
        if !project.repo.has_commit(&registered.commit)? {
            return Err(GitError::NoRevision(registered.commit).into());
        }
        if project.repo.tagged(&registered.name)?.is_some_and(|there| there != registered.commit) {
            return Err(GitError::TagTaken(registered.name).into());
        }
        Ok(Some(Self { repo: &project.repo, registered }))
    }

    /// Makes the tags of the version and of `entry`, as far as they are not there; their names.
    pub(super) fn tag(&self, entry: &Entry) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for tag in std::iter::once(&self.registered).chain(&stage_tag(&self.registered, entry)) {
            self.repo.tag(&tag.name, &tag.commit, &tag.message)?;
            names.push(tag.name.clone());
        }
        Ok(names)
    }
}

/// What was tagged, and how others get it.
pub(super) fn render_tags(tags: &[String]) -> String {
    if tags.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = tags.iter().map(|tag| argument(tag)).collect();
    let push = format!("git push origin {}", shown.join(" "));
    format!("  tagged {}; to publish: {}\n", tags.join(" and "), style(push).cyan())
}
