//! The poll thread: takes messages while there is room, and does everything else that needs the consumer.
//!
//! In: messages. Out: [`Job`]s for the workers, each bound to its lane. Invariant: this thread alone owns and drops the
//! consumer; it never waits more than a second for room, and nothing is sought or replaced with a message in hand.

mod alone;
mod commits;
mod doubts;
mod drain;
mod intake;
mod room;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use facestream_schemas::{Offset, Partition};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, Bound, Held, list};
use super::commit::Commit;
use super::rebalance::Context;
use crate::budget::Budget;
use crate::config::{Load, OnGap, Policy, Start};
use crate::fetch::Fetcher;
use crate::lane::{JournalError, Lanes, Position};
use crate::live::Live;
use crate::metrics::{Blocked, BudgetName, Busy};
use crate::workers::Job;
use alone::Alone;
use doubts::Doubts;
pub use intake::Intake;

/// The longest wait for a message, and thus for everything else that the thread does.
const POLL: Duration = Duration::from_millis(100);
/// The longest wait for room in a budget before the consumer is looked after again.
const ROOM: Duration = Duration::from_secs(1);
/// A frame counts as at least this many bytes, so that the budget bounds their number too.
const FRAME_OVERHEAD: usize = 16 << 10;
/// What the row of a frame in flight may come to; a quarter of the rows' budget is kept for them.
const ROW_BYTES: usize = 1 << 10;
const HOUSEKEEPING: Duration = Duration::from_secs(1);
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// How many frames fit into a budget for frames in flight of `limit` bytes.
#[must_use]
pub fn most_frames(limit: usize) -> usize {
    limit / FRAME_OVERHEAD + 1
}

/// The least that a frame counts as, so that the rows of all frames in flight fit into a quarter of the rows' budget.
fn frame_bytes(in_flight: usize, pending_rows: usize) -> usize {
    FRAME_OVERHEAD.max(in_flight / (pending_rows / 4 / ROW_BYTES).max(1))
}

/// What the poll thread is made of.
pub struct Poller {
    /// librdkafka's settings.
    pub client: ClientConfig,
    /// Topics to read, and how.
    pub topics: BTreeMap<Arc<str>, Intake>,
    /// Where to start where there is neither journal nor commit.
    pub start: Start,
    /// What to do where Kafka no longer has what comes next.
    pub on_gap: OnGap,
    /// Where to stop, for a run until the end.
    pub until: BTreeMap<Partition, Offset>,
    /// Makes lanes.
    pub lanes: Lanes,
    /// To the workers; bounded. Fetches that are under way hold it weakly: the workers end with the poll thread.
    pub jobs: Arc<Sender<Job>>,
    /// Memory of frames in flight, without librdkafka's queue.
    pub in_flight: Budget,
    /// The largest picture of any topic, in bytes.
    pub max_bytes: u64,
    /// Fetches pictures that lie elsewhere.
    pub fetcher: Fetcher,
    /// Gives each message its turn among those of its source.
    pub live: Live,
    /// Whether messages are kept as they came until they are through: there is a topic for dead letters.
    pub keeps_originals: bool,
    /// Set when the run is to end.
    pub stop: CancellationToken,
    /// Set when the run ends because it has got to the end: then everything is finished, however long that takes.
    pub at_end: CancellationToken,
    /// How long the end may take otherwise.
    pub drain_timeout: Duration,
    /// Whether to seal at the end.
    pub seal: bool,
}

/// Why polling ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The journal must not be written.
    #[error(transparent)]
    Refused(#[from] JournalError),
    /// Some partitions could not be consumed; the others were.
    #[error("stopped at {0}, the others went on: the log says what has to be mended")]
    Stopped(String),
    /// Kafka's client cannot go on.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
}

impl Poller {
    /// Polls until `stop`, then drains, commits and leaves the group. Blocks; meant for a thread of its own.
    pub fn run(self) -> Result<(), PollError> {
        let fps = |load: &Load| (load.policy == Policy::Sample).then_some(load.fps);
        let sampling = self.topics.iter().filter_map(|(topic, intake)| Some((Arc::clone(topic), fps(&intake.load)?))).collect();
        let assignment = Arc::new(Assignment::new(self.lanes.clone(), self.start, self.on_gap, self.until.clone(), sampling));
        let consumer: BaseConsumer<Context> = self.client.create_with_context(Context(Arc::clone(&assignment)))?;
        consumer.subscribe(&self.topics.keys().map(AsRef::as_ref).collect::<Vec<_>>())?;
        let started = Instant::now();
        let mut polling = Polling {
            consumer: &consumer,
            assignment: &assignment,
            poller: &self,
            housekeeping: started,
            commit: started,
            commits: Vec::new(),
            full_since: None,
            full: None,
            paused: false,
            frame_bytes: frame_bytes(self.in_flight.limit(), self.lanes.pending_rows.limit()),
            doubts: Doubts::default(),
            alone: VecDeque::new(),
            held_back: BTreeSet::new(),
        };
        while !self.stop.is_cancelled() {
            polling.step()?;
        }
        polling.drain();
        match self.lanes.board.stopped() {
            stopped if stopped.is_empty() => Ok(()),
            stopped => Err(PollError::Stopped(stopped.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
        }
    }
}

struct Polling<'a> {
    consumer: &'a BaseConsumer<Context>,
    assignment: &'a Assignment,
    poller: &'a Poller,
    housekeeping: Instant,
    commit: Instant,
    /// On their way.
    commits: Vec<Commit>,
    full_since: Option<Instant>,
    /// The budget that had no room when there was none.
    full: Option<BudgetName>,
    paused: bool,
    /// What a frame counts as at least.
    frame_bytes: usize,
    /// What has to be asked of Kafka before it is believed that lanes get what comes next.
    doubts: Doubts,
    /// Frames that have to be worked on alone, the first of them now; rarely more than one.
    alone: VecDeque<Alone>,
    /// Partitions that are paused because too many of their pictures wait to be fetched.
    held_back: BTreeSet<Partition>,
}

impl Polling<'_> {
    /// A turn of the loop, with the time that it takes told apart: waits for messages are neither work nor back-pressure.
    fn step(&mut self) -> Result<(), PollError> {
        let started = Instant::now();
        let waited = self.turn()?;
        let busy = started.elapsed().saturating_sub(waited);
        self.assignment.lanes.metrics.busy_seconds.of(Busy::Poll).inc_by(busy.as_secs_f64());
        Ok(())
    }

    /// Returns how long it has waited for room and for a message.
    fn turn(&mut self) -> Result<Duration, PollError> {
        if let Some(error) = self.assignment.refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error.into());
        }
        if self.assignment.resumed.swap(false, Ordering::Relaxed) && self.paused {
            self.pause(false);
        }
        self.look_after_lanes();
        self.look_after_commits();
        self.release();
        if self.commit.elapsed() >= COMMIT_EVERY {
            self.commit = Instant::now();
            self.commit_appended();
        }
        let asked = Instant::now();
        let room = self.wait_for_room();
        let mut waited = asked.elapsed();
        self.assignment.lanes.metrics.blocked_seconds.of(Blocked::Poll).inc_by(waited.as_secs_f64());
        if !room && !self.paused {
            return Ok(waited);
        }
        let asked = Instant::now();
        let polled = self.consumer.poll(POLL);
        let took = asked.elapsed();
        waited += took;
        if self.paused {
            self.count_pause(took);
        }
        match polled {
            Some(Ok(message)) => self.take(&message),
            Some(Err(error)) => self.handle(error)?,
            None => {}
        }
        Ok(waited)
    }

    fn partitions(&self, which: impl Fn(&Held) -> bool) -> Vec<Partition> {
        self.assignment.held().iter().filter(|(_, held)| which(held)).map(|(partition, _)| partition.clone()).collect()
    }

    /// Lanes that ended, partitions that wait, and once a second where the consumer stands.
    fn look_after_lanes(&mut self) {
        for ended in self.assignment.lanes.board.take_ended() {
            let is_current =
                matches!(self.assignment.held().get(&ended.partition), Some(Held::Bound(bound)) if bound.lane.id == ended.lane);
            if !is_current {
                continue;
            }
            if let Err(error) = self.consumer.pause(&list([&ended.partition])) {
                tracing::warn!(partition = %ended.partition, "cannot pause: {error}");
            }
            if matches!(ended.error, JournalError::Fenced) {
                tracing::warn!(partition = %ended.partition, "fenced: {}; starting over from the journal", ended.error);
                self.assignment.lanes.metrics.fenced.inc();
                self.assignment.wait(ended.partition);
            } else {
                self.assignment.refuse(&ended.partition, ended.error);
            }
        }
        self.assignment.left();
        // While everything is paused a partition that starts over would be read regardless of the budgets.
        let due = if self.paused { Vec::new() } else { self.assignment.due() };
        let started = Instant::now();
        for partition in due {
            let goes_on = self.start_over(&partition);
            if !goes_on {
                self.assignment.wait(partition);
            }
            // One wait for the store at a time: the group wants to be polled, and a stop obeyed.
            if !goes_on || started.elapsed() >= ROOM {
                break;
            }
        }
        if self.housekeeping.elapsed() >= HOUSEKEEPING {
            self.housekeeping = Instant::now();
            self.report_pauses();
            self.tell_positions();
            self.look_into_doubts();
        }
    }

    /// Tells every lane where the consumer stands; there is no message in hand.
    fn tell_positions(&self) {
        let Ok(positions) = self.consumer.position() else { return };
        let high = self.assignment.high.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (partition, held) in &*self.assignment.held() {
            // What is read for a lane that takes nothing more is not its own.
            let Some(bound) = open(held) else { continue };
            let read = positions.find_partition(&partition.topic, partition.number).map(|found| found.offset());
            let offset = match read {
                Some(rdkafka::Offset::Offset(offset)) => bound.next.max(Offset(offset)),
                _ => bound.next,
            };
            bound.lane.tell(Position { bound: bound.messages, offset, high: high.get(partition).copied() });
        }
    }

    fn handle(&mut self, error: KafkaError) -> Result<(), PollError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => self.doubts.unfetched = true,
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicId,
            ) => {
                tracing::warn!("kafka: {error}; waiting for the topics {:?} to be created", self.poller.topics.keys());
                self.doubts.topics = true;
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
            _ => tracing::warn!("kafka: {error}"),
        }
        Ok(())
    }
}

/// The lane of a partition, if it takes messages.
fn open(held: &Held) -> Option<&Bound> {
    match held {
        Held::Bound(bound) if bound.is_open() => Some(bound),
        _ => None,
    }
}
