//! `mlp data info`.

use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::super::{Answer, Context};
use super::status::State;
use super::subject::{shown, subject};
use crate::application::completion;
use crate::application::ui::{Report, Table, bytes, count};
use crate::base::{Digest, Exit, ExpectationOutcome, Failure, Name, Near};
use crate::infrastructure::store::worktree::identify;
use crate::platform::data::{DataError, Dataset, Parts, Pointer, TargetKind, Targets, expectations, leakage};
use crate::platform::project::Project;

/// Shows what a dataset holds: version, size, classes, parts, and whether it is as expected.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The dataset.
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::datasets))]
    name: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Answer {
    let project = context.project()?;
    let dataset = dataset(&subject(&args.name, &project, context)?.name, &project)?;
    if !dataset.path.exists() {
        let name = dataset.name.to_string();
        return Err(match dataset.pointer().exists() {
            true => DataError::Missing(name),
            false => DataError::Absent { name, path: shown(&dataset.spec.path) },
        }
        .into());
    }
    let found = identify(&dataset.path, &project.cache(), &context.ui)?;
    let pointer = dataset.pointer();
    let state = match pointer.exists() {
        false => State::NotAdded,
        true if Pointer::read(&pointer)?.node().id == found.root.id => State::Clean,
        true => State::Modified,
    };
    let parts = dataset.load(None, &context.ui)?;
    let tree = found.root.id;
    let leakage = leakage(&dataset, &parts, tree)?;
    context.ui.report(&Info {
        name: dataset.name.clone(),
        path: dataset.spec.path.clone(),
        id: tree,
        state,
        files: found.files,
        bytes: found.bytes,
        shape: parts.train.shape.clone(),
        columns: parts.columns.clone(),
        classes: classes(&parts),
        parts: Sizes { train: parts.train.len(), val: parts.val.len(), test: parts.test.len() },
        overlap: leakage.overlap,
        samples: leakage.samples,
        near: leakage.near,
        expectations: expectations(&dataset, &parts, tree).outcomes,
    });
    Ok(Exit::Ok)
}

/// The dataset, with the kind of target that the models on it ask for.
pub(super) fn dataset(name: &str, project: &Project) -> Result<Dataset, Failure> {
    let dataset = project.dataset(name)?;
    let loss = project
        .manifest
        .models
        .values()
        .find(|model| model.data == dataset.name)
        .map(|model| &model.train.loss);
    Ok(match loss {
        Some(loss) if loss.of_classes() => dataset.predicting(TargetKind::Class),
        Some(_) => dataset.predicting(TargetKind::Value),
        None => dataset,
    })
}

/// Examples of each class, in all parts together.
fn classes(parts: &Parts) -> Vec<Class> {
    let mut classes: Vec<Class> =
        parts.classes.iter().map(|name| Class { name: name.clone(), examples: 0 }).collect();
    for part in [&parts.train, &parts.val, &parts.test] {
        if let Targets::Class(indices) = &part.targets {
            indices.iter().for_each(|index| classes[*index as usize].examples += 1);
        }
    }
    classes
}

#[derive(Serialize)]
struct Info {
    name: Name,
    path: String,
    id: Digest,
    state: State,
    files: u64,
    bytes: u64,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<Class>,
    parts: Sizes,
    overlap: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    samples: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    near: Option<Near>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expectations: Vec<ExpectationOutcome>,
}

#[derive(Serialize)]
struct Class {
    name: String,
    examples: u64,
}

#[derive(Serialize)]
struct Sizes {
    train: usize,
    val: usize,
    test: usize,
}

impl Report for Info {
    fn schema(&self) -> &'static str {
        "mlp/data-info/1"
    }

    fn human(&self) -> String {
        let mut table = Table::plain();
        table.row(["dataset".to_owned(), format!("{} ({})", self.name, shown(&self.path))]);
        table.row(["version".to_owned(), format!("{} {}", self.id, self.state.word())]);
        table.row(["files".to_owned(), format!("{}, {}", count(self.files), bytes(self.bytes))]);
        let columns = if self.columns.is_empty() { String::new() } else { " columns".to_owned() };
        let shape: Vec<_> = self.shape.iter().map(usize::to_string).collect();
        table.row(["input".to_owned(), format!("{}{columns}", shape.join(" x "))]);
        let parts = [("train", self.parts.train), ("val", self.parts.val), ("test", self.parts.test)];
        let parts = parts.map(|(name, n)| format!("{name} {}", count(n as u64)));
        table.row(["parts".to_owned(), parts.join(", ")]);
        let mut leaks = |what: &str, found: u64, samples: &[String]| {
            const SHOWN: usize = 5;
            table.row([what.to_owned(), count(found)]);
            for sample in samples.iter().take(SHOWN) {
                table.row([String::new(), shown(sample)]);
            }
        };
        leaks("overlap", self.overlap, &self.samples);
        if let Some(near) = &self.near {
            leaks("nearly", near.found, &near.samples);
        }
        if !self.classes.is_empty() {
            const SHOWN: usize = 20;
            let some = self.classes.iter().take(SHOWN);
            let mut text: Vec<_> =
                some.map(|class| format!("{} {}", shown(&class.name), count(class.examples))).collect();
            if self.classes.len() > SHOWN {
                text.push(format!("… {} in all", self.classes.len()));
            }
            table.row(["classes".to_owned(), text.join(", ")]);
        }
        for outcome in &self.expectations {
            let word = if outcome.met { "met" } else { "NOT MET" };
            table.row([
                word.to_owned(),
                format!("{} ({})", shown(&outcome.expectation), shown(&outcome.observed)),
            ]);
        }
        table.render()
    }
}
