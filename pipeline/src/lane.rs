//! A lane: all state of one assigned partition, as one tokio task.
//!
//! In: rows from the workers, by number; positions and the order to leave from the poll thread. Out: appends to the
//! partition's journal, seals, and what may be committed ([`Board`]). The lane does not stop for the store: while one append is in
//! flight, rows for the next are collected. Invariant: rows leave memory once they are appended, in offset order; nothing is
//! appended before the takeover is won, while files are being published, or before what it has to tell others is acknowledged.

mod board;
mod collect;
mod due;
mod handle;
mod outbox;
mod pictures;
mod recent;
mod report;
#[cfg(test)]
mod simulation;
mod stages;
#[cfg(test)]
pub(crate) mod tests;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use facestream_schemas::{Offset, Partition};
use facestream_stages::aggregate::WindowSettings;
use facestream_stages::track::{TrackSettings, TrackState};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

pub use crate::journal::header::{Jump, Why};
pub use crate::journal::{Caution, JournalError, Opened};
pub use board::{Board, Ended, Lag, Overview, Progress, SourceSeen, Sources, Standing};
pub use due::Rolling;
pub use handle::{LaneHandle, Leave, Position, Ticket};
pub use outbox::{Outbox, Outgoing, Output, Telling};
pub use recent::Recent;

use crate::annotate::Pictures;
use crate::budget::Budget;

use crate::journal::log::Log;
use crate::journal::mutation::{self, Mutation};
use crate::journal::publish::Publisher;
use crate::journal::{Journal, Note, Writer};
use crate::metrics::{Blocked, Metrics, SealReason};
use crate::panicked;
use crate::store::Store;
use collect::Collected;
use due::{Action, Situation, due};
use handle::{Finished, Order};
use outbox::Sends;
use report::{Appended, Report};
use stages::Stages;

/// Rows on their way to one lane.
const INBOX: usize = 1_024;
/// A cautious lane appends eagerly for so many frames.
const EAGER_FRAMES: u64 = 1_024;
/// How often a lane without news looks whether something is due.
const TICK: Duration = Duration::from_millis(200);

/// What all lanes share, and what starts new ones.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// Where tasks run.
    pub runtime: Handle,
    /// Where journals lie.
    pub store: Store,
    /// Who writes them.
    pub writer: Arc<Writer>,
    /// Publishes seals.
    pub publisher: Publisher,
    /// How faces are followed; `None` where they are not.
    pub tracks: Option<TrackSettings>,
    /// How windows are cut.
    pub windows: WindowSettings,
    /// When appends and seals are due.
    pub rolling: Rolling,
    /// How long records are kept whose rows are published.
    pub retention: Duration,
    /// Bounds how many take over at a time.
    pub takeovers: Takeovers,
    /// Memory of rows that are not yet appended.
    pub pending_rows: Budget,
    /// Where events, windows and dead letters go.
    pub outbox: Option<Arc<dyn Outbox>>,
    /// What others are told of rows.
    pub telling: Telling,
    /// Where annotated pictures are made and go; `None` where there are none.
    pub pictures: Option<Pictures>,
    /// Where lanes report to the poll thread.
    pub board: Board,
    /// Where work is counted.
    pub metrics: Metrics,
}

/// A write in progress: it holds the journal, and gives it back when the next write may begin.
type Writing = BoxFuture<'static, Result<Journal, JournalError>>;

impl Lanes {
    /// Looks at the journal of a partition without touching it. Retries transient errors for as long as it is polled.
    pub async fn open(&self, partition: Partition) -> Result<Opened, JournalError> {
        let log = Log::new(self.store.clone(), &partition, self.metrics.clone());
        Opened::open(log, partition, Arc::clone(&self.writer)).await
    }

    /// Starts a lane that goes on at `resume`. `until` is where a run until the end stops.
    #[must_use]
    pub fn start(&self, opened: Opened, resume: Resume, until: Option<Offset>) -> LaneHandle {
        let start = resume.start();
        let partition = opened.partition().clone();
        let now = Instant::now();
        let mut memory = opened.memory().across(resume.jump.as_ref());
        if mutation::is(Mutation::TracksForgotten) {
            memory.tracks = TrackState::default();
        }
        let hold = self.pictures.as_ref().and_then(|pictures| pictures.hold);
        let stages = Stages::new(&partition, self.tracks, self.windows, hold, memory, now.into_std());
        let (rows, inbox) = mpsc::channel(INBOX);
        let (orders, control) = mpsc::channel(16);
        let id = self.board.enlist(&partition, start);
        let series = self.metrics.hold(&partition);
        let lane = Lane {
            shared: self.clone(),
            id,
            partition: partition.clone(),
            report: Report::new(&self.metrics, series.clone(), now),
            collected: Collected::new(stages, self.telling, start, until, self.pending_rows.clone()),
            sends: Sends::default(),
            last_append: now,
            eager: opened.caution().eager,
            naming: None,
            leaving: None,
            inbox,
            control,
        };
        let take_over = self.clone().take_over(opened, resume).boxed();
        let task = self.runtime.spawn(lane.run(take_over));
        LaneHandle { id, series, rows, orders, task }
    }

    /// What a lane does before anything else; 32 at a time, so that a start with hundreds of partitions is no storm on the store.
    async fn take_over(self, opened: Opened, resume: Resume) -> Result<Journal, JournalError> {
        let _turn = self.takeovers.0.acquire().await;
        let Resume { at, jump, topic_id } = resume;
        // The rows so far are not the new topic's.
        let of_rows = topic_id.clone().filter(|_| jump.as_ref().is_none_or(|jump| jump.why != Why::NewTopic));
        let mut journal = opened.take_over(at, of_rows, &self.publisher).await?;
        if let Some(jump) = jump {
            let lost = if jump.why == Why::Gap { (jump.to.0 - jump.from.0).max(0) } else { 0 };
            journal.jump(jump, topic_id, &self.publisher).await?;
            self.metrics.lost_records.inc_by(lost as u64);
        }
        Ok(journal)
    }
}

/// How many lanes take their journals over at a time.
#[derive(Clone, Debug)]
pub struct Takeovers(Arc<Semaphore>);

impl Default for Takeovers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(32)))
    }
}

/// Where a lane goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The journal's end where there is one, else where consuming begins.
    pub at: Offset,
    /// Where to go on instead, once what was appended is published.
    pub jump: Option<Jump>,
    /// Kafka's id of the topic as it is now, where the brokers tell one.
    pub topic_id: Option<String>,
}

impl Resume {
    /// Goes on at `at`, with nothing else to note.
    #[must_use]
    pub fn at(at: Offset) -> Self {
        Self { at, jump: None, topic_id: None }
    }

    /// The first offset that the lane covers.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.jump.as_ref().map_or(self.at, |jump| jump.to)
    }
}

struct Lane {
    shared: Lanes,
    id: u64,
    partition: Partition,
    report: Report,
    collected: Collected,
    /// What was sent since the last append began and is not yet acknowledged.
    sends: Sends,
    last_append: Instant,
    eager: bool,
    /// The frame to be named by a record, and who waits for that.
    naming: Option<(Offset, oneshot::Sender<()>)>,
    leaving: Option<(Leave, oneshot::Sender<Offset>)>,
    inbox: mpsc::Receiver<Finished>,
    control: mpsc::Receiver<Order>,
}

impl Lane {
    async fn run(mut self, take_over: Writing) {
        let ended = AssertUnwindSafe(self.work(take_over)).catch_unwind().await;
        let panicked = |panic: Box<dyn Any + Send>| JournalError::Panicked(panicked::said(&*panic));
        if let Err(error) = ended.map_err(panicked).flatten() {
            self.shared.board.end(self.id, self.partition, error);
        }
    }

    async fn work(&mut self, take_over: Writing) -> Result<(), JournalError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut writing = take_over;
        let mut journal = None;
        loop {
            tokio::select! {
                biased;
                written = &mut writing, if journal.is_none() => journal = Some(self.written(written?)),
                Some(order) = self.control.recv() => self.obey(order),
                Some(finished) = self.inbox.recv(), if self.accepts() => self.collect(finished),
                () = self.sends.next(), if !self.sends.is_empty() => {}
                _ = tick.tick() => {}
            }
            let Some(idle) = journal.take() else { continue };
            match self.next_action(&idle) {
                Some(action) => writing = self.write(idle, action),
                None if self.has_left(&idle) => return Ok(()),
                None => journal = Some(idle),
            }
        }
    }

    /// Whether rows are still wanted: not once the lane is leaving with all that it waits for.
    fn accepts(&self) -> bool {
        self.leaving.as_ref().is_none_or(|(leave, _)| self.collected.delivered() < leave.wait_for)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Leave(leave, done) => self.leaving = Some((leave, done)),
            Order::Name(suspect, done) => self.naming = Some((suspect, done)),
            Order::Position(position) => {
                let closed = self.collected.advance(position, Instant::now().into_std());
                self.count_windows(closed);
                self.send();
                self.report_lag(position);
                self.report_sources();
            }
        }
    }

    fn collect(&mut self, finished: Finished) {
        let Finished { number, row, outgoing, shot, permit } = finished;
        self.report.waiting.add(1);
        let (shot, _permit) = match shot {
            Some(shot) => (Some((shot, permit)), None),
            None => (None, Some(permit)),
        };
        let added = self.collected.insert(number, row, outgoing, shot, Instant::now().into_std());
        self.send();
        self.count_late(&added);
        self.count_windows(added.closed);
        self.shared.board.collected(self.id, &self.partition, self.collected.end());
    }

    /// Sends what the collected rows have to say to others, in their order.
    fn send(&mut self) {
        let outgoing = self.collected.take_outgoing();
        if let Some(outbox) = &self.shared.outbox {
            self.sends.extend(outgoing, outbox.as_ref());
        }
        let pictures = self.collected.take_pictures();
        if let Some(way) = &self.shared.pictures {
            self.sends.make(pictures.into_iter().map(|picture| picture.make(self.shared.outbox.clone(), way)));
        }
    }

    /// What is to be written next, if anything.
    fn next_action(&mut self, journal: &Journal) -> Option<Action> {
        if let Some((leave, _)) = self.leaving.as_ref().filter(|_| !self.accepts()) {
            let leave = *leave;
            if leave.close_windows {
                let closed = self.collected.close_windows();
                self.count_windows(closed);
            }
            let unsealed = !journal.head().unsealed.rows.is_empty() || self.collected.has_rows();
            let seal = (leave.seal && unsealed).then_some(SealReason::Shutdown);
            let left = self.collected.has_rows() || self.collected.end() > journal.head().end_offset;
            let uneasy = journal.head().barren_takeovers > 0 || journal.head().suspect.is_some();
            return (left || seal.is_some() || uneasy).then_some(Action { seal, note: Note::LeftInPeace });
        }
        if let Some((suspect, _)) = &self.naming {
            return Some(Action { seal: None, note: Note::Suspect(*suspect) });
        }
        due(
            &self.shared.rolling,
            &Situation {
                head: journal.head(),
                end: self.collected.end(),
                pending_bytes: self.collected.bytes(),
                has_rows: self.collected.has_rows(),
                low_watermark: self.collected.low_watermark(),
                since_append: self.last_append.elapsed(),
                unsealed_age: journal.unsealed_age(),
                urgent: self.shared.pending_rows.is_tight() || (self.eager && self.collected.delivered() <= EAGER_FRAMES),
                at_the_end: self.collected.is_at_the_end(),
            },
        )
    }

    /// Waits until all pictures are made and all that was sent is acknowledged, appends what is collected, reports it for the
    /// commit, and publishes if it is a seal.
    fn write(&mut self, mut journal: Journal, action: Action) -> Writing {
        let (batch, permit, closed) = self.collected.take(action.seal.is_some(), action.note);
        self.count_windows(closed);
        self.send();
        let sends = self.sends.take();
        self.last_append = Instant::now();
        let (shared, id, partition) = (self.shared.clone(), self.id, self.partition.clone());
        let appended = Appended::of(&batch.rows.frames, &mut self.report);
        async move {
            let acknowledged = async {
                let started = Instant::now();
                sends.acknowledged().await;
                shared.metrics.blocked_seconds.of(Blocked::Append).inc_by(started.elapsed().as_secs_f64());
            };
            if mutation::is(Mutation::DeadLetterAfterAppend) {
                journal.append(batch).await?;
                acknowledged.await;
            } else {
                acknowledged.await;
                journal.append(batch).await?;
            }
            drop(permit);
            shared.board.appended(id, &partition, journal.head().end_offset, !appended.is_empty());
            appended.count(&shared.metrics);
            if let Some(reason) = action.seal {
                let seal = journal.head().seq;
                journal.publish(&shared.publisher, reason).await?;
                shared.runtime.spawn(journal.collect(seal, shared.retention));
            }
            Ok(journal)
        }
        .boxed()
    }

    /// The takeover, an append or a publish is through.
    fn written(&mut self, journal: Journal) -> Journal {
        self.shared.board.appended(self.id, &self.partition, journal.head().end_offset, false);
        let named = journal.head().suspect.filter(|suspect| suspect.working).map(|suspect| suspect.offset);
        if let Some((_, done)) = self.naming.take_if(|(offset, _)| Some(*offset) == named) {
            let _ = done.send(());
        }
        journal
    }

    /// Whether the lane was asked to leave and has nothing left to write; says where the journal ends.
    fn has_left(&mut self, journal: &Journal) -> bool {
        if self.accepts() {
            return false;
        }
        if let Some((_, done)) = self.leaving.take() {
            let _ = done.send(journal.head().end_offset);
        }
        true
    }
}
