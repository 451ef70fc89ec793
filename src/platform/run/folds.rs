//! Cross-validation: one model trained once per fold, each judged on the fold that it was not trained on.

use std::collections::BTreeMap;

use serde::Serialize;

use super::finish::trained;
use super::{Question, RunError, evaluate, find_evaluation};
use crate::base::{Digest, Evaluation, Record, Run, Sink};
use crate::infrastructure::store::Local;
use crate::platform::data::{Dataset, Fold};
use crate::platform::train::{ModelSpec, TrainError};

/// The task of a run that trained on all folds but one. What it left is no `model` of the project's: nothing registers,
/// serves or evaluates it by name.
pub(super) const TASK: &str = "fold";

/// What the runs of all folds came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean over the folds.
    pub mean: f64,
    /// Sample standard deviation (of n - 1).
    pub std: f64,
    /// By fold.
    pub values: Vec<f64>,
}

/// The fold that the plan or record of a run names in its `config`.
pub(super) fn of_config(config: &serde_json::Value) -> Option<Fold> {
    serde_json::from_value(config.get("fold")?.clone()).ok()
}

/// Evaluates what the run of a fold left on that fold, unless this was done before. `dataset` has the same fold.
pub fn evaluate_fold(
    store: &Local,
    author: &str,
    run: &Run,
    model: &ModelSpec,
    dataset: &Dataset,
    sink: &dyn Sink,
) -> Result<(Digest, Record<Evaluation>), RunError> {
    let (Some(files), Some(&tree)) = (trained(store, run)?, run.data.get(dataset.name.as_str())) else {
        return Err(TrainError::Model(format!("run {} ({}) made none", run.run, run.end.state)).into());
    };
    let question = Question {
        model: files.id,
        spec: model.clone(),
        dataset: dataset.clone(),
        tree,
        part: "val".to_owned(),
    };
    match find_evaluation(store, &question)? {
        Some(found) => Ok(found),
        None => evaluate(store, author, &question, sink),
    }
}

/// Mean and deviation of every metric that all evaluations have.
pub fn spread(evaluations: &[&Evaluation]) -> BTreeMap<String, Spread> {
    let Some(first) = evaluations.first() else { return BTreeMap::new() };
    let of = |name: &String| {
        let values: Option<Vec<f64>> =
            evaluations.iter().map(|body| Some(body.metrics.get(name)?.value)).collect();
        let values = values?;
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Some((name.clone(), Spread { mean, std: (squares / (count - 1.0).max(1.0)).sqrt(), values }))
    };
    first.metrics.keys().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Estimate;

    #[test]
    fn the_spread_is_of_what_all_folds_have() {
        let evaluation = |metrics: &[(&str, f64)]| Evaluation {
            model: Digest::of(b"model"),
            data: "points".parse().expect("a name"),
            tree: Digest::of(b"tree"),
            settings: Digest::of(b"settings"),
            part: "val".into(),
            examples: 1,
            metrics: metrics
                .iter()
                .map(|&(name, value)| (name.to_owned(), Estimate { value, lower: value, upper: value }))
                .collect(),
            slices: vec![],
            confusion: None,
            per_class: vec![],
            calibration: vec![],
            predictions: Digest::of(b""),
        };
        let folds =
            [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].map(|rmse| evaluation(&[("rmse", rmse), ("r2", 0.5)]));
        let last = evaluation(&[("rmse", 5.0)]);
        let mut all: Vec<&Evaluation> = folds.iter().collect();
        let found = spread(&all);
        assert!((found["rmse"].mean - 5.0).abs() < 1e-12, "{found:?}");
        // The squares sum up to 32.
        assert!((found["rmse"].std - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12, "{found:?}");
        assert_eq!(found["r2"], Spread { mean: 0.5, std: 0.0, values: vec![0.5; 8] });
        all.push(&last);
        assert_eq!(spread(&all).keys().collect::<Vec<_>>(), ["rmse"]);
        assert_eq!(spread(&[]), BTreeMap::new());
    }
}
