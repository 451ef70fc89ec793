//! What `mlp why` and `mlp impact` ask about: from the words of a user to a thing of the lineage.

use super::Context;
use super::data::subject::{place, relative, root};
use crate::application::judgement::Judging;
use crate::application::{predictions, stores};
use crate::base::Failure;
use crate::infrastructure::store::OnDemand;
use crate::infrastructure::store::worktree::identify;
use crate::platform::model::{History, Lineage, LineageError, ModelError, Thing, parse_reference};
use crate::platform::project::Project;

/// The histories of all models that `mlp.yaml` or a ledger knows.
pub(super) fn histories(judging: &Judging<'_>) -> Result<Vec<History>, Failure> {
    judging.models()?.iter().map(|name| judging.look(name)).collect()
}

/// Runs `work` with the lineage of the project.
pub(super) fn with_lineage<T>(
    project: &Project,
    histories: &[History],
    work: impl FnOnce(&Lineage<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let commit = |id: &str| project.repo.commit_line(id).ok().flatten();
    work(&Lineage::read(&project.store, histories, &commit)?)
}

/// Whether a word that is both a model and a dataset means the dataset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// It means the model.
    Model,
    /// It means the dataset.
    Data,
}

/// What `text` means: a model version, a dataset or a place in one at a revision, a file, the beginning of a digest, a run or a
/// commit, or the id of a logged answer.
pub(super) fn thing(
    text: &str,
    first: First,
    project: &Project,
    context: &Context,
    histories: &[History],
    lineage: &Lineage<'_>,
) -> Result<Thing, Failure> {
    if text.starts_with("b3:") {
        return Ok(lineage.find(text)?);
    }
    let word = text.split('@').next().unwrap_or_default();
    let is_data = project.dataset(word.split('/').next().unwrap_or_default()).is_ok();
    let model = histories.iter().find(|history| history.model().as_str() == word);
    if let Some(history) = model
        && (first == First::Model || !is_data)
        && !(text == word && history.newest().is_none())
    {
        let (_, selector) = parse_reference(text)?;
        return Ok(Thing::Version(history.model().clone(), history.select(&selector)?.number));
    }
    let (path, rev) = match text.rsplit_once('@') {
        Some((path, rev)) if !context.dir.join(text).exists() => (path, Some(rev)),
        _ => (text, None),
    };
    let found = place(text, project, context);
    let here = context.dir.join(path);
    if let Ok(place) = &found
        && (is_data || place.rev.is_some() || place.subject.pointer().exists())
        && (is_data || code(path, rev, project, context, lineage)?.is_none())
    {
        let mut source = OnDemand::new(&project.store, stores::remote(project, None).ok());
        return Ok(Thing::Content(place.node(project, &mut source)?.id));
    }
    if let Some(code) = code(path, rev, project, context, lineage)? {
        return Ok(code);
    }
    if rev.is_none() && here.symlink_metadata().is_ok() && text.contains(['/', '.']) {
        return Ok(Thing::Content(identify(&here, &project.cache(), &context.ui)?.root.id));
    }
    match lineage.find(text) {
        Ok(thing) => Ok(thing),
        Err(ambiguous @ LineageError::Ambiguous { .. }) => Err(ambiguous.into()),
        Err(unknown) => {
            if let Some(run) = lineage.newest_run(text) {
                return Ok(run);
            }
            if let Some((model, line)) = predictions::find(project, text)? {
                return Ok(Thing::Prediction { id: line.id, model, tree: line.model, time: line.time });
            }
            match parse_reference(text) {
                // `digts@3` is a misspelt model, not a misspelt digest.
                Ok((model, _)) if text.contains('@') => {
                    project.model(model.as_str())?;
                    Err(ModelError::NothingRegistered { model }.into())
                }
                _ => Err(unknown.into()),
            }
        }
    }
}

/// The file `path` that git keeps, as it is in the work tree or at `rev`, with the commits of runs that saw it so.
fn code(
    path: &str,
    rev: Option<&str>,
    project: &Project,
    context: &Context,
    lineage: &Lineage<'_>,
) -> Result<Option<Thing>, Failure> {
    let folder = context.dir.canonicalize().unwrap_or_else(|_| context.dir.clone());
    let path = relative(&root(project), &folder.join(path));
    if !project.repo.tracked()?.iter().any(|(tracked, _)| *tracked == path) && rev.is_none() {
        return Ok(None);
    }
    let bytes = match rev {
        Some(rev) => project.repo.file_at(rev, &path).ok().flatten(),
        None => std::fs::read(project.repo.root().join(&path)).ok(),
    };
    let Some(bytes) = bytes else { return Ok(None) };
    let same = |commit: &&str| matches!(project.repo.file_at(commit, &path), Ok(Some(then)) if then == bytes);
    let commits = lineage.commits().filter(same).map(str::to_owned).collect();
    Ok(Some(Thing::Code { path, commits }))
}
