//! Which examples an epoch has and with what they are mixed: functions of (seed, epoch) and of (seed, epoch, example).

use super::random::{Purpose, Stream};
use super::spec::{Augment, Mixup, Sampler, TrainSpec};
use crate::platform::data::Targets;

/// One example of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    pub(super) example: u32,
    /// How many times it was drawn before in this epoch: each time it is changed in another way.
    pub(super) repeat: u32,
}

impl Draw {
    /// The random numbers of this draw.
    pub(super) fn stream(self, seed: u64, purpose: Purpose, epoch: u64) -> Stream {
        let stream = Stream::new(seed, purpose, &[epoch, u64::from(self.example)]);
        if self.repeat == 0 { stream } else { stream.nested(u64::from(self.repeat)) }
    }
}

/// The examples of an epoch in their order.
pub(super) fn epoch(spec: &TrainSpec, targets: &Targets, count: usize, epoch: u64) -> Vec<Draw> {
    let mut random = Stream::new(spec.seed, Purpose::Order, &[epoch]);
    match (spec.sampler, targets) {
        (Sampler::Balanced, Targets::Class(truths)) => balanced(&mut random, truths),
        _ => random.permutation(count).into_iter().map(|example| Draw { example, repeat: 0 }).collect(),
    }
}

/// As many as there are, of each class with the same probability, with replacement.
fn balanced(random: &mut Stream, truths: &[u32]) -> Vec<Draw> {
    let classes = truths.iter().max().map_or(0, |&most| most as usize + 1);
    let mut members = vec![Vec::new(); classes];
    for (example, &truth) in truths.iter().enumerate() {
        members[truth as usize].push(example as u32);
    }
    members.retain(|members| !members.is_empty());
    let mut drawn = vec![0_u32; truths.len()];
    let draw = |_| {
        let members = &members[random.below(members.len())];
        let example = members[random.below(members.len())];
        let repeat = drawn[example as usize];
        drawn[example as usize] += 1;
        Draw { example, repeat }
    };
    (0..truths.len()).map(draw).collect()
}

/// Another example, and the share of the first one in the mixture of both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mix {
    pub(super) with: u32,
    pub(super) share: f32,
}

/// What each of some examples is mixed with; nothing without `mixup`. The other example is any of the training part.
pub(super) fn mixes(spec: &TrainSpec, draws: &[Draw], count: usize, epoch: u64) -> Vec<Mix> {
    let mixup = spec.augment.iter().find_map(|change| match change {
        Augment::Mixup(mixup) => Some(*mixup),
        _ => None,
    });
    let Some(Mixup { alpha }) = mixup else { return Vec::new() };
    let mix = |draw: &Draw| {
        let mut random = draw.stream(spec.seed, Purpose::Mixup, epoch);
        Mix { with: random.below(count) as u32, share: beta(&mut random, alpha) }
    };
    draws.iter().map(mix).collect()
}

/// A number of the beta distribution with both parameters `alpha`: one gamma variate over the sum of two.
fn beta(random: &mut Stream, alpha: f32) -> f32 {
    let (first, second) = (gamma(random, f64::from(alpha)), gamma(random, f64::from(alpha)));
    let share = (first / (first + second)) as f32;
    // Both are zero in f64 where alpha is tiny: then it is one or the other.
    if share.is_finite() { share } else { (random.bits() & 1) as f32 }
}

/// A number of the gamma distribution (Marsaglia and Tsang, 2000).
fn gamma(random: &mut Stream, shape: f64) -> f64 {
    if shape < 1.0 {
        let uniform = 1.0 - f64::from(random.uniform());
        return gamma(random, shape + 1.0) * uniform.powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = f64::from(random.normal_pair().0);
        let uniform = 1.0 - f64::from(random.uniform());
        let v = (1.0 + c * normal).powi(3);
        if v > 0.0 && uniform.ln() < 0.5 * normal * normal + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_balanced_epoch_has_as_many_of_each_class_and_counts_repeats() {
        let truths: Vec<u32> = (0..1000).map(|index| u32::from(index % 20 == 0) * 2).collect();
        let spec = TrainSpec { sampler: Sampler::Balanced, ..TrainSpec::default() };
        let targets = Targets::Class(Arc::new(truths.clone()));
        let draws = epoch(&spec, &targets, 1000, 0);
        assert_eq!(draws.len(), 1000);
        let rare = draws.iter().filter(|draw| truths[draw.example as usize] == 2).count();
        assert!((430..570).contains(&rare), "{rare}");
        let of_first: Vec<u32> = draws.iter().filter(|d| d.example == 0).map(|d| d.repeat).collect();
        assert_eq!(of_first, (0..of_first.len() as u32).collect::<Vec<_>>());
        assert!(of_first.len() > 3);
        assert_ne!(draws, epoch(&spec, &targets, 1000, 1));
    }

    #[test]
    fn shares_have_the_moments_of_the_beta_distribution() {
        for alpha in [0.2_f32, 1.0, 3.0] {
            let mut random = Stream::new(1, Purpose::Mixup, &[]);
            let count = 20_000;
            let shares: Vec<f64> = (0..count).map(|_| f64::from(beta(&mut random, alpha))).collect();
            let mean = shares.iter().sum::<f64>() / f64::from(count);
            let variance = shares.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(count);
            let wanted = 1.0 / (4.0 * (2.0 * f64::from(alpha) + 1.0));
            assert!(
                (mean - 0.5).abs() < 0.01 && (variance - wanted).abs() < 0.005,
                "{alpha}: {mean} {variance}"
            );
        }
    }
}
