//! What `mlp check` finds beyond reading: networks that do not fit, loosened gates, files that are not there.

mod data;

use std::collections::BTreeMap;
use std::path::Path;

use super::source::Source;
use super::{FILE, Manifest, Project, ProjectError, schema};
use crate::base::{Diagnose, Failure, Name, Slice, Time};
use crate::infrastructure::keys::{NAMESPACE_APPROVAL, Signers};
use crate::platform::data::{DataSpec, Expectation, Format, Glance};
use crate::platform::model::{Approvals, GateSpec};
use crate::platform::train::{self, Layer, ModelSpec, TrainError};

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What has to be changed.
    pub errors: Vec<ProjectError>,
    /// What should be looked at.
    pub warnings: Vec<ProjectError>,
}

/// A finding and the keys that lead to its place.
struct Found<'a> {
    source: &'a Source,
    findings: Findings,
}

impl Found<'_> {
    fn mistake(&self, code: &'static str, path: &[&str], message: String, hint: &str) -> ProjectError {
        let place = super::outline::Outline::of(self.source.text()).value(path);
        self.source.mistake(code, message, Some(hint.to_owned()), place).into()
    }

    fn error(&mut self, code: &'static str, path: &[&str], message: String, hint: &str) {
        let mistake = self.mistake(code, path, message, hint);
        self.findings.errors.push(mistake);
    }

    fn warn(&mut self, code: &'static str, path: &[&str], message: String, hint: &str) {
        let mistake = self.mistake(code, path, message, hint);
        self.findings.warnings.push(mistake);
    }
}

impl Project {
    /// Checks the project that `dir` lies in. A file that cannot be read is an error of its own.
    pub fn check(dir: &Path) -> Result<(Manifest, Findings), Failure> {
        let (root, shown) = super::open::find(dir)?;
        let source = Source::open(&root.join(FILE), &shown)?;
        let manifest = source.manifest()?;
        let mut found = Found { source: &source, findings: Findings::default() };
        stores(&manifest, &mut found);
        let glances = data::datasets(&manifest, &root, &mut found);
        networks(&manifest, &glances, &mut found);
        loosened(&manifest, &mut found);
        waivers(&manifest, &mut found);
        files(&manifest, &root, &mut found);
        slices(&manifest, &mut found);
        people(&manifest, &root, &mut found);
        Ok((manifest, found.findings))
    }
}

/// URLs of stores; nothing is sent.
fn stores(manifest: &Manifest, found: &mut Found<'_>) {
    for (list, specs) in [("stores", &manifest.stores), ("imports", &manifest.imports)] {
        for (name, spec) in specs {
            if let Err(error) = spec.check(name) {
                let path = [list, name.as_str(), "url"];
                found.error(
                    error.code(),
                    &path,
                    error.to_string(),
                    "`mlp explain store::bad-spec` lists the kinds",
                );
            }
        }
    }
}

/// Networks are checked where the shape of their input is known without reading examples.
fn networks(manifest: &Manifest, glances: &BTreeMap<&Name, Glance>, found: &mut Found<'_>) {
    for (name, model) in &manifest.models {
        if let Err(error) = train::check_settings(model) {
            setting(name, &error, found);
            continue;
        }
        let data = manifest.data.get(&model.data);
        let glance = glances.get(&model.data);
        let shape = model.input.shape.as_ref().or_else(|| glance?.shape.as_ref());
        let classes = glance.and_then(|glance| glance.classes);
        let (Some(shape), Some(outputs)) = (shape, outputs(model, data, classes)) else { continue };
        let Err(error) = train::check(model, shape, outputs) else { continue };
        let mut path = vec!["models".to_owned(), name.to_string()];
        if let TrainError::Layer { index, .. } = &error {
            path.push("network".to_owned());
            place(&model.network, index, &mut path);
        }
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let hint = error.hint().unwrap_or_else(|| format!("input {shape:?}, {outputs} outputs"));
        found.error(error.code(), &path, format!("`models.{name}`: {error}"), &hint);
    }
}

/// A setting of a training that means nothing.
fn setting(model: &Name, error: &TrainError, found: &mut Found<'_>) {
    let key = if let TrainError::Setting { key, .. } = error { *key } else { "train" };
    let path: Vec<&str> = ["models", model.as_str()].into_iter().chain(key.split('.')).collect();
    found.error(error.code(), &path, format!("`models.{model}`: {error}"), "write a value that it can have");
}

/// Adds to `path` where the layer with this number stands: `3.2` is the second layer in the residual one, or the second
/// branch of the parallel one, that is the third; `3.shortcut.1` is the first on the way around it.
fn place(network: &[Layer], index: &str, path: &mut Vec<String>) {
    let (first, rest) = index.split_once('.').unwrap_or((index, ""));
    let Some(number) = first.parse::<usize>().ok().and_then(|number| number.checked_sub(1)) else { return };
    path.push(format!("[{number}]"));
    match network.get(number) {
        _ if rest.is_empty() => {}
        Some(Layer::Residual(residual)) => {
            path.push("residual".to_owned());
            if let Some(rest) = rest.strip_prefix("shortcut.") {
                path.push("shortcut".to_owned());
                return place(&residual.shortcut, rest, path);
            }
            if !residual.shortcut.is_empty() {
                path.push("layers".to_owned());
            }
            place(&residual.layers, rest, path);
        }
        Some(Layer::Parallel(branches)) => {
            let (branch, rest) = rest.split_once('.').unwrap_or((rest, ""));
            let Some(branch) = branch.parse::<usize>().ok().and_then(|branch| branch.checked_sub(1)) else {
                return;
            };
            path.extend(["parallel".to_owned(), format!("[{branch}]")]);
            place(branches.get(branch).map_or(&[], Vec::as_slice), rest, path);
        }
        _ => {}
    }
}

/// How many outputs the network must have: one for each of the classes that are there or of the labels that the data may have,
/// one for a number, else what its last layer gives.
fn outputs(model: &ModelSpec, data: Option<&DataSpec>, there: Option<usize>) -> Option<usize> {
    // With one output whatever the classes.
    if model.train.loss.outputs(2) == 1 {
        return Some(1);
    }
    let label = data.map(|data| match data.format {
        Format::Csv | Format::Parquet => data.target.as_deref().unwrap_or_default(),
        Format::Text => data.target.as_deref().unwrap_or("label"),
        Format::Idx | Format::Images | Format::Npy | Format::Safetensors => "label",
    });
    let classes = data.into_iter().flat_map(|data| &data.expect).find_map(|expectation| match expectation {
        Expectation::Column(column) if Some(column.name.as_str()) == label => {
            column.one_of.as_ref().map(Vec::len)
        }
        _ => None,
    });
    there.or(classes).or(train::last_outputs(&model.network))
}

fn loosened(manifest: &Manifest, found: &mut Found<'_>) {
    for loose in Project::loosened(manifest, Time::now()) {
        let path = ["stages", loose.stage.as_str(), "gates", loose.gate.as_str()];
        let message = format!(
            "the gate `{}` of the stage `{}` asks for less than that of the profile `{}`: {}",
            loose.gate, loose.stage, manifest.project.profile, loose.why
        );
        let hint = "tighten it, give it another name, or add an entry under `waivers:` with reason, signer and expiry";
        found.error("project::loosened", &path, message, hint);
    }
}

fn waivers(manifest: &Manifest, found: &mut Found<'_>) {
    for (i, waiver) in manifest.waivers.iter().enumerate() {
        if !waiver.holds(Time::now()) {
            let message = format!(
                "the waiver of the gate `{}` ended on {}, and the gate counts again",
                waiver.gate, waiver.until
            );
            let hint = "remove it and meet the gate, or have it signed again with a later date";
            found.error("project::waiver-expired", &["waivers", &format!("[{i}]"), "until"], message, hint);
        }
    }
}

fn files(manifest: &Manifest, root: &Path, found: &mut Found<'_>) {
    let cards = manifest.data.iter().map(|(name, data)| ("data", name, &data.card));
    let cards = cards.chain(manifest.models.iter().map(|(name, model)| ("models", name, &model.card)));
    for (section, name, card) in cards {
        if let Some(card) = card
            && !root.join(card).is_file()
        {
            let message = format!("the card `{}` is not there", card.escape_debug());
            found.error(
                "project::missing-file",
                &[section, name.as_str(), "card"],
                message,
                "write it, or correct the path",
            );
        }
    }
    for (name, model) in &manifest.models {
        if let Some(init) = &model.train.init
            && init.is_file()
            && !root.join(&init.from).is_file()
        {
            let message = format!("the file `{}` is not there", init.from.escape_debug());
            let hint = "bring it here before training, or correct the path";
            let path = ["models", name.as_str(), "train", "init", "from"];
            found.warn("project::missing-file", &path, message, hint);
        }
    }
    let wants_card = Project::stages(manifest, None, Time::now())
        .values()
        .any(|stage| stage.gates.values().any(|gate| matches!(gate, GateSpec::ModelCard(_))));
    for (name, _) in manifest.models.iter().filter(|(_, model)| wants_card && model.card.is_none()) {
        let message = format!("a gate asks for the card of the model `{name}`, which names none");
        let hint = format!("add `card: docs/{name}.modelcard.md` to the model");
        found.warn("project::missing-file", &["models", name.as_str()], message, &hint);
    }
    for (stage, spec) in Project::stages(manifest, None, Time::now()) {
        for (gate, spec) in &spec.gates {
            let path = match spec {
                GateSpec::Charter(charter) => &charter.path,
                GateSpec::Serve(serve) => &serve.golden,
                _ => continue,
            };
            if !root.join(path).is_file() {
                let message = format!(
                    "the file `{}`, which the gate `{gate}` of the stage `{stage}` reads, is not there",
                    path.escape_debug()
                );
                let path = ["stages", stage.as_str(), "gates", gate.as_str()];
                found.warn("project::missing-file", &path, message, "write it, or correct the path");
            }
        }
    }
    let copy = root.join(".mlp/mlp.schema.json");
    if std::fs::read_to_string(&copy).is_ok_and(|text| text != schema::text(schema::Kind::Manifest)) {
        let message =
            "`.mlp/mlp.schema.json` is not that of this version of mlp; editors will offer other keys"
                .to_owned();
        found.warn(
            "project::old-schema",
            &[],
            message,
            "`mlp schema > .mlp/mlp.schema.json` brings it up to date",
        );
    }
}

/// Gates that look at slices which no evaluation makes.
fn slices(manifest: &Manifest, found: &mut Found<'_>) {
    for (stage, spec) in Project::stages(manifest, None, Time::now()) {
        for (gate, spec) in &spec.gates {
            let by = match spec {
                GateSpec::Slices(slices) => slices.by.as_deref(),
                GateSpec::Groups(groups) => groups.by.as_deref(),
                _ => continue,
            };
            for (name, model) in &manifest.models {
                let made = model.evaluate.slices.as_ref().map(|slices| slices.by.as_str());
                let (is_made, wanted) = match by {
                    Some(Slice::CORRUPTION) => {
                        (!model.evaluate.corruptions.is_empty(), "corruptions: [gaussian_noise]".to_owned())
                    }
                    Some(by) => (made == Some(by), format!("slices: {{by: {by}}}")),
                    None => (made.is_some(), "slices: {by: label}".to_owned()),
                };
                if !is_made {
                    let message = format!(
                        "the gate `{gate}` of the stage `{stage}` looks at slices, and evaluations of `{name}` make none of them"
                    );
                    let hint = format!("add `evaluate: {{{wanted}}}` to the model");
                    found.warn("project::no-slices", &["models", name.as_str()], message, &hint);
                }
            }
        }
    }
}

/// Whether there are people who can give the approvals that gates ask for.
fn people(manifest: &Manifest, root: &Path, found: &mut Found<'_>) {
    let stages = Project::stages(manifest, None, Time::now());
    let signers = Signers(std::fs::read_to_string(root.join(&manifest.trust.signers)).unwrap_or_default());
    for (line, why) in signers.mistakes() {
        let message = format!("line {line} of `{}`: {why}", manifest.trust.signers.escape_debug());
        let hint = "a line is `PRINCIPAL [OPTIONS] TYPE KEY`, as in `max@example.org ssh-ed25519 AAAA…`";
        found.warn("project::signers", &["trust", "signers"], message, hint);
    }
    let known = signers.able(NAMESPACE_APPROVAL, Time::now());
    for (stage, spec) in &stages {
        for (gate, spec) in &spec.gates {
            let mut asked: Option<&Approvals> = match spec {
                GateSpec::Approvals(approvals) => Some(approvals),
                _ => None,
            };
            while let Some(approvals) = asked {
                let role = manifest.project.roles.get(&approvals.role);
                let able =
                    role.map_or(0, |people| people.iter().filter(|person| known.contains(person)).count());
                if able < approvals.count as usize {
                    let message = format!(
                        "the gate `{gate}` of the stage `{stage}` asks for {} of the role `{}`, and {able} can sign",
                        approvals.count, approvals.role
                    );
                    let hint = format!(
                        "name them under `project.roles.{}` and give their keys in `{}`",
                        approvals.role, manifest.trust.signers
                    );
                    found.warn(
                        "project::nobody-to-sign",
                        &["project", "roles", approvals.role.as_str()],
                        message,
                        &hint,
                    );
                }
                asked = approvals.also.as_deref();
            }
        }
    }
}
