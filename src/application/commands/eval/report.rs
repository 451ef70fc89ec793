//! What an evaluation found, for people and programs.

use std::path::PathBuf;

use serde::Serialize;

use crate::application::ui::{Align, Report, Table, clean, count, percent, plural};
use crate::base::{CalibrationBin, Confusion, Digest, Estimate, Evaluation, PerClass, Slice};
use crate::platform::train::{is_share, less_is_better};

#[derive(Serialize)]
pub(super) struct Evaluated {
    #[serde(rename = "target")]
    pub(super) label: String,
    pub(super) evaluation: Digest,
    pub(super) reused: bool,
    #[serde(flatten)]
    pub(super) body: Evaluation,
    /// Where the picture was drawn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) pictures: Vec<PathBuf>,
    /// Metrics in the order of `mlp.yaml`; the first decides which slices are worst.
    #[serde(skip)]
    pub(super) metrics: Vec<String>,
}

impl Report for Evaluated {
    fn schema(&self) -> &'static str {
        "mlp/eval/1"
    }

    fn human(&self) -> String {
        let Evaluation { data, part, examples, .. } = &self.body;
        let mut text = format!("{} on {part} of {data}, {}\n\n", self.label, plural(*examples, "example"));
        text.push_str(&self.metric_table());
        let (corrupted, groups): (Vec<&Slice>, Vec<&Slice>) =
            self.body.slices.iter().partition(|slice| slice.by == Slice::CORRUPTION);
        if let Some(first) = self.metrics.first() {
            text.push_str(&slices(&groups, first));
        }
        text.push_str(&classes(&self.body.per_class));
        if let Some(confusion) = &self.body.confusion {
            text.push_str(&matrix(confusion));
        }
        text.push_str(&reliability(&self.body.calibration));
        text.push_str(&robustness(&corrupted));
        text.push_str(&format!("\nevaluation {}\n", self.evaluation));
        for path in &self.pictures {
            text.push_str(&format!("picture    {}\n", clean(&path.display().to_string())));
        }
        text
    }
}

impl Evaluated {
    fn metric_table(&self) -> String {
        let mut table = Table::new(["METRIC", "VALUE", "95 % INTERVAL"]).align(1, Align::Right);
        let metrics = &self.body.metrics;
        let chosen = self.metrics.iter().filter_map(|name| metrics.get_key_value(name));
        // Where every example has one class, what is counted over all decisions is the accuracy again.
        let repeats = |name: &str| name.starts_with("micro_");
        let others = metrics.iter().filter(|(name, _)| !self.metrics.contains(name) && !repeats(name));
        for (name, estimate) in chosen.chain(others) {
            table.row([name.clone(), value(name, estimate.value), interval(name, estimate)]);
        }
        table.render()
    }
}

fn value(metric: &str, value: f64) -> String {
    if is_share(metric) { percent(value) } else { format!("{value:.4}") }
}

fn interval(metric: &str, estimate: &Estimate) -> String {
    format!("{} to {}", value(metric, estimate.lower), value(metric, estimate.upper))
}

/// The five slices with the worst values of `metric`.
fn slices(slices: &[&Slice], metric: &str) -> String {
    let mut worst: Vec<(&Slice, &Estimate)> =
        slices.iter().filter_map(|slice| Some((*slice, slice.metrics.get(metric)?))).collect();
    worst.sort_by(|a, b| a.1.value.total_cmp(&b.1.value));
    // Of errors and losses, the largest are the worst.
    if less_is_better(metric) {
        worst.reverse();
    }
    let Some((first, _)) = worst.first() else { return String::new() };
    let heading = format!("WORST BY {}", first.by.to_uppercase());
    let mut table =
        Table::new([heading, metric.to_uppercase(), "95 % INTERVAL".to_owned(), "EXAMPLES".to_owned()])
            .align(1, Align::Right)
            .align(3, Align::Right);
    for (slice, estimate) in worst.iter().take(5) {
        let value = value(metric, estimate.value);
        table.row([slice.value.clone(), value, interval(metric, estimate), count(slice.examples)]);
    }
    format!("\n{}", table.render())
}

/// Precision, recall and F1 of each class; of many classes those with the lowest F1.
fn classes(classes: &[PerClass]) -> String {
    const MOST: usize = 20;
    if classes.is_empty() {
        return String::new();
    }
    let mut shown: Vec<&PerClass> = classes.iter().collect();
    let heading = if shown.len() <= MOST { "CLASS" } else { "WORST CLASSES" };
    if shown.len() > MOST {
        let f1 = |class: &PerClass| class.metrics.get("f1").map_or(f64::INFINITY, |estimate| estimate.value);
        shown.sort_by(|a, b| f1(a).total_cmp(&f1(b)));
        shown.truncate(MOST / 2);
    }
    let names = ["precision", "recall", "f1"];
    let headings = [heading, "PRECISION", "RECALL", "F1", "95 % INTERVAL OF F1", "SUPPORT"];
    let mut table = Table::new(headings);
    for column in [1, 2, 3, 5] {
        table = table.align(column, Align::Right);
    }
    for class in shown {
        let cell = |name: &str| {
            class.metrics.get(name).map_or("-".to_owned(), |estimate| value(name, estimate.value))
        };
        let [precision, recall, f1] = names.map(cell);
        let bounds = class.metrics.get("f1").map_or("-".to_owned(), |estimate| interval("f1", estimate));
        table.row([class.label.clone(), precision, recall, f1, bounds, count(class.support)]);
    }
    format!("\n{}", table.render())
}

/// Accuracy, or the error of numbers, by corruption and severity.
fn robustness(corrupted: &[&Slice]) -> String {
    let metric = match corrupted.first() {
        Some(slice) if slice.metrics.contains_key("accuracy") => "accuracy",
        Some(_) => "rmse",
        None => return String::new(),
    };
    let mut table = Table::new(["CORRUPTION", "SEVERITY 1", "2", "3", "4", "5"]);
    for column in 1..=5 {
        table = table.align(column, Align::Right);
    }
    let name = |slice: &Slice| slice.value.split(' ').next().unwrap_or_default().to_owned();
    for group in corrupted.chunk_by(|a, b| name(a) == name(b)) {
        let cells = group.iter().map(|slice| {
            slice.metrics.get(metric).map_or("-".to_owned(), |estimate| value(metric, estimate.value))
        });
        table.row(std::iter::once(name(group[0])).chain(cells));
    }
    format!("\nRobustness: {metric} with corrupted inputs\n{}", table.render())
}

/// How often answers of about the same confidence are right.
fn reliability(bins: &[CalibrationBin]) -> String {
    if bins.is_empty() {
        return String::new();
    }
    let headings = ["CONFIDENCE", "MEAN", "ACCURACY", "95 % INTERVAL", "EXAMPLES"];
    let mut table = Table::new(headings).align(1, Align::Right).align(2, Align::Right).align(4, Align::Right);
    for bin in bins {
        let range = format!("{:.2} to {:.2}", bin.lower, bin.upper);
        let (mean, accuracy) = (percent(bin.confidence), percent(bin.accuracy.value));
        table.row([range, mean, accuracy, interval("accuracy", &bin.accuracy), count(bin.examples)]);
    }
    format!("\nReliability: accuracy of the answers by their confidence\n{}", table.render())
}

/// The confusion matrix, or only the commonest confusions where there are too many classes for a terminal.
fn matrix(confusion: &Confusion) -> String {
    let Confusion { labels, counts } = confusion;
    let width: usize = labels.iter().map(|label| label.chars().count().max(4) + 2).sum();
    if width <= 100 {
        let mut table = Table::new(std::iter::once("TRUTH".to_owned()).chain(labels.iter().cloned()));
        for column in 1..=labels.len() {
            table = table.align(column, Align::Right);
        }
        for (label, row) in labels.iter().zip(counts) {
            let cells = row.iter().map(|n| if *n == 0 { "·".to_owned() } else { n.to_string() });
            table.row(std::iter::once(label.clone()).chain(cells));
        }
        return format!("\nConfusion matrix: a row per truth, a column per prediction\n{}", table.render());
    }
    let mut pairs: Vec<(u64, &str, &str)> = Vec::new();
    for (truth, row) in labels.iter().zip(counts) {
        let wrong = labels.iter().zip(row).filter(|(predicted, n)| *predicted != truth && **n > 0);
        pairs.extend(wrong.map(|(predicted, n)| (*n, truth.as_str(), predicted.as_str())));
    }
    pairs.sort_by(|a, b| b.cmp(a));
    let mut table = Table::new(["TRUTH", "PREDICTED", "TIMES"]).align(2, Align::Right);
    for (n, truth, predicted) in pairs.into_iter().take(10) {
        table.row([truth.to_owned(), predicted.to_owned(), n.to_string()]);
    }
    if table.is_empty() { String::new() } else { format!("\n{}", table.render()) }
}
