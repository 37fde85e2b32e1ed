//! Which of a source's frame numbers a window has seen, and how many never came.
//!
//! In: `frame_seq` in any order, repeated or not. Out: how many numbers are missing. Invariant: pieces are sorted, and neither
//! overlap nor touch; there are at most [`MAX_PIECES`].

use serde::{Deserialize, Serialize};

/// Numbers in more pieces than this are not kept apart any more: what is missing of such a window is not known.
pub(super) const MAX_PIECES: usize = 256;
/// A number further below the one before than this belongs to a numbering that began anew.
pub(super) const STRAGGLER: i64 = 1_000;
/// A step of more than this is a numbering that jumped, not so many missing frames.
pub(super) const LONGEST_STEP: i64 = 100_000;

/// The numbers that a window has seen. See [`WindowRow::frames_missing`](facestream_schemas::WindowRow::frames_missing).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbers {
    /// First and last number of each run without a gap; of scattered numbers only the highest.
    pieces: Vec<(i64, i64)>,
    /// Whether there were too many pieces.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    scattered: bool,
}

impl Numbers {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn highest(&self) -> Option<i64> {
        self.pieces.last().map(|(_, last)| *last)
    }

    pub(super) fn insert(&mut self, number: i64) {
        let place = self.pieces.partition_point(|(_, last)| *last < number);
        if self.pieces.get(place).is_some_and(|(first, _)| *first <= number) {
            return;
        }
        // No overflow: every piece before ends below `number`, and the one after begins above it.
        let joins_before = place > 0 && self.pieces[place - 1].1 + 1 == number;
        let joins_after = self.pieces.get(place).is_some_and(|(first, _)| number + 1 == *first);
        match (joins_before, joins_after) {
            (true, true) => {
                self.pieces[place - 1].1 = self.pieces[place].1;
                self.pieces.remove(place);
            }
            (true, false) => self.pieces[place - 1].1 = number,
            (false, true) => self.pieces[place].0 = number,
            (false, false) => self.pieces.insert(place, (number, number)),
        }
        self.scattered |= self.pieces.len() > MAX_PIECES;
        if let Some((_, highest)) = self.pieces.last().copied().filter(|_| self.scattered) {
            self.pieces = vec![(highest, highest)];
        }
    }

    /// How many numbers never came, where `before` is the highest of the nearest earlier window that has any; `None` without
    /// a number, or with too many pieces to tell.
    pub(super) fn missing(&self, before: Option<i64>) -> Option<i64> {
        if self.scattered || self.is_empty() {
            return None;
        }
        let pieces = self.pieces.iter().copied();
        let Some(before) = before else { return Some(gaps(pieces)) };
        let above = pieces.clone().filter(|(_, last)| *last > before).map(|(first, last)| (first.max(before + 1), last));
        let anew = before.saturating_sub(STRAGGLER);
        let below = pieces.filter(|(first, _)| *first < anew).map(|(first, last)| (first, last.min(anew - 1)));
        Some(gaps(std::iter::once((before, before)).chain(above)) + gaps(below))
    }
}

/// The numbers between pieces, except where the numbering jumped.
fn gaps(pieces: impl Iterator<Item = (i64, i64)> + Clone) -> i64 {
    let neighbours = pieces.clone().zip(pieces.skip(1));
    let steps = neighbours.map(|((_, last), (first, _))| first.saturating_sub(last));
    steps.filter(|step| *step <= LONGEST_STEP).map(|step| step - 1).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = i64>) -> Numbers {
        let mut seen = Numbers::default();
        for number in numbers {
            seen.insert(number);
        }
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn pieces_hold_exactly_the_numbers_that_came_in(numbers in prop::collection::vec(-40..40_i64, 0..60)) {
            let seen = of(numbers.iter().copied());
            let held: Vec<_> = seen.pieces.iter().flat_map(|(first, last)| *first..=*last).collect();
            prop_assert_eq!(held, numbers.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
            prop_assert!(seen.pieces.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "pieces touch: {:?}", seen.pieces);
        }
    }

    #[test]
    fn a_gap_counts_where_it_ends_and_a_repeated_number_once() {
        assert_eq!(of([]).missing(None), None);
        assert_eq!(of([]).missing(Some(7)), None);
        assert_eq!(of([5, 8, 6, 8, 8]).missing(None), Some(1));
        assert_eq!(of([5, 8, 6]).missing(Some(2)), Some(3));
        assert_eq!(of([5]).missing(Some(5)), Some(0));
    }

    #[test]
    fn stragglers_of_the_window_before_open_no_gap() {
        assert_eq!(of([3, 12]).missing(Some(10)), Some(1));
        assert_eq!(of([3]).missing(Some(10)), Some(0));
        assert_eq!(of([-990, 11]).missing(Some(10)), Some(0));
    }

    #[test]
    fn a_numbering_that_begins_anew_is_counted_by_itself() {
        // 5001 is the running one's, 0 and 2 are the new one's.
        assert_eq!(of([5_002, 0, 2]).missing(Some(5_000)), Some(1 + 1));
        assert_eq!(of([0, 1, 2]).missing(Some(5_000)), Some(0));
        // One piece from the new numbering into the stragglers: -991 to 3 are without a gap.
        assert_eq!(of(-991..=3).missing(Some(10)), Some(0));
    }

    #[test]
    fn a_jump_is_no_gap_and_the_longest_gap_is_none() {
        assert_eq!(of([100_001]).missing(Some(1)), Some(99_999));
        assert_eq!(of([100_002]).missing(Some(1)), Some(0));
        assert_eq!(of([i64::MIN, i64::MAX]).missing(None), Some(0));
        assert_eq!(of([i64::MIN, i64::MAX]).missing(Some(i64::MAX)), Some(0));
        assert_eq!(of([i64::MIN, i64::MAX]).missing(Some(i64::MIN)), Some(0));
    }

    #[test]
    fn scattered_numbers_keep_their_highest_and_nothing_else() {
        let most = MAX_PIECES as i64;
        let mut seen = of((0..most).map(|n| 2 * n));
        assert_eq!((seen.pieces.len(), seen.missing(None)), (MAX_PIECES, Some(most - 1)));
        seen.insert(5_000);
        for number in 0..3_000 {
            seen.insert(number);
        }
        assert_eq!((seen.pieces.len(), seen.missing(None), seen.highest()), (1, None, Some(5_000)));
    }
}
