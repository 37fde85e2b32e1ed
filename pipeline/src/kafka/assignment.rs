//! The partitions that Kafka has assigned to this process, each with its lane, or waiting for one.
//!
//! Used by the poll thread alone, which is also the one that the rebalance callback runs on; the lock is for the compiler and
//! never contended. Invariant: a message without a lane is thrown away, and a lane only starts at its journal's end with the
//! partition assigned or sought there, so nothing is lost.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use facestream_schemas::{Offset, Partition};
use futures::StreamExt;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};

use super::ASK_TIMEOUT;
use crate::config::Start;
use crate::lane::{JournalError, LaneHandle, Lanes, Opened, Resume, Ticket};

/// Journals that are opened at a time.
const OPEN_AT_A_TIME: usize = 32;
/// First and longest back-off of a partition whose lane ended.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// The partitions that are held, and what makes lanes for them.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) lanes: Lanes,
    pub(super) start: Start,
    /// Where a run until the end stops; empty for one without end.
    pub(super) until: BTreeMap<Partition, Offset>,
    held: Mutex<BTreeMap<Partition, Held>>,
    /// One past the last offset that can be read, as far as known.
    pub(super) high: Mutex<BTreeMap<Partition, Offset>>,
    /// Set by an assignment, which resumes everything: the poll thread's own pause is over.
    pub(super) resumed: AtomicBool,
    /// A journal that must not be written: ends the run.
    pub(super) refused: Mutex<Option<JournalError>>,
}

/// What an assigned partition is doing.
#[derive(Debug)]
pub(super) enum Held {
    /// Messages are bound to a lane.
    Bound(Bound),
    /// Paused until its journal can be opened (again).
    Waiting(Waiting),
    /// Paused for good: a person must look at it.
    Stopped,
}

/// A partition with its lane.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) lane: LaneHandle,
    /// Messages bound so far: the number of the next one.
    pub(super) messages: u64,
    /// The next offset that is expected, or any beyond it.
    pub(super) next: Offset,
    /// Fenced this often in a row before.
    attempts: u32,
}

/// A partition without a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    attempts: u32,
    due: Instant,
}

impl Assignment {
    pub(super) fn new(lanes: Lanes, start: Start, until: BTreeMap<Partition, Offset>) -> Self {
        let (held, high, refused) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { lanes, start, until, held, high, resumed: AtomicBool::new(false), refused }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, BTreeMap<Partition, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens journals, 32 at a time, each within `limit`. An error is `None`: to be tried again.
    pub(super) fn open(&self, partitions: &[Partition], limit: Duration) -> Vec<(Partition, Option<Opened>)> {
        let open = |partition: Partition| async move {
            let opened = tokio::time::timeout(limit, self.lanes.open(partition.clone())).await;
            (partition, opened)
        };
        let all = futures::stream::iter(partitions.to_vec()).map(open).buffered(OPEN_AT_A_TIME).collect::<Vec<_>>();
        let results = self.lanes.runtime.block_on(all);
        let usable = |(partition, opened): (Partition, Result<Result<Opened, JournalError>, _>)| match opened {
            Ok(Ok(opened)) => (partition, Some(opened)),
            Ok(Err(error)) => {
                self.refuse(&partition, error);
                (partition, None)
            }
            Err(_) => {
                tracing::warn!(%partition, "the journal did not open within {limit:?}, trying again");
                (partition, None)
            }
        };
        results.into_iter().map(usable).collect()
    }

    /// Where consuming starts: the journal's end, else the group's committed offset, else as configured, as a number.
    pub(super) fn start_offset<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, opened: &Opened) -> KafkaResult<Offset> {
        if let Some(end) = opened.end_offset() {
            return Ok(end);
        }
        let Partition { topic, number } = opened.partition();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, *number);
        let committed = consumer.committed_offsets(asked, ASK_TIMEOUT)?;
        if let Some(rdkafka::Offset::Offset(offset)) = committed.find_partition(topic, *number).map(|found| found.offset()) {
            return Ok(Offset(offset));
        }
        let (low, high) = consumer.fetch_watermarks(topic, *number, ASK_TIMEOUT)?;
        Ok(Offset(match self.start {
            Start::Earliest => low,
            Start::Latest => high,
        }))
    }

    /// Starts the partition's lane; Kafka's consumer must be about to read at `start`.
    pub(super) fn bind(&self, opened: Opened, start: Offset) {
        let partition = opened.partition().clone();
        let attempts = match self.held().get(&partition) {
            Some(Held::Waiting(waiting)) => waiting.attempts,
            _ => 0,
        };
        let until = self.until.get(&partition).copied();
        let lane = self.lanes.start(opened, Resume::at(start), until);
        self.held().insert(partition, Held::Bound(Bound { lane, messages: 0, next: start, attempts }));
    }

    /// Puts the partition among those that wait for their journal, longer each time.
    pub(super) fn wait(&self, partition: Partition) {
        let mut held = self.held();
        let attempts = match held.get(&partition) {
            Some(Held::Bound(_)) if self.has_appended(&partition) => 0,
            Some(Held::Bound(bound)) => bound.attempts,
            Some(Held::Waiting(waiting)) => waiting.attempts,
            Some(Held::Stopped) => return,
            None => 0,
        };
        let delay = RETRY.0.saturating_mul(1 << attempts.min(16)).min(RETRY.1);
        held.insert(partition, Held::Waiting(Waiting { attempts: attempts + 1, due: Instant::now() + delay }));
    }

    /// Whether the partition's lane has won an append with rows: then the back-off starts over.
    fn has_appended(&self, partition: &Partition) -> bool {
        self.lanes.board.progress().get(partition).is_some_and(|progress| progress.has_appended)
    }

    /// Partitions whose waiting is over.
    pub(super) fn due(&self) -> Vec<Partition> {
        let now = Instant::now();
        let is_due = |held: &Held| matches!(held, Held::Waiting(waiting) if waiting.due <= now);
        self.held().iter().filter(|(_, held)| is_due(held)).map(|(partition, _)| partition.clone()).collect()
    }

    /// A journal that cannot be gone on with: another pipeline's ends the run, a damaged one stops its partition.
    pub(super) fn refuse(&self, partition: &Partition, error: JournalError) {
        if matches!(error, JournalError::Foreign { .. }) {
            self.refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        } else {
            self.stop(partition, &error);
        }
    }

    /// Stops one partition until a person has mended what is wrong; the others go on.
    pub(super) fn stop(&self, partition: &Partition, why: &dyn std::fmt::Display) {
        tracing::error!(%partition, "the partition is stopped, the others go on: {why}");
        self.lanes.board.stop(partition);
        self.lanes.metrics.partitions_stopped.set(self.lanes.board.stopped().len() as i64);
        self.held().insert(partition.clone(), Held::Stopped);
    }

    /// Binds a message to its partition's lane: its way back, or `None` where it is not wanted.
    pub(super) fn ticket(&self, topic: &str, number: i32, offset: Offset) -> Option<(Arc<str>, Ticket)> {
        let mut held = self.held();
        let (partition, held) = held.iter_mut().find(|(held, _)| held.number == number && *held.topic == *topic)?;
        let Held::Bound(bound) = held else { return None };
        let beyond = self.until.get(partition).is_some_and(|until| offset >= *until);
        if beyond || offset < bound.next {
            return None;
        }
        let ticket = bound.lane.ticket(bound.messages);
        bound.messages += 1;
        bound.next = offset.next();
        Some((Arc::clone(&partition.topic), ticket))
    }
}

/// Partitions as librdkafka lists them.
pub(super) fn list<'a>(partitions: impl IntoIterator<Item = &'a Partition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for Partition { topic, number } in partitions {
        list.add_partition(topic, *number);
    }
    list
}

/// Partitions with offsets, as librdkafka lists them.
pub(super) fn list_at<'a>(
    partitions: impl IntoIterator<Item = (&'a Partition, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (Partition { topic, number }, offset) in partitions {
        list.add_partition_offset(topic, *number, rdkafka::Offset::Offset(offset.0))?;
    }
    Ok(list)
}
