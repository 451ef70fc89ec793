//! The newest answers held against the sketches and the limits.

use std::collections::BTreeMap;

use super::features::of_answer;
use super::statistics::{categories, ks_of_counts, mmd};
use super::{Answers, DriftSpec, DriftTest, Line, MonitorSpec, Sketch, SketchKind, Sketches, Value};
use crate::base::{Drift, EmbeddingDrift, FeatureDrift, Latency, Quality, Tested, plural};
use crate::platform::train::{labelled as metric_of, less_is_better, proportion};

/// Bins of a number for PSI and chi-square, besides one below and one above all that was seen.
const BINS: u64 = 10;
/// With fewer answers nothing is said of drift.
const FEW: usize = 100;
/// With fewer embeddings nothing is said of theirs; more of the window are not looked at.
const FEW_POINTS: usize = 50;
const MOST_POINTS: usize = 500;
/// With fewer requests nothing is said of latency.
const FEW_REQUESTS: usize = 20;

/// Fills in what the answers say: `about` names the version and the limits.
/// A model without sketches is judged by quality and latency alone.
pub fn judge(
    about: Drift,
    spec: &MonitorSpec,
    sketches: Option<&Sketches>,
    classes: &[String],
    answers: &Answers<'_>,
) -> Drift {
    let mut drift = about;
    let lines = &answers.lines;
    match sketches {
        None => drift.unknown.push("drift: the model has no sketches of what it was trained on".to_owned()),
        Some(_) if lines.len() < FEW => {
            drift.unknown.push(format!("drift: {} of at least {FEW} answers", lines.len()));
        }
        Some(sketches) => {
            features(&mut drift, &spec.drift, sketches, lines);
            embedding(&mut drift, &spec.drift, sketches, lines);
        }
    }
    latency(&mut drift, spec, lines);
    quality(&mut drift, spec, classes, answers);
    drift
}

fn features(drift: &mut Drift, spec: &DriftSpec, sketches: &Sketches, lines: &[Line]) {
    let inputs = sketches.inputs.iter().map(|sketch| {
        let values = lines.iter().map(|line| line.features.get(&sketch.name).cloned());
        (sketch, false, values.map(|value| value.unwrap_or(Value::Missing)).collect::<Vec<_>>())
    });
    let answer = |line: &Line, name: &str| {
        let found = of_answer(&line.output).into_iter().find(|(own, _)| *own == name);
        found.map_or(Value::Missing, |(_, value)| value)
    };
    let outputs = sketches.outputs.iter().map(|sketch| {
        (sketch, true, lines.iter().map(|line| answer(line, &sketch.name)).collect::<Vec<_>>())
    });
    let mut found: Vec<FeatureDrift> =
        inputs.chain(outputs).map(|(sketch, answer, values)| feature(sketch, answer, &values)).collect();
    // Of many features the least likely of all is unlikely by chance: they share what may be false (Bonferroni).
    let alpha = spec.alpha / found.len().max(1) as f64;
    for feature in &mut found {
        let (test, tested) = match (spec.test, feature.ks) {
            (DriftTest::Psi, _) => ("psi", feature.psi),
            (DriftTest::Ks, Some(ks)) => ("ks", ks),
            (DriftTest::Ks | DriftTest::ChiSquare, _) => ("chi_square", feature.chi_square),
            (DriftTest::Mmd, _) => continue,
        };
        let bound = spec.bound();
        feature.drifted = tested.value > bound && tested.p < alpha;
        if feature.drifted {
            let of = if feature.answer { "answers" } else { "inputs" };
            drift
                .breaches
                .push(format!("`{}` of the {of}: {test} {:.3}, over {bound}", feature.name, tested.value));
        }
    }
    drift.features = found;
}

fn feature(sketch: &Sketch, answer: bool, values: &[Value]) -> FeatureDrift {
    let missing = values.iter().filter(|value| **value == Value::Missing).count() as u64;
    let with_missing = |(mut before, mut now): (Vec<u64>, Vec<u64>)| {
        before.push(sketch.missing);
        now.push(missing);
        categories(&before, &now)
    };
    let (ks, (psi, chi_square)) = match &sketch.kind {
        SketchKind::Number { lowest, ends, counts } => {
            let (before, now) = histograms(*lowest, ends, counts, values);
            (Some(ks_of_counts(&before, &now)), with_missing(coarse(&before, &now)))
        }
        SketchKind::Category { counts } => {
            let mut both: BTreeMap<&str, (u64, u64)> =
                counts.iter().map(|(name, count)| (name.as_str(), (*count, 0))).collect();
            for value in values {
                if let Value::Text(text) = value {
                    both.entry(text).or_default().1 += 1;
                }
            }
            (None::<Tested>, with_missing(both.into_values().unzip()))
        }
    };
    FeatureDrift { name: sketch.name.clone(), answer, psi, ks, chi_square, drifted: false }
}

/// Counts of baseline and window in the bins of the sketch; the first bin is below all that was seen, the last above.
fn histograms(lowest: f32, ends: &[f32], counts: &[u64], values: &[Value]) -> (Vec<u64>, Vec<u64>) {
    let mut before = vec![0];
    before.extend_from_slice(counts);
    before.push(0);
    let mut now = vec![0; before.len()];
    for value in values {
        if let Value::Number(number) = value {
            let bin = if *number < lowest { 0 } else { 1 + ends.partition_point(|end| end < number) };
            now[bin] += 1;
        }
    }
    (before, now)
}

/// The same in ten bins of about as many each.
fn coarse(before: &[u64], now: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let total: u64 = before.iter().sum();
    let (mut wide, mut wide_now) = (Vec::new(), Vec::new());
    let (mut held, mut held_now) = (0, 0);
    let last = before.len() - 1;
    for (bin, (count, count_now)) in before.iter().zip(now).enumerate() {
        (held, held_now) = (held + count, held_now + count_now);
        if bin == 0 || bin >= last.saturating_sub(1) || held * BINS >= total {
            wide.push(held);
            wide_now.push(held_now);
            (held, held_now) = (0, 0);
        }
    }
    (wide, wide_now)
}

fn embedding(drift: &mut Drift, spec: &DriftSpec, sketches: &Sketches, lines: &[Line]) {
    let length = sketches.points.first().map_or(0, Vec::len);
    let whole = |line: &&Line| {
        line.embedding.len() == length && length > 0 && line.embedding.iter().all(|value| value.is_finite())
    };
    let points: Vec<Vec<f32>> =
        lines.iter().rev().filter(whole).take(MOST_POINTS).map(|line| line.embedding.clone()).collect();
    if sketches.points.len() < FEW_POINTS || points.len() < FEW_POINTS {
        let few = points.len().min(sketches.points.len());
        drift.unknown.push(format!("drift of embeddings: {few} of at least {FEW_POINTS} points"));
        return;
    }
    let mmd = mmd(&sketches.points, &points);
    let bound = if spec.test == DriftTest::Mmd { spec.bound() } else { DriftTest::Mmd.bound() };
    let drifted = mmd.value > bound && mmd.p < spec.alpha;
    if drifted {
        drift.breaches.push(format!("the embeddings: mmd {:.3}, over {bound}", mmd.value));
    }
    let (baseline, window) = (sketches.points.len() as u64, points.len() as u64);
    drift.embedding = Some(EmbeddingDrift { baseline, window, mmd, drifted });
}

fn latency(drift: &mut Drift, spec: &MonitorSpec, lines: &[Line]) {
    let times: Vec<f64> = lines.iter().filter_map(|line| line.latency_ms).collect();
    if times.len() < FEW_REQUESTS {
        if spec.latency.is_some() {
            drift.unknown.push(format!("latency: {} of at least {FEW_REQUESTS} requests", times.len()));
        }
        return;
    }
    let Some(latency) = Latency::of(&times.iter().map(|time| time / 1000.0).collect::<Vec<f64>>()) else {
        return;
    };
    if let Some(limit) = &spec.latency {
        // A few slow ones of a few are chance: surely more than a twentieth must be over it.
        let over = times.iter().filter(|time| **time > limit.p95_ms).count();
        if proportion(over as u64, times.len() as u64).lower > 0.05 {
            drift.breaches.push(format!(
                "latency: p95 {:.1} ms, over {}",
                1000.0 * latency.p95,
                limit.p95_ms
            ));
        }
    }
    drift.latency = Some(latency);
}

/// Whether a label can be the truth of a model with these classes, or of one that predicts numbers.
fn is_known(classes: &[String], label: &str) -> bool {
    match classes {
        [] => label.parse::<f64>().is_ok_and(f64::is_finite),
        classes => classes.iter().any(|class| class == label),
    }
}

fn quality(drift: &mut Drift, spec: &MonitorSpec, classes: &[String], answers: &Answers<'_>) {
    let default = if classes.is_empty() { "rmse" } else { "accuracy" };
    let metric = spec.quality.as_ref().map_or(default, |quality| quality.metric.as_str());
    let Some(labels) = answers.labels() else {
        if spec.quality.is_some() {
            drift.unknown.push(format!("{metric}: no labels yet"));
        }
        return;
    };
    let both = answers.labelled();
    let labelled = both.len();
    let unmatched = (labels.len() - labelled.min(labels.len())) as u64;
    let mut strange = both.iter().map(|(_, label)| *label).filter(|label| !is_known(classes, label));
    if let Some(first) = strange.next() {
        let what = if classes.is_empty() { "are no numbers" } else { "are no classes of the model" };
        let count = 1 + strange.count();
        drift
            .unknown
            .push(format!("{count} of {labelled} labels {what}, such as `{}`", first.escape_debug()));
    }
    if labels.replaced() > 0 {
        let count = labels.replaced() as u64;
        drift.unknown.push(format!("{} replaced by another one of the same answer", plural(count, "label")));
    }
    let Some(estimate) = metric_of(classes, &both, metric) else {
        if labelled == 0 && !labels.is_empty() {
            let count = labels.len() as u64;
            drift
                .unknown
                .push(format!("{} given, none of an answer of this version", plural(count, "label")));
        }
        drift.unknown.push(format!("{metric}: cannot be said of {labelled} labelled answers"));
        return;
    };
    let direction = if less_is_better(metric) { "over" } else { "under" };
    for (limit, broken) in spec.quality.iter().flat_map(|quality| {
        let under = quality.min.map(|min| (min, estimate.upper < min));
        let over = quality.max.map(|max| (max, estimate.lower > max));
        under.into_iter().chain(over)
    }) {
        if broken {
            drift.breaches.push(format!(
                "{metric}: {:.4} ({:.4} to {:.4}), {direction} {limit}",
                estimate.value, estimate.lower, estimate.upper
            ));
        }
    }
    drift.quality =
        Some(Quality { labelled: labelled as u64, unmatched, metric: metric.to_owned(), estimate });
}

#[cfg(test)]
mod tests;
