use serde_json::Value;

use super::gamma::chi_square_tail;
use super::*;
use crate::platform::train::{Purpose, Stream};

/// What scipy said of the same samples: `tests/vectors/drift.py` made it.
fn vectors(name: &str) -> Vec<Value> {
    let all: Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/drift.json")).expect("is JSON");
    all[name].as_array().expect("is a list").clone()
}

fn near(found: f64, wanted: &Value, digits: f64, what: &str) {
    let wanted = wanted.as_f64().expect("is a number");
    assert!(
        (found - wanted).abs() <= digits * wanted.abs().max(1e-300),
        "{what}: {found}, scipy says {wanted}"
    );
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().expect("is a list").iter().map(|v| v.as_f64().expect("is a number") as f32).collect()
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().expect("is a list").iter().map(|v| v.as_u64().expect("is a count")).collect()
}

fn points(value: &Value) -> Vec<Vec<f32>> {
    value.as_array().expect("is a list").iter().map(floats).collect()
}

#[test]
fn statistics_are_those_of_scipy() {
    for case in vectors("ks") {
        let found = ks(&floats(&case["one"]), &floats(&case["other"]));
        near(found.value, &case["value"], 1e-12, "ks");
        near(found.p, &case["p"], 1e-9, "ks p");
    }
    for case in vectors("ks_limits") {
        let [n, m] = ["n", "m"].map(|key| case[key].as_u64().expect("is a count") as usize);
        near(ks_p_value(n, m, case["value"].as_f64().expect("a number")), &case["p"], 1e-9, "ks limit");
    }
    for case in vectors("chi_square") {
        let found = chi_square(&counts(&case["baseline"]), &counts(&case["window"]));
        near(found.value, &case["value"], 1e-12, "V");
        near(found.p, &case["p"], 1e-9, "chi2 p");
    }
    for case in vectors("psi") {
        let found = psi(&counts(&case["baseline"]), &counts(&case["window"]));
        near(found.value, &case["value"], 1e-12, "psi");
        near(found.p, &case["p"], 1e-8, "psi p");
    }
    for case in vectors("tails") {
        let [degrees, x] = ["degrees", "x"].map(|key| case[key].as_f64().expect("is a number"));
        near(chi_square_tail(degrees, x), &case["p"], 1e-9, &format!("tail {degrees} {x}"));
    }
    for case in vectors("mmd") {
        let found = mmd(&points(&case["one"]), &points(&case["other"]));
        near(found.value, &case["value"], 1e-5, "mmd");
    }
}

#[test]
fn p_values_are_the_published_ones() {
    // Gnedenko and Korolyuk (1951): of two samples of 10, P(D >= 6/10) = 2 C(20, 4) / C(20, 10), P(D >= 7/10) = 2 C(20, 3) / C(20, 10).
    assert!((ks_p_value(10, 10, 0.6) - 2.0 * 4845.0 / 184_756.0).abs() < 1e-12);
    assert!((ks_p_value(10, 10, 0.7) - 2.0 * 1140.0 / 184_756.0).abs() < 1e-12);
    // Smirnov's table: 1.3581 and 1.6276 are the points of 5 % and 1 %.
    let at = |x: f64| ks_p_value(1_000_000, 1_000_000, x / 500_000_f64.sqrt());
    assert!((at(1.3581) - 0.05).abs() < 1e-4 && (at(1.6276) - 0.01).abs() < 1e-4);
    // Tables of chi-square: 16.919 is the point of 5 % for 9 degrees; hence 0.338 of the PSI of 100 and 100 examples in 10 bins.
    assert!((chi_square_tail(9.0, 16.919) - 0.05).abs() < 1e-5);
    assert!((chi_square_tail(9.0, 0.338 * 100.0 * 100.0 / 200.0) - 0.05).abs() < 2e-3);
}

#[test]
fn what_says_nothing_is_no_change() {
    let none = Tested { value: 0.0, p: 1.0 };
    assert_eq!([ks(&[], &[1.0]), ks(&[1.0, 1.0], &[1.0]), ks_of_counts(&[], &[])], [none; 3]);
    assert_eq!([psi(&[10], &[5]), psi(&[1, 2], &[0, 0]), psi(&[0, 9], &[0, 9])], [none; 3]);
    assert_eq!(
        [chi_square(&[3, 4], &[0, 0]), chi_square(&[9], &[1]), chi_square(&[1, 1], &[1, 1])],
        [none; 3]
    );
    assert_eq!(mmd(&[vec![1.0]], &[vec![2.0], vec![3.0]]), none);
    let far = mmd(&vec![vec![3e38, -3e38]; 4], &vec![vec![-3e38, 3e38]; 4]);
    assert!(far.value.is_finite() && far.value > 0.5, "{far:?}");
    let same = vec![vec![1.0, 2.0]; 5];
    assert_eq!(mmd(&same, &same).p, 1.0);
}

#[test]
fn the_distance_of_histograms_is_that_of_the_samples_at_their_ends() {
    let one: Vec<f32> = (0..40).map(|n| (n * 7 % 40) as f32).collect();
    let other: Vec<f32> = (0..30).map(|n| (n * n % 47) as f32).collect();
    // A bin for every value.
    let histogram = |values: &[f32]| -> Vec<u64> {
        (0..50).map(|bin| values.iter().filter(|value| **value == bin as f32).count() as u64).collect()
    };
    assert_eq!(ks_of_counts(&histogram(&one), &histogram(&other)), ks(&one, &other));
}

/// Points with this mean in their first place.
fn cloud(seed: u64, count: usize, mean: f32) -> Vec<Vec<f32>> {
    let mut random = Stream::new(seed, Purpose::Weights, &[9]);
    (0..count)
        .map(|_| {
            let (a, b) = random.normal_pair();
            vec![a + mean, b, random.normal_pair().0]
        })
        .collect()
}

#[test]
fn embeddings_of_one_kind_seldom_differ_and_shifted_ones_do() {
    let alarms = (0..20).filter(|seed| mmd(&cloud(*seed, 40, 0.0), &cloud(seed + 1000, 30, 0.0)).p <= 0.05);
    assert!(alarms.count() <= 4, "of 20 at 5 %");
    let found = mmd(&cloud(1, 60, 0.0), &cloud(2, 50, 1.5));
    assert_eq!((found.p, found.value > 0.05), (0.001, true), "{found:?}");
    assert_eq!(found, mmd(&cloud(1, 60, 0.0), &cloud(2, 50, 1.5)), "the same every time");
}

/// So many examples of categories with these weights.
fn drawn(seed: u64, weights: &[u64], count: usize) -> Vec<u64> {
    let mut random = Stream::new(seed, Purpose::Weights, &[17]);
    let total: u64 = weights.iter().sum();
    let mut counts = vec![0; weights.len()];
    for _ in 0..count {
        let mut left = random.below(total as usize) as u64;
        let place = weights.iter().position(|weight| match left < *weight {
            true => true,
            false => {
                left -= weight;
                false
            }
        });
        counts[place.expect("is below the total")] += 1;
    }
    counts
}

#[test]
fn two_hundred_categories_whose_frequencies_are_permuted_have_drifted() {
    let even: Vec<u64> = (0..200).map(|n| 1 + 2 * (n % 2)).collect();
    let permuted: Vec<u64> = (0..200).map(|n| 1 + 2 * (n / 100)).collect();
    for window in [100, 400] {
        let (before, now) = (drawn(1, &even, 2000), drawn(2, &permuted, window));
        // Counted as one, the rare categories say nothing.
        assert!(chi_square(&before, &now).p > 0.001, "{window}");
        let (psi, chi_square) = categories(&before, &now);
        assert!(psi.value > 0.2 && psi.p < 1e-3, "{window}: {psi:?}");
        assert!(chi_square.value > 0.1 && chi_square.p < 1e-3, "{window}: {chi_square:?}");
        assert_eq!(categories(&before, &now), (psi, chi_square), "the same every time");
    }
    let (before, now) = (drawn(1, &even, 20_000), drawn(2, &permuted, 20_000));
    assert_eq!(categories(&before, &now), (psi(&before, &now), chi_square(&before, &now)), "none is rare");
}

#[test]
fn many_categories_of_one_kind_seldom_differ() {
    let even: Vec<u64> = (0..200).map(|n| 1 + 2 * (n % 2)).collect();
    let steep: Vec<u64> = (1..=200).map(|n| 2000 / n).collect();
    for weights in [even, steep] {
        let found = (0..20).map(|seed| {
            let (psi, chi_square) =
                categories(&drawn(seed, &weights, 2000), &drawn(seed + 1000, &weights, 100));
            (psi.p.min(chi_square.p) <= 0.05, psi.value > 0.2 && psi.p < 0.01)
        });
        let (unlikely, alarms): (Vec<bool>, Vec<bool>) = found.unzip();
        let count = |of: Vec<bool>| of.into_iter().filter(|one| *one).count();
        assert!(count(unlikely) <= 5 && count(alarms) <= 1, "of 20 at 5 % and at 1 %");
    }
}

#[test]
fn more_examples_than_there_can_be_are_not_divided() {
    // A sketch may be written by anybody.
    let (before, now) = (vec![1 << 39; 300], vec![1; 300]);
    assert_eq!(categories(&before, &now), (psi(&before, &now), chi_square(&before, &now)));
}
