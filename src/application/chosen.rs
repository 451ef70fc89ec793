//! Model versions that a user names: chosen by the replayed ledger, fetched, loaded.

use crate::base::{Failure, Level, Name, Sink};
use crate::infrastructure::keys::Signers;
use crate::infrastructure::store::fetch;
use crate::platform::model::{Registry, Selector, Version, parse_reference};
use crate::platform::project::Project;
use crate::platform::run::{Weights, Workspace};
use crate::platform::serve::Served;
use crate::platform::train::ModelSpec;

/// A version that a user named.
pub(crate) struct Chosen {
    /// The model.
    pub(crate) name: Name,
    /// The stage, if it was named by one.
    pub(crate) stage: Option<Name>,
    /// The version.
    pub(crate) version: Version,
    /// How many entries the ledger had.
    pub(crate) entries: u64,
}

/// The version that `reference` names, by the replayed ledger of its model. Where the project has signers, signatures
/// are verified, and what is live in a stage must have been put there by one of them.
pub(crate) fn choose(project: &Project, reference: &str) -> Result<Chosen, Failure> {
    let (name, selector) = parse_reference(reference)?;
    let signers = match (project.trusted(), &selector) {
        (Ok((_, signers)), _) => signers,
        (Err(failure), Selector::Stage(_)) => return Err(failure),
        // Without a trust branch there are no signers: nothing was ever promoted.
        (Err(_), _) => Signers(String::new()),
    };
    let home = project.ledger_home()?;
    let registry = Registry { home: &home, project: project.id(), signers: &signers };
    let history = registry.history(&name)?;
    if history.entries().is_empty() {
        // A misspelt name is a likelier mistake than a model without versions.
        project.model(name.as_str())?;
    }
    let version = history.select(&selector)?.clone();
    let stage = if let Selector::Stage(stage) = selector { Some(stage) } else { None };
    if let Some(stage) = &stage {
        history.verify_live(stage, &signers)?;
    }
    Ok(Chosen { name, stage, version, entries: history.entries().len() as u64 })
}

/// The version that `reference` names, verified and loaded. What is not here is fetched from the project's store.
pub(crate) fn open(project: &Project, reference: &str, sink: &dyn Sink) -> Result<Served, Failure> {
    load(project, choose(project, reference)?, sink)
}

/// The chosen version, verified and loaded. What is not here is fetched from the project's store.
pub(crate) fn load(project: &Project, chosen: Chosen, sink: &dyn Sink) -> Result<Served, Failure> {
    fetch_files(project, &chosen.name, &chosen.version, sink)?;
    let Chosen { name, stage, version, .. } = chosen;
    Ok(Served::load(&project.store, &name, version.number, stage, version.tree)?)
}

/// The tensors that the training of `model` begins with, if `train.init` names some: those of the version that is chosen as
/// for serving, or of a file.
pub(crate) fn begin(
    project: &Project,
    workspace: &Workspace<'_>,
    name: &Name,
    model: &ModelSpec,
    sink: &dyn Sink,
) -> Result<Option<Weights>, Failure> {
    let Some(init) = &model.train.init else { return Ok(None) };
    if init.is_file() {
        return Ok(Some(Weights::of_file(workspace, name, &init.from, sink)?));
    }
    let chosen = choose(project, &init.from)?;
    fetch_files(project, &chosen.name, &chosen.version, sink)?;
    let Chosen { name, version, .. } = chosen;
    let name = format!("{name}@{}", version.number);
    Ok(Some(Weights::of_version(&project.store, name, version.tree)?))
}

/// Makes the files of a version present in the local store.
pub(crate) fn fetch_files(
    project: &Project,
    name: &Name,
    version: &Version,
    sink: &dyn Sink,
) -> Result<(), Failure> {
    if !project.store.is_complete(&[version.tree])?
        && let Some(remote) = project.ledger_home()?.store()
    {
        sink.log(
            Level::Info,
            &format!("fetching {name}@{} from the store `{}`", version.number, remote.name),
        );
        fetch(&project.store, remote, &[version.tree], &[], sink)?;
    }
    Ok(())
}
