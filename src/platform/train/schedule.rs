//! Learning rate over time: a function of the step alone, so that a resumed training needs no state; but for the plateau
//! schedule, whose state is in the checkpoint.

use std::f64::consts::PI;

use super::checkpoint::Lowered;
use super::spec::{OneCycle, Optimizer, Plateau, Schedule, TrainSpec, WarmUp};

/// Where a training stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    /// The step, from 0.
    pub(super) step: u64,
    /// Steps of the whole training.
    pub(super) steps: u64,
    /// Steps of one epoch.
    pub(super) per_epoch: u64,
}

/// A metric must get better by more than this share to count, as in PyTorch.
const THRESHOLD: f64 = 1e-4;

impl TrainSpec {
    /// The learning rate of a step: what the schedule says, less while warming up.
    pub(super) fn rate(&self, when: When, lowered: Option<Lowered>) -> f64 {
        let steps = match self.warm_up {
            None => 0.0,
            Some(WarmUp::Steps(steps)) => steps as f64,
            Some(WarmUp::Epochs(epochs)) => (epochs * when.per_epoch as f64).ceil(),
        };
        let warmth = if steps > 0.0 { ((when.step + 1) as f64 / steps).min(1.0) } else { 1.0 };
        let factor = lowered.map_or(1.0, |lowered| lowered.factor);
        self.schedule.rate(&self.optimizer, when) * warmth * factor
    }
}

impl Plateau {
    /// The state after an epoch in which the metric came to `value`; `less` says whether less is better.
    pub(super) fn follow(&self, before: Option<Lowered>, value: f64, less: bool) -> Lowered {
        let Some(Lowered { best, waited, factor }) = before else {
            return Lowered { best: value, waited: 0, factor: 1.0 };
        };
        let margin = THRESHOLD * best.abs();
        if if less { value < best - margin } else { value > best + margin } {
            return Lowered { best: value, waited: 0, factor };
        }
        if waited >= self.patience {
            return Lowered { best, waited: 0, factor: factor * self.factor };
        }
        Lowered { best, waited: waited + 1, factor }
    }
}

impl Schedule {
    /// The learning rate of a step.
    pub(super) fn rate(&self, optimizer: &Optimizer, when: When) -> f64 {
        let base = match optimizer {
            Optimizer::Sgd(sgd) => sgd.lr,
            Optimizer::Adamw(adamw) => adamw.lr,
            Optimizer::Rmsprop(rmsprop) => rmsprop.lr,
        };
        match self {
            Self::Constant | Self::Plateau(_) => base,
            Self::Cosine => anneal(base, 0.0, when.step as f64 / when.steps.max(1) as f64),
            Self::OneCycle(cycle) => one_cycle(cycle, when),
            Self::Step(decay) => {
                let epoch = when.step / when.per_epoch.max(1);
                base * decay.gamma.powi((epoch / u64::from(decay.every)).min(10_000) as i32)
            }
        }
    }
}

/// Half a cosine from `from` to `to` as `share` goes from 0 to 1.
fn anneal(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * share).cos())
}

/// The 1cycle policy (Smith and Topin, 2018) as PyTorch's `OneCycleLR` has it: half a cosine up from a 25th of the highest
/// rate, half a cosine down to a 10,000th of that. Momentum is not cycled.
fn one_cycle(cycle: &OneCycle, when: When) -> f64 {
    let (start, end) = (cycle.max_lr / 25.0, cycle.max_lr / 25e4);
    let last = when.steps.saturating_sub(1).max(1) as f64;
    let peak = cycle.warm_up * when.steps as f64 - 1.0;
    let step = when.step as f64;
    if step <= peak {
        anneal(start, cycle.max_lr, step / peak.max(1.0))
    } else {
        anneal(cycle.max_lr, end, ((step - peak) / (last - peak).max(1.0)).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::train::spec::{AdamW, StepDecay};

    fn rates(schedule: Schedule, steps: u64) -> Vec<f64> {
        let optimizer = Optimizer::Adamw(AdamW { lr: 0.1, ..AdamW::default() });
        (0..steps).map(|step| schedule.rate(&optimizer, When { step, steps, per_epoch: 2 })).collect()
    }

    fn close(found: &[f64], wanted: &[f64]) {
        let same = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 6e-5);
        assert!(same && found.len() == wanted.len(), "{found:?} {wanted:?}");
    }

    #[test]
    fn one_cycle_gives_the_rates_of_pytorch() {
        // torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10, pct_start=0.3)
        let wanted = [0.04, 0.52, 1.0, 0.9505, 0.8117, 0.6113, 0.3887, 0.1883, 0.0495, 4e-6];
        close(&rates(Schedule::OneCycle(OneCycle { max_lr: 1.0, warm_up: 0.3 }), 10), &wanted);
    }

    #[test]
    fn cosine_falls_from_the_optimisers_rate_and_steps_multiply_it() {
        close(&rates(Schedule::Cosine, 4), &[0.1, 0.085_36, 0.05, 0.014_64]);
        let decay = Schedule::Step(StepDecay { every: 2, gamma: 0.5 });
        close(&rates(decay, 10), &[0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025]);
        close(&rates(Schedule::Constant, 2), &[0.1, 0.1]);
    }

    #[test]
    fn warming_up_rises_to_what_the_schedule_says() {
        let when = |step| When { step, steps: 10, per_epoch: 4 };
        let adamw = Optimizer::Adamw(AdamW { lr: 0.1, ..AdamW::default() });
        let spec = TrainSpec { optimizer: adamw, warm_up: Some(WarmUp::Epochs(1.0)), ..TrainSpec::default() };
        let rates: Vec<f64> = (0..6).map(|step| spec.rate(when(step), None)).collect();
        close(&rates, &[0.025, 0.05, 0.075, 0.1, 0.1, 0.1]);
        let spec = TrainSpec { warm_up: Some(WarmUp::Steps(2)), schedule: Schedule::Cosine, ..spec };
        close(&[spec.rate(when(0), None), spec.rate(when(5), None)], &[0.05, 0.05]);
    }

    #[test]
    fn a_plateau_lowers_the_rate_where_pytorch_does() {
        // torch.optim.lr_scheduler.ReduceLROnPlateau(factor=0.5, patience=1)
        let plateau = Plateau { patience: 1, factor: 0.5, ..Plateau::default() };
        let mut state = None;
        let factors = [1.0, 0.9, 0.9, 0.95, 0.899_95, 0.9, 0.8].map(|value| {
            state = Some(plateau.follow(state, value, true));
            state.map_or(0.0, |state| state.factor)
        });
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
        let risen = plateau.follow(Some(Lowered { best: 0.5, waited: 1, factor: 1.0 }), 0.6, false);
        assert_eq!(risen, Lowered { best: 0.6, waited: 0, factor: 1.0 });
    }

    #[test]
    fn the_shortest_trainings_have_finite_rates() {
        for steps in 1..4 {
            for warm_up in [0.0, 0.3, 1.0] {
                let cycle = Schedule::OneCycle(OneCycle { max_lr: 1.0, warm_up });
                assert!(rates(cycle, steps).iter().all(|rate| rate.is_finite() && *rate > 0.0));
            }
        }
    }
}
