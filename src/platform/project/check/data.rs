//! What lies there: headers, shapes and names of datasets, against what `mlp.yaml` says of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::Found;
use crate::base::{Diagnose, Name, nearest};
use crate::platform::data::{DataError, Dataset, Format, Glance};
use crate::platform::project::Manifest;
use crate::platform::train::ModelSpec;

/// Looks at each dataset that a model uses, without reading an example; answers what could be told of those that are right. What nobody
/// trains on may be anything: it is only kept.
pub(super) fn datasets<'m>(
    manifest: &'m Manifest,
    root: &Path,
    found: &mut Found<'_>,
) -> BTreeMap<&'m Name, Glance> {
    let mut glances = BTreeMap::new();
    let is_used = |name: &Name| manifest.models.values().any(|model| model.data == *name);
    for (name, spec) in manifest.data.iter().filter(|(name, _)| is_used(name)) {
        match Dataset::new(name, spec, root).glance(None) {
            Ok(glance) => drop(glances.insert(name, glance)),
            Err(error) => report(&["data", name.as_str()], &error, found),
        }
    }
    for (name, model) in &manifest.models {
        let Some(glance) = glances.get(&model.data) else { continue };
        slices(name, model, manifest, glance, found);
        let (Some(shape), Some(spec)) = (&model.input.shape, manifest.data.get(&model.data)) else {
            continue;
        };
        if glance.shape.is_none() {
            continue;
        }
        let path = ["models", name.as_str(), "input", "shape"];
        if let Some(length) = glance.shape.as_ref().filter(|_| spec.format == Format::Text)
            && length != shape
        {
            let message = format!("its texts have the shape {length:?}, not {shape:?}");
            found.error(
                "data::shape",
                &path,
                message,
                "`length` of the dataset says how many tokens a text has",
            );
        } else if let Err(error) = Dataset::new(&model.data, spec, root).glance(Some(shape)) {
            report(&path, &error, found);
        }
    }
    glances
}

fn report(path: &[&str], error: &DataError, found: &mut Found<'_>) {
    let hint = error.hint().unwrap_or_else(|| "`mlp data info` tells what lies there".to_owned());
    found.error(error.code(), path, error.to_string(), &hint);
}

/// Whether the examples have what slices are made by.
fn slices(name: &Name, model: &ModelSpec, manifest: &Manifest, glance: &Glance, found: &mut Found<'_>) {
    let Some(slices) = &model.evaluate.slices else { return };
    let Some(data) = manifest.data.get(&model.data) else { return };
    let by = slices.by.as_str();
    let label = "label";
    let none: &[String] = &[];
    let columns = match (&glance.columns, data.format) {
        (Some(columns), _) => columns.as_slice(),
        // What lies there is not known yet.
        (None, Format::Csv | Format::Parquet) => return,
        (None, _) => none,
    };
    if by == label || columns.iter().any(|column| column == by) {
        return;
    }
    let is_target = data.target.as_deref() == Some(by);
    let near = nearest(by, columns.iter().map(String::as_str).chain([label]));
    let near = if is_target { Some(label) } else { near };
    let hint = match near {
        Some(near) => format!("did you mean `{}`?", near.escape_debug()),
        None => format!("these examples only have `{label}`"),
    };
    let message = format!("`{}` has no column `{}` to make slices by", model.data, by.escape_debug());
    let path = ["models", name.as_str(), "evaluate", "slices", "by"];
    found.error("train::setting", &path, message, &hint);
}
