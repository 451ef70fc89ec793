//! Random numbers of one image: a counter through a mixing function, so that no image depends on another.

/// The increment and the mixing function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(super) struct Random {
    key: u64,
    counter: u64,
}

impl Random {
    /// The numbers of image `index` of `part`.
    pub(super) fn new(seed: u64, part: u64, index: u64) -> Self {
        let key = [part, index].iter().fold(mix(seed.wrapping_add(GOLDEN)), |key, word| {
            mix(key ^ mix(word.wrapping_mul(GOLDEN).wrapping_add(1)))
        });
        Self { key, counter: 0 }
    }

    fn next(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GOLDEN);
        mix(self.key ^ mix(self.counter))
    }

    /// A whole number below `limit` (at most 2^32).
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((self.next() >> 32) * limit) >> 32
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24: exact in an f32.
    pub(super) fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// Uniform in `[low, high)`.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Nearly normal with mean 0 and deviation 1: the sum of four uniform numbers (no value beyond 3.5).
    pub(super) fn normal(&mut self) -> f32 {
        // Four 16-bit fields of one word; the variance of their sum is 4/12.
        let word = self.next();
        let sum: u64 = (0..4).map(|field| word >> (16 * field) & 0xffff).sum();
        (sum as f32 / 65_536.0 - 2.0) * 1.732_050_8
    }
}
