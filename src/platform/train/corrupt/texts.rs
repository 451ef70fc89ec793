//! Texts with mistakes: tokens that are missing, and neighbours in the wrong order. A token is a character where a text's bytes are its
//! tokens (of those in ASCII), else a word or a part of one.

use super::Corruption;
use crate::platform::train::random::Stream;

/// Shares of the tokens by severity, from a slip now and then to every third.
const SHARES: [f32; 5] = [0.02, 0.05, 0.1, 0.2, 0.3];

/// Changes the tokens of one text, behind which stands `padding` to the end of `row`.
pub(super) fn change(
    padding: f32,
    corruption: Corruption,
    severity: usize,
    random: &mut Stream,
    row: &mut [f32],
) {
    let share = SHARES[severity - 1];
    let length = row.iter().rposition(|token| *token != padding).map_or(0, |last| last + 1);
    let (text, rest) = row.split_at_mut(length);
    match corruption {
        Corruption::TokenDrop => {
            let mut kept: Vec<f32> = text.iter().copied().filter(|_| random.uniform() >= share).collect();
            if kept.is_empty() {
                // No text is something else than a text with mistakes.
                kept.extend(text.first());
            }
            let (before, after) = text.split_at_mut(kept.len());
            before.copy_from_slice(&kept);
            after.fill(padding);
            rest.fill(padding);
        }
        Corruption::TokenSwap => {
            let mut at = 0;
            while at + 1 < text.len() {
                if random.uniform() < share {
                    text.swap(at, at + 1);
                    at += 1;
                }
                at += 1;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::train::random::Purpose;

    const PADDING: f32 = 0.0;

    fn changed(corruption: Corruption, severity: usize, tokens: usize, room: usize) -> (Vec<f32>, Vec<f32>) {
        let mut row: Vec<f32> = (1..=tokens).map(|token| token as f32).collect();
        row.resize(tokens + room, PADDING);
        let before = row.clone();
        let mut random = Stream::new(0, Purpose::Corruption, &[severity as u64]);
        change(PADDING, corruption, severity, &mut random, &mut row);
        (before, row)
    }

    #[test]
    fn dropped_tokens_are_the_stated_share_and_the_others_stay_in_order() {
        for (severity, share) in (1..=5).zip(SHARES) {
            let (before, after) = changed(Corruption::TokenDrop, severity, 10_000, 50);
            assert_eq!(after.len(), before.len());
            let kept: Vec<f32> = after.iter().copied().take_while(|token| *token != PADDING).collect();
            assert!(kept.is_sorted(), "in order");
            assert!(after[kept.len()..].iter().all(|token| *token == PADDING));
            let dropped = 1.0 - kept.len() as f32 / 10_000.0;
            assert!((dropped - share).abs() < 0.02, "{severity}: {dropped}");
        }
    }

    #[test]
    fn swapped_tokens_change_places_with_a_neighbour_and_none_is_lost() {
        for (severity, share) in (1..=5).zip(SHARES) {
            let (before, mut after) = changed(Corruption::TokenSwap, severity, 10_000, 50);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            assert!(before.iter().zip(&after).all(|(before, after)| (before - after).abs() <= 1.0));
            // After a swap the next pair begins behind it.
            let expected = 2.0 * share / (1.0 + share);
            assert!((moved as f32 / 10_000.0 - expected).abs() < 0.03, "{severity}: {moved}");
            after[..10_000].sort_by(f32::total_cmp);
            assert_eq!(after, before);
        }
    }

    #[test]
    fn a_text_never_vanishes_and_none_stays_none() {
        for severity in 1..=5 {
            for tokens in 0..4 {
                let (_, after) = changed(Corruption::TokenDrop, severity, tokens, 2);
                let left = after.iter().filter(|token| **token != PADDING).count();
                assert!(left >= tokens.min(1), "{after:?}");
            }
        }
    }
}
