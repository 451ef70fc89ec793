//! Metrics of the order in which a score puts examples.

/// Set in an entry if the example is of the class.
const POSITIVE: u32 = 1 << 31;
/// Set in an entry if the next one has the same score.
const TIED: u32 = 1 << 30;
/// The index in an entry.
const INDEX: u32 = TIED - 1;

/// Examples by falling score for one class against all others.
pub(super) struct Ranking(Vec<u32>);

impl Ranking {
    /// Of examples as (score, whether it is of the class); none if all are, or none is, or there are over 2^30.
    pub(super) fn of(examples: &[(f32, bool)]) -> Option<Self> {
        let positives = examples.iter().filter(|(_, positive)| *positive).count();
        if positives == 0 || positives == examples.len() || examples.len() > INDEX as usize {
            return None;
        }
        let mut order: Vec<u32> = (0..examples.len() as u32).collect();
        let score = |index: u32| examples[index as usize].0;
        order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
        let entry = |(place, &index): (usize, &u32)| {
            let positive = if examples[index as usize].1 { POSITIVE } else { 0 };
            let tied = order.get(place + 1).is_some_and(|next| score(*next) == score(index));
            index | positive | if tied { TIED } else { 0 }
        };
        Some(Self(order.iter().enumerate().map(entry).collect()))
    }

    /// Area under the ROC curve and average precision, where each example counts as often as `times` says. Not numbers
    /// where no example, or every example, is of the class.
    ///
    /// The area is the probability that an example of the class has a higher score than one of the others, where equal
    /// scores count half: the Mann-Whitney statistic with midranks (Hanley and McNeil, 1982). Average precision is the sum
    /// over the different scores of the precision at that score times the rise of the recall there, without interpolation.
    pub(super) fn areas(&self, times: &[u32]) -> (f64, f64) {
        // Of each kind so far, and among equal scores.
        let (mut positives, mut negatives) = (0_u64, 0_u64);
        let (mut tied_positives, mut tied_negatives) = (0_u64, 0_u64);
        // Twice the pairs that are in order.
        let mut ordered = 0_u64;
        let mut precision = 0_f64;
        for &entry in &self.0 {
            let count = u64::from(times[(entry & INDEX) as usize]);
            if entry & POSITIVE == 0 {
                tied_negatives += count
            } else {
                tied_positives += count
            }
            if entry & TIED == 0 {
                ordered += tied_negatives * (2 * positives + tied_positives);
                positives += tied_positives;
                negatives += tied_negatives;
                if tied_positives > 0 {
                    precision += tied_positives as f64 * positives as f64 / (positives + negatives) as f64;
                }
                (tied_positives, tied_negatives) = (0, 0);
            }
        }
        if positives == 0 || negatives == 0 {
            return (f64::NAN, f64::NAN);
        }
        let pairs = positives as f64 * negatives as f64;
        (ordered as f64 / (2.0 * pairs), precision / positives as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn areas(scores: &[f32], positive: &[bool], times: &[u32]) -> (f64, f64) {
        let examples: Vec<(f32, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
        Ranking::of(&examples).expect("both kinds are there").areas(times)
    }

    #[test]
    fn areas_are_those_of_scikit_learn() {
        // The example of its documentation of `roc_auc_score` and `average_precision_score`.
        let (scores, positive) = ([0.1, 0.4, 0.35, 0.8], [false, false, true, true]);
        let (auc, precision) = areas(&scores, &positive, &[1; 4]);
        assert!((auc - 0.75).abs() < 1e-12 && (precision - 0.833_333_333_333).abs() < 1e-9, "{precision}");
        // What 1.9.1 gives for equal scores, and for the same examples drawn 2, 1, 0, 3 and 1 times.
        let (scores, positive) = ([0.5, 0.5, 0.2, 0.5, 0.9], [true, false, true, false, true]);
        let (auc, precision) = areas(&scores, &positive, &[1; 5]);
        assert!((auc - 0.5).abs() < 1e-12 && (precision - 0.7).abs() < 1e-9, "{auc} {precision}");
        let (auc, precision) = areas(&scores, &positive, &[2, 1, 0, 3, 1]);
        assert!((auc - 2.0 / 3.0).abs() < 1e-12, "{auc}");
        assert!((precision - (1.0 + 2.0 * 3.0 / 7.0) / 3.0).abs() < 1e-12, "{precision}");
    }

    #[test]
    fn an_area_is_the_share_of_pairs_in_order() {
        let scores: Vec<f32> = (0..60).map(|index| ((index * 37) % 11) as f32).collect();
        let positive: Vec<bool> = (0..60).map(|index| (index * index) % 7 < 3).collect();
        let times: Vec<u32> = (0..60).map(|index| index % 4).collect();
        let (mut ordered, mut pairs) = (0.0, 0.0);
        for i in (0..60).filter(|&i| positive[i]) {
            for j in (0..60).filter(|&j| !positive[j]) {
                let weight = f64::from(times[i] * times[j]);
                pairs += weight;
                let order = scores[i].total_cmp(&scores[j]) as i8;
                ordered += weight * f64::from(order + 1) / 2.0;
            }
        }
        assert!((areas(&scores, &positive, &times).0 - ordered / pairs).abs() < 1e-12);
    }

    #[test]
    fn one_kind_alone_has_no_ranking() {
        assert!(Ranking::of(&[(0.1, true), (0.2, true)]).is_none());
        let ranking = Ranking::of(&[(0.1, true), (0.2, false)]).expect("both");
        assert!(ranking.areas(&[2, 0]).0.is_nan() && ranking.areas(&[0, 2]).1.is_nan());
    }
}
