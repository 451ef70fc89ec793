//! Random numbers that depend on nothing but their key: a counter-based generator.
//!
//! Every random decision of a training has a key of its own (seed, purpose, and what it is for: epoch, sample, step,
//! layer), so that neither the order of work nor the number of threads changes it, and a resumed run needs no state.

/// What a stream of random numbers is for; streams of different purposes are unrelated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Initial weights: index of the tensor.
    Weights = 1,
    /// Order of the examples: epoch.
    Order = 2,
    /// Dropout: step, layer, sample.
    Dropout = 3,
    /// Augmentation: epoch, sample.
    Augment = 4,
    /// Resampling for confidence bounds: metric, resample.
    Bootstrap = 5,
    /// What an example is mixed with: epoch, sample.
    Mixup = 6,
    /// Corruption of inputs: which one, severity, key of the example.
    Corruption = 7,
    /// Settings of the trials of a sweep: setting, draw.
    Sweep = 8,
    /// Divisions of points for a p-value: permutation.
    Drift = 9,
    /// The directions that embeddings are projected on: direction.
    Projection = 10,
}

/// A stream of random numbers: SplitMix64 (Steele, Lea and Flood, 2014), whose n-th output is a function of key and n alone.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    state: u64,
}

/// The increment of SplitMix64: 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64: a bijection that scatters neighbouring values.
fn scatter(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Stream {
    /// The stream of this key.
    pub(crate) fn new(seed: u64, purpose: Purpose, indices: &[u64]) -> Self {
        let mut state = scatter(seed.wrapping_add(GOLDEN)) ^ scatter(purpose as u64);
        for index in indices {
            state = scatter(state.wrapping_add(GOLDEN) ^ scatter(index.wrapping_add(1)).rotate_left(17));
        }
        Self { state }
    }

    /// The stream below this one for `index`: the same as appending it to the indices.
    pub(crate) fn nested(&self, index: u64) -> Self {
        let state = scatter(self.state.wrapping_add(GOLDEN) ^ scatter(index.wrapping_add(1)).rotate_left(17));
        Self { state }
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        scatter(self.state)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24.
    #[inline]
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Uniform in `[-1, 1)`.
    pub(crate) fn symmetric(&mut self) -> f32 {
        2.0 * self.uniform() - 1.0
    }

    /// Uniform below `bound` (which is over 0); the bias is below `bound` / 2^64.
    #[inline]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Two independent numbers of the standard normal distribution (Box and Muller, 1958).
    pub(crate) fn normal_pair(&mut self) -> (f32, f32) {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * self.uniform()).sin_cos();
        (radius * cosine, radius * sine)
    }

    /// A random order of `0..n` (Fisher and Yates).
    pub(crate) fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_sequence() {
        // First outputs of the reference implementation for the state 1234567.
        let mut stream = Stream { state: 1_234_567 };
        assert_eq!(stream.bits(), 6_457_827_717_110_365_317);
        assert_eq!(stream.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn neighbouring_keys_give_unrelated_streams() {
        let first = |seed, epoch, sample| Stream::new(seed, Purpose::Augment, &[epoch, sample]).bits();
        let mut seen = std::collections::HashSet::new();
        for seed in 0..20 {
            for epoch in 0..20 {
                for sample in 0..20 {
                    assert!(seen.insert(first(seed, epoch, sample)));
                }
            }
        }
        assert_ne!(first(1, 0, 1), first(1, 1, 0));
    }

    #[test]
    fn a_nested_stream_is_the_stream_of_the_longer_key() {
        let nested = Stream::new(7, Purpose::Dropout, &[1, 2]).nested(3).bits();
        assert_eq!(nested, Stream::new(7, Purpose::Dropout, &[1, 2, 3]).bits());
    }

    #[test]
    fn uniform_and_normal_numbers_have_their_moments() {
        let mut stream = Stream::new(1, Purpose::Weights, &[0]);
        let count = 100_000;
        let uniform: f64 = (0..count).map(|_| f64::from(stream.uniform())).sum::<f64>() / f64::from(count);
        assert!((uniform - 0.5).abs() < 0.005, "{uniform}");
        let normal: Vec<f64> = (0..count).map(|_| f64::from(stream.normal_pair().0)).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(count);
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(count);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = Stream::new(1, Purpose::Order, &[0]).permutation(1000);
        assert_ne!(order[..20], (0..20).collect::<Vec<u32>>()[..]);
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<u32>>());
    }
}
