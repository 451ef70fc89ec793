//! How a dataset is divided: by the hash of each example's content.

use super::{DataError, Fold, Split};

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Val,
    Test,
}

impl Split {
    /// Refuses shares that are no shares or leave nothing to train on.
    pub(super) fn check(&self, name: &str) -> Result<(), DataError> {
        let share = |value: f64| (0.0..1.0).contains(&value);
        if share(self.val) && share(self.test) && self.val + self.test < 1.0 {
            return Ok(());
        }
        let detail = format!(
            "the split val {} and test {} leaves nothing to train on or is no share",
            self.val, self.test
        );
        Err(DataError::Split { name: name.to_owned(), detail })
    }

    /// The part of the example with `key`: its hash with the seed is a uniform number, of which the lowest share is the
    /// test and the highest share the validation, so that changing one share never moves an example of the other part.
    /// It depends on nothing but the example, so that it stays where it is as data grow, and equal examples stay together.
    pub(super) fn part(&self, key: u64) -> Part {
        // 53 bits are what an f64 holds exactly.
        let uniform = (hash("mlp split 1", self.seed, key) >> 11) as f64 / (1u64 << 53) as f64;
        if uniform < self.test {
            Part::Test
        } else if let Some(fold) = self.fold {
            if fold.holds(self.seed, key) { Part::Val } else { Part::Train }
        } else if uniform >= 1.0 - self.val {
            Part::Val
        } else {
            Part::Train
        }
    }

    /// This split for data that bring some of their parts themselves.
    pub(super) fn without(mut self, own_val: bool, own_test: bool) -> Self {
        if own_val {
            self.val = 0.0;
        }
        if own_test {
            self.test = 0.0;
        }
        self
    }
}

impl Fold {
    /// Whether the example with `key` is in this fold. As for parts, this depends on nothing but the example.
    fn holds(&self, seed: u64, key: u64) -> bool {
        let place = (u128::from(hash("mlp fold 1", seed, key)) * u128::from(self.of)) >> 64;
        place + 1 == u128::from(self.number)
    }
}

/// A uniform number of 64 bits that belongs to an example.
fn hash(context: &str, seed: u64, key: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&key.to_le_bytes());
    let mut low = [0; 8];
    low.copy_from_slice(&blake3::derive_key(context, &bytes)[..8]);
    u64::from_le_bytes(low)
}

/// The key of an example: the first 8 bytes, little-endian, of the BLAKE3 digest of its input.
pub(super) fn key(input: &[u8]) -> u64 {
    let mut low = [0; 8];
    low.copy_from_slice(&blake3::hash(input).as_bytes()[..8]);
    u64::from_le_bytes(low)
}

/// Divides `values`, `width` of them per example, into train, validation and test, keeping the order. The training part
/// stays in the memory of the whole.
pub(super) fn divide<T: Clone + Copy>(mut values: Vec<T>, width: usize, parts: &[Part]) -> [Vec<T>; 3] {
    let count = |part| parts.iter().filter(|p| **p == part).count() * width;
    let mut val = Vec::with_capacity(count(Part::Val));
    let mut test = Vec::with_capacity(count(Part::Test));
    let mut kept = 0;
    for (index, part) in parts.iter().enumerate() {
        let example = index * width..(index + 1) * width;
        match part {
            Part::Val => val.extend_from_slice(&values[example]),
            Part::Test => test.extend_from_slice(&values[example]),
            Part::Train => {
                values.copy_within(example, kept);
                kept += width;
            }
        }
    }
    values.truncate(kept);
    [values, val, test]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(split: &Split, n: u64) -> (f64, f64) {
        let parts: Vec<_> = (0..n).map(|key| split.part(key)).collect();
        let share = |part| parts.iter().filter(|p| **p == part).count() as f64 / n as f64;
        (share(Part::Val), share(Part::Test))
    }

    #[test]
    fn shares_come_out_as_written() {
        let (val, test) = shares(&Split { val: 0.1, test: 0.2, ..Split::default() }, 50_000);
        assert!((val - 0.1).abs() < 0.01 && (test - 0.2).abs() < 0.01, "{val} {test}");
    }

    #[test]
    fn another_share_of_one_part_moves_no_example_of_the_other() {
        let narrow = Split { val: 0.1, test: 0.1, ..Split::default() };
        let wide = Split { val: 0.4, ..narrow };
        for key in 0..5_000 {
            assert_eq!(narrow.part(key) == Part::Test, wide.part(key) == Part::Test);
            assert!(narrow.part(key) != Part::Val || wide.part(key) == Part::Val);
        }
    }

    #[test]
    fn another_seed_is_another_split() {
        let split = Split::default();
        let other = Split { seed: 1, ..split };
        assert!((0..1000).any(|key| split.part(key) != other.part(key)));
    }

    #[test]
    fn the_split_of_a_key_never_changes_between_versions() {
        let split = Split { val: 0.3, test: 0.3, ..Split::default() };
        let parts: String = (0..24)
            .map(|key| match split.part(key) {
                Part::Train => 'r',
                Part::Val => 'v',
                Part::Test => 't',
            })
            .collect();
        assert_eq!(parts, "tvrtvrrrttrttvvvvrrrrtvv");
    }

    #[test]
    fn folds_share_out_what_is_not_the_test_and_never_move_an_example() {
        let split = Split { val: 0.1, test: 0.2, ..Split::default() };
        let fold = |number| Split { fold: Some(Fold { number, of: 5 }), ..split };
        let mut sizes = [0; 5];
        for key in 0..10_000 {
            let parts: Vec<Part> = (1..=5).map(|number| fold(number).part(key)).collect();
            if split.part(key) == Part::Test {
                assert_eq!(parts, [Part::Test; 5]);
                continue;
            }
            let own: Vec<usize> = (0..5).filter(|fold| parts[*fold] == Part::Val).collect();
            assert!(own.len() == 1 && !parts.contains(&Part::Test), "{parts:?}");
            sizes[own[0]] += 1;
        }
        // A fifth of 8,000 each, within four deviations.
        assert!(sizes.iter().all(|size: &i32| (size - 1600).abs() < 150), "{sizes:?}");
        let places: String = (0..24)
            .map(|key| {
                (1..=3)
                    .find(|&number| Fold { number, of: 3 }.holds(0, key))
                    .map_or('-', |n| (b'0' + n as u8) as char)
            })
            .collect();
        // The same as an independent implementation gives.
        assert_eq!(places, "122331213331321122312312");
    }

    #[test]
    fn shares_that_leave_nothing_are_refused() {
        for (val, test) in [(0.5, 0.5), (-0.1, 0.1), (f64::NAN, 0.0), (1.0, 0.0), (0.0, f64::INFINITY)] {
            assert!(Split { val, test, ..Split::default() }.check("x").is_err(), "{val} {test}");
        }
        assert!(Split { val: 0.0, test: 0.0, ..Split::default() }.check("x").is_ok());
    }

    #[test]
    fn dividing_keeps_the_order() {
        let parts = [Part::Train, Part::Test, Part::Train, Part::Val];
        let [train, val, test] = divide(vec![1, 1, 2, 2, 3, 3, 4, 4], 2, &parts);
        assert_eq!((train, val, test), (vec![1, 1, 3, 3], vec![4, 4], vec![2, 2]));
    }
}
