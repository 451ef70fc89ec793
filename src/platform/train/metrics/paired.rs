//! The paired bootstrap: how much better one model is than another on the same examples.

use std::collections::HashMap;

use rayon::prelude::*;

use super::classes::{Answer, Statistics};
use super::less_is_better;
use super::numbers::Numbers;
use crate::platform::train::Prediction;
use crate::platform::train::random::{Purpose, Stream};

/// A metric of two models on the same examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// The metric of the first model.
    pub first: f64,
    /// The metric of the second one.
    pub second: f64,
    /// By how much the first one is better: the difference, with the sign turned where less of the metric is better.
    pub gain: f64,
    /// Lower end of its interval.
    pub lower: f64,
    /// Upper end of its interval.
    pub upper: f64,
    /// In how many draws of examples the metric is defined for both.
    pub resamples: usize,
}

/// Predictions of a model beside the truth, and its classes in order (none of a regression).
#[derive(Clone, Copy, Debug)]
pub struct Predicted<'a> {
    /// One per example, with key and truth.
    pub predictions: &'a [Prediction],
    /// The classes that probabilities are of.
    pub classes: &'a [String],
}

/// How many resamples there are of few examples; and draws in all, which bounds the time for many.
const RESAMPLES: usize = 10_000;
const DRAWS: usize = 20_000_000;
/// The fewest resamples.
const FEWEST: usize = 1000;

/// The gain in `metric` of the first model over the second, with its two-sided percentile interval of level `1 - alpha` (B. Efron and
/// R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16): the same examples are drawn for both models, with
/// replacement, from a fixed seed, so that the same predictions give the same interval anywhere.
///
/// Examples are joined by key; of equal keys the n-th of one belongs to the n-th of the other. Draws in which the metric is not
/// defined do not count; at least half of them must.
///
/// # Errors
/// Why the two cannot be compared, for people: other examples, predictions without truth, a metric that is not defined.
pub fn paired_bootstrap(
    metric: &str,
    alpha: f64,
    first: Predicted<'_>,
    second: Predicted<'_>,
) -> Result<Gain, String> {
    let joined = join(first.predictions, second.predictions, |prediction| prediction.key.as_deref())
        .ok_or("the evaluations of the two versions have other examples")?;
    let of_classes = |predicted: &Predicted<'_>| !predicted.classes.is_empty();
    if of_classes(&first) != of_classes(&second) {
        return Err("one of the models predicts classes, the other numbers".to_owned());
    }
    let ranked = matches!(metric, "auc" | "average_precision");
    if of_classes(&first) {
        let classes = first.classes;
        let (one, rows) = answers(first.predictions.iter(), classes, classes)?;
        let (other, other_rows) = answers(joined.into_iter(), second.classes, classes)?;
        let views = [&rows, &other_rows].map(|rows| rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let one = Statistics::of(&one, &views[0], classes.len(), ranked);
        let other = Statistics::of(&other, &views[1], classes.len(), ranked);
        let values = |times: &[u32]| (one.value(metric, times), other.value(metric, times));
        gain(metric, alpha, rows.len(), values)
    } else {
        let (one, other) = (numbers(first.predictions.iter())?, numbers(joined.into_iter())?);
        let count = one.len();
        let (one, other) = (Numbers::of(&one), Numbers::of(&other));
        gain(metric, alpha, count, |times| (one.value(metric, times), other.value(metric, times)))
    }
}

fn gain(
    metric: &str,
    alpha: f64,
    count: usize,
    values: impl Fn(&[u32]) -> (f64, f64) + Sync,
) -> Result<Gain, String> {
    let sign = if less_is_better(metric) { -1.0 } else { 1.0 };
    let (first, second) = values(&vec![1; count]);
    if !(first.is_finite() && second.is_finite()) {
        return Err(format!("`{metric}` is not defined by the stored predictions"));
    }
    let resamples = (DRAWS / count.max(1)).clamp(FEWEST, RESAMPLES);
    let mut gains: Vec<f64> = (0..resamples)
        .into_par_iter()
        .map_init(
            || vec![0_u32; count],
            |times, resample| {
                let mut random = Stream::new(0, Purpose::Bootstrap, &[1, resample as u64]);
                times.fill(0);
                (0..count).for_each(|_| times[random.below(count)] += 1);
                let (first, second) = values(times);
                sign * (first - second)
            },
        )
        .filter(|gain| gain.is_finite())
        .collect();
    gains.sort_by(f64::total_cmp);
    if gains.len() * 2 < resamples {
        return Err(format!(
            "`{metric}` is defined in {} of {resamples} draws of the examples: too few for an interval",
            gains.len()
        ));
    }
    let gain = sign * (first - second);
    let at = |share: f64| {
        let place = (share * gains.len().saturating_sub(1) as f64).round() as usize;
        gains.get(place).copied().unwrap_or(gain)
    };
    Ok(Gain {
        first,
        second,
        gain,
        lower: at(alpha / 2.0),
        upper: at(1.0 - alpha / 2.0),
        resamples: gains.len(),
    })
}

/// The second examples in the order of the first ones, by key; of equal keys the n-th of one belongs to the n-th of the other. None if
/// the keys are not the same, or an example has none.
pub fn join<'a, T>(
    first: &[T],
    second: &'a [T],
    key: impl for<'k> Fn(&'k T) -> Option<&'k str>,
) -> Option<Vec<&'a T>> {
    if first.len() != second.len() {
        return None;
    }
    let mut waiting: HashMap<&str, Vec<&'a T>> = HashMap::with_capacity(second.len());
    for example in second.iter().rev() {
        waiting.entry(key(example)?).or_default().push(example);
    }
    first.iter().map(|example| waiting.get_mut(key(example)?)?.pop()).collect()
}

/// Answers of a classifier and their rows of probabilities.
type Answers = (Vec<Answer>, Vec<Vec<f32>>);

/// The answers of a model whose probabilities are of `own` classes, with the probabilities in the order of `classes`.
fn answers<'a>(
    predictions: impl Iterator<Item = &'a Prediction>,
    own: &[String],
    classes: &[String],
) -> Result<Answers, String> {
    let places: HashMap<&str, usize> = own.iter().map(String::as_str).zip(0..).collect();
    let order: Option<Vec<usize>> = classes.iter().map(|class| places.get(class.as_str()).copied()).collect();
    let order = order.filter(|_| own.len() == classes.len()).ok_or("the two models have other classes")?;
    let mut found = (Vec::new(), Vec::new());
    for prediction in predictions {
        let truth =
            prediction.truth.as_ref().and_then(|truth| classes.iter().position(|class| class == truth));
        let (Some(truth), true) = (truth, prediction.probabilities.len() == own.len()) else {
            return Err("a stored prediction has no truth, or not a probability for each class".to_owned());
        };
        let row: Vec<f32> = order.iter().map(|place| prediction.probabilities[*place]).collect();
        found.0.push(Answer::new(&row, truth as u32));
        found.1.push(row);
    }
    Ok(found)
}

/// Pairs of prediction and truth of a regression.
fn numbers<'a>(predictions: impl Iterator<Item = &'a Prediction>) -> Result<Vec<(f64, f64)>, String> {
    let pair = |prediction: &Prediction| {
        let truth = prediction.truth.as_deref()?.parse().ok()?;
        Some((f64::from(prediction.value?), truth))
    };
    let pairs: Option<Vec<_>> = predictions.map(pair).collect();
    pairs.ok_or_else(|| "a stored prediction has no number, or no truth".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(key: usize, value: f32, truth: f64) -> Prediction {
        let (key, truth) = (Some(key.to_string()), Some(truth.to_string()));
        Prediction { key, value: Some(value), truth, ..Prediction::default() }
    }

    fn class(key: usize, probabilities: [f32; 2], truth: &str) -> Prediction {
        let (key, truth) = (Some(key.to_string()), Some(truth.to_owned()));
        Prediction { key, probabilities: probabilities.to_vec(), truth, ..Prediction::default() }
    }

    fn of(predictions: &[Prediction]) -> Predicted<'_> {
        Predicted { predictions, classes: &[] }
    }

    #[test]
    fn the_interval_of_a_mean_difference_is_near_the_normal_one() {
        // Absolute errors 1 and, of the second model, from 1 to 2: the mean gain is 0.5.
        let first: Vec<_> = (0..400).map(|i| number(i, 1.0, 0.0)).collect();
        let second: Vec<_> = (0..400).map(|i| number(i, 1.0 + (i % 5) as f32 / 4.0, 0.0)).collect();
        let found = paired_bootstrap("mae", 0.05, of(&first), of(&second)).expect("compares");
        assert!((found.gain - 0.5).abs() < 1e-9, "{found:?}");
        // Deviation of 0, 0.25, 0.5, 0.75, 1 is sqrt(0.125).
        let half = 1.959_964 * (0.125_f64 / 400.0).sqrt();
        assert!((found.lower - (0.5 - half)).abs() < 0.003 && (found.upper - (0.5 + half)).abs() < 0.003);
        assert_eq!(found.resamples, RESAMPLES);
        assert_eq!(paired_bootstrap("mae", 0.05, of(&first), of(&second)).expect("compares"), found);
    }

    #[test]
    fn examples_are_paired_by_key_and_less_of_an_error_is_a_gain() {
        let first: Vec<_> = (0..50).map(|i| number(i, i as f32 + 0.1, i as f64)).collect();
        let mut second: Vec<_> = (0..50).map(|i| number(i, i as f32 + 0.2, i as f64)).collect();
        second.reverse();
        let found = paired_bootstrap("rmse", 0.05, of(&first), of(&second)).expect("compares");
        assert!((found.gain - 0.1).abs() < 1e-5 && found.lower > 0.09 && found.upper < 0.11, "{found:?}");
        second[0].key = Some("other".into());
        assert!(paired_bootstrap("rmse", 0.05, of(&first), of(&second)).is_err());
        assert!(paired_bootstrap("rmse", 0.05, of(&first), of(&first[1..])).is_err());
        assert!(paired_bootstrap("accuracy", 0.05, of(&first), of(&first)).is_err());
    }

    #[test]
    fn draws_that_define_nothing_do_not_count_and_some_must_define_it() {
        // One example of the second class in four: a draw without it, or of it alone, has no AUC: one in three.
        let classes = ["a".to_owned(), "b".to_owned()];
        let draws = |others: usize| {
            let all: Vec<_> =
                (0..=others).map(|i| class(i, [0.6, 0.4], if i == 0 { "b" } else { "a" })).collect();
            let all = Predicted { predictions: &all, classes: &classes };
            paired_bootstrap("auc", 0.05, all, all)
        };
        let found = draws(3).expect("compares");
        assert!((0.63..0.73).contains(&(found.resamples as f64 / RESAMPLES as f64)), "{found:?}");
        let none = std::sync::atomic::AtomicBool::new(true);
        let once = |_: &[u32]| match none.swap(false, std::sync::atomic::Ordering::Relaxed) {
            true => (1.0, 0.5),
            false => (f64::NAN, 0.5),
        };
        let error = gain("auc", 0.05, 2, once).expect_err("nothing is left");
        assert_eq!(error, "`auc` is defined in 0 of 10000 draws of the examples: too few for an interval");
    }

    #[test]
    fn classes_may_stand_in_another_order_in_each_model() {
        let (ab, ba) = (["a".to_owned(), "b".to_owned()], ["b".to_owned(), "a".to_owned()]);
        let truth = |i: usize| if i.is_multiple_of(2) { "a" } else { "b" };
        let right = |i: usize| if i.is_multiple_of(2) { [0.9, 0.1] } else { [0.1, 0.9] };
        let first: Vec<_> = (0..40).map(|i| class(i, right(i), truth(i))).collect();
        let second: Vec<_> = (0..40)
            .map(|i| {
                let [a, b] = right(i);
                // Ten of forty wrong.
                class(i, if i.is_multiple_of(4) { [a, b] } else { [b, a] }, truth(i))
            })
            .collect();
        let (first, second) = (
            Predicted { predictions: &first, classes: &ab },
            Predicted { predictions: &second, classes: &ba },
        );
        for (metric, one, other) in
            [("accuracy", 1.0, 0.75), ("auc", 1.0, 0.75), ("macro_f1", 1.0, 0.733_333_333)]
        {
            let found = paired_bootstrap(metric, 0.05, first, second).expect("compares");
            assert!(
                (found.first - one).abs() < 1e-6 && (found.second - other).abs() < 1e-6,
                "{metric} {found:?}"
            );
            assert!(found.lower > 0.05 && found.upper < 0.5, "{metric} {found:?}");
        }
    }
}
