//! What git says: the rules for a model as they stand on the trust branch, and where a version came from.

use std::collections::BTreeMap;
use std::path::Path;

use super::Judging;
use crate::base::{Digest, Failure, Name, Run};
use crate::platform::data::{DataSpec, Dataset, Pointer};
use crate::platform::model::{Card, DataRule, GateSpec, Origin, Rules, Selector, parse_reference};
use crate::platform::project::{FILE, Manifest, Project};

/// The rules for `model`.
pub(super) fn rules(judging: &Judging<'_>, model: &Name) -> Result<Rules, Failure> {
    let manifest = &judging.manifest;
    let spec = manifest.models.get(model);
    let stages = Project::stages(manifest, Some(model), judging.time);
    let mut data = BTreeMap::new();
    for (name, spec) in &manifest.data {
        data.insert(name.clone(), data_rule(judging, name, spec)?);
    }
    let mut files = BTreeMap::new();
    for gate in stages.values().flat_map(|stage| stage.gates.values()) {
        let path = match gate {
            GateSpec::Charter(charter) => &charter.path,
            GateSpec::Serve(serve) => &serve.golden,
            _ => continue,
        };
        files.insert(path.clone(), page(judging, path)?);
    }
    let card = spec.and_then(|spec| spec.card.as_ref());
    Ok(Rules {
        source: judging.trust.name.clone(),
        commit: judging.trust.rev.clone(),
        stages,
        roles: manifest.project.roles.clone(),
        signers: judging.signers.clone(),
        signers_path: manifest.trust.signers.clone(),
        separation: manifest.trust.separation,
        waivers: manifest.waivers.clone(),
        data,
        dataset: spec.map(|spec| spec.data.clone()),
        card: card.map(|path| page(judging, path)).transpose()?,
        files,
        licence: spec.and_then(|spec| spec.licence.clone()),
    })
}

fn data_rule(judging: &Judging<'_>, name: &Name, spec: &DataSpec) -> Result<DataRule, Failure> {
    let dataset = Dataset::new(name, spec, &judging.project.root);
    Ok(DataRule {
        path: spec.path.clone(),
        settings: dataset.settings(),
        expectations: spec.expect.len(),
        overlap: spec.guard.overlap,
        near: spec.guard.near,
        card: spec.card.as_ref().map(|path| page(judging, path)).transpose()?,
        licence: spec.licence.clone(),
    })
}

/// A text file of the project on the trust branch.
pub(super) fn page(judging: &Judging<'_>, path: &str) -> Result<Card, Failure> {
    let project = judging.project;
    let bytes = project.repo.file_at(&judging.trust.rev, &project.in_repo(path))?;
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let digest = text.as_ref().map(|text| Digest::of(text.as_bytes()));
    Ok(Card { path: path.to_owned(), text, digest })
}

/// What git and the ledgers know of where a run came from.
pub(super) fn origin(judging: &Judging<'_>, commit: Option<&str>, run: Option<&Run>) -> Origin {
    let repo = &judging.project.repo;
    let Some(commit) = commit else { return Origin::default() };
    let author = repo.commit_author(commit).ok().flatten();
    let shallow = repo.has_whole_history().is_ok_and(|whole| !whole);
    let Some(run) = run.filter(|_| author.is_some()) else {
        return Origin { author, shallow, inputs: BTreeMap::new() };
    };
    let file = |path: &str| repo.file_at(commit, &judging.project.in_repo(path)).ok().flatten();
    let manifest = file(FILE).and_then(|bytes| Project::parse(bytes, Path::new(FILE)).ok());
    let version = |name: &String| {
        let known = known(judging, manifest.as_ref(), &file, name)?;
        Some((name.clone(), known))
    };
    Origin { inputs: run.data.keys().filter_map(version).collect(), author, shallow }
}

/// The version of the input `name` that the commit names, or the ledger for `digits@3`.
fn known(
    judging: &Judging<'_>,
    manifest: Option<&Manifest>,
    file: &dyn Fn(&str) -> Option<Vec<u8>>,
    name: &str,
) -> Option<Digest> {
    if let Ok((model, Selector::Version(number))) = parse_reference(name) {
        let history = judging.registry().history(&model).ok()?;
        return history.version(number).ok().map(|version| version.tree);
    }
    let dataset = manifest.and_then(|manifest| {
        let mut data = manifest.data.iter();
        data.find(|(known, _)| known.as_str() == name).map(|(_, spec)| spec.path.as_str())
    });
    let path = dataset.unwrap_or(name).trim_end_matches('/');
    if let Some(pointer) = file(&Pointer::beside(Path::new(path)).to_string_lossy()) {
        let text = String::from_utf8(pointer).ok()?;
        return Some(Pointer::parse(&text, Path::new(path)).ok()?.node().id);
    }
    Some(Digest::of(&file(path)?))
}
