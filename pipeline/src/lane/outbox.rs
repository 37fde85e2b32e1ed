//! What a lane sends besides its rows: events, windows, dead letters and annotated pictures (`pictures.rs`).
//!
//! In: messages, in the order of the rows that they are of. Out: their acknowledgements. Invariant: an append begins only once
//! all is acknowledged that was sent for the rows in it; so what is in the journal was told, at least once.

use std::fmt;

use facestream_schemas::event::{EventFormat, EventSettings};
use facestream_schemas::{Message, Reason};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, FuturesUnordered};

use crate::budget::Permit;
use crate::metrics::OutputTopic;

/// What a message is for: each has its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// What was seen in a frame.
    Events,
    /// A closed window.
    Windows,
    /// A message that failed, for this reason.
    DeadLetters(Reason),
    /// An annotated picture.
    Pictures,
}

impl Output {
    /// The metric's label.
    #[must_use]
    pub fn topic(self) -> OutputTopic {
        match self {
            Self::Events => OutputTopic::Events,
            Self::Windows => OutputTopic::Windows,
            Self::DeadLetters(_) => OutputTopic::DeadLetters,
            Self::Pictures => OutputTopic::Pictures,
        }
    }
}

/// What others are told of rows; of messages that failed, workers tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Telling {
    /// Of frames, if there is a topic for that.
    pub events: Option<EventSettings>,
    /// Of windows, if there is one.
    pub windows: Option<EventFormat>,
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What it is for.
    pub to: Output,
    /// What is sent.
    pub message: Message,
}

/// Where messages go.
pub trait Outbox: fmt::Debug + Send + Sync {
    /// Sends a message, after those that were sent before it. The future is ready once it is acknowledged by all in-sync
    /// replicas, and tries again for as long as it is polled.
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'static, ()>;
}

/// A message with its share of the budget for rows.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) outgoing: Outgoing,
    pub(super) permit: Permit,
}

/// What was sent and is not yet acknowledged, and pictures that are not yet made. Pictures are sent in the order of their frames.
#[derive(Default)]
pub(super) struct Sends {
    sent: FuturesUnordered<BoxFuture<'static, ()>>,
    making: FuturesOrdered<BoxFuture<'static, Option<Ready>>>,
}

/// Something that is made: sends it when it is its turn.
pub(super) type Ready = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

impl Sends {
    pub(super) fn extend(&mut self, waiting: Vec<Waiting>, outbox: &dyn Outbox) {
        self.sent.extend(waiting.into_iter().map(|Waiting { outgoing, permit }| -> BoxFuture<'static, ()> {
            let sending = outbox.send(outgoing);
            Box::pin(async move {
                sending.await;
                drop(permit);
            })
        }));
    }

    /// Takes in what has to be made before it can be sent; nothing is sent of what comes to `None`.
    pub(super) fn make(&mut self, making: impl Iterator<Item = BoxFuture<'static, Option<Ready>>>) {
        self.making.extend(making);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.making.is_empty()
    }

    /// Waits for one acknowledgement, or for the next thing to be made and sends that.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            Some(made) = self.making.next() => self.sent.extend(made.map(|send| send())),
            Some(()) = self.sent.next() => {}
            else => {}
        }
    }

    /// Waits for all acknowledgements.
    pub(super) async fn acknowledged(mut self) {
        while !self.is_empty() {
            self.next().await;
        }
    }
}
