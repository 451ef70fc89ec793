use super::*;

/// Ten answers about four classes, and the truths.
const FOUR: [([f32; 4], u32); 10] = [
    ([0.7, 0.1, 0.1, 0.1], 0),
    ([0.4, 0.3, 0.2, 0.1], 0),
    ([0.1, 0.6, 0.2, 0.1], 1),
    ([0.2, 0.5, 0.2, 0.1], 2),
    ([0.1, 0.2, 0.6, 0.1], 2),
    ([0.3, 0.3, 0.3, 0.1], 2),
    ([0.1, 0.1, 0.2, 0.6], 3),
    ([0.25, 0.25, 0.25, 0.25], 3),
    ([0.05, 0.05, 0.1, 0.8], 3),
    ([0.6, 0.2, 0.1, 0.1], 1),
];

fn answers(rows: &[(&[f32], u32)]) -> Vec<Answer> {
    rows.iter().map(|(row, truth)| Answer::new(row, *truth)).collect()
}

fn judged(
    rows: &[(&[f32], u32)],
    classes: usize,
    top: &[u32],
) -> (BTreeMap<String, Estimate>, Vec<PerClass>) {
    let labels: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let probabilities: Vec<&[f32]> = rows.iter().map(|(row, _)| *row).collect();
    of_classes(&answers(rows), &probabilities, &labels, top)
}

fn four() -> Vec<(&'static [f32], u32)> {
    FOUR.iter().map(|(row, truth)| (row.as_slice(), *truth)).collect()
}

/// Holds metrics against values, and values against their own bounds.
fn hold(found: &BTreeMap<String, Estimate>, wanted: &[(&str, f64)]) {
    for (name, wanted) in wanted {
        let Estimate { value, lower, upper } = found[*name];
        assert!((value - wanted).abs() < 1e-6, "{name}: {value} is not {wanted}");
        assert!(lower <= value && value <= upper, "{name}: {lower} {value} {upper}");
    }
}

#[test]
fn metrics_of_several_classes_are_those_of_scikit_learn() {
    let (found, per_class) = judged(&four(), 4, &[2]);
    hold(
        &found,
        &[
            // scikit-learn 1.9.1, with `zero_division=0`.
            ("accuracy", 0.6),
            ("micro_precision", 0.6),
            ("micro_recall", 0.6),
            ("micro_f1", 0.6),
            ("macro_precision", 0.725),
            ("macro_recall", 0.625),
            ("macro_f1", 0.592_857_142_857),
            ("weighted_precision", 0.78),
            ("weighted_recall", 0.6),
            ("weighted_f1", 0.604_285_714_286),
            ("balanced_accuracy", 0.625),
            ("mcc", 0.529_436_521_505),
            ("auc", 0.884_300_595_238),
            ("average_precision", 0.821_428_571_429),
            ("log_loss", 0.883_772_908_874),
            ("brier", 0.4725),
            // By hand: the truth is third of equal ones twice and last once; the bins are seven.
            ("top_2_accuracy", 0.7),
            ("top_3_accuracy", 0.9),
            ("ece", 0.275),
        ],
    );
    assert!(!found.contains_key("top_5_accuracy") && !found.contains_key("precision"), "{found:?}");
    let supports: Vec<u64> = per_class.iter().map(|class| class.support).collect();
    assert_eq!(supports, [2, 2, 3, 3]);
    let scores =
        [[0.4, 1.0, 0.571_428_571_429], [0.5, 0.5, 0.5], [1.0, 1.0 / 3.0, 0.5], [1.0, 2.0 / 3.0, 0.8]];
    for (class, [precision, recall, f1]) in per_class.iter().zip(scores) {
        hold(&class.metrics, &[("precision", precision), ("recall", recall), ("f1", f1)]);
    }
    let wilson = per_class[2].metrics["recall"];
    assert_eq!(wilson, proportion(1, 3));
}

#[test]
fn metrics_of_two_classes_are_of_the_second() {
    let scores = [0.2, 0.8, 0.6, 0.6, 0.3, 0.9, 0.5, 0.1_f32];
    let truths = [0, 1, 0, 1, 1, 1, 0, 0];
    let rows: Vec<[f32; 2]> = scores.iter().map(|score| [1.0 - score, *score]).collect();
    let rows: Vec<(&[f32], u32)> = rows.iter().map(|row| row.as_slice()).zip(truths).collect();
    let (found, _) = judged(&rows, 2, &[]);
    hold(
        &found,
        &[
            ("auc", 0.84375),
            ("average_precision", 0.854_166_666_667),
            ("brier", 0.17),
            ("precision", 0.75),
            ("recall", 0.75),
            ("f1", 0.75),
            ("mcc", 0.5),
            ("log_loss", 0.497_655_559_309),
        ],
    );
}

#[test]
fn what_is_not_defined_is_absent_and_classes_that_never_come_do_not_count() {
    let rows: Vec<(&[f32], u32)> = four().into_iter().filter(|(_, truth)| *truth == 0).collect();
    let (found, per_class) = judged(&rows, 4, &[]);
    assert!(!found.contains_key("auc") && !found.contains_key("average_precision"), "{found:?}");
    hold(&found, &[("macro_f1", 1.0), ("balanced_accuracy", 1.0), ("mcc", 0.0)]);
    assert!(per_class[1].metrics.is_empty(), "{per_class:?}");
}

#[test]
fn the_reliability_curve_gives_the_calibration_error() {
    let answers = answers(&four());
    let bins = calibration(&answers);
    assert_eq!(bins.iter().map(|bin| bin.examples).collect::<Vec<_>>(), [1, 1, 1, 1, 4, 1, 1]);
    let fullest = &bins[4];
    assert!((fullest.confidence - 0.6).abs() < 1e-6 && fullest.accuracy == proportion(3, 4), "{fullest:?}");
    assert!(fullest.lower < 0.6 && fullest.upper >= 0.6, "{fullest:?}");
    let gap = |bin: &CalibrationBin| bin.examples as f64 * (bin.accuracy.value - bin.confidence).abs();
    let error = bins.iter().map(gap).sum::<f64>() / 10.0;
    assert!((error - calibration_error(&answers, &[1; 10])).abs() < 1e-12);
}

#[test]
fn the_bounds_of_an_area_are_near_those_of_hanley_and_mc_neil() {
    // Scores of two normal distributions one deviation apart: their area is 0.760.
    use crate::platform::train::random::{Purpose, Stream};
    let mut random = Stream::new(3, Purpose::Weights, &[0]);
    let rows: Vec<([f32; 2], u32)> = (0..400)
        .map(|index| {
            let truth = index % 2;
            let score = 1.0 / (1.0 + (-(random.normal_pair().0 + truth as f32)).exp());
            ([1.0 - score, score], truth)
        })
        .collect();
    let rows: Vec<(&[f32], u32)> = rows.iter().map(|(row, truth)| (row.as_slice(), *truth)).collect();
    let Estimate { value, lower, upper } = judged(&rows, 2, &[]).0["auc"];
    // Formula 2 of Hanley and McNeil (1982) with 200 examples of each kind.
    let (first, second) = (value / (2.0 - value), 2.0 * value * value / (1.0 + value));
    let variance = (value * (1.0 - value) + 199.0 * (first + second - 2.0 * value * value)) / 40_000.0;
    let half = 1.96 * variance.sqrt();
    assert!((upper - value - half).abs() < 0.01 && (value - lower - half).abs() < 0.01, "{lower} {upper}");
}
