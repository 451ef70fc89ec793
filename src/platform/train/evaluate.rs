//! Evaluation: metrics with bounds, slices, confusion matrix and every prediction.

use std::collections::BTreeMap;

use super::metrics::{self, Answer};
use super::{Corruption, Model, ModelSpec, Prediction, TrainError, corrupt};
use crate::base::{CalibrationBin, Confusion, Estimate, PerClass, Sink, Slice, Unit};
use crate::platform::data::{Examples, Inputs, Targets};

/// Examples between two reports of progress.
const REPORT: usize = 4096;
/// Slices of a numeric column with more different values than this are its quarters.
const MOST_VALUES: usize = 20;

/// What an evaluation found.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Metrics with 95 % intervals: shares by Wilson's score interval, all others by the percentile bootstrap.
    pub metrics: BTreeMap<String, Estimate>,
    /// Metrics per slice.
    pub slices: Vec<Slice>,
    /// For classifiers.
    pub confusion: Option<Confusion>,
    /// For classifiers: precision, recall and F1 of each class.
    pub per_class: Vec<PerClass>,
    /// For classifiers: the reliability curve.
    pub calibration: Vec<CalibrationBin>,
    /// One per example, in order.
    pub predictions: Vec<Prediction>,
}

/// What is judged: predictions beside the truth.
enum Judged {
    Classes(Vec<Answer>),
    Numbers(Vec<(f64, f64)>),
}

/// Evaluates a model on some examples by all [`METRICS`](super::METRICS) that are defined for what it predicts.
///
/// # Errors
/// [`TrainError::Data`] if there are no examples or they are not what the model was trained on;
/// [`TrainError::Setting`] if slices are asked for by something that the examples do not have.
pub fn evaluate(
    model: &Model,
    spec: &ModelSpec,
    examples: &Examples,
    sink: &dyn Sink,
) -> Result<Evaluated, TrainError> {
    if examples.is_empty() {
        return Err(TrainError::Data("there are none".to_owned()));
    }
    if examples.shape != model.shape {
        let detail = format!("their shape is {:?}, the model's is {:?}", examples.shape, model.shape);
        return Err(TrainError::Data(detail));
    }
    for corruption in &spec.evaluate.corruptions {
        corrupt::check(model, *corruption)?;
    }
    let mut predictions = predict(model, examples, "evaluate", |inputs, _| inputs, sink)?;
    let judged = judge(model, examples, &mut predictions)?;
    let top: Vec<u32> = spec.evaluate.metrics.iter().filter_map(|name| metrics::top(name)).collect();
    let measure = |indices: &[u32]| judged.metrics(&predictions, &model.classes, indices, &top);
    let mut slices = match &spec.evaluate.slices {
        Some(slices) => groups(model, examples, &slices.by)?
            .into_iter()
            .map(|(value, indices)| Slice {
                by: slices.by.clone(),
                value,
                examples: indices.len() as u64,
                metrics: measure(&indices).0,
            })
            .collect(),
        None => Vec::new(),
    };
    let all: Vec<u32> = (0..examples.len() as u32).collect();
    let (mut metrics, per_class) = measure(&all);
    if !spec.evaluate.corruptions.is_empty() {
        let (error, corrupted) = corrupted(model, examples, &spec.evaluate.corruptions, sink)?;
        metrics.extend(error.map(|error| ("mean_corruption_error".to_owned(), error)));
        slices.extend(corrupted);
    }
    let (confusion, calibration) = match &judged {
        Judged::Classes(answers) => (Some(confusion(model, answers)), metrics::calibration(answers)),
        Judged::Numbers(_) => (None, Vec::new()),
    };
    Ok(Evaluated { metrics, slices, confusion, per_class, calibration, predictions })
}

/// Predicts all examples, some at a time; `change` gets the inputs of these and their keys.
fn predict(
    model: &Model,
    examples: &Examples,
    task: &str,
    change: impl Fn(Inputs, &[u64]) -> Inputs,
    sink: &dyn Sink,
) -> Result<Vec<Prediction>, TrainError> {
    let length: usize = model.shape.iter().product();
    let total = examples.len();
    let mut predictions = Vec::with_capacity(total);
    for first in (0..total).step_by(REPORT) {
        let last = (first + REPORT).min(total);
        let part = examples.inputs.range(first..last, length)?;
        predictions.append(&mut model.predict(&change(part, &examples.keys[first..last]))?);
        sink.progress(task, predictions.len() as u64, Some(total as u64), Unit::Samples);
    }
    Ok(predictions)
}

/// A slice for each corruption and severity: `accuracy` of classes, all metrics of numbers. Of classes besides the mean
/// corruption error: the share of wrong answers over all corruptions and severities, which is not put in relation to
/// another network's.
fn corrupted(
    model: &Model,
    examples: &Examples,
    corruptions: &[Corruption],
    sink: &dyn Sink,
) -> Result<(Option<Estimate>, Vec<Slice>), TrainError> {
    let mut slices = Vec::new();
    // Wrong answers by example.
    let mut wrong = vec![0_u32; examples.len()];
    for &corruption in corruptions {
        for severity in corrupt::SEVERITIES {
            let value = format!("{} {severity}", corruption.name());
            let change =
                |inputs: Inputs, keys: &[u64]| corrupt::corrupt(model, &inputs, keys, corruption, severity);
            let mut predictions = predict(model, examples, &value, change, sink)?;
            let metrics = match judge(model, examples, &mut predictions)? {
                Judged::Classes(answers) => {
                    let mut right = 0;
                    for (wrong, answer) in wrong.iter_mut().zip(&answers) {
                        let (truth, predicted) = answer.confusion();
                        *wrong += u32::from(truth != predicted);
                        right += u64::from(truth == predicted);
                    }
                    let accuracy = metrics::proportion(right, answers.len() as u64);
                    BTreeMap::from([("accuracy".to_owned(), accuracy)])
                }
                Judged::Numbers(pairs) => metrics::of_numbers(&pairs),
            };
            let by = Slice::CORRUPTION.to_owned();
            slices.push(Slice { by, value, examples: examples.len() as u64, metrics });
        }
    }
    let answers = (wrong.len() * corruptions.len() * corrupt::SEVERITIES.count()) as f64;
    let share = |times: &[u32]| {
        let sum: f64 =
            wrong.iter().zip(times).map(|(&wrong, &times)| f64::from(wrong) * f64::from(times)).sum();
        vec![sum / answers]
    };
    let error = model.classifies().then(|| metrics::bootstrap(wrong.len(), share)[0]);
    Ok((error, slices))
}

/// Puts key and truth beside each prediction.
fn judge(model: &Model, examples: &Examples, predictions: &mut [Prediction]) -> Result<Judged, TrainError> {
    for (prediction, key) in predictions.iter_mut().zip(examples.keys.iter()) {
        prediction.key = Some(format!("{key:016x}"));
    }
    match &examples.targets {
        Targets::Class(truths) if model.classifies() => {
            let mut answers = Vec::with_capacity(truths.len());
            for (prediction, &truth) in predictions.iter_mut().zip(truths.iter()) {
                let Some(name) = model.classes.get(truth as usize) else {
                    let detail = format!("class {truth} is not one of the model's {}", model.classes.len());
                    return Err(TrainError::Data(detail));
                };
                prediction.truth = Some(name.clone());
                answers.push(Answer::new(&prediction.probabilities, truth));
            }
            Ok(Judged::Classes(answers))
        }
        Targets::Value(truths) if !model.classifies() => {
            let mut pairs = Vec::with_capacity(truths.len());
            for (prediction, truth) in predictions.iter_mut().zip(truths.iter()) {
                prediction.truth = Some(truth.to_string());
                pairs.push((f64::from(prediction.value.unwrap_or(f32::NAN)), f64::from(*truth)));
            }
            Ok(Judged::Numbers(pairs))
        }
        _ if model.classifies() => {
            Err(TrainError::Data("they have numbers, the model tells classes".to_owned()))
        }
        _ => Err(TrainError::Data("they have classes, the model tells numbers".to_owned())),
    }
}

impl Judged {
    /// Metrics of the examples at `indices`, and those of each class.
    fn metrics(
        &self,
        predictions: &[Prediction],
        classes: &[String],
        indices: &[u32],
        top: &[u32],
    ) -> (BTreeMap<String, Estimate>, Vec<PerClass>) {
        let chosen = indices.iter().map(|&index| index as usize);
        match self {
            Self::Classes(answers) => {
                let probabilities: Vec<&[f32]> =
                    chosen.clone().map(|index| predictions[index].probabilities.as_slice()).collect();
                let answers: Vec<Answer> = chosen.map(|index| answers[index]).collect();
                metrics::of_classes(&answers, &probabilities, classes, top)
            }
            Self::Numbers(pairs) => {
                let pairs: Vec<(f64, f64)> = chosen.map(|index| pairs[index]).collect();
                (metrics::of_numbers(&pairs), Vec::new())
            }
        }
    }
}

fn confusion(model: &Model, answers: &[Answer]) -> Confusion {
    let mut counts = vec![vec![0_u64; model.classes.len()]; model.classes.len()];
    for (truth, predicted) in answers.iter().map(Answer::confusion) {
        counts[truth][predicted] += 1;
    }
    Confusion { labels: model.classes.clone(), counts }
}

/// The examples by the value of `by`: `label`, or a column of the table.
fn groups(model: &Model, examples: &Examples, by: &str) -> Result<Vec<(String, Vec<u32>)>, TrainError> {
    let fail = |detail: String| TrainError::setting("evaluate.slices.by", detail);
    if by == "label" {
        let Targets::Class(truths) = &examples.targets else {
            return Err(fail("cannot be `label`: what is predicted is a number".to_owned()));
        };
        let mut groups: Vec<(String, Vec<u32>)> =
            model.classes.iter().map(|class| (class.clone(), Vec::new())).collect();
        for (index, truth) in truths.iter().enumerate() {
            groups[*truth as usize].1.push(index as u32);
        }
        groups.retain(|(_, indices)| !indices.is_empty());
        return Ok(groups);
    }
    if examples.inputs.is_bytes() {
        return Err(fail(format!("cannot be `{by}`: these examples only have `label`")));
    }
    let width = model.columns.len().max(1);
    if let Some(index) = model.columns.iter().position(|name| name == by) {
        let mut column = Vec::with_capacity(examples.len());
        examples.inputs.each(|inputs| {
            if let Inputs::F32(values) = inputs {
                column.extend(values.iter().skip(index).step_by(width));
            }
        })?;
        return Ok(numeric_groups(&column));
    }
    // A column of categories has one input per category, named `column=category`.
    let prefix = format!("{by}=");
    let categories: Vec<(usize, &str)> = model
        .columns
        .iter()
        .enumerate()
        .filter_map(|(index, name)| Some((index, name.strip_prefix(&prefix)?)))
        .collect();
    if categories.is_empty() {
        let known = model.columns.iter().map(|name| name.split('=').next().unwrap_or(name));
        let near = crate::base::nearest(by, known.chain(["label"]));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(fail(format!("names no column `{by}`{near}")));
    }
    let mut groups: Vec<(String, Vec<u32>)> =
        categories.iter().map(|(_, name)| ((*name).to_owned(), Vec::new())).collect();
    groups.push(("(other)".to_owned(), Vec::new()));
    let mut example = 0;
    examples.inputs.each(|inputs| {
        let Inputs::F32(values) = inputs else { return };
        for row in values.chunks(width) {
            let group =
                categories.iter().position(|&(index, _)| row[index] == 1.0).unwrap_or(categories.len());
            groups[group].1.push(example);
            example += 1;
        }
    })?;
    groups.retain(|(_, indices)| !indices.is_empty());
    Ok(groups)
}

/// By value if there are few, else by quarter.
fn numeric_groups(values: &[f32]) -> Vec<(String, Vec<u32>)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let mut different = sorted.clone();
    different.dedup();
    let few = different.len() <= MOST_VALUES;
    if !few {
        // Upper ends of the quarters.
        different = (1..=4).map(|quarter| sorted[quarter * (sorted.len() - 1) / 4]).collect();
        different.dedup();
    }
    let mut groups: Vec<(String, Vec<u32>)> = different
        .iter()
        .map(|value| (if few { value.to_string() } else { format!("up to {value}") }, Vec::new()))
        .collect();
    for (index, value) in values.iter().enumerate() {
        let group = different.partition_point(|end| end < value).min(groups.len() - 1);
        groups[group].1.push(index as u32);
    }
    groups.retain(|(_, indices)| !indices.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_value_if_few_and_by_quarter_if_many() {
        let groups = numeric_groups(&[1.0, 2.0, 1.0]);
        assert_eq!(groups, [("1".to_owned(), vec![0, 2]), ("2".to_owned(), vec![1])]);
        let many: Vec<f32> = (0..101).map(|value| value as f32).collect();
        let groups = numeric_groups(&many);
        assert_eq!(groups.iter().map(|(_, members)| members.len()).collect::<Vec<_>>(), [26, 25, 25, 25]);
        assert_eq!(groups[0].0, "up to 25");
    }
}
