//! Trials as runs: planned, found again, brought into a queue.

use crate::application::chosen::begin;
use crate::application::commands::Context;
use crate::application::elsewhere::{Place, Wishes};
use crate::base::{Digest, Failure, JobState, Level, Name, Sink};
use crate::platform::project::Project;
use crate::platform::run::sweep::{Objective, Settings, Standing, Trial, Trials};
use crate::platform::run::{self, Curves, Listed, Planned, Workspace};
use crate::platform::train::ModelSpec;

/// What the trials of a sweep have in common.
pub(super) struct Source<'a> {
    pub(super) context: &'a Context,
    pub(super) name: &'a Name,
    /// The model without the settings of a trial.
    pub(super) model: &'a ModelSpec,
    pub(super) sweep: Digest,
    pub(super) objective: &'a Objective,
    pub(super) places: &'a [Place],
}

impl Source<'_> {
    /// The model of a trial.
    pub(super) fn model(&self, project: &Project, settings: &Settings) -> Result<ModelSpec, Failure> {
        let mut model = self.model.clone();
        for (path, value) in settings {
            model = run::set(&model, &format!("{path}={value}"))?;
        }
        let dataset = project.dataset(model.data.as_str())?;
        run::describe_network(&model, &dataset, false, &self.context.ui)?;
        Ok(model)
    }

    /// The run of a trial.
    pub(super) fn plan(
        &self,
        project: &Project,
        workspace: &Workspace<'_>,
        settings: &Settings,
    ) -> Result<Planned, Failure> {
        let model = self.model(project, settings)?;
        let dataset = project.dataset(model.data.as_str())?;
        let ui = &self.context.ui;
        let weights = begin(project, workspace, self.name, &model, ui)?;
        let planned = run::plan_training(workspace, self.name, &model, dataset, weights.as_ref(), ui)?;
        Ok(planned.of_sweep(self.sweep)?)
    }

    /// What is known of a trial from earlier runs.
    pub(super) fn find(
        &self,
        project: &Project,
        listed: &[Listed],
        settings: Settings,
    ) -> Result<Trial, Failure> {
        let mut trial = Trial::new(settings);
        let mut found: Option<(usize, &Listed)> = None;
        for (at, place) in self.places.iter().enumerate() {
            let plan = self.plan(project, &place.workspace(project), &trial.settings)?.digest;
            for run in listed.iter().filter(|run| run.plan == plan) {
                // What has come to its end counts wherever it was; other runs go on where they are.
                let good = rank(run.state);
                let useful = good == 0 || run.folder.as_ref().is_some_and(|folder| place.has(folder));
                if useful && found.is_none_or(|(_, best)| good < rank(best.state)) {
                    found = Some((at, run));
                }
            }
        }
        if let Some((at, run)) = found {
            self.take_over(project, &mut trial, at, run)?;
        }
        Ok(trial)
    }

    fn take_over(
        &self,
        project: &Project,
        trial: &mut Trial,
        at: usize,
        run: &Listed,
    ) -> Result<(), Failure> {
        self.learn(trial, &Curves::read(&run.written(&project.store, "events.jsonl")?));
        (trial.run, trial.place) = (Some(run.id), Some(at));
        let Some((_, record)) = &run.record else {
            trial.standing = Standing::Paused;
            return Ok(());
        };
        self.judge(trial, &record.body);
        Ok(())
    }

    /// Takes the objective of each epoch.
    pub(super) fn learn(&self, trial: &mut Trial, curves: &Curves) {
        if let Some((part, metric)) = self.objective.metric.split_once('.') {
            trial.values.extend(curves.of(part, metric).filter(|(_, value)| value.is_finite()));
        }
    }

    /// What the end of its run means for a trial.
    pub(super) fn judge(&self, trial: &mut Trial, run: &crate::base::Run) {
        trial.seconds = run.end.took();
        let metric = &self.objective.metric;
        (trial.standing, trial.reason) = match run.end.state {
            JobState::Succeeded => match run.metrics.get(metric) {
                Some(value) => {
                    trial.result = Some(*value);
                    (Standing::Done, None)
                }
                None => (Standing::Failed, Some(format!("it has no `{metric}`"))),
            },
            JobState::Cancelled => (Standing::Paused, None),
            JobState::Failed => (Standing::Failed, run.end.reason.clone()),
            other => (Standing::Paused, Some(format!("it was {other}"))),
        };
    }

    /// Brings all trials that have not begun into the queue of the only place, at most `at_once` of them at work.
    pub(super) fn queue(
        &self,
        project: &Project,
        trials: &mut Trials,
        wishes: &Wishes,
        at_once: usize,
    ) -> Result<(), Failure> {
        let place = &self.places[0];
        let workspace = place.workspace(project);
        let waiting: Vec<usize> =
            (0..trials.all.len()).filter(|at| trials.all[*at].standing == Standing::Waiting).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let planned = waiting
            .iter()
            .map(|at| self.plan(project, &workspace, &trials.all[*at].settings))
            .collect::<Result<Vec<_>, _>>()?;
        let ids = place.queue(&planned, &workspace, wishes, at_once, &self.context.ui)?;
        let text = format!("{} trials are in the queue, {at_once} at a time", ids.len());
        self.context.ui.log(Level::Info, &text);
        for (at, id) in waiting.into_iter().zip(ids) {
            let trial = &mut trials.all[at];
            (trial.run, trial.place, trial.standing) = (Some(id), Some(0), Standing::Paused);
        }
        Ok(())
    }
}

/// The less, the more useful.
fn rank(state: JobState) -> u8 {
    match state {
        JobState::Succeeded => 0,
        JobState::Failed => 3,
        state if state.ended() => 2,
        _ => 1,
    }
}
