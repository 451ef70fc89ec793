//! What is predicted for: files and folders, and versions of datasets, checked out or not.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::Context;
use super::super::data::subject::{place, source};
use super::partial::Input;
use crate::base::Failure;
use crate::infrastructure::durable;
use crate::infrastructure::store::Node;
use crate::infrastructure::store::worktree::{CheckoutOptions, checkout, identify};
use crate::platform::data::Dataset;
use crate::platform::project::Project;
use crate::platform::serve::{Batch, ServeError, Served};
use crate::platform::train::TrainError;

/// The parts of a dataset, in the order that they are predicted.
const PARTS: [&str; 3] = ["train", "val", "test"];

/// An input that was found.
pub(super) struct Found {
    /// What goes into the lineage.
    pub(super) input: Input,
    place: Place,
}

enum Place {
    /// A file or folder, or `-`.
    Path(String),
    /// A whole version of a dataset.
    Dataset(Box<Dataset>, Node),
    /// A file or folder of a version.
    Stored(Node),
}

/// What `text` names. A dataset's name goes before a path of the same beginning, as everywhere.
pub(super) fn find(text: &str, project: &Project, context: &Context) -> Result<Found, Failure> {
    let path = below(&context.dir, text);
    let word = text.split(['@', '/']).next().unwrap_or_default();
    let is_dataset = project.dataset(word).is_ok();
    if text == "-" || (!is_dataset && Path::new(&path).exists()) {
        let digest = match text {
            "-" => None,
            _ => Some(identify(Path::new(&path), &project.cache(), &context.ui)?.root.id),
        };
        let input = Input { name: text.to_owned(), dataset: None, digest, settings: None };
        return Ok(Found { input, place: Place::Path(path) });
    }
    if !is_dataset && !text.contains('@') {
        // A slip must not touch what an earlier call left.
        let source = std::fs::metadata(&path).err().unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
        return Err(ServeError::Io { action: "read", path: path.into(), source }.into());
    }
    let place = place(text, project, context)?;
    let node = place.node(project, &mut source(project, None)?)?;
    let mut input = Input {
        name: text.to_owned(),
        dataset: Some(place.subject.name.clone()),
        digest: Some(node.id),
        settings: None,
    };
    let place = match project.dataset(&place.subject.name) {
        Ok(dataset) if place.inner.is_empty() => {
            input.settings = Some(dataset.settings());
            Place::Dataset(Box::new(dataset), node)
        }
        _ => Place::Stored(Node { name: place.file_name().into_bytes(), ..node }),
    };
    Ok(Found { input, place })
}

/// Refuses outputs that would replace an input, or be one the next time: `outputs` are all files that are written.
pub(super) fn apart(
    inputs: &[String],
    outputs: &[PathBuf],
    project: &Project,
    context: &Context,
) -> Result<(), Failure> {
    for text in inputs.iter().filter(|text| *text != "-") {
        let (word, inner) = text.split_once('/').unwrap_or((text, ""));
        let path = match project.dataset(word) {
            Ok(dataset) if inner.is_empty() => dataset.path,
            Ok(dataset) => dataset.path.join(inner),
            Err(_) => below(&context.dir, text).into(),
        };
        let Ok(input) = path.canonicalize() else { continue };
        for output in outputs {
            // Where it will stand, and what stands there, which may be a link.
            let folder = durable::folder_of(output).canonicalize();
            let will = folder.map(|folder| folder.join(output.file_name().unwrap_or_default()));
            if [will, output.canonicalize()].iter().flatten().any(|output| output.starts_with(&input)) {
                let detail = format!("is the input `{text}` or lies in it; write the predictions elsewhere");
                return Err(ServeError::Input { path: output.display().to_string(), detail }.into());
            }
        }
    }
    Ok(())
}

/// Predicts all of `found`; `part` of datasets if not all.
pub(super) fn predict(
    found: Found,
    part: Option<&str>,
    served: &Served,
    batch: &mut Batch<'_>,
    project: &Project,
    context: &Context,
) -> Result<(), Failure> {
    match found.place {
        Place::Path(path) => batch.file(&path)?,
        Place::Stored(node) => {
            let name = String::from_utf8_lossy(&node.name).into_owned();
            let laid_out = lay_out(&node, &name, project, context)?;
            let path = laid_out.path().join(&name);
            batch.file_as(&found.input.name, &path)?;
        }
        Place::Dataset(dataset, node) => {
            let mut dataset = *dataset;
            let here = dataset.version(&project.cache(), &project.store, &context.ui);
            let mut laid_out = None;
            if !here.is_ok_and(|here| here.id == node.id) {
                let name = dataset.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let folder = lay_out(&node, &name, project, context)?;
                dataset.path = folder.path().join(name);
                laid_out = Some(folder);
            }
            if let Some(encoding) = &served.signature.encoding {
                dataset = dataset.encoded(encoding.clone());
            }
            if let Some(text) = &served.signature.text {
                dataset = dataset.tokenized(text.clone());
            }
            let shape = (!dataset.spec.format.is_table()).then_some(served.signature.shape.as_slice());
            let parts = dataset.load(shape, &context.ui)?;
            let name = found.input.name;
            for each in PARTS.into_iter().filter(|each| part.is_none_or(|part| part == *each)) {
                let examples = parts.part(each).filter(|examples| !examples.is_empty());
                match (examples, part) {
                    (Some(examples), _) => batch.examples(&name, examples)?,
                    (None, Some(part)) => {
                        return Err(TrainError::Data(format!("`{name}` has no part `{part}`")).into());
                    }
                    (None, None) => {}
                }
            }
            drop(laid_out);
        }
    }
    Ok(())
}

/// Writes a version into a folder of its own that goes when it is dropped; what is not here is fetched.
fn lay_out(node: &Node, name: &str, project: &Project, context: &Context) -> Result<TempDir, Failure> {
    source(project, None)?.complete(&[node.id], &context.ui)?;
    let state = project.repo.state_dir();
    let folder = tempfile::Builder::new()
        .prefix("predict-")
        .tempdir_in(&state)
        .map_err(|source| ServeError::Io { action: "make a folder in", path: state, source })?;
    let options = CheckoutOptions { force: true, kept: None };
    checkout(node, &folder.path().join(name), &project.store, None, options, &context.ui)?;
    Ok(folder)
}

/// A path as given, below the folder of `-C`; a path is shown as short as it can be.
fn below(dir: &Path, file: &str) -> String {
    if file == "-" || dir == Path::new(".") {
        return file.to_owned();
    }
    dir.join(PathBuf::from(file)).to_string_lossy().into_owned()
}
