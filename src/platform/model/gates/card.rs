//! `model_card`: the card has its sections, and no placeholders.

use super::{Case, Finding};
use crate::platform::model::written::read;
use crate::platform::model::{Card, ModelCard, Placeholders};

pub(super) const MEANING: &str = "The model card (`card:` of the model) as it stands on the trust branch has a section \
     with text for every field: the heading `Intended use` is the field `intended_use`, at any level. With \
     `placeholders: forbid` no TODO, TBD, FIXME or <text in angle brackets> may remain outside code.";

/// What is asked of a page.
pub(super) struct Asked<'a> {
    /// Whose page it is: ``the model``, ``the dataset `mnist` ``.
    pub(super) owner: &'a str,
    /// Where it could lie.
    pub(super) path: &'a str,
    pub(super) fields: &'a [String],
    pub(super) placeholders: Placeholders,
}

pub(super) fn wanted(gate: &ModelCard) -> String {
    wanted_of("a model card", &gate.fields, gate.placeholders)
}

pub(super) fn wanted_of(what: &str, fields: &[String], placeholders: Placeholders) -> String {
    let fields = match fields {
        [] => what.to_owned(),
        fields => format!("{what} with {}", fields.join(", ")),
    };
    match placeholders {
        Placeholders::Forbid => format!("{fields}, without placeholders"),
        Placeholders::Allow => fields,
    }
}

pub(super) fn find(gate: &ModelCard, case: &Case<'_>) -> Finding {
    let path = format!("docs/{}.md", case.candidate.history.model());
    let asked =
        Asked { owner: "the model", path: &path, fields: &gate.fields, placeholders: gate.placeholders };
    complete(case.rules.card.as_ref(), &asked, case)
}

/// The commands that bring a page to the trust branch.
pub(super) fn commit(path: &str, case: &Case<'_>) -> String {
    let push = if case.rules.source.starts_with("origin/") { " && git push" } else { "" };
    format!("git add {path} && git commit -m \"Complete {path}\"{push}")
}

/// Whether a page is there with all that is asked.
pub(super) fn complete(page: Option<&Card>, asked: &Asked<'_>, case: &Case<'_>) -> Finding {
    let branch = case.rules.branch();
    let Some(page) = page else {
        let Asked { owner, path, .. } = asked;
        return Finding::decided(false, format!("{owner} has no `card:` on {branch}"))
            .next(format!("add `card: {path}` to {owner} in mlp.yaml and commit it"));
    };
    let commit = commit(&page.path, case);
    let Some(text) = &page.text else {
        return Finding::decided(false, format!("`{}` is not on {branch}", page.path))
            .next(format!("write {}, then {commit}", page.path));
    };
    let read = read(text);
    let missing: Vec<&str> =
        asked.fields.iter().map(String::as_str).filter(|field| !read.has(field)).collect();
    let placeholders = match asked.placeholders {
        Placeholders::Forbid => read.placeholders.as_slice(),
        Placeholders::Allow => &[],
    };
    let mut wrong = Vec::new();
    if !missing.is_empty() {
        wrong.push(format!("{} has no {}", page.path, missing.join(", ")));
    }
    if let Some((line, what)) = placeholders.first() {
        let more = match placeholders.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        wrong.push(format!("placeholder `{what}` on line {line}{more}"));
    }
    let finding = if wrong.is_empty() {
        Finding::decided(true, format!("{} is complete", page.path))
    } else {
        Finding::decided(false, wrong.join("; "))
    };
    finding.resting_on(page.digest).next(format!("edit {}, then {commit}", page.path))
}
