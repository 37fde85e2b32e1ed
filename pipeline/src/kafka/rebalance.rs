//! The rebalance callback: partitions are opened where their journals end, and given up with what is complete appended.
//!
//! Runs on the poll thread, inside `poll` (or inside the consumer's drop). Invariant: nothing is sought in here, and nothing
//! is committed before the takeover is won, which the lane does.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use facestream_schemas::{Offset, Partition};
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::assignment::{Assignment, Held, list, list_at};
use super::brokers;
use super::resume::{Known, Verdict};
use crate::clock::now;
use crate::failpoint;
use crate::lane::{Leave, Opened, Resume};
use crate::metrics::Rebalance;

/// The longest that the callback waits for the store; what is not open by then is tried again from the poll loop.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that the callback waits for one answer of Kafka.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest that giving up partitions may take; well under `max.poll.interval.ms` (5 minutes).
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A partition, with its journal and where it goes on where that is known.
type Start = (Partition, Option<(Opened, Resume)>);

/// What librdkafka calls back.
pub(super) struct Context(pub(super) Arc<Assignment>);

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        let mut high = self.0.high.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, topic) in &statistics.topics {
            let name: Arc<str> = name.as_str().into();
            for partition in topic.partitions.values().filter(|partition| partition.ls_offset >= 0) {
                high.insert(Partition { topic: Arc::clone(&name), number: partition.partition }, Offset(partition.ls_offset));
            }
        }
        let joined = statistics.cgrp.is_some_and(|group| group.join_state == "steady");
        self.0.lanes.metrics.ready.set(i64::from(joined));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            tracing::warn!("no Kafka broker can be reached, trying again: {reason}; check kafka.brokers and the network");
        } else {
            tracing::warn!("kafka: {reason}");
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let partitions: Vec<Partition> = partitions
            .elements()
            .iter()
            .map(|found| Partition { topic: found.topic().into(), number: found.partition() })
            .collect();
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, &partitions),
            _ => self.revoke(consumer, &partitions),
        };
        if let Err(error) = done {
            tracing::error!("cannot carry out the rebalance, the group will try again: {error}");
        }
        let metrics = &self.0.lanes.metrics;
        metrics.partitions.set(self.0.held().len() as i64);
        metrics.partitions_stopped.set(self.0.lanes.board.stopped().len() as i64);
    }
}

impl Context {
    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) -> KafkaResult<()> {
        self.0.lanes.metrics.rebalances.of(Rebalance::Assigned).inc_by(partitions.len() as u64);
        tracing::info!(partitions = partitions.len(), "assigned {}", names(partitions));
        let opened = self.0.open(partitions, OPEN_TIMEOUT);
        let starts = self.starts(consumer, opened);

        let mut assignment = TopicPartitionList::new();
        for (Partition { topic, number }, start) in &starts {
            let at = start.as_ref().map_or(rdkafka::Offset::End, |(_, resume)| rdkafka::Offset::Offset(resume.start().0));
            assignment.add_partition_offset(topic, *number, at)?;
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&assignment)?,
            _ => consumer.assign(&assignment)?,
        }
        // A pause survives a rebalance: without this, a partition that comes back would stay silent.
        consumer.resume(&list(partitions))?;
        self.0.resumed.store(true, Ordering::Relaxed);
        self.0.lanes.metrics.ready.set(1);
        let mut without = Vec::new();
        for (partition, start) in starts {
            if let Some((opened, resume)) = start {
                self.0.bind(opened, resume);
            } else {
                self.0.wait(partition.clone());
                without.push(partition);
            }
        }
        consumer.pause(&list(&without))
    }

    /// Where each partition starts; `None` where that cannot be said here and now: the poll loop then asks again, at leisure.
    fn starts(&self, consumer: &BaseConsumer<Self>, opened: Vec<(Partition, Option<Opened>)>) -> Vec<Start> {
        let with_journal = |opened: &Option<Opened>| opened.as_ref().is_some_and(|opened| opened.end_offset().is_some());
        let topic_ids = brokers::ids_of(consumer, opened.iter().map(|(partition, _)| partition));
        let committed = brokers::committed(consumer, opened.iter().map(|(partition, _)| partition), ASK_TIMEOUT);
        if let Err(error) = &committed {
            tracing::warn!("cannot ask Kafka for the group's offsets: {error}");
        }
        let beginning = committed.as_ref().ok().map(|committed| {
            let asked = opened.iter().filter(|(partition, opened)| !with_journal(opened) && !committed.contains_key(partition));
            brokers::ranges(consumer, asked.map(|(partition, _)| partition), ASK_TIMEOUT)
        });
        let ranges = beginning.and_then(Result::ok).unwrap_or_default();
        if let Ok(committed) = &committed {
            self.compare(&opened, committed);
        }
        let start = |opened: Opened| {
            let known = Known {
                journal: opened.end_offset().map(|end| (end, opened.topic_id())),
                topic_id: topic_ids.get(&opened.partition().topic).map(String::as_str),
                committed: committed.as_ref().ok().and_then(|committed| committed.get(opened.partition()).copied()),
                range: ranges.get(opened.partition()),
            };
            match known.verdict(opened.partition(), self.0.start, self.0.on_gap) {
                Verdict::GoOn(resume) => Some((opened, resume)),
                Verdict::Depends | Verdict::Stop(_) => None,
            }
        };
        opened.into_iter().map(|(partition, opened)| (partition, opened.and_then(start))).collect()
    }

    /// Reports group offsets that somebody moved by hand: they decide nothing. Own commits lag behind the journal after a crash,
    /// and are told by the records that end there.
    fn compare(&self, opened: &[(Partition, Option<Opened>)], committed: &BTreeMap<Partition, Offset>) {
        let differing = opened.iter().filter_map(|(partition, opened)| {
            let (end, committed) = (opened.as_ref()?.end_offset()?, *committed.get(partition)?);
            (end != committed).then(|| (partition.clone(), end, committed))
        });
        let (differing, lanes) = (differing.collect::<Vec<_>>(), self.0.lanes.clone());
        let report = async move {
            for (partition, end, committed) in differing {
                let Ok(Some(recent)) = lanes.recent(&partition).await else { continue };
                if recent.is_foreign(committed, now()) {
                    let Partition { topic, number } = &partition;
                    let way = if committed > end {
                        format!("`facestream journal reset --topic {topic} --partition {number} --to-offset {committed}`")
                    } else {
                        "consume into a new kafka.group with a new store.url, as going back would double rows".to_owned()
                    };
                    tracing::warn!(
                        %partition,
                        "the group's offset is {committed}, the journal ends at {end}: it was moved by hand, which decides \
                         nothing; to go on at {committed}: {way}"
                    );
                }
            }
        };
        drop(self.0.lanes.runtime.spawn(report));
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) -> KafkaResult<()> {
        let lost = consumer.assignment_lost();
        let what = if lost { Rebalance::Lost } else { Rebalance::Revoked };
        self.0.lanes.metrics.rebalances.of(what).inc_by(partitions.len() as u64);
        if !partitions.is_empty() {
            tracing::info!(partitions = partitions.len(), "{} {}", what.as_str(), names(partitions));
        }
        let held: Vec<_> = partitions.iter().filter_map(|partition| self.0.held().remove_entry(partition)).collect();
        if !partitions.is_empty() {
            failpoint::hit("in-revoke");
        }
        if !lost {
            let ends = self.append_what_is_complete(&held);
            if let Err(error) = list_at(ends.iter().map(|(partition, end)| (*partition, *end))).and_then(|ends| {
                if ends.count() == 0 { Ok(()) } else { self.0.timed(|| consumer.commit(&ends, CommitMode::Sync)) }
            }) {
                tracing::warn!("cannot commit the revoked partitions' offsets (advice only, the journal decides): {error}");
            }
        }
        for partition in partitions {
            self.0.lanes.board.dismiss(partition);
            self.0.high.lock().unwrap_or_else(PoisonError::into_inner).remove(partition);
            self.0.lanes.metrics.forget(partition);
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(&list(partitions)),
            _ => consumer.unassign(),
        }
    }

    /// Has every lane append once more; where their journals end. Lanes that take too long are dropped.
    fn append_what_is_complete<'a>(&self, held: &'a [(Partition, Held)]) -> Vec<(&'a Partition, Offset)> {
        let asked: Vec<_> = held
            .iter()
            .filter_map(|(partition, held)| match held {
                Held::Bound(bound) => Some((partition, bound.lane.leave(Leave::NOW))),
                _ => None,
            })
            .collect();
        let ends = asked.into_iter().map(|(partition, end)| async move {
            let end = tokio::time::timeout(REVOKE_TIMEOUT, end).await.ok()?.ok()?;
            Some((partition, end))
        });
        let ends = self.0.lanes.runtime.block_on(futures::future::join_all(ends));
        ends.into_iter().flatten().collect()
    }
}

fn names(partitions: &[Partition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
