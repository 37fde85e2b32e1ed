//! The ends of a lane that others hold: the poll thread's handle, and a message's ticket on its way through the workers.
//!
//! In: messages bound by the poll thread, positions and the order to leave; rows from the workers. Out: what the lane receives.
//! Invariant: a result reaches the lane that its message was bound to, or none.

use facestream_schemas::Offset;
use facestream_schemas::tables::FrameRow;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::outbox::Outgoing;
use crate::annotate::Shot;
use crate::budget::Permit;
use crate::metrics::PartitionSeries;

/// The poll thread's end of a lane. Dropping it drops the lane: what it has not appended is forgotten.
#[derive(Debug)]
pub struct LaneHandle {
    /// Which lane of the process this is: a partition can have several, one after the other.
    pub id: u64,
    /// The metrics of its partition.
    pub series: PartitionSeries,
    pub(super) rows: mpsc::Sender<Finished>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) task: JoinHandle<()>,
}

impl LaneHandle {
    /// Binds a message to this lane as its `number`-th.
    #[must_use]
    pub fn ticket(&self, number: u64) -> Ticket {
        Ticket { number, lane: self.rows.clone() }
    }

    /// Tells the lane how far Kafka's consumer is. Skipped while the lane is busy: there will be another.
    pub fn tell(&self, position: Position) {
        let _ = self.orders.try_send(Order::Position(position));
    }

    /// Asks the lane to append what is left and end. The receiver gets the journal's end, or an error if the lane ended otherwise.
    #[must_use]
    pub fn leave(&self, leave: Leave) -> oneshot::Receiver<Offset> {
        let (done, receiver) = oneshot::channel();
        self.order(Order::Leave(leave, done));
        receiver
    }

    /// Asks the lane to name a frame by a record, before it is worked on alone. The receiver gets word once that is durable.
    #[must_use]
    pub fn name(&self, suspect: Offset) -> oneshot::Receiver<()> {
        let (done, receiver) = oneshot::channel();
        self.order(Order::Name(suspect, done));
        receiver
    }

    /// A full channel only holds positions; a lane that is gone drops the order, which whoever waits for it sees.
    fn order(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(order)) = self.orders.try_send(order) {
            let _ = self.orders.blocking_send(order);
        }
    }

    /// Whether the message was bound to this very lane.
    #[must_use]
    pub fn has_bound(&self, ticket: &Ticket) -> bool {
        self.rows.same_channel(&ticket.lane)
    }
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A message's way back to its lane.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub(super) number: u64,
    pub(super) lane: mpsc::Sender<Finished>,
}

/// A message that is through the workers, with its share of the budget for frames in flight until the lane has taken it in,
/// or, if there is to be a picture of it, until that is out.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) number: u64,
    pub(super) row: FrameRow,
    /// What is to be sent of it, besides its row.
    pub(super) outgoing: Vec<Outgoing>,
    /// What its annotated picture is made from, where there is to be one.
    pub(super) shot: Option<Shot>,
    pub(super) permit: Permit,
}

impl Ticket {
    /// Hands in the message's row, what is to be sent besides, and what its annotated picture is made from. Results for a lane that
    /// was dropped go nowhere.
    pub fn finish(self, row: FrameRow, outgoing: Vec<Outgoing>, shot: Option<Shot>, permit: Permit) {
        let _ = self.lane.blocking_send(Finished { number: self.number, row, outgoing, shot, permit });
    }

    /// Whether its lane is still there.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.lane.is_closed()
    }
}

/// How far Kafka's consumer is in a partition.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// How many messages have been bound to the lane so far.
    pub bound: u64,
    /// The offset that the consumer reads next: beyond the last message where transactions or compaction left gaps.
    pub offset: Offset,
    /// One past the last offset that can be read, where it is known.
    pub high: Option<Offset>,
}

/// How a lane is to end.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    /// Wait until this many messages are through; 0 takes what is complete now.
    pub wait_for: u64,
    /// Seal what is not sealed, and publish it.
    pub seal: bool,
    /// Close open windows as idle.
    pub close_windows: bool,
}

impl Leave {
    /// With what is complete now.
    pub const NOW: Self = Self { wait_for: 0, seal: false, close_windows: false };
}

/// What the poll thread has to say to a lane.
#[derive(Debug)]
pub(super) enum Order {
    Position(Position),
    Leave(Leave, oneshot::Sender<Offset>),
    Name(Offset, oneshot::Sender<()>),
}
