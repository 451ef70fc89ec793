//! The quality of answers whose labels are known.

use super::Prediction;
use super::metrics::{self, Answer};
use crate::base::Estimate;

/// A metric of [`METRICS`](super::METRICS) of answers beside their labels, with its 95 % interval; none if it is not defined for them.
/// A label is the name of a class, or a number where there are no classes. One that is neither makes the answer a wrong one for
/// `accuracy`, and does not count for other metrics.
pub fn labelled(classes: &[String], answers: &[(&Prediction, &str)], metric: &str) -> Option<Estimate> {
    if answers.is_empty() {
        return None;
    }
    if metric == "accuracy" {
        let right = answers.iter().filter(|(answer, label)| answer.label.as_deref() == Some(*label)).count();
        return (!classes.is_empty()).then(|| metrics::proportion(right as u64, answers.len() as u64));
    }
    let mut found = if classes.is_empty() {
        let pair = |(answer, label): &(&Prediction, &str)| {
            let truth = label.parse::<f64>().ok().filter(|truth| truth.is_finite())?;
            Some((f64::from(answer.value?), truth))
        };
        let pairs: Vec<(f64, f64)> = answers.iter().filter_map(pair).collect();
        if pairs.is_empty() {
            return None;
        }
        metrics::of_numbers(&pairs)
    } else {
        let known: Vec<(&[f32], Answer)> = answers
            .iter()
            .filter(|(answer, _)| answer.probabilities.len() == classes.len())
            .filter_map(|(answer, label)| {
                let truth = classes.iter().position(|class| class == label)? as u32;
                Some((answer.probabilities.as_slice(), Answer::new(&answer.probabilities, truth)))
            })
            .collect();
        if known.is_empty() {
            return None;
        }
        let (probabilities, known): (Vec<&[f32]>, Vec<Answer>) = known.into_iter().unzip();
        let top: Vec<u32> = metrics::top(metric).into_iter().collect();
        metrics::of_classes(&known, &probabilities, classes, &top).0
    };
    found.remove(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_measured_by_their_labels() {
        let classes = ["a".to_owned(), "b".to_owned()];
        let answer = |p: f32| Prediction {
            label: Some(if p > 0.5 { "b" } else { "a" }.to_owned()),
            probabilities: vec![1.0 - p, p],
            ..Prediction::default()
        };
        let all = [answer(0.9), answer(0.2), answer(0.8), answer(0.1)];
        let labels = ["b", "a", "a", "nothing"];
        let both: Vec<(&Prediction, &str)> = all.iter().zip(labels).collect();
        assert_eq!(labelled(&classes, &both, "accuracy").expect("is defined").value, 0.5);
        let recall = labelled(&classes, &both, "macro_recall").expect("is defined").value;
        assert!((recall - 0.75).abs() < 1e-9, "{recall}");
        assert_eq!(labelled(&classes, &both, "rmse"), None);
        let number = Prediction { value: Some(3.0), ..Prediction::default() };
        let rmse = labelled(&[], &[(&number, "1.0"), (&number, "x")], "rmse").expect("is defined");
        assert_eq!(rmse.value, 2.0);
    }
}
