//! Metrics of predicted classes.

use std::collections::BTreeMap;

use super::ranking::Ranking;
use super::{bootstrap, proportion};
use crate::base::{CalibrationBin, Estimate, PerClass};
use crate::platform::train::model::largest;

/// Bins of equal width that confidences are divided into.
const BINS: usize = 15;
/// With more classes there is no `auc` and no `average_precision`: each class would need an order of all examples.
const MOST_RANKED: usize = 100;
/// Given wherever there are more classes than that.
const TOP: [u32; 2] = [3, 5];

/// What a classifier said about one example, as far as metrics go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    truth: u32,
    predicted: u32,
    /// Place of the truth among the classes by falling probability, from 1; of equal ones the first class comes first.
    rank: u32,
    /// Probability of the predicted class.
    confidence: f32,
    /// Probability of the true class.
    of_truth: f32,
    /// Sum over the classes of the squared distance to 1 for the truth and 0 for the others.
    distance: f64,
}

impl Answer {
    /// The answer `probabilities` where `truth` is right.
    pub(crate) fn new(probabilities: &[f32], truth: u32) -> Self {
        let predicted = largest(probabilities);
        let of_truth = probabilities[truth as usize];
        let before = |(class, &probability): (usize, &f32)| {
            probability > of_truth || (probability == of_truth && class < truth as usize)
        };
        let square = |(class, &probability): (usize, &f32)| {
            let wanted = if class == truth as usize { 1.0 } else { 0.0 };
            (f64::from(probability) - wanted).powi(2)
        };
        Self {
            truth,
            predicted: predicted as u32,
            rank: 1 + probabilities.iter().enumerate().filter(|pair| before(*pair)).count() as u32,
            confidence: probabilities[predicted],
            of_truth,
            distance: probabilities.iter().enumerate().map(square).sum(),
        }
    }

    fn right(&self) -> bool {
        self.truth == self.predicted
    }

    pub(crate) fn confusion(&self) -> (usize, usize) {
        (self.truth as usize, self.predicted as usize)
    }

    fn bin(&self) -> usize {
        // Bins are open below: (0, 1/15], ...
        ((self.confidence * BINS as f32).ceil() as usize).clamp(1, BINS) - 1
    }
}

/// How often one class came.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    right: u64,
    occurs: u64,
    predicted: u64,
}

impl Count {
    fn precision(&self) -> f64 {
        self.right as f64 / self.predicted as f64
    }

    fn recall(&self) -> f64 {
        self.right as f64 / self.occurs as f64
    }

    fn f1(&self) -> f64 {
        2.0 * self.right as f64 / (self.occurs + self.predicted) as f64
    }
}

/// The classes that occur or are predicted at all: of many classes a slice has few.
struct Present {
    classes: Vec<usize>,
    /// Truth and prediction of each answer as places in `classes`.
    answers: Vec<(usize, usize)>,
}

impl Present {
    fn of(answers: &[Answer], classes: usize) -> Self {
        let mut there = vec![false; classes];
        for (truth, predicted) in answers.iter().map(Answer::confusion) {
            (there[truth], there[predicted]) = (true, true);
        }
        let classes: Vec<usize> = (0..classes).filter(|class| there[*class]).collect();
        let place = |class: usize| classes.partition_point(|other| *other < class);
        let pair = |(truth, predicted)| (place(truth), place(predicted));
        Self { answers: answers.iter().map(Answer::confusion).map(pair).collect(), classes }
    }

    fn counts(&self, times: &[u32]) -> Vec<Count> {
        let mut counts = vec![Count::default(); self.classes.len()];
        for (&(truth, predicted), &times) in self.answers.iter().zip(times) {
            let times = u64::from(times);
            counts[truth].occurs += times;
            counts[predicted].predicted += times;
            counts[predicted].right += if truth == predicted { times } else { 0 };
        }
        counts
    }
}

/// The statistics that [`Statistics::values`] gives, in this order.
const NAMES: [&str; 13] = [
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "balanced_accuracy",
    "mcc",
    "auc",
    "average_precision",
    "log_loss",
    "brier",
    "ece",
];

/// Answers, ready to be counted in any number of resamples.
pub(super) struct Statistics<'a> {
    answers: &'a [Answer],
    classes: usize,
    present: Present,
    rankings: Vec<Ranking>,
}

impl<'a> Statistics<'a> {
    /// Of answers with their `probabilities` of each of so many classes. Without `ranked` there is no `auc` and no `average_precision`.
    pub(super) fn of(answers: &'a [Answer], probabilities: &[&[f32]], classes: usize, ranked: bool) -> Self {
        let rankings = if ranked { rankings(answers, probabilities, classes) } else { Vec::new() };
        Self { answers, classes, present: Present::of(answers, classes), rankings }
    }

    /// The statistics of [`NAMES`] where each answer counts as often as `times` says; `counts` are those of the same draw.
    fn values(&self, counts: &[Count], times: &[u32]) -> Vec<f64> {
        let areas: Vec<(f64, f64)> = self.rankings.iter().map(|ranking| ranking.areas(times)).collect();
        let mean = |value: &dyn Fn(&Answer) -> f64| self.mean(times, value);
        vec![
            average(counts, Count::precision, |_| 1),
            average(counts, Count::recall, |_| 1),
            average(counts, Count::f1, |_| 1),
            average(counts, Count::precision, |count| count.occurs),
            average(counts, Count::recall, |count| count.occurs),
            average(counts, Count::f1, |count| count.occurs),
            // Classes that do not occur have no weight in it.
            average(counts, Count::recall, |count| u64::from(count.occurs > 0)),
            correlation(counts, self.answers.len() as u64),
            defined_mean(areas.iter().map(|areas| areas.0)),
            defined_mean(areas.iter().map(|areas| areas.1)),
            mean(&|answer| -f64::from(answer.of_truth).max(1e-12).ln()),
            mean(&|answer| answer.distance) / if self.classes == 2 { 2.0 } else { 1.0 },
            calibration_error(self.answers, times),
        ]
    }

    fn mean(&self, times: &[u32], value: &dyn Fn(&Answer) -> f64) -> f64 {
        let pairs = self.answers.iter().zip(times);
        let sum: f64 = pairs.map(|(answer, &n)| f64::from(n) * value(answer)).sum();
        sum / self.answers.len() as f64
    }

    /// The metric `name` of one draw; not a number where it is not defined.
    pub(super) fn value(&self, name: &str, times: &[u32]) -> f64 {
        let within = |k: u32| self.mean(times, &|answer| if answer.rank <= k { 1.0 } else { 0.0 });
        if let Some(k) = super::top(name) {
            return within(k);
        }
        let counts = self.present.counts(times);
        let second = self.present.classes.iter().position(|class| *class == 1 && self.classes == 2);
        let of_second = |value: fn(&Count) -> f64| second.map_or(f64::NAN, |place| value(&counts[place]));
        match name {
            "accuracy" | "micro_precision" | "micro_recall" | "micro_f1" => within(1),
            "precision" => of_second(Count::precision),
            "recall" => of_second(Count::recall),
            "f1" => of_second(Count::f1),
            _ => match NAMES.iter().position(|known| *known == name) {
                Some(place) => self.values(&counts, times)[place],
                None => f64::NAN,
            },
        }
    }
}

/// Metrics of answers with their `probabilities`, and those of each class: shares by Wilson's score interval, all others
/// by the bootstrap. What is not defined is absent. `top` are further K of `top_K_accuracy`.
///
/// Averages of precision, recall and F1 over the classes follow scikit-learn: of the classes that occur or are predicted
/// (`macro_`), weighted by how often each occurs (`weighted_`), or over all decisions together (`micro_`, which is the
/// accuracy where every example has one class); 0 stands for a precision or recall that is not defined.
pub(crate) fn of_classes(
    answers: &[Answer],
    probabilities: &[&[f32]],
    labels: &[String],
    top: &[u32],
) -> (BTreeMap<String, Estimate>, Vec<PerClass>) {
    let (n, classes) = (answers.len() as u64, labels.len());
    let statistics = Statistics::of(answers, probabilities, classes, true);
    let mut estimates = bootstrap(answers.len(), |times| {
        // The statistics by name, then F1 of each class that is there.
        let counts = statistics.present.counts(times);
        let mut values = statistics.values(&counts, times);
        values.extend(counts.iter().map(Count::f1));
        values
    });
    let (names, present) = (NAMES, &statistics.present);
    let f1 = estimates.split_off(names.len());
    let counts = present.counts(&vec![1; answers.len()]);
    let per_class = per_class(present, &counts, &f1, labels);
    let within = |k: u32| proportion(answers.iter().filter(|answer| answer.rank <= k).count() as u64, n);
    let accuracy = within(1);
    let mut metrics: BTreeMap<String, Estimate> =
        names.map(str::to_owned).into_iter().zip(estimates).collect();
    for name in ["accuracy", "micro_precision", "micro_recall", "micro_f1"] {
        metrics.insert(name.to_owned(), accuracy);
    }
    let usual = TOP.iter().filter(|k| (**k as usize) < classes);
    metrics.extend(usual.chain(top).map(|&k| (format!("top_{k}_accuracy"), within(k))));
    if let [_, positive] = per_class.as_slice() {
        metrics.extend(positive.metrics.clone());
    }
    metrics.retain(|_, estimate| estimate.value.is_finite());
    (metrics, per_class)
}

/// Precision, recall and F1 of each class, as far as they are defined.
fn per_class(present: &Present, counts: &[Count], f1: &[Estimate], labels: &[String]) -> Vec<PerClass> {
    let absent = |label: &String| PerClass { label: label.clone(), support: 0, metrics: BTreeMap::new() };
    let mut all: Vec<PerClass> = labels.iter().map(absent).collect();
    for ((&class, count), f1) in present.classes.iter().zip(counts).zip(f1) {
        let metrics = [
            ("precision", proportion(count.right, count.predicted)),
            ("recall", proportion(count.right, count.occurs)),
            ("f1", *f1),
        ];
        let defined = metrics.into_iter().filter(|(_, estimate)| estimate.value.is_finite());
        all[class].support = count.occurs;
        all[class].metrics = defined.map(|(name, estimate)| (name.to_owned(), estimate)).collect();
    }
    all
}

/// The classes whose score puts examples in an order: the second of two, else every one that has examples of both kinds.
fn rankings(answers: &[Answer], probabilities: &[&[f32]], classes: usize) -> Vec<Ranking> {
    let ranked = match classes {
        2 => 1..2,
        0..=MOST_RANKED => 0..classes,
        _ => 0..0,
    };
    let of = |class: usize| {
        let pairs = answers.iter().zip(probabilities);
        let examples: Vec<(f32, bool)> =
            pairs.map(|(answer, row)| (row[class], answer.truth as usize == class)).collect();
        Ranking::of(&examples)
    };
    ranked.filter_map(of).collect()
}

/// Mean over the classes that occur or are predicted.
fn average(counts: &[Count], value: impl Fn(&Count) -> f64, weight: impl Fn(&Count) -> u64) -> f64 {
    let there = counts.iter().filter(|count| count.occurs + count.predicted > 0);
    let (sum, weights) = there.fold((0.0, 0), |(sum, weights), count| {
        let value = value(count);
        let weight = weight(count);
        (sum + weight as f64 * if value.is_finite() { value } else { 0.0 }, weights + weight)
    });
    sum / weights as f64
}

fn defined_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values
        .filter(|value| value.is_finite())
        .fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

/// Matthews correlation coefficient for any number of classes (Gorodkin, 2004); 0 if only one class occurs or is predicted.
fn correlation(counts: &[Count], n: u64) -> f64 {
    let n = n as f64;
    let sum = |value: &dyn Fn(&Count) -> f64| counts.iter().map(value).sum::<f64>();
    let (occurs, predicted) = (|count: &Count| count.occurs as f64, |count: &Count| count.predicted as f64);
    let covariance = n * sum(&|count| count.right as f64) - sum(&|count| occurs(count) * predicted(count));
    let spread = |squares: f64| n * n - squares;
    let variances =
        spread(sum(&|count| occurs(count).powi(2))) * spread(sum(&|count| predicted(count).powi(2)));
    if variances > 0.0 { covariance / variances.sqrt() } else { 0.0 }
}

/// Expected calibration error with 15 bins of equal width (Guo, Pleiss, Sun and Weinberger, 2017).
fn calibration_error(answers: &[Answer], times: &[u32]) -> f64 {
    let mut bins = [(0_u64, 0_f64); BINS];
    for (answer, &times) in answers.iter().zip(times) {
        let bin = &mut bins[answer.bin()];
        bin.0 += if answer.right() { u64::from(times) } else { 0 };
        bin.1 += f64::from(times) * f64::from(answer.confidence);
    }
    bins.iter().map(|(right, confidence)| (*right as f64 - confidence).abs()).sum::<f64>()
        / answers.len() as f64
}

/// The reliability curve: how often answers of about the same confidence are right. Bins without an answer are left out.
pub(crate) fn calibration(answers: &[Answer]) -> Vec<CalibrationBin> {
    let one = |bin: usize| {
        let there: Vec<&Answer> = answers.iter().filter(|answer| answer.bin() == bin).collect();
        let count = there.len() as u64;
        let right = there.iter().filter(|answer| answer.right()).count() as u64;
        let confidence = there.iter().map(|answer| f64::from(answer.confidence)).sum::<f64>() / count as f64;
        let edge = |bin: usize| bin as f64 / BINS as f64;
        (count > 0).then(|| CalibrationBin {
            lower: edge(bin),
            upper: edge(bin + 1),
            examples: count,
            confidence,
            accuracy: proportion(right, count),
        })
    };
    (0..BINS).filter_map(one).collect()
}

#[cfg(test)]
mod tests;
