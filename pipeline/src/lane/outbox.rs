//! What a lane sends besides its rows: events, windows and dead letters.
//!
//! In: messages, in the order of the rows that they are of. Out: their acknowledgements. Invariant: an append begins only once
//! all is acknowledged that was sent for the rows in it; so what is in the journal was told, at least once.

use std::fmt;

use facestream_schemas::event::{EventFormat, EventSettings};
use facestream_schemas::{Message, Reason};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

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
}

impl Output {
    /// The metric's label.
    #[must_use]
    pub fn topic(self) -> OutputTopic {
        match self {
            Self::Events => OutputTopic::Events,
            Self::Windows => OutputTopic::Windows,
            Self::DeadLetters(_) => OutputTopic::DeadLetters,
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

/// What was sent and is not yet acknowledged.
#[derive(Default)]
pub(super) struct Sends(FuturesUnordered<BoxFuture<'static, ()>>);

impl Sends {
    pub(super) fn extend(&mut self, waiting: Vec<Waiting>, outbox: &dyn Outbox) {
        self.0.extend(waiting.into_iter().map(|Waiting { outgoing, permit }| -> BoxFuture<'static, ()> {
            let sending = outbox.send(outgoing);
            Box::pin(async move {
                sending.await;
                drop(permit);
            })
        }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for one acknowledgement.
    pub(super) async fn next(&mut self) {
        self.0.next().await;
    }

    /// Waits for all acknowledgements.
    pub(super) async fn acknowledged(mut self) {
        while self.0.next().await.is_some() {}
    }
}
