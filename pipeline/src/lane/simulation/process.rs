//! One simulated facestream process: what the poll thread and the workers would do for a partition, with real lanes.
//!
//! In: whether Kafka gives it the partition, its life, the topic. Out: results handed to lanes in any order, positions, and lanes that
//! start over. Invariant: it binds and numbers messages as the poll thread does, and starts over only while it holds the partition.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use facestream_schemas::Offset;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::chance::Chance;
use super::outbox::outgoing;
use super::store::{Gate, Life};
use super::topic::{Topic, row};
use crate::budget::Budget;
use crate::journal::mutation::{self, Mutation};
use crate::lane::{Finished, JournalError, LaneHandle, Lanes, Leave, Order, Position, Resume, Ticket};

/// Messages that a process has in its workers at most.
const IN_FLIGHT: u64 = 6;
/// As the rebalance callback has it.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What Kafka says of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Held,
    /// To be given up in peace.
    Revoked,
    /// Another has it.
    Lost,
}

/// What the scheduler keeps of a process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) gate: Gate,
    pub(super) hold: watch::Sender<Hold>,
}

impl Process {
    pub(super) fn is_dead(&self) -> bool {
        self.gate.life() == Life::Dead
    }
}

/// What must never happen in any process.
pub(super) type Failures = Arc<Mutex<Vec<String>>>;

/// What a process runs on.
#[derive(Clone)]
pub(super) struct Consumer {
    pub(super) lanes: Lanes,
    pub(super) gate: Gate,
    pub(super) topic: Arc<Topic>,
    pub(super) chance: Chance,
    pub(super) budget: Budget,
    pub(super) failures: Failures,
    /// The way into the present lane, for the mutation that ignores for which lane a message was polled.
    pub(super) present: Arc<Mutex<Option<mpsc::Sender<Finished>>>>,
}

impl Consumer {
    /// Consumes whenever the partition is held, for ever.
    pub(super) async fn work(self, mut hold: watch::Receiver<Hold>) {
        loop {
            self.gate.pass().await;
            if *hold.borrow_and_update() != Hold::Held {
                if hold.changed().await.is_err() {
                    return;
                }
                continue;
            }
            if let Some((lane, start)) = self.start().await {
                self.feed(&lane, start, &mut hold).await;
            }
            sleep(self.chance.millis(50..1_500)).await;
        }
    }

    /// Opens the journal and starts a lane at its end.
    async fn start(&self) -> Option<(LaneHandle, Offset)> {
        match self.lanes.open(super::partition()).await {
            Ok(opened) => {
                let start = opened.end_offset().unwrap_or(Offset(0));
                let lane = self.lanes.start(opened, Resume::at(start), None);
                *self.present.lock().unwrap_or_else(PoisonError::into_inner) = Some(lane.rows.clone());
                Some((lane, start))
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn fail(&self, error: &JournalError) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
    }

    /// Whether the lane has ended by itself.
    fn has_ended(&self, lane: &LaneHandle) -> bool {
        let ended = self.lanes.board.take_ended().into_iter().find(|ended| ended.lane == lane.id);
        if let Some(ended) = ended.as_ref().filter(|ended| !matches!(ended.error, JournalError::Fenced)) {
            self.fail(&ended.error);
        }
        ended.is_some()
    }

    /// Hands messages to the workers until the lane ends or the partition goes elsewhere.
    async fn feed(&self, lane: &LaneHandle, start: Offset, hold: &mut watch::Receiver<Hold>) {
        let mut messages = self.topic.from(start).peekable();
        let (mut bound, mut position) = (0, start);
        loop {
            tokio::select! {
                biased;
                _ = hold.changed() => {}
                () = sleep(self.chance.millis(1..400)) => {}
            }
            self.gate.pass().await;
            if self.has_ended(lane) {
                return;
            }
            let said = *hold.borrow_and_update();
            match said {
                Hold::Held => {}
                Hold::Lost => return,
                Hold::Revoked => return self.leave(lane).await,
            }
            let delivered = self.collected(lane).map_or(0, |end| self.topic.between(start, end));
            let room = IN_FLIGHT.saturating_sub(bound - delivered.min(bound));
            for offset in messages.by_ref().take(self.chance.number(0..4).min(room) as usize) {
                self.hand_to_a_worker(lane.ticket(bound), offset);
                (bound, position) = (bound + 1, offset.next());
            }
            if self.chance.happens(0.3) {
                let ahead = messages.peek().copied().unwrap_or(self.topic.end);
                let offset = if self.chance.happens(0.5) { ahead } else { position };
                lane.tell(Position { bound, offset, high: Some(self.topic.end) });
            }
        }
    }

    fn collected(&self, lane: &LaneHandle) -> Option<Offset> {
        let progress = self.lanes.board.progress();
        progress.get(&super::partition()).filter(|progress| progress.lane == lane.id).map(|progress| progress.collected_end)
    }

    /// A worker takes its time; what it then has goes to the lane that the message was bound to, if that is still there.
    fn hand_to_a_worker(&self, ticket: Ticket, offset: Offset) {
        let own = self.clone();
        let takes = if self.chance.happens(0.9) { self.chance.millis(1..300) } else { self.chance.millis(300..6_000) };
        tokio::spawn(async move {
            sleep(takes).await;
            own.gate.pass().await;
            let present = own.present.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let lane = present.filter(|_| mutation::is(Mutation::LateResultsAccepted)).unwrap_or(ticket.lane);
            let finished = finished(ticket.number, offset, &own.budget);
            let _ = lane.send(finished).await;
        });
    }

    async fn leave(&self, lane: &LaneHandle) {
        let (done, end) = oneshot::channel();
        let leave = Leave { wait_for: 0, seal: self.chance.happens(0.3), close_windows: false };
        if lane.orders.send(Order::Leave(leave, done)).await.is_ok() {
            let _ = timeout(REVOKE_TIMEOUT, end).await;
        }
    }

    /// Consumes what is left without haste or hindrance and publishes it; where the journal ends then.
    pub(super) async fn finish(&self) -> Offset {
        loop {
            if let Some((lane, start)) = self.start().await
                && let Some(end) = self.finish_lane(&lane, start).await
            {
                return end;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn finish_lane(&self, lane: &LaneHandle, start: Offset) -> Option<Offset> {
        let mut bound = 0;
        for offset in self.topic.from(start) {
            let finished = finished(bound, offset, &self.budget);
            lane.rows.send(finished).await.ok()?;
            bound += 1;
        }
        let last = self.topic.from(start).last().map_or(start, Offset::next);
        while self.collected(lane).is_none_or(|end| end < last) {
            if self.has_ended(lane) {
                return None;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let position = Position { bound, offset: self.topic.end, high: Some(self.topic.end) };
        lane.orders.send(Order::Position(position)).await.ok()?;
        let (done, end) = oneshot::channel();
        let leave = Leave { wait_for: bound, seal: true, close_windows: false };
        lane.orders.send(Order::Leave(leave, done)).await.ok()?;
        let end = end.await.ok();
        self.has_ended(lane);
        end
    }
}

/// What a worker makes of a message.
fn finished(number: u64, offset: Offset, budget: &Budget) -> Finished {
    let row = row(offset);
    Finished { number, outgoing: outgoing(&row), row, shot: None, permit: budget.take(1) }
}
