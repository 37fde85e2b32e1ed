//! For how long nobody worked on a partition: how long frames waited without its journal getting on.
//!
//! In: looks at the processes of a group, about twice a second. Out: the longest gap between two advances of a partition's
//! journal while there was something to do, apart for gaps in which a broker was away. Invariant: a gap is never shorter than
//! it was by more than the time between two looks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How often is looked.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A frozen process does not answer; the others are not to wait for it.
const ANSWER: Duration = Duration::from_millis(300);

/// The longest gaps so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    /// With all brokers there.
    pub(super) longest: Duration,
    /// Where a broker was away at some time in it.
    pub(super) longest_without_broker: Duration,
}

#[derive(Debug)]
struct Progress {
    journal_end: i64,
    /// The last time that it had got on, or had nothing to do.
    since: Instant,
    without_broker: bool,
}

/// What is known of each partition.
#[derive(Debug, Default)]
pub(super) struct Watch {
    partitions: BTreeMap<i32, Progress>,
    gaps: Gaps,
}

impl Watch {
    /// One look: where the journals end as far as any process knows, where the topic's logs end, and whether a broker is away.
    /// A partition is watched from its journal's first end on.
    pub(super) fn look(&mut self, now: Instant, journals: &BTreeMap<i32, i64>, logs: &BTreeMap<i32, i64>, broker_away: bool) {
        for (partition, log_end) in logs {
            let seen = journals.get(partition).copied();
            let known = self.partitions.get(partition).map(|progress| progress.journal_end);
            let Some(journal_end) = seen.max(known) else { continue };
            let fresh = Progress { journal_end, since: now, without_broker: false };
            let progress = self.partitions.entry(*partition).or_insert(fresh);
            progress.without_broker |= broker_away;
            let gap = now - progress.since;
            let longest = if progress.without_broker { &mut self.gaps.longest_without_broker } else { &mut self.gaps.longest };
            *longest = gap.max(*longest);
            if journal_end > progress.journal_end || journal_end >= *log_end {
                *progress = Progress { journal_end, since: now, without_broker: broker_away };
            }
        }
    }

    pub(super) fn gaps(&self) -> Gaps {
        self.gaps
    }
}

/// Where journals end, by the pages of the processes at these addresses: the furthest of each partition.
pub(super) fn journal_ends(addresses: &[String]) -> BTreeMap<i32, i64> {
    let mut ends = BTreeMap::new();
    for status in addresses.iter().filter_map(|address| status(address)) {
        for found in status["partitions"].as_array().into_iter().flatten() {
            if let (Some(partition), Some(end)) = (found["partition"].as_i64(), found["journal_end"].as_i64()) {
                let known = ends.entry(partition as i32).or_insert(end);
                *known = end.max(*known);
            }
        }
    }
    ends
}

fn status(address: &str) -> Option<Value> {
    let agent = ureq::config::Config::builder().timeout_global(Some(ANSWER)).build().new_agent();
    let page = agent.get(format!("{address}/status")).call().ok()?.body_mut().read_to_string().ok()?;
    serde_json::from_str(&page).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks a second apart: journal's end, log's end, whether a broker is away.
    fn gaps(looks: &[(Option<i64>, i64, bool)]) -> (u64, u64) {
        let (start, mut watch) = (Instant::now(), Watch::default());
        for (second, (journal, log, away)) in looks.iter().enumerate() {
            let journals = journal.iter().map(|end| (0, *end)).collect();
            watch.look(start + Duration::from_secs(second as u64), &journals, &BTreeMap::from([(0, *log)]), *away);
        }
        (watch.gaps.longest.as_secs(), watch.gaps.longest_without_broker.as_secs())
    }

    #[test]
    fn a_gap_lasts_while_frames_wait_and_the_journal_stands() {
        let steady = [(Some(1), 2, false), (Some(2), 3, false), (Some(3), 4, false)];
        assert_eq!(gaps(&steady), (1, 0));
        let stands = [(Some(1), 2, false), (Some(1), 3, false), (None, 4, false), (None, 5, false), (Some(6), 6, false)];
        assert_eq!(gaps(&stands), (4, 0));
        let idle = [(Some(2), 2, false), (Some(2), 2, false), (Some(2), 2, false), (Some(2), 3, false), (Some(3), 3, false)];
        assert_eq!(gaps(&idle), (2, 0));
    }

    #[test]
    fn a_gap_with_a_broker_away_is_counted_apart() {
        let away = [(Some(1), 2, false), (Some(1), 2, true), (Some(1), 2, false), (Some(2), 3, false), (Some(3), 4, false)];
        assert_eq!(gaps(&away), (1, 3));
    }

    #[test]
    fn before_its_journals_first_end_a_partition_is_not_watched() {
        assert_eq!(gaps(&[(None, 5, false), (None, 6, false), (Some(1), 7, false), (Some(7), 7, false)]), (1, 0));
    }
}
