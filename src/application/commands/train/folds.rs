//! What the folds of a model came to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Ready;
use crate::application::following::RunReport;
use crate::application::ui::{Align, Table, percent};
use crate::base::{Digest, Failure, JobState, Name, Record, Run, Sink};
use crate::platform::project::Project;
use crate::platform::run::{self, Spread};
use crate::platform::train::is_share;

/// One model over all its folds.
#[derive(Serialize)]
pub(super) struct Folds {
    model: Name,
    folds: u32,
    /// The evaluation of each fold.
    evaluations: Vec<Digest>,
    metrics: BTreeMap<String, Spread>,
    /// Metrics in the order of `mlp.yaml`.
    #[serde(skip)]
    first: Vec<String>,
}

/// Evaluates the runs of all folds of each model; models of which a fold did not succeed are left out.
pub(super) fn judge(
    project: &Project,
    ready: &[Ready],
    runs: &[RunReport],
    sink: &dyn Sink,
) -> Result<Vec<Folds>, Failure> {
    let mut all = Vec::new();
    // The folds of one model stand side by side.
    for group in ready.chunk_by(|a, b| a.name == b.name) {
        let of = |ready: &Ready| {
            let run = runs.iter().find(|run| run.plan == ready.planned.digest);
            run.filter(|run| run.state == JobState::Succeeded).and_then(|run| run.record)
        };
        let Some(records) = group.iter().map(of).collect::<Option<Vec<Digest>>>() else { continue };
        let author = project.repo.author();
        let mut evaluations = Vec::new();
        for (ready, id) in group.iter().zip(&records) {
            let record: Record<Run> = project.store.record(id)?;
            let Ready { model, dataset, .. } = ready;
            evaluations.push(run::evaluate_fold(
                &project.store,
                &author,
                &record.body,
                model,
                dataset,
                sink,
            )?);
        }
        let bodies: Vec<_> = evaluations.iter().map(|(_, record)| &record.body).collect();
        all.push(Folds {
            model: group[0].name.clone(),
            folds: group.len() as u32,
            metrics: run::spread(&bodies),
            evaluations: evaluations.iter().map(|(id, _)| *id).collect(),
            first: group[0].model.evaluate.metrics.clone(),
        });
    }
    Ok(all)
}

impl Folds {
    pub(super) fn human(&self) -> String {
        let mut table = Table::new(["METRIC", "MEAN", "DEVIATION", "LOWEST", "HIGHEST"]).indent(2);
        for column in 1..=4 {
            table = table.align(column, Align::Right);
        }
        let first = self.first.iter().filter_map(|name| self.metrics.get_key_value(name));
        // Where every example has one class, what is counted over all decisions is the accuracy again.
        let others =
            self.metrics.iter().filter(|(name, _)| !self.first.contains(name) && !name.starts_with("micro_"));
        for (name, Spread { mean, std, values }) in first.chain(others) {
            let shown = |value: f64| if is_share(name) { percent(value) } else { format!("{value:.4}") };
            let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            table.row([name.clone(), shown(*mean), shown(*std), shown(lowest), shown(highest)]);
        }
        format!(
            "{} over {} folds, each judged by the model that did not see it\n{}",
            self.model,
            self.folds,
            table.render()
        )
    }
}
