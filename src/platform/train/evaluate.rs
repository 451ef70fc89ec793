//! Evaluation: metrics with bounds, slices, confusion matrix and every prediction.

use std::collections::BTreeMap;

use super::metrics::{self, Answer};
use super::model::largest;
use super::{Model, ModelSpec, Prediction, TrainError};
use crate::base::{Confusion, Estimate, Sink, Slice, Unit};
use crate::platform::data::{Examples, Inputs, Targets};

/// Examples between two reports of progress.
const REPORT: usize = 4096;
/// Slices of a numeric column with more different values than this are its quarters.
const MOST_VALUES: usize = 20;

/// What an evaluation found.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Metrics with 95 % intervals: `accuracy` by Wilson's score interval, all others by the percentile bootstrap.
    pub metrics: BTreeMap<String, Estimate>,
    /// Metrics per slice.
    pub slices: Vec<Slice>,
    /// For classifiers.
    pub confusion: Option<Confusion>,
    /// One per example, in order.
    pub predictions: Vec<Prediction>,
}

/// What is judged: predictions beside the truth.
enum Judged {
    Classes(Vec<Answer>),
    Numbers(Vec<(f64, f64)>),
}

/// Evaluates a model on some examples: `accuracy`, `macro_f1`, `log_loss` and `ece` of a classifier; `mae`, `rmse` and
/// `r2` of a regression.
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
    let mut predictions = predict(model, examples, sink)?;
    let judged = judge(model, examples, &mut predictions)?;
    let all: Vec<u32> = (0..examples.len() as u32).collect();
    let slices = match &spec.evaluate.slices {
        Some(slices) => groups(model, examples, &slices.by)?
            .into_iter()
            .map(|(value, indices)| Slice {
                by: slices.by.clone(),
                value,
                examples: indices.len() as u64,
                metrics: judged.metrics(model.classes.len(), &indices),
            })
            .collect(),
        None => Vec::new(),
    };
    let metrics = judged.metrics(model.classes.len(), &all);
    let confusion = match &judged {
        Judged::Classes(answers) => Some(confusion(model, answers)),
        Judged::Numbers(_) => None,
    };
    Ok(Evaluated { metrics, slices, confusion, predictions })
}

fn predict(model: &Model, examples: &Examples, sink: &dyn Sink) -> Result<Vec<Prediction>, TrainError> {
    let length: usize = model.shape.iter().product();
    let total = examples.len();
    let mut predictions = Vec::with_capacity(total);
    for first in (0..total).step_by(REPORT) {
        let part = examples.inputs.range(first..(first + REPORT).min(total), length)?;
        predictions.append(&mut model.predict(&part)?);
        sink.progress("evaluate", predictions.len() as u64, Some(total as u64), Unit::Samples);
    }
    Ok(predictions)
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
                let probabilities = &prediction.probabilities;
                let predicted = largest(probabilities);
                answers.push(Answer {
                    truth,
                    predicted: predicted as u32,
                    confidence: probabilities[predicted],
                    of_truth: probabilities[truth as usize],
                });
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
    fn metrics(&self, classes: usize, indices: &[u32]) -> BTreeMap<String, Estimate> {
        let estimate = |statistic: &(dyn Fn(&[u32]) -> f64 + Sync)| {
            // The bootstrap draws positions; the statistic wants examples.
            metrics::bootstrap(indices.len(), |drawn| {
                let drawn: Vec<u32> = drawn.iter().map(|&position| indices[position as usize]).collect();
                statistic(&drawn)
            })
        };
        let metrics = match self {
            Self::Classes(answers) => {
                let right = indices.iter().map(|&index| &answers[index as usize]);
                let right = right.filter(|answer| answer.truth == answer.predicted).count();
                vec![
                    ("accuracy", metrics::proportion(right as u64, indices.len() as u64)),
                    ("macro_f1", estimate(&|drawn| metrics::macro_f1(answers, classes, drawn))),
                    ("log_loss", estimate(&|drawn| metrics::log_loss(answers, drawn))),
                    ("ece", estimate(&|drawn| metrics::calibration_error(answers, drawn))),
                ]
            }
            Self::Numbers(pairs) => vec![
                ("mae", estimate(&|drawn| metrics::mean_absolute_error(pairs, drawn))),
                ("rmse", estimate(&|drawn| metrics::root_mean_squared_error(pairs, drawn))),
                ("r2", estimate(&|drawn| metrics::r_squared(pairs, drawn))),
            ],
        };
        // What is not defined (r2 of a constant truth) is absent: JSON has no word for it.
        let defined = metrics.into_iter().filter(|(_, estimate)| estimate.value.is_finite());
        defined.map(|(name, estimate)| (name.to_owned(), estimate)).collect()
    }
}

fn confusion(model: &Model, answers: &[Answer]) -> Confusion {
    let mut counts = vec![vec![0_u64; model.classes.len()]; model.classes.len()];
    for answer in answers {
        counts[answer.truth as usize][answer.predicted as usize] += 1;
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
