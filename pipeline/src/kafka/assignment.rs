//! The partitions that Kafka has assigned to this process, each with its lane, or waiting for one.
//!
//! Used by the poll thread alone, which is also the one that the rebalance callback runs on; the lock is for the compiler and
//! never contended. Invariant: a message without a lane is thrown away, and a lane only starts at its journal's end with the
//! partition assigned or sought there, so nothing is lost.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use facestream_schemas::{FrameMeta, MessageKey, Offset, Partition};
use facestream_stages::sample::Sampler;
use futures::StreamExt;
use rdkafka::TopicPartitionList;
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::oneshot;

use crate::config::{OnGap, Start};
use crate::lane::{JournalError, LaneHandle, Lanes, Leave, Opened, Resume, Ticket, Why};

/// Journals that are opened at a time.
const OPEN_AT_A_TIME: usize = 32;
/// First and longest back-off of a partition whose lane ended.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// The partitions that are held, and what makes lanes for them.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) lanes: Lanes,
    pub(super) start: Start,
    pub(super) on_gap: OnGap,
    /// Where a run until the end stops; empty for one without end.
    pub(super) until: BTreeMap<Partition, Offset>,
    /// Frames a second and source that are looked at, of topics with the load policy `sample`.
    sampling: BTreeMap<Arc<str>, f64>,
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
    /// Kafka's id of the topic that the messages are of, where the brokers tell one.
    pub(super) topic_id: Option<String>,
    /// Fenced this often in a row before.
    attempts: u32,
    /// Kafka may not have what comes next: the lane finishes what it has, and takes nothing more. Gets the journal's end.
    leaving: Option<oneshot::Receiver<Offset>>,
    /// So many of the next messages are worked on one at a time.
    alone: u64,
    /// The message that is not worked on again.
    condemned: Option<Offset>,
    /// Chooses the frames that are looked at, with the load policy `sample`.
    sampler: Option<Sampler>,
}

/// So many frames are worked on one at a time after barren takeovers: more than can be finished during an append, since the
/// owners before have appended eagerly and yet nothing.
const ALONE: u64 = 64;

/// How a message is to be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Like any other.
    None,
    /// With no other frame of the process, and named beforehand.
    Alone,
    /// Not at all: owners have died over it.
    Condemned,
}

impl Bound {
    /// Whether messages are still taken.
    pub(super) fn is_open(&self) -> bool {
        self.leaving.is_none()
    }
}

/// A partition without a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    attempts: u32,
    due: Instant,
}

impl Assignment {
    pub(super) fn new(
        lanes: Lanes,
        start: Start,
        on_gap: OnGap,
        until: BTreeMap<Partition, Offset>,
        sampling: BTreeMap<Arc<str>, f64>,
    ) -> Self {
        let (held, high, refused) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { lanes, start, on_gap, until, sampling, held, high, resumed: AtomicBool::new(false), refused }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, BTreeMap<Partition, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens journals, 32 at a time, all within `limit`. An error is `None`: to be tried again.
    pub(super) fn open(&self, partitions: &[Partition], limit: Duration) -> Vec<(Partition, Option<Opened>)> {
        let deadline = tokio::time::Instant::now() + limit;
        let open = |partition: Partition| async move {
            let opened = tokio::time::timeout_at(deadline, self.lanes.open(partition.clone())).await;
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

    /// Starts the partition's lane; Kafka's consumer must be about to read at [`Resume::start`].
    pub(super) fn bind(&self, opened: Opened, resume: Resume) {
        let partition = opened.partition().clone();
        let attempts = match self.held().get(&partition) {
            Some(Held::Waiting(waiting)) => waiting.attempts,
            _ => 0,
        };
        let until = self.until.get(&partition).copied();
        let next = resume.start();
        let is_new = resume.jump.as_ref().is_some_and(|jump| jump.why == Why::NewTopic);
        let topic_id = resume.topic_id.clone().or_else(|| opened.topic_id().filter(|_| !is_new).map(str::to_owned));
        if opened.end_offset().is_none() && next.0 > 0 {
            tracing::info!(%partition, "the store has no journal of it: beginning at offset {next}, as the group or kafka.start has it");
        }
        let caution = opened.caution();
        if caution.alone {
            tracing::warn!(
                %partition,
                "earlier owners died without progress: the next {ALONE} frames are worked on one at a time, to find the one that ends \
                 the process"
            );
        }
        // It goes on from the frames that were looked at up to here, so that a replay chooses the same.
        let sampler = self
            .sampling
            .get(&partition.topic)
            .map(|fps| Sampler::new(*fps, self.lanes.windows.max_out_of_orderness, opened.memory().windows.all_looked_at()));
        let lane = self.lanes.start(opened, resume, until);
        let alone = if caution.alone { ALONE } else { 0 };
        let condemned = caution.condemned;
        let bound = Bound { lane, messages: 0, next, topic_id, attempts, leaving: None, alone, condemned, sampler };
        self.held().insert(partition, Held::Bound(bound));
    }

    /// Has the partition's lane finish and append what it has, and take nothing more; [`Assignment::left`] says when it has.
    pub(super) fn finish(&self, partition: &Partition) {
        if let Some(Held::Bound(bound)) = self.held().get_mut(partition) {
            let leave = Leave { wait_for: bound.messages, ..Leave::NOW };
            bound.leaving = Some(bound.lane.leave(leave));
        }
    }

    /// Partitions whose lanes have finished, or ended trying; they now wait for their next start, which is due at once.
    pub(super) fn left(&self) {
        for held in self.held().values_mut() {
            let Held::Bound(Bound { attempts, leaving: Some(end), .. }) = held else { continue };
            if !matches!(end.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
                *held = Held::Waiting(Waiting { attempts: *attempts, due: Instant::now() });
            }
        }
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

    /// Notes what Kafka has confirmed as committed.
    pub(super) fn committed(&self, partition: &Partition, offset: Offset) {
        if let Some(Held::Bound(bound)) = self.held().get(partition) {
            bound.lane.series.committed_offset.set(offset.0);
        }
    }

    /// Counts a commit that Kafka has answered.
    pub(super) fn count_commit(&self, took: Duration, failed: bool) {
        self.lanes.metrics.commit_seconds.observe(took.as_secs_f64());
        self.lanes.metrics.commit_errors.inc_by(u64::from(failed));
    }

    /// Makes a commit that waits for its answer, and counts it.
    pub(super) fn timed(&self, commit: impl FnOnce() -> KafkaResult<()>) -> KafkaResult<()> {
        let started = Instant::now();
        let answer = commit();
        self.count_commit(started.elapsed(), answer.is_err());
        answer
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

    /// Binds a message to its partition's lane: its way back, and how to work on it; `None` where it is not wanted.
    pub(super) fn ticket(&self, topic: &str, number: i32, offset: Offset) -> Option<(Arc<str>, Ticket, Care)> {
        let mut held = self.held();
        let (partition, held) = held.iter_mut().find(|(held, _)| held.number == number && *held.topic == *topic)?;
        let Held::Bound(bound) = held else { return None };
        if !bound.is_open() {
            return None;
        }
        let beyond = self.until.get(partition).is_some_and(|until| offset >= *until);
        if beyond || offset < bound.next {
            return None;
        }
        let ticket = bound.lane.ticket(bound.messages);
        bound.messages += 1;
        bound.next = offset.next();
        let care = match bound.alone {
            _ if bound.condemned == Some(offset) => Care::Condemned,
            0 => Care::None,
            _ => Care::Alone,
        };
        bound.alone = bound.alone.saturating_sub(1);
        Some((Arc::clone(&partition.topic), ticket, care))
    }

    /// Whether the load policy lets the frame be looked at, if it is one. To be asked once of each message, in their order.
    pub(super) fn is_chosen(&self, meta: &FrameMeta, is_frame: bool) -> bool {
        let partition = Partition { topic: Arc::clone(&meta.key.topic), number: meta.key.partition };
        match self.held().get_mut(&partition) {
            Some(Held::Bound(Bound { sampler: Some(sampler), .. })) if is_frame => {
                sampler.chooses(&meta.source_id, meta.capture_ts)
            }
            Some(Held::Bound(Bound { sampler: Some(sampler), .. })) => {
                sampler.note(&meta.source_id, meta.capture_ts);
                true
            }
            _ => true,
        }
    }

    /// Has the lane that the message was bound to name it; `None` where that lane is gone.
    pub(super) fn name(&self, key: &MessageKey, ticket: &Ticket) -> Option<oneshot::Receiver<()>> {
        let partition = Partition { topic: Arc::clone(&key.topic), number: key.partition };
        match self.held().get(&partition) {
            Some(Held::Bound(bound)) if bound.lane.has_bound(ticket) => Some(bound.lane.name(key.offset)),
            _ => None,
        }
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
