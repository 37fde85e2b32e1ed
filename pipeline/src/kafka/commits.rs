//! Commits of the group's offsets on their way: how long Kafka takes, and what it has confirmed.
//!
//! In: commits as they are made, librdkafka's answers. Out: metrics. Invariant: an answer is counted once, although librdkafka may
//! give that of a synchronous commit a second time, by its callback.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use facestream_schemas::{Offset, Partition};
use rdkafka::TopicPartitionList;
use rdkafka::error::KafkaResult;

use crate::metrics::Metrics;

/// Commits that are waited for at most; there is one a second.
const MOST: usize = 256;

/// What is on its way, told apart by its first partition and offset.
#[derive(Debug)]
pub(super) struct Commits {
    metrics: Metrics,
    under_way: Mutex<VecDeque<(Partition, Offset, Instant)>>,
}

impl Commits {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, under_way: Mutex::default() }
    }

    fn under_way(&self) -> MutexGuard<'_, VecDeque<(Partition, Offset, Instant)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Times a commit that waits for its answer.
    pub(super) fn wait<T>(&self, commit: impl FnOnce() -> KafkaResult<T>) -> KafkaResult<T> {
        let started = Instant::now();
        let answer = commit();
        self.count(started, answer.is_err());
        answer
    }

    /// A commit whose answer comes by the callback is about to be made.
    pub(super) fn begin(&self, partition: &Partition, offset: Offset) {
        let mut under_way = self.under_way();
        if under_way.len() >= MOST {
            under_way.pop_front();
        }
        under_way.push_back((partition.clone(), offset, Instant::now()));
    }

    /// It could not even be made.
    pub(super) fn cannot(&self) {
        if let Some((_, _, started)) = self.under_way().pop_back() {
            self.count(started, true);
        }
    }

    /// The callback's answer; those of commits that were waited for are known already.
    pub(super) fn answered(&self, failed: bool, offsets: &TopicPartitionList) {
        let elements = offsets.elements();
        let is_of = |(partition, offset, _): &(Partition, Offset, Instant)| {
            elements.iter().any(|found| {
                found.topic() == &*partition.topic
                    && found.partition() == partition.number
                    && found.offset() == rdkafka::Offset::Offset(offset.0)
            })
        };
        let mut under_way = self.under_way();
        let place = under_way.iter().position(is_of);
        if let Some((_, _, started)) = place.and_then(|place| under_way.remove(place)) {
            self.count(started, failed);
        }
    }

    fn count(&self, started: Instant, failed: bool) {
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.metrics.commit_errors.inc_by(u64::from(failed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_commit_is_counted_once_whoever_tells_its_answer() {
        let metrics = Metrics::new();
        let commits = Commits::new(metrics.clone());
        let partition = |number| Partition { topic: "cams".into(), number };
        let answer = |offset| {
            let mut list = TopicPartitionList::new();
            for number in 0..2 {
                list.add_partition_offset("cams", number, rdkafka::Offset::Offset(offset)).unwrap();
            }
            list
        };
        let counted = || (metrics.commit_seconds.get_sample_count(), metrics.commit_errors.get());

        commits.begin(&partition(0), Offset(5));
        commits.begin(&partition(1), Offset(6));
        commits.answered(false, &answer(6));
        assert_eq!(counted(), (1, 0));
        commits.answered(true, &answer(5));
        assert_eq!(counted(), (2, 1));

        // One that was waited for is told a second time.
        commits.wait(|| Ok(())).unwrap();
        commits.answered(false, &answer(9));
        assert_eq!(counted(), (3, 1));

        commits.begin(&partition(0), Offset(10));
        commits.cannot();
        assert_eq!(counted(), (4, 2));
    }
}
