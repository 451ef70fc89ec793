//! What types cannot hold: every reference names something, every number makes sense.

mod gates;
mod monitor;
mod serving;

use super::Manifest;
use crate::base::{Name, nearest, variables};
use crate::infrastructure::git::is_branch;
use crate::platform::data::{DataSpec, Expectation, Format, NearGuard, Range, Source};
use crate::platform::run::StepSpec;
use crate::platform::train::{Augment, Layer, METRICS, ModelSpec, is_metric};

/// A mistake whose place is still a path of keys.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Keys from the root; positions in lists are `[2]`.
    pub(super) path: Vec<String>,
}

impl Wrong {
    fn value(path: &[&str], message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: "project::invalid-value",
            message: format!("`{}`: {}", dotted(path), message.into()),
            hint: Some(hint.into()),
            path: path.iter().map(|step| (*step).to_owned()).collect(),
        }
    }

    fn reference(path: &[&str], kind: &str, wrong: &str, known: &[&str]) -> Self {
        let hint = match nearest(wrong, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("`mlp.yaml` has no {kind} yet"),
            None => format!(
                "there is {}",
                known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        let wrong = wrong.chars().take(80).collect::<String>();
        let message = format!("no {kind} `{}`", wrong.escape_debug());
        Self { code: "project::unknown-reference", ..Self::value(path, message, hint) }
    }
}

fn dotted(path: &[&str]) -> String {
    path.join(".").replace(".[", "[")
}

type Checked = Result<(), Wrong>;

/// Parts of a dataset.
const PARTS: [&str; 3] = ["train", "val", "test"];

/// Checks a manifest as read.
pub(super) fn check(manifest: &Manifest) -> Checked {
    if manifest.mlp != 1 {
        let message = format!("version {} of the format is not known", manifest.mlp);
        return Err(Wrong {
            code: "project::version",
            ..Wrong::value(&["mlp"], message, "this version of mlp knows `mlp: 1`")
        });
    }
    relative(&["trust", "signers"], &manifest.trust.signers)?;
    if !is_branch(&manifest.trust.branch) {
        let message = format!("`{}` cannot be the name of a branch", manifest.trust.branch.escape_debug());
        return Err(Wrong::value(&["trust", "branch"], message, "write the branch alone: `main`"));
    }
    for (name, data) in &manifest.data {
        dataset(&["data", name.as_str()], data)?;
    }
    apart(manifest)?;
    for (name, spec) in &manifest.models {
        model(manifest, &["models", name.as_str()], spec)?;
    }
    for (name, step) in &manifest.steps {
        let path = ["steps", name.as_str()];
        if manifest.models.contains_key(name) {
            let message = format!("`{name}` is a model too, and `mlp run {name}` must mean one of them");
            return Err(Wrong::value(&path, message, "give the step another name"));
        }
        for (key, files) in [("in", &step.inputs), ("out", &step.outputs)] {
            for (i, file) in files.iter().enumerate() {
                relative(&[&path[..], &[key, &index(i)]].concat(), file)?;
            }
        }
    }
    for (name, step) in &manifest.steps {
        secrets(&["steps", name.as_str()], step)?;
        for (key, count) in
            [("nodes", step.resources.nodes), ("ranks_per_node", step.resources.ranks_per_node)]
        {
            let path = ["steps", name.as_str(), "resources", key];
            between(&path, f64::from(count.unwrap_or(1)), 1.0..=65_536.0, "write a number from 1 on")?;
        }
    }
    monitor::check(manifest)?;
    gates::stages(manifest)?;
    serving::serve(&["serve"], &manifest.serve)?;
    for (i, waiver) in manifest.waivers.iter().enumerate() {
        gates::waived(manifest, &["waivers", &index(i)], waiver)?;
    }
    Ok(())
}

/// Names that a worker can be given a value by, once.
fn secrets(path: &[&str], step: &StepSpec) -> Checked {
    for (i, name) in step.secrets.iter().enumerate() {
        let i = index(i);
        let path = at(path, &["secrets", &i]);
        variable(&path, name)?;
        if step.env.contains(name) {
            let message = format!("`{name}` stands under `env`, too");
            return Err(Wrong::value(&path, message, "take it out of `env`"));
        }
    }
    Ok(())
}

/// The name of a secret: one that a variable can have, and none of mlp's own.
fn variable(path: &[&str], name: &str) -> Checked {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let digit = name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || digit || !name.chars().all(letter) {
        let message = format!("`{}` cannot be the name of a variable", name.escape_debug());
        let hint = "write the name alone, of letters, digits and `_`; the value never stands here";
        return Err(Wrong::value(path, message, hint));
    }
    if name.starts_with(variables::PREFIX) {
        let message = format!("`{name}` is one of mlp's own variables");
        return Err(Wrong::value(path, message, "give the secret another name"));
    }
    Ok(())
}

fn index(i: usize) -> String {
    format!("[{i}]")
}

/// A path that stays within the project.
fn relative(path: &[&str], file: &str) -> Checked {
    let part = |part: &str| part == ".." || part == ".git";
    let outside = file.starts_with('/') || file.split(['/', '\\']).any(part) || file.get(1..2) == Some(":");
    if file.is_empty() || outside || file.contains('\\') {
        let message = format!("`{}` is not a path within the project", file.escape_debug());
        return Err(Wrong::value(
            path,
            message,
            "write it relative to `mlp.yaml`, with `/` and without `..`",
        ));
    }
    Ok(())
}

fn at<'a>(path: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [path, more].concat()
}

/// A number within a range; what is not a number is outside.
fn between(path: &[&str], value: f64, range: std::ops::RangeInclusive<f64>, hint: &str) -> Checked {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(Wrong::value(path, format!("{value} is out of range"), hint))
    }
}

/// What only texts have.
fn texts(path: &[&str], data: &DataSpec) -> Checked {
    let given = [
        ("text", data.text.is_some()),
        ("tokenizer", data.tokenizer.is_some()),
        ("length", data.length.is_some()),
    ];
    if data.format != Format::Text {
        return match given.into_iter().find(|(_, is_there)| *is_there) {
            Some((key, _)) => {
                let message = format!("`{key}` means something for the format `text` alone");
                Err(Wrong::value(&at(path, &[key]), message, "leave it out, or write `format: text`"))
            }
            None => Ok(()),
        };
    }
    if let Some(length) = data.length {
        between(
            &at(path, &["length"]),
            length as f64,
            1.0..=65_536.0,
            "write a number of tokens from 1 to 65536",
        )?;
    }
    data.tokenizer.as_ref().map_or(Ok(()), |file| relative(&at(path, &["tokenizer"]), file))
}

fn dataset(path: &[&str], data: &DataSpec) -> Checked {
    relative(&at(path, &["path"]), &data.path)?;
    if let Some(card) = &data.card {
        relative(&at(path, &["card"]), card)?;
    }
    if data.format.is_table() && data.target.is_none() {
        let message = "a table (CSV, Parquet) needs `target`, the column that is predicted";
        let hint = "add `target: COLUMN` there";
        return Err(Wrong { code: "project::missing-key", ..Wrong::value(path, message, hint) });
    }
    texts(path, data)?;
    for (i, item) in data.source.iter().enumerate() {
        source(&at(path, &["source", &index(i)]), item)?;
    }
    for (i, expectation) in data.expect.iter().enumerate() {
        let at_item = at(path, &["expect"]);
        let i = index(i);
        let range = match expectation {
            Expectation::Rows(range) | Expectation::PerClass(range) => *range,
            Expectation::Column(column) => Range { min: column.min, max: column.max },
        };
        if let (Some(min), Some(max)) = (range.min, range.max)
            && (min > max || min.is_nan() || max.is_nan())
        {
            return Err(Wrong::value(&at(&at_item, &[&i]), "`min` is over `max`", "exchange them"));
        }
        if let Expectation::Column(column) = expectation
            && let Some(missing) = column.missing
        {
            let hint = "a share is between 0 and 1";
            between(&at(&at_item, &[&i, "column", "missing"]), missing, 0.0..=1.0, hint)?;
        }
    }
    if let Some(near) = data.guard.near {
        let path = at(path, &["guard", "near"]);
        if data.format.is_table() || data.format == Format::Text {
            let message = "images are compared, which these data do not have";
            return Err(Wrong::value(&path, message, "leave `near` out"));
        }
        let (distance, farthest) = (f64::from(near.distance), f64::from(NearGuard::FARTHEST));
        between(&at(&path, &["distance"]), distance, 0.0..=farthest, "12 of 256 bits is usual, up to 24")?;
    }
    let split = data.split;
    for (key, share) in [("val", split.val), ("test", split.test)] {
        between(&at(path, &["split", key]), share, 0.0..=0.95, "a share is between 0 and 0.95")?;
    }
    if split.val + split.test > 0.99 {
        return Err(Wrong::value(
            &at(path, &["split"]),
            "nothing is left to train on",
            "make `val` or `test` smaller",
        ));
    }
    Ok(())
}

fn source(path: &[&str], source: &Source) -> Checked {
    match (&source.url, &source.digits) {
        (Some(_), Some(_)) => Err(Wrong::value(path, "both `url` and `digits`", "make two entries of it")),
        (None, None) => Err(Wrong::value(path, "neither `url` nor `digits`", "add one of them")),
        (None, Some(_)) => Ok(()),
        (Some(url), None) => {
            let parsed = url::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            if parsed.as_ref().is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
                let message = "credentials do not belong in a committed file";
                return Err(Wrong::value(
                    &at(path, &["url"]),
                    message,
                    "take name and password out of the URL",
                ));
            }
            if parsed.is_none_or(|url| url.host_str().is_none()) {
                let message = "not an http or https URL".to_owned();
                return Err(Wrong::value(&at(path, &["url"]), message, "write it as `https://host/file`"));
            }
            let hex = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            if source.sha256.as_ref().is_some_and(|sum| !hex(sum)) {
                let hint = "`sha256sum FILE` prints it";
                return Err(Wrong::value(&at(path, &["sha256"]), "not 64 hexadecimal digits", hint));
            }
            source.file.as_ref().map_or(Ok(()), |file| relative(&at(path, &["file"]), file))
        }
    }
}

/// No dataset lies in another.
fn apart(manifest: &Manifest) -> Checked {
    let parts = |data: &DataSpec| -> Vec<String> {
        data.path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
    };
    for (name, data) in &manifest.data {
        for (other, outer) in manifest.data.iter().filter(|(other, _)| *other != name) {
            if parts(data).starts_with(&parts(outer)) {
                let message =
                    format!("`{}` lies in the folder of the dataset `{other}`", data.path.escape_debug());
                let hint = "give every dataset a folder of its own";
                return Err(Wrong::value(&["data", name.as_str(), "path"], message, hint));
            }
        }
    }
    Ok(())
}

fn model(manifest: &Manifest, path: &[&str], spec: &ModelSpec) -> Checked {
    if !manifest.data.contains_key(&spec.data) {
        let known: Vec<&str> = manifest.data.keys().map(Name::as_str).collect();
        return Err(Wrong::reference(&at(path, &["data"]), "dataset", spec.data.as_str(), &known));
    }
    if let Some(card) = &spec.card {
        relative(&at(path, &["card"]), card)?;
    }
    if let Some(normalize) = spec.input.normalize
        && !(normalize.std > 0.0 && normalize.std.is_finite() && normalize.mean.is_finite())
    {
        return Err(Wrong::value(
            &at(path, &["input", "normalize"]),
            "`std` must be over 0",
            "see `mlp data info`",
        ));
    }
    if spec.network.is_empty() {
        return Err(Wrong::value(
            &at(path, &["network"]),
            "a network needs layers",
            "begin with `- linear: 10`",
        ));
    }
    layers(&at(path, &["network"]), &spec.network)?;
    let train = &spec.train;
    for (key, zero) in [("epochs", train.epochs == 0), ("batch_size", train.batch_size == 0)] {
        if zero {
            return Err(Wrong::value(
                &at(path, &["train", key]),
                "must be at least 1",
                "write a larger number",
            ));
        }
    }
    for (i, change) in train.augment.iter().enumerate() {
        let size = match *change {
            Augment::Shift(pixels) => f64::from(pixels),
            Augment::Rotate(degrees) => f64::from(degrees),
            Augment::Noise(deviation) => f64::from(deviation),
            Augment::Flip(_) => continue,
            Augment::Crop(crop) => f64::from(crop.scale),
            Augment::Erase(share) => f64::from(share),
            Augment::Mixup(mixup) => f64::from(mixup.alpha),
        };
        between(&at(path, &["train", "augment", &index(i)]), size, 0.0..=1024.0, "write a number from 0 on")?;
    }
    if let Some(stop) = &train.early_stop {
        let metrics: Vec<String> = std::iter::once("train.loss".to_owned())
            .chain(["loss", "accuracy", "rmse"].map(|metric| format!("val.{metric}")))
            .collect();
        if !metrics.contains(&stop.metric) {
            let known: Vec<&str> = metrics.iter().map(String::as_str).collect();
            return Err(Wrong::reference(
                &at(path, &["train", "early_stop", "metric"]),
                "metric",
                &stop.metric,
                &known,
            ));
        }
    }
    for (i, name) in spec.evaluate.metrics.iter().enumerate() {
        metric(&at(path, &["evaluate", "metrics", &index(i)]), name)?;
    }
    Ok(())
}

fn layers(path: &[&str], layers_of: &[Layer]) -> Checked {
    for (i, layer) in layers_of.iter().enumerate() {
        let i = index(i);
        match layer {
            Layer::Linear(0) => {
                let path = at(path, &[&i, "linear"]);
                return Err(Wrong::value(&path, "a layer without outputs", "write how many outputs it has"));
            }
            Layer::Dropout(share) => {
                let hint = "a share is at least 0 and below 1";
                between(&at(path, &[&i, "dropout"]), f64::from(*share), 0.0..=0.999, hint)?;
            }
            Layer::Residual(residual) if residual.shortcut.is_empty() => {
                layers(&at(path, &[&i, "residual"]), &residual.layers)?;
            }
            Layer::Residual(residual) => {
                layers(&at(path, &[&i, "residual", "layers"]), &residual.layers)?;
                layers(&at(path, &[&i, "residual", "shortcut"]), &residual.shortcut)?;
            }
            Layer::Parallel(branches) => {
                for (branch, inner) in branches.iter().enumerate() {
                    layers(&at(path, &[&i, "parallel", &index(branch)]), inner)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn metric(path: &[&str], name: &str) -> Checked {
    if is_metric(name) { Ok(()) } else { Err(Wrong::reference(path, "metric", name, &METRICS)) }
}

fn part(path: &[&str], name: &str) -> Checked {
    if PARTS.contains(&name) { Ok(()) } else { Err(Wrong::reference(path, "part", name, &PARTS)) }
}
