//! Beginning with the tensors of another model: `train.init`.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};

use super::TrainError;
use super::network::{Network, begins};
use super::spec::Init;
use crate::base::{Digest, nearest};

/// How many tensors an error names.
const NAMED: usize = 4;

/// What `train.init.from` stands for.
pub struct Origin<'a> {
    /// What people call it: `digits@3`, `weights/base.safetensors`.
    pub name: &'a str,
    /// Digest of the content.
    pub digest: Digest,
    /// Reads the safetensors file; not called by a training that goes on from a checkpoint.
    pub read: &'a (dyn Fn() -> Result<Vec<u8>, TrainError> + Sync),
}

/// The first values of the tensors that `init` takes, by name.
///
/// # Errors
/// [`TrainError::Init`] names every tensor that is missing, of another shape, left over, not of floating-point numbers or
/// not finite; [`TrainError::Setting`] a name in `only` or `except` that begins no tensor.
pub(super) fn tensors(
    init: &Init,
    network: &Network,
    origin: &Origin<'_>,
) -> Result<BTreeMap<String, Vec<f32>>, TrainError> {
    let fail = |detail: String| TrainError::Init { from: origin.name.to_owned(), detail };
    let bytes = (origin.read)()?;
    let found = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|error| fail(format!("it is no safetensors file: {error}")))?;
    check_names(init, network, &found)?;
    let within = |name: &str| {
        let under = |names: &[String]| names.iter().any(|prefix| begins(name, prefix));
        (init.only.is_empty() || under(&init.only)) && !under(&init.except)
    };
    let mut taken = BTreeMap::new();
    let mut wrong = Vec::new();
    for tensor in network.tensors.iter().filter(|tensor| within(&tensor.name)) {
        let name = &tensor.name;
        match found.get(name) {
            None => wrong.push(format!("it has no `{name}`, which is {:?} here", tensor.shape)),
            Some(other) if other.dims() != tensor.shape => {
                wrong.push(format!("`{name}` is {:?} there and {:?} here", other.dims(), tensor.shape));
            }
            Some(other) => match values(other) {
                Ok(values) => drop(taken.insert(name.clone(), values)),
                Err(detail) => wrong.push(format!("`{name}` {detail}")),
            },
        }
    }
    let mut left: Vec<(&String, &Tensor)> = found
        .iter()
        .filter(|(name, _)| within(name) && network.tensors.iter().all(|tensor| tensor.name != **name))
        .collect();
    left.sort_by_key(|(name, _)| *name);
    wrong.extend(left.into_iter().map(|(name, tensor)| {
        format!("`{}`, {:?} there, has no place here", name.escape_debug(), tensor.dims())
    }));
    if wrong.is_empty() && taken.is_empty() {
        wrong.push("none of its tensors is taken".to_owned());
    }
    if wrong.is_empty() {
        return Ok(taken);
    }
    let more = wrong.len().saturating_sub(NAMED);
    wrong.truncate(NAMED);
    let mut detail = wrong.join("; ");
    if more > 0 {
        detail += &format!("; and {more} more");
    }
    Err(fail(detail))
}

/// Every name in `only` and `except` must begin a tensor, here or there: else it is misspelt.
fn check_names(init: &Init, network: &Network, found: &HashMap<String, Tensor>) -> Result<(), TrainError> {
    for (key, names) in [("train.init.only", &init.only), ("train.init.except", &init.except)] {
        for name in names {
            let known = || network.tensors.iter().map(|tensor| &tensor.name).chain(found.keys());
            if known().any(|tensor| begins(tensor, name)) {
                continue;
            }
            let mut known: Vec<&str> = known().map(String::as_str).collect();
            known.sort_unstable();
            let near = nearest(name, known).unwrap_or("layers.1.weight");
            let detail = format!("names no tensor `{name}`; there is `{}`", near.escape_debug());
            return Err(TrainError::setting(key, detail));
        }
    }
    Ok(())
}

/// The values of a tensor of floating-point numbers.
fn values(tensor: &Tensor) -> Result<Vec<f32>, String> {
    let kind = tensor.dtype();
    if !matches!(kind, DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
        return Err(format!("holds {}, not floating-point numbers", kind.as_str()));
    }
    let values = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>());
    let values = values.map_err(|error| error.to_string())?;
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
        false => Err("holds a number that is not finite".to_owned()),
    }
}

#[cfg(test)]
mod tests;
