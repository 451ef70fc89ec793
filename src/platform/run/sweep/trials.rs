//! What a sweep does next.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Objective, Settings};
use crate::base::Id;

/// How a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has not begun.
    Waiting,
    /// It is under way.
    Running,
    /// It was stopped with a checkpoint and can go on.
    Paused,
    /// It was stopped for good.
    Stopped,
    /// It came to its end.
    Done,
    /// It failed, or its settings are none.
    Failed,
}

/// One training of a sweep.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What it tries.
    pub settings: Settings,
    /// How it stands.
    pub standing: Standing,
    /// The objective after each epoch.
    pub values: BTreeMap<u64, f64>,
    /// The objective of the model that it made.
    pub result: Option<f64>,
    /// Which place has its checkpoints: it goes on there.
    pub place: Option<usize>,
    /// Its run, once it has begun.
    pub run: Option<Id>,
    /// Seconds that it was trained.
    pub seconds: f64,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Trial {
    /// One that has not begun.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            standing: Standing::Waiting,
            values: BTreeMap::new(),
            result: None,
            place: None,
            run: None,
            seconds: 0.0,
            reason: None,
        }
    }

    /// The objective as it is known: of its model, or else of its last epoch.
    pub fn value(&self) -> Option<f64> {
        self.result.or_else(|| self.values.values().next_back().copied())
    }
}

/// Successive halving: all trials are trained for a few epochs, and of those that have come so far the best go on to the next rung. Asynchronous as in Li et
/// al., A System for Massively Parallel Hyperparameter Tuning (MLSys 2020): nobody waits for a rung to be full. Unlike there, where trials never run
/// out, a new trial comes before one that goes on: what is decided late is decided among more, and with one trial at a time among all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halving {
    /// Epochs after which it is decided.
    pub rungs: Vec<u64>,
    /// One of so many goes on.
    pub keep: usize,
}

impl Halving {
    /// Rungs at `first`, `first` * `keep`, and so on, below `epochs`.
    pub fn new(first: u64, keep: usize, epochs: u64) -> Self {
        let next = |rung: &u64| rung.checked_mul(keep as u64).filter(|rung| *rung < epochs);
        let rungs = std::iter::successors(Some(first.max(1)).filter(|first| *first < epochs), next);
        Self { rungs: rungs.collect(), keep }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This trial begins or goes on, to this epoch or to its end.
    Train {
        /// Which.
        trial: usize,
        /// After which epoch it is stopped.
        until: Option<u64>,
    },
    /// Something under way has to end first.
    Wait,
    /// Nothing is left.
    Over,
}

/// The trials of a sweep.
#[derive(Clone, Debug)]
pub struct Trials {
    /// In the order in which they were proposed.
    pub all: Vec<Trial>,
    objective: Objective,
    halving: Option<Halving>,
}

impl Trials {
    /// Trials that are to be compared.
    pub fn new(all: Vec<Trial>, objective: Objective, halving: Option<Halving>) -> Self {
        Self { all, objective, halving }
    }

    /// What `place` is to do now. What was stopped goes on where it was; whoever asks does it, and says so by [`Standing::Running`].
    pub fn next(&self, place: usize) -> Next {
        let halving = self.halving.as_ref().filter(|halving| !halving.rungs.is_empty());
        let (here, elsewhere): (Vec<_>, Vec<_>) = self
            .due(halving)
            .into_iter()
            .partition(|(trial, _)| self.all[*trial].place.is_none_or(|own| own == place));
        if let Some(&(trial, until)) = here.first() {
            return Next::Train { trial, until };
        }
        let runs = self.all.iter().any(|trial| trial.standing == Standing::Running);
        if runs || !elsewhere.is_empty() { Next::Wait } else { Next::Over }
    }

    /// The trials that could go on, the most promising first, and how far.
    fn due(&self, halving: Option<&Halving>) -> Vec<(usize, Option<u64>)> {
        let open = |trial: &Trial| matches!(trial.standing, Standing::Waiting | Standing::Paused);
        let indices = 0..self.all.len();
        let Some(halving) = halving else {
            return indices.filter(|at| open(&self.all[*at])).map(|at| (at, None)).collect();
        };
        let Halving { rungs, keep } = halving;
        let unseen = |at: &usize| open(&self.all[*at]) && self.rung(*at, halving).is_none();
        let mut due: Vec<_> = indices.filter(unseen).map(|at| (at, rungs.first().copied())).collect();
        for (rung, epoch) in rungs.iter().enumerate() {
            let ranked = self.ranked(*epoch);
            let promoted = ranked.iter().take(ranked.len() / keep);
            let here = promoted.filter(|at| self.rung(**at, halving) == Some(rung) && open(&self.all[**at]));
            due.extend(here.map(|at| (*at, rungs.get(rung + 1).copied())));
        }
        let done = |standing| self.all.iter().any(|trial| trial.standing == standing);
        if due.is_empty() && !done(Standing::Running) && !done(Standing::Done) {
            // Too few for any to be one of the best: the best of those that came farthest goes on all the same.
            let farthest = (0..rungs.len()).rev().find_map(|rung| {
                let ranked = self.ranked(rungs[rung]);
                let at = ranked.into_iter().find(|at| open(&self.all[*at]))?;
                Some((at, rungs.get(rung + 1).copied()))
            });
            due.extend(farthest);
        }
        due
    }

    /// The highest rung that a trial has reached.
    fn rung(&self, at: usize, halving: &Halving) -> Option<usize> {
        halving.rungs.iter().rposition(|epoch| self.all[at].values.contains_key(epoch))
    }

    /// The trials that have come to this epoch, best first.
    fn ranked(&self, epoch: u64) -> Vec<usize> {
        let value = |at: usize| self.all[at].values.get(&epoch).copied();
        let mut ranked: Vec<(usize, f64)> =
            (0..self.all.len()).filter_map(|at| Some((at, value(at)?))).collect();
        ranked.sort_by(|(_, one), (_, other)| self.objective.order(*one, *other));
        ranked.into_iter().map(|(at, _)| at).collect()
    }

    /// All trials, best first: those that came to their end, then the others by how far they came.
    pub fn standings(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        order.sort_by(|one, other| {
            let (one, other) = (&self.all[*one], &self.all[*other]);
            let behind = |trial: &Trial| {
                let failed = trial.standing == Standing::Failed;
                // How long it took who has come to the end decides nothing.
                let epochs = if trial.result.is_some() { 0 } else { trial.values.len() };
                (failed, trial.result.is_none(), std::cmp::Reverse(epochs))
            };
            let value = |trial: &Trial| trial.value().unwrap_or(f64::NAN);
            behind(one).cmp(&behind(other)).then(self.objective.order(value(one), value(other)))
        });
        order
    }

    /// Runs of trials that did not come to their end and, as things stand, will not.
    pub fn left_behind(&self) -> impl Iterator<Item = Id> {
        let behind = |trial: &&Trial| matches!(trial.standing, Standing::Paused | Standing::Stopped);
        self.all.iter().filter(behind).filter_map(|trial| trial.run)
    }

    /// The best of the trials that came to their end.
    pub fn best(&self) -> Option<usize> {
        let first = *self.standings().first()?;
        self.all[first].result.map(|_| first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trials(count: usize, halving: Option<Halving>) -> Trials {
        let all = (0..count).map(|_| Trial::new(Vec::new())).collect();
        Trials::new(all, Objective::of("val.accuracy"), halving)
    }

    /// Trains one trial after another to the end of the sweep; the epochs that each one came to.
    fn play(trials: &mut Trials, epochs: u64, quality: &[f64]) -> Vec<u64> {
        let mut steps = 0;
        while let Next::Train { trial, until } = trials.next(0) {
            let one = &mut trials.all[trial];
            let last = until.unwrap_or(epochs);
            assert!(one.values.len() < last as usize, "it goes on");
            one.values = (1..=last).map(|epoch| (epoch, quality[trial] * epoch as f64)).collect();
            one.standing = if last == epochs { Standing::Done } else { Standing::Paused };
            one.result = (last == epochs).then(|| quality[trial] * last as f64);
            steps += 1;
            assert!(steps < 1000, "it ends");
        }
        assert_eq!(trials.next(0), Next::Over);
        trials.all.iter().map(|trial| trial.values.len() as u64).collect()
    }

    #[test]
    fn without_halving_all_are_trained_to_the_end() {
        let mut all = trials(3, None);
        assert_eq!(play(&mut all, 4, &[0.1, 0.9, 0.5]), [4, 4, 4]);
        assert_eq!((all.best(), all.standings()), (Some(1), vec![1, 2, 0]));
        // One that stopped early is judged by its value alone.
        all.all[1].values.clear();
        assert_eq!(all.best(), Some(1));
    }

    #[test]
    fn rungs_lie_below_the_last_epoch() {
        assert_eq!(Halving::new(1, 3, 27).rungs, [1, 3, 9]);
        assert_eq!(Halving::new(2, 2, 9).rungs, [2, 4, 8]);
        assert_eq!(Halving::new(5, 3, 5).rungs, [0; 0]);
    }

    #[test]
    fn the_best_third_of_each_rung_goes_on() {
        let mut all = trials(9, Some(Halving::new(1, 3, 9)));
        let epochs = play(&mut all, 9, &[0.1, 0.2, 0.9, 0.3, 0.4, 0.8, 0.5, 0.6, 0.7]);
        assert_eq!(epochs, [1, 1, 9, 1, 1, 3, 1, 1, 3]);
        assert_eq!(all.best(), Some(2));
    }

    #[test]
    fn with_few_trials_the_best_comes_to_its_end_all_the_same() {
        let mut all = trials(2, Some(Halving::new(1, 3, 9)));
        assert_eq!(play(&mut all, 9, &[0.1, 0.2]), [1, 9]);
    }

    #[test]
    fn what_was_stopped_goes_on_where_it_was() {
        let mut all = trials(2, None);
        (all.all[0].standing, all.all[0].place) = (Standing::Paused, Some(1));
        assert_eq!(all.next(0), Next::Train { trial: 1, until: None });
        assert_eq!(all.next(1), Next::Train { trial: 0, until: None });
        all.all[1].standing = Standing::Done;
        assert_eq!(all.next(0), Next::Wait, "the other place has work");
    }

    #[test]
    fn less_loss_is_better_and_what_is_no_number_is_last() {
        let objective = Objective::of("val.loss");
        assert!(objective.order(0.1, 0.2).is_lt() && objective.order(f64::NAN, 9.0).is_gt());
        assert!(Objective::of("val.accuracy").order(0.1, f64::NAN).is_lt());
    }

    proptest! {
        #[test]
        fn halving_always_ends_with_a_best_and_lets_only_the_best_go_on(
            count in 1_usize..60, first in 1_u64..4, keep in 2_usize..5, seed in 0_u64..1000,
        ) {
            let quality: Vec<f64> = (0..count as u64)
                .map(|at| ((at + 1) * (seed * 7919 + 13) % 1009) as f64 / 1009.0)
                .collect();
            let halving = Halving::new(first, keep, 30);
            let mut all = trials(count, Some(halving.clone()));
            let epochs = play(&mut all, 30, &quality);
            let most = quality.iter().copied().fold(0.0, f64::max);
            prop_assert!(all.best().is_some_and(|best| quality[best] == most));
            let reached = |epoch: u64| epochs.iter().filter(|epochs| **epochs >= epoch).count();
            prop_assert_eq!(reached(first), count);
            for (rung, next) in halving.rungs.iter().zip(halving.rungs.iter().skip(1).chain([&30])) {
                prop_assert_eq!(reached(*next), (reached(*rung) / keep).max(1), "{:?}", epochs);
            }
        }
    }
}
