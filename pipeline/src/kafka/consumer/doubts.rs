//! Doubts whether Kafka still has what comes next, and new starts of partitions.
//!
//! In: librdkafka's error events, which name no partition, and time. Out: lanes that go on, at another place if need be, or
//! partitions that are stopped. Invariant: before a partition goes on elsewhere, or stops, its lane has appended all that it has;
//! nothing is sought with a message in hand.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use facestream_schemas::{Offset, Partition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::super::assignment::{list, list_at};
use super::super::brokers::{self, Range};
use super::super::resume::{Known, Verdict};
use super::{Polling, open};
use crate::lane::{Opened, Resume, Why};

/// The longest wait for a journal that did not open at once.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for one answer of Kafka: the group wants to be polled, and a stop obeyed.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often topics are compared with what they were, without a reason.
const COMPARE_TOPICS: Duration = Duration::from_secs(10);

/// What has to be asked of Kafka.
#[derive(Debug)]
pub(super) struct Doubts {
    /// librdkafka has stopped fetching some partition, for an offset that it could not have.
    pub(super) unfetched: bool,
    /// A topic was not there, for a while at least.
    pub(super) topics: bool,
    compared: Instant,
}

impl Default for Doubts {
    fn default() -> Self {
        Self { unfetched: false, topics: false, compared: Instant::now() }
    }
}

impl Polling<'_> {
    /// Asks Kafka about all lanes at once. A lane that cannot go on as it is finishes what it has and starts over; an unfetched
    /// one that can (its broker was behind for a moment, after a change of leaders) is sought to where it is, or it would stay silent.
    pub(super) fn look_into_doubts(&mut self) {
        let compare = self.doubts.topics || self.doubts.compared.elapsed() >= COMPARE_TOPICS;
        if !compare && !self.doubts.unfetched {
            return;
        }
        let lanes: BTreeMap<Partition, (Offset, Option<String>)> = self
            .assignment
            .held()
            .iter()
            .filter_map(|(partition, held)| open(held).map(|bound| (partition.clone(), (bound.next, bound.topic_id.clone()))))
            .collect();
        let topic_ids = brokers::ids_of(self.consumer, lanes.keys());
        (self.doubts.topics, self.doubts.compared) = (false, Instant::now());
        let ranges = if self.doubts.unfetched { self.ranges(&lanes) } else { BTreeMap::new() };
        let mut unfetched = Vec::new();
        for (partition, (next, topic_id)) in &lanes {
            let range = ranges.get(partition);
            let known = Known {
                journal: Some((*next, topic_id.as_deref())),
                topic_id: topic_ids.get(&partition.topic).map(String::as_str),
                range,
                ..Known::default()
            };
            if known.is_new_topic() || range.is_some_and(|range| !range.contains(next)) {
                self.finish(partition, *next);
            } else if range.is_some() {
                unfetched.push((partition, *next));
            }
        }
        if let Err(error) = self.seek(unfetched) {
            self.doubts.unfetched = true;
            tracing::warn!("cannot seek, trying again: {error}");
        }
    }

    /// What Kafka has of the lanes' partitions; asks again later for those that it does not answer for.
    fn ranges(&mut self, lanes: &BTreeMap<Partition, (Offset, Option<String>)>) -> BTreeMap<Partition, Range> {
        let ranges = brokers::ranges(self.consumer, lanes.keys(), ASK_TIMEOUT);
        if let Err(error) = &ranges {
            tracing::warn!("cannot ask Kafka which offsets it has, trying again: {error}");
        }
        let ranges = ranges.unwrap_or_default();
        self.doubts.unfetched = lanes.keys().any(|partition| !ranges.contains_key(partition));
        ranges
    }

    fn finish(&self, partition: &Partition, next: Offset) {
        tracing::warn!(%partition, "Kafka does not have offset {next} any more, or the topic is another one; finishing what was read");
        if let Err(error) = self.consumer.pause(&list([partition])) {
            tracing::warn!(%partition, "cannot pause: {error}");
        }
        self.assignment.finish(partition);
    }

    /// Has the consumer read on at these offsets. librdkafka seeks only what it fetches: a partition that it has stopped fetching
    /// is given up and taken again, which the group does not see.
    fn seek<'b>(&self, to: impl IntoIterator<Item = (&'b Partition, Offset)>) -> KafkaResult<()> {
        let to = list_at(to)?;
        if to.count() == 0 {
            return Ok(());
        }
        let mut unfetched = TopicPartitionList::new();
        for element in self.consumer.seek_partitions(to.clone(), ASK_TIMEOUT)?.elements() {
            match element.error() {
                Err(KafkaError::OffsetFetch(RDKafkaErrorCode::State)) => {
                    let wanted = to.find_partition(element.topic(), element.partition()).map(|wanted| wanted.offset());
                    unfetched.add_partition_offset(element.topic(), element.partition(), wanted.unwrap_or(element.offset()))?;
                }
                sought => sought?,
            }
        }
        if unfetched.count() == 0 {
            return Ok(());
        }
        if self.consumer.assignment_lost() {
            return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::AssignmentLost));
        }
        self.consumer.incremental_unassign(&unfetched)?;
        self.consumer.incremental_assign(&unfetched)
    }

    /// Gives a waiting partition a new lane where it goes on, or stops it; `false` where that has to be tried again. A process
    /// that Kafka has thrown out cannot: its commit is refused, so that it does not fence the rightful owner.
    pub(super) fn start_over(&self, partition: &Partition) -> bool {
        let Some((_, Some(opened))) = self.assignment.open(std::slice::from_ref(partition), OPEN_TIMEOUT).pop() else {
            return false;
        };
        let started = self.verdict(&opened).and_then(|verdict| match verdict {
            Verdict::GoOn(resume) => self.go_on(opened, resume).map(|()| true),
            Verdict::Depends => {
                tracing::warn!(%partition, "the brokers do not say whether the topic is still the same, asking again");
                Ok(false)
            }
            Verdict::Stop(why) => {
                self.assignment.stop(partition, &why);
                Ok(true)
            }
        });
        started.unwrap_or_else(|error| {
            tracing::warn!(%partition, "cannot start over, trying again: {error}");
            false
        })
    }

    /// Where the partition goes on, with everything asked that can matter.
    fn verdict(&self, opened: &Opened) -> KafkaResult<Verdict> {
        let partition = opened.partition();
        let topic_ids = brokers::ids_of(self.consumer, [partition]);
        let journal = opened.end_offset().map(|end| (end, opened.topic_id()));
        let committed = match journal {
            Some(_) => None,
            None => brokers::committed(self.consumer, [partition], ASK_TIMEOUT)?.remove(partition),
        };
        let ranges = brokers::ranges(self.consumer, [partition], ASK_TIMEOUT)?;
        let topic_id = topic_ids.get(&partition.topic).map(String::as_str);
        let known = Known { journal, topic_id, committed, range: ranges.get(partition) };
        Ok(known.verdict(partition, self.assignment.start, self.assignment.on_gap))
    }

    fn go_on(&self, opened: Opened, resume: Resume) -> KafkaResult<()> {
        let partition = opened.partition().clone();
        if opened.end_offset().is_some() {
            let offsets = list_at([(&partition, resume.at)])?;
            self.assignment.timed(|| self.consumer.commit(&offsets, CommitMode::Sync))?;
        }
        self.seek([(&partition, resume.start())])?;
        self.consumer.resume(&list([&partition]))?;
        match resume.jump.as_ref().map(|jump| (jump.why, jump.from, jump.to)) {
            Some((Why::NewTopic, from, to)) => {
                tracing::warn!(%partition, "the topic was made anew: what the old one had from {from} on is lost, going on at {to}");
            }
            Some((_, from, to)) => tracing::warn!(%partition, "Kafka has lost what comes after {from}, going on at {to}"),
            None => {}
        }
        self.assignment.bind(opened, resume);
        Ok(())
    }
}
