//! Whose fetch is next: a plain value, without a clock or a thread.
//!
//! In: fetches as they are wanted and as they end, each of a partition. Out: those that may start. Invariant: at most `limit`
//! are in progress, except that a partition which has none gets one whatever the others are doing.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Fetches that wait and counts of those in progress, by partition.
#[derive(Debug)]
pub(super) struct Schedule<K, T> {
    limit: usize,
    in_progress: usize,
    starts: u64,
    of: HashMap<K, Own<T>>,
}

/// What is one partition's own; gone when it has neither.
#[derive(Debug)]
struct Own<T> {
    waiting: VecDeque<T>,
    in_progress: usize,
    /// Which start of all was its last.
    started: u64,
}

impl<K: Clone + Eq + Hash, T> Schedule<K, T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, in_progress: 0, starts: 0, of: HashMap::new() }
    }

    /// A fetch that waits from now on, behind those of its partition.
    pub(super) fn push(&mut self, key: K, fetch: T) {
        let own = self.of.entry(key).or_insert_with(|| Own { waiting: VecDeque::new(), in_progress: 0, started: 0 });
        own.waiting.push_back(fetch);
    }

    /// The fetch that starts now: of the partition with the fewest in progress, of several the one that has waited longest for
    /// a start.
    pub(super) fn start(&mut self) -> Option<(K, T)> {
        let waits = self.of.iter().filter(|(_, own)| !own.waiting.is_empty());
        let (key, _) = waits.min_by_key(|(_, own)| (own.in_progress, own.started))?;
        let key = key.clone();
        let own = self.of.get_mut(&key)?;
        if self.in_progress >= self.limit && own.in_progress > 0 {
            return None;
        }
        let fetch = own.waiting.pop_front()?;
        self.starts += 1;
        self.in_progress += 1;
        own.started = self.starts;
        own.in_progress += 1;
        Some((key, fetch))
    }

    /// One that was started has ended.
    pub(super) fn end(&mut self, key: &K) {
        let Some(own) = self.of.get_mut(key) else { return };
        own.in_progress -= 1;
        self.in_progress -= 1;
        if own.in_progress == 0 && own.waiting.is_empty() {
            self.of.remove(key);
        }
    }

    /// How many of a partition wait or are in progress.
    pub(super) fn pending(&self, key: &K) -> usize {
        self.of.get(key).map_or(0, |own| own.waiting.len() + own.in_progress)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn started(schedule: &mut Schedule<char, u32>) -> Vec<(char, u32)> {
        std::iter::from_fn(|| schedule.start()).collect()
    }

    #[test]
    fn a_lone_partition_has_all_places_and_keeps_its_order() {
        let mut schedule = Schedule::new(3);
        (0..5).for_each(|number| schedule.push('a', number));
        assert_eq!(started(&mut schedule), [('a', 0), ('a', 1), ('a', 2)]);
        assert_eq!(schedule.pending(&'a'), 5);
        schedule.end(&'a');
        assert_eq!(started(&mut schedule), [('a', 3)]);
    }

    #[test]
    fn a_partition_with_none_in_progress_gets_one_although_all_places_are_taken() {
        let mut schedule = Schedule::new(2);
        (0..4).for_each(|number| schedule.push('a', number));
        assert_eq!(started(&mut schedule), [('a', 0), ('a', 1)]);
        schedule.push('b', 0);
        schedule.push('b', 1);
        assert_eq!(started(&mut schedule), [('b', 0)]);
        schedule.end(&'b');
        assert_eq!(started(&mut schedule), [('b', 1)], "its own place, although a's are still taken");
    }

    #[test]
    fn a_free_place_goes_to_the_partition_with_the_fewest() {
        let mut schedule = Schedule::new(4);
        (0..9).for_each(|number| schedule.push('a', number));
        assert_eq!(started(&mut schedule).len(), 4);
        (0..9).for_each(|number| schedule.push('b', number));
        assert_eq!(started(&mut schedule), [('b', 0)]);
        let mut next = Vec::new();
        for _ in 0..3 {
            schedule.end(&'a');
            next.extend(started(&mut schedule));
        }
        assert_eq!(
            next,
            [('b', 1), ('a', 4)],
            "none at first, which brings the number down to 4; then of 2 and 1; then of 1 and 2"
        );
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let mut schedule = Schedule::new(1);
        for number in 0..100 {
            schedule.push('a', number);
            schedule.start();
            schedule.end(&'a');
        }
        assert_eq!(schedule.pending(&'a'), 0);
        assert!(schedule.of.is_empty());
    }

    proptest! {
        #[test]
        fn everything_is_started_once_in_order_and_nobody_waits_without_one_in_progress(
            limit in 1..5_usize,
            steps in prop::collection::vec((0..4_u8, any::<bool>()), 0..300),
        ) {
            let mut schedule = Schedule::new(limit);
            let mut pushed: BTreeMap<u8, u32> = BTreeMap::new();
            let mut ran: BTreeMap<u8, (u32, usize)> = BTreeMap::new();
            let drain: Vec<_> = (0..4).flat_map(|key| std::iter::repeat_n((key, false), 300)).collect();
            for (key, push) in steps.into_iter().chain(drain) {
                if push {
                    let number = pushed.entry(key).or_default();
                    schedule.push(key, *number);
                    *number += 1;
                } else if ran.get(&key).is_some_and(|(_, now)| *now > 0) {
                    schedule.end(&key);
                    ran.get_mut(&key).unwrap().1 -= 1;
                }
                while let Some((key, number)) = schedule.start() {
                    let others: usize = ran.values().map(|(_, now)| now).sum();
                    let (next, now) = ran.entry(key).or_default();
                    prop_assert!(others < limit || *now == 0);
                    prop_assert_eq!(number, *next);
                    *next += 1;
                    *now += 1;
                }
                let total: usize = ran.values().map(|(_, now)| now).sum();
                for (key, number) in &pushed {
                    let (next, now) = ran.get(key).copied().unwrap_or_default();
                    let waiting = (number - next) as usize;
                    prop_assert_eq!(schedule.pending(key), waiting + now);
                    prop_assert!(waiting == 0 || (now > 0 && total >= limit));
                }
            }
            for (key, number) in pushed {
                prop_assert_eq!(ran[&key], (number, 0));
            }
        }
    }
}
