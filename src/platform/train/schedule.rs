//! Learning rate over time: a function of the step alone, so that a resumed training needs no state.

use std::f64::consts::PI;

use super::spec::{OneCycle, Optimizer, Schedule};

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

impl Schedule {
    /// The learning rate of a step.
    pub(super) fn rate(&self, optimizer: &Optimizer, when: When) -> f64 {
        let base = match optimizer {
            Optimizer::Sgd(sgd) => sgd.lr,
            Optimizer::Adamw(adamw) => adamw.lr,
        };
        match self {
            Self::Constant => base,
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
    fn the_shortest_trainings_have_finite_rates() {
        for steps in 1..4 {
            for warm_up in [0.0, 0.3, 1.0] {
                let cycle = Schedule::OneCycle(OneCycle { max_lr: 1.0, warm_up });
                assert!(rates(cycle, steps).iter().all(|rate| rate.is_finite() && *rate > 0.0));
            }
        }
    }
}
