//! The model that is served: verified byte by byte, then loaded from memory.

use std::sync::Arc;

use super::{ServeError, Signature, engine};
use crate::base::{Digest, Name};
use crate::infrastructure::store::{Local, NodeKind, StoreError};
use crate::platform::data::Inputs;
use crate::platform::monitor::SKETCHES;
use crate::platform::train::Model;

/// The files of a model version.
const WEIGHTS: &str = "model.safetensors";
const DESCRIPTION: &str = "model.json";

/// A model version, ready to predict.
pub struct Served {
    /// The model's name.
    pub name: Name,
    /// The version's number.
    pub version: u64,
    /// The stage it was chosen by, if it was.
    pub stage: Option<Name>,
    /// Tree of its files: what every answer names.
    pub tree: Digest,
    /// What its inputs look like.
    pub signature: Signature,
    /// The model.
    pub model: Model,
}

impl Served {
    /// Reads the version's files from the store, which rehashes every byte, and loads them.
    ///
    /// The files never touch a disk on the way: what is loaded is what was verified.
    pub fn load(
        store: &Local,
        name: &Name,
        version: u64,
        stage: Option<Name>,
        tree: Digest,
    ) -> Result<Self, ServeError> {
        let model = load(store, &format!("{name}@{version}"), tree)?;
        Ok(Self { name: name.clone(), version, stage, tree, signature: Signature::of(&model), model })
    }

    /// Makes one prediction, for an input of zeros: a model whose kernels fail or whose numbers are not finite is found before
    /// a client asks it.
    pub fn try_out(&self) -> Result<(), ServeError> {
        let inputs = match self.signature.pixels {
            true => Inputs::U8(Arc::new(vec![0; self.signature.size()])),
            false => Inputs::F32(Arc::new(vec![0.0; self.signature.size()])),
        };
        engine::run(self, 1, &inputs).and_then(engine::finite).map(drop).map_err(|refusal| {
            ServeError::NotAModel { model: self.reference(), tree: self.tree, detail: refusal.message }
        })
    }

    /// The model's name and version: `digits@3`.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

impl Signature {
    /// What the inputs of a model look like.
    pub fn of(model: &Model) -> Self {
        Self {
            shape: model.shape.clone(),
            pixels: model.pixels,
            encoding: model.encoding.clone(),
            text: model.text.clone(),
        }
    }
}

/// The model whose files are the tree `tree`; `label` names it in errors.
pub fn load(store: &Local, label: &str, tree: Digest) -> Result<Model, ServeError> {
    let bytes = |source: StoreError| ServeError::Bytes { model: label.to_owned(), source };
    let not_a_model = |detail: String| ServeError::NotAModel { model: label.to_owned(), tree, detail };
    let folder = store.tree(&tree).map_err(bytes)?;
    let mut weights = None;
    let mut description = None;
    for node in &folder.nodes {
        let name = String::from_utf8_lossy(&node.name);
        let slot = match &*name {
            WEIGHTS => &mut weights,
            DESCRIPTION => &mut description,
            // What the model was trained on: for monitoring, not for answers.
            SKETCHES => continue,
            other => return Err(not_a_model(format!("`{}` does not belong", other.escape_debug()))),
        };
        if !matches!(node.kind, NodeKind::File | NodeKind::Executable) {
            return Err(not_a_model(format!("`{name}` is not a file")));
        }
        *slot = Some(node.id);
    }
    let missing = |name: &str| not_a_model(format!("`{name}` is missing"));
    let weights = weights.ok_or_else(|| missing(WEIGHTS))?;
    let description = description.ok_or_else(|| missing(DESCRIPTION))?;
    let weights = store.read(&weights).map_err(bytes)?;
    let description = store.read(&description).map_err(bytes)?;
    Ok(Model::from_bytes(&description, &weights)?)
}
