//! The stages of a `dvc.yaml`, as steps of `mlp.yaml`.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::template::{merge, resolve, resolve_all};
use super::{join, yaml};
use crate::platform::data::DataError;

/// A stage as a step: what it runs, reads and makes. The paths count from the root of the git repository.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The stage's name; that of one of several variants has the variant behind it.
    pub name: String,
    /// Its commands as one.
    pub run: String,
    /// The folder that they run in.
    pub folder: String,
    /// Dependencies and files of parameters.
    pub inputs: Vec<String>,
    /// Outputs, metrics and plots.
    pub outputs: Vec<String>,
}

#[derive(Deserialize)]
struct Pipeline {
    #[serde(default)]
    vars: Vec<Value>,
    #[serde(default)]
    stages: IndexMap<String, Map<String, Value>>,
}

/// A stage with all references resolved.
#[derive(Deserialize)]
struct Stage {
    cmd: Value,
    #[serde(default)]
    wdir: Option<String>,
    #[serde(default)]
    deps: Vec<Value>,
    #[serde(default)]
    params: Vec<Value>,
    #[serde(default)]
    outs: Vec<Value>,
    #[serde(default)]
    metrics: Vec<Value>,
    #[serde(default)]
    plots: Vec<Value>,
}

/// Folders that stages say they run in, as written.
pub(super) fn folders(root: &Path, file: &str) -> Result<BTreeMap<String, String>, DataError> {
    let pipeline: Pipeline = yaml(root, file)?;
    let folder = |stage: &Map<String, Value>| {
        let stage = stage.get("do").and_then(Value::as_object).unwrap_or(stage);
        stage.get("wdir").and_then(Value::as_str).map(str::to_owned)
    };
    Ok(pipeline.stages.iter().filter_map(|(name, stage)| Some((name.clone(), folder(stage)?))).collect())
}

/// A stage that has no step, and why.
pub type Unconverted = (String, String);

/// The steps of the `dvc.yaml` at `file` (below `root`), and the stages that have none.
pub fn convert(root: &Path, file: &str) -> Result<(Vec<Converted>, Vec<Unconverted>), DataError> {
    let pipeline: Pipeline = yaml(root, file)?;
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut context = Map::new();
    if let Ok(params) = yaml::<Map<String, Value>>(root, &join(folder, "params.yaml")) {
        merge(&mut context, params);
    }
    let (mut steps, mut failed) = (Vec::new(), Vec::new());
    for vars in &pipeline.vars {
        if let Err(why) = add_vars(vars, root, folder, &mut context) {
            failed.push(("vars".to_owned(), why));
        }
    }
    for (name, stage) in &pipeline.stages {
        match variants(name, stage, root, folder, &context) {
            Ok(variants) => steps.extend(variants),
            Err(why) => failed.push((name.clone(), why)),
        }
    }
    Ok((steps, failed))
}

/// One entry of `vars:`: values, or `file` or `file:key,key`.
fn add_vars(vars: &Value, root: &Path, folder: &str, context: &mut Map<String, Value>) -> Result<(), String> {
    match vars {
        Value::Object(values) => merge(context, values.clone()),
        Value::String(text) => {
            let (file, keys) =
                text.split_once(':').map_or((text.as_str(), None), |(file, keys)| (file, Some(keys)));
            let mut values: Map<String, Value> =
                yaml(root, &join(folder, file)).map_err(|error| error.to_string())?;
            if let Some(keys) = keys {
                values.retain(|key, _| keys.split(',').any(|wanted| wanted == key));
            }
            merge(context, values);
        }
        _ => return Err("an entry of `vars` is neither a file nor values".to_owned()),
    }
    Ok(())
}

/// The stage, or what its `foreach` or `matrix` makes of it.
fn variants(
    name: &str,
    stage: &Map<String, Value>,
    root: &Path,
    folder: &str,
    context: &Map<String, Value>,
) -> Result<Vec<Converted>, String> {
    let with = |body: &Map<String, Value>, end: Option<&str>, more: Map<String, Value>| {
        let mut context = context.clone();
        context.extend(more);
        for vars in body.get("vars").and_then(Value::as_array).into_iter().flatten() {
            add_vars(vars, root, folder, &mut context)?;
        }
        let name = end.map_or(name.to_owned(), |end| format!("{name}-{end}"));
        one(name, body, folder, &context)
    };
    let item = |value: &Value| Map::from_iter([("item".to_owned(), value.clone())]);
    if let Some(each) = stage.get("foreach") {
        let body = stage.get("do").and_then(Value::as_object).ok_or("`foreach` has no `do`")?;
        return match resolve_all(each, context)? {
            Value::Array(items) => {
                let numbered = items.iter().enumerate();
                numbered.map(|(n, value)| with(body, Some(&label(value, n)), item(value))).collect()
            }
            Value::Object(items) => items
                .iter()
                .map(|(key, value)| {
                    let mut more = item(value);
                    more.insert("key".to_owned(), Value::String(key.clone()));
                    with(body, Some(key), more)
                })
                .collect(),
            _ => Err("`foreach` is neither a list nor a map".to_owned()),
        };
    }
    if let Some(matrix) = stage.get("matrix") {
        let Value::Object(matrix) = resolve_all(matrix, context)? else {
            return Err("`matrix` is not a map".to_owned());
        };
        let mut cells = vec![(Vec::new(), Map::new())];
        for (key, values) in &matrix {
            let values = values.as_array().ok_or_else(|| format!("`matrix.{key}` is not a list"))?;
            let longer = |(labels, cell): &(Vec<String>, Map<String, Value>)| {
                let (labels, cell, key) = (labels.clone(), cell.clone(), key.clone());
                values.iter().enumerate().map(move |(n, value)| {
                    let (mut labels, mut cell) = (labels.clone(), cell.clone());
                    labels.push(match value {
                        Value::Object(_) | Value::Array(_) => format!("{key}{n}"),
                        value => label(value, n),
                    });
                    cell.insert(key.clone(), value.clone());
                    (labels, cell)
                })
            };
            cells = cells.iter().flat_map(longer).collect();
            if cells.len() > 10_000 {
                return Err("`matrix` has more than 10,000 cells".to_owned());
            }
        }
        let cell = |(labels, cell): (Vec<String>, Map<String, Value>)| {
            let end = labels.join("-");
            let mut more = Map::from_iter([("key".to_owned(), Value::String(end.clone()))]);
            more.insert("item".to_owned(), Value::Object(cell));
            with(stage, Some(&end), more)
        };
        return cells.into_iter().map(cell).collect();
    }
    Ok(vec![with(stage, None, Map::new())?])
}

/// The text of a simple value, or its number.
fn label(value: &Value, n: usize) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) | Value::Null => n.to_string(),
        value => value.to_string(),
    }
}

fn one(
    name: String,
    body: &Map<String, Value>,
    folder: &str,
    context: &Map<String, Value>,
) -> Result<Converted, String> {
    let known = ["cmd", "wdir", "deps", "params", "outs", "metrics", "plots"];
    let body = body.iter().filter(|(key, _)| known.contains(&key.as_str()));
    let body = body.map(|(key, value)| {
        // A map in a command becomes options: it is resolved as a text.
        let value = match (key.as_str(), value) {
            ("cmd", Value::String(text)) => Value::String(resolve(text, context)?),
            (_, value) => resolve_all(value, context)?,
        };
        Ok((key.clone(), value))
    });
    let body: Map<String, Value> = body.collect::<Result<_, String>>()?;
    let stage: Stage = serde_json::from_value(Value::Object(body)).map_err(|error| error.to_string())?;
    let place = join(folder, stage.wdir.as_deref().unwrap_or_default());
    let commands: Vec<&str> = match &stage.cmd {
        Value::String(text) => vec![text.trim()],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::trim).collect(),
        _ => return Err("`cmd` is neither a text nor a list".to_owned()),
    };
    let mut inputs = paths(&stage.deps, &place);
    for params in &stage.params {
        let files = match params {
            Value::Object(files) => files.keys().map(String::as_str).collect(),
            _ => vec!["params.yaml"],
        };
        inputs.extend(files.into_iter().map(|file| join(&place, file)));
    }
    let mut outputs =
        [&stage.outs, &stage.metrics, &stage.plots].iter().flat_map(|list| paths(list, &place)).collect();
    for list in [&mut inputs, &mut outputs] {
        let mut seen = std::collections::HashSet::new();
        list.retain(|path: &String| seen.insert(path.clone()));
    }
    if let Some(outside) =
        inputs.iter().chain(&outputs).find(|path| path.starts_with(['/', '.']) || path.contains("://"))
    {
        return Err(format!("`{outside}` lies outside of the repository"));
    }
    Ok(Converted { name, run: commands.join(" && "), folder: place, inputs, outputs })
}

/// Paths of a list whose entries are texts or maps of one path each.
fn paths(list: &[Value], place: &str) -> Vec<String> {
    let each = list.iter().flat_map(|entry| match entry {
        Value::String(path) => vec![path.clone()],
        Value::Object(map) => map.keys().cloned().collect(),
        _ => Vec::new(),
    });
    each.map(|path| if path.contains("://") { path } else { join(place, &path) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(pipeline: &str, params: &str) -> (Vec<Converted>, Vec<Unconverted>) {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("dvc.yaml"), pipeline).expect("writes");
        std::fs::write(folder.path().join("params.yaml"), params).expect("writes");
        convert(folder.path(), "dvc.yaml").expect("converts")
    }

    #[test]
    fn a_stage_becomes_a_step() {
        let (steps, failed) = converted(
            "stages:\n  train:\n    cmd: [python train.py, 'echo ${lr}']\n    wdir: src\n    deps: [train.py, ../data]\n    params: [lr, {other.yaml: [a]}]\n\
             \x20   outs: [../model.bin: {persist: true}]\n    metrics: [m.json: {cache: false}]\n    desc: words\n",
            "lr: 0.1\n",
        );
        assert!(failed.is_empty(), "{failed:?}");
        let step = &steps[0];
        assert_eq!((step.name.as_str(), step.run.as_str()), ("train", "python train.py && echo 0.1"));
        assert_eq!(step.folder, "src");
        assert_eq!(step.inputs, ["src/train.py", "data", "src/params.yaml", "src/other.yaml"]);
        assert_eq!(step.outputs, ["model.bin", "src/m.json"]);
    }

    #[test]
    fn foreach_and_matrix_make_one_step_each() {
        let (steps, failed) = converted(
            "vars: [{sizes: [1, 2]}]\nstages:\n  a:\n    foreach: ${sizes}\n    do:\n      cmd: run ${item}\n      outs: ['out/${item}']\n\
             \x20 b:\n    foreach: {us: {n: 1}, eu: {n: 2}}\n    do: {cmd: 'go ${key} ${item.n}'}\n\
             \x20 c:\n    matrix: {m: [x, y], s: '${sizes}'}\n    cmd: fit ${item.m} ${item.s} > ${key}\n\
             \x20 d: {cmd: 'x ${missing}'}\n",
            "",
        );
        let told: Vec<_> = steps.iter().map(|step| format!("{}: {}", step.name, step.run)).collect();
        assert_eq!(
            told,
            [
                "a-1: run 1",
                "a-2: run 2",
                "b-us: go us 1",
                "b-eu: go eu 2",
                "c-x-1: fit x 1 > x-1",
                "c-x-2: fit x 2 > x-2",
                "c-y-1: fit y 1 > y-1",
                "c-y-2: fit y 2 > y-2"
            ]
        );
        assert_eq!(steps[0].outputs, ["out/1"]);
        assert_eq!(failed.len(), 1);
        assert!(failed[0].1.contains("missing"), "{failed:?}");
    }
}
