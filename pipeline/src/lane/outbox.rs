//! What a lane sends besides its rows: events, windows, dead letters and annotated pictures (`pictures.rs`).
//!
//! In: messages, in the order of the rows that they are of. Out: their acknowledgements. Invariant: an append begins only once
//! all is acknowledged that was sent for the rows in it; so what is in the journal was told, at least once.

use std::fmt;

use facestream_schemas::event::{EventFormat, EventSettings};
use facestream_schemas::{Message, Reason};
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::oneshot;

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
    /// Dropped once all pictures are sent: those that came after [`Sends::take`] may be.
    then: Option<oneshot::Sender<()>>,
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

    /// All of it. What is made from now on is sent after what was to be made before.
    pub(super) fn take(&mut self) -> Self {
        let mut taken = std::mem::take(self);
        if !taken.making.is_empty() {
            let (then, all_sent) = oneshot::channel();
            taken.then = Some(then);
            self.making.push_back(all_sent.map(|_| None).boxed());
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.making.is_empty()
    }

    /// Waits for one acknowledgement, or for the next thing to be made and sends that.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            Some(made) = self.making.next() => {
                self.sent.extend(made.map(|send| send()));
                if self.making.is_empty() {
                    self.then = None;
                }
            }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A picture that is made when the sender goes, and notes its number when it is sent.
    fn picture(number: u32, sent: &Arc<Mutex<Vec<u32>>>) -> (oneshot::Sender<()>, BoxFuture<'static, Option<Ready>>) {
        let (made, wait) = oneshot::channel();
        let sent = Arc::clone(sent);
        let ready: Ready = Box::new(move || {
            sent.lock().unwrap().push(number);
            futures::future::ready(()).boxed()
        });
        (made, wait.map(|_| Some(ready)).boxed())
    }

    #[test]
    fn pictures_are_sent_in_order_across_appends_whenever_they_are_made() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let [(made_0, first), (made_1, second), (made_2, third)] = std::array::from_fn(|number| picture(number as u32, &sent));
        let mut sends = Sends::default();
        sends.make([first].into_iter());
        let before = sends.take();
        sends.make([second].into_iter());
        let between = sends.take();
        sends.make([third].into_iter());
        drop((made_1, made_2));
        let (mut before, mut between) = (before.acknowledged().boxed(), between.acknowledged().boxed());
        assert_eq!(sends.next().now_or_never(), None);
        assert_eq!((&mut between).now_or_never(), None);
        assert_eq!((&mut before).now_or_never(), None);
        assert!(sent.lock().unwrap().is_empty(), "the first is not made");
        drop(made_0);
        assert_eq!((&mut before).now_or_never(), Some(()));
        assert_eq!(sends.next().now_or_never(), None, "not before the second");
        assert_eq!((&mut between).now_or_never(), Some(()));
        assert_eq!(sends.acknowledged().now_or_never(), Some(()));
        assert_eq!(*sent.lock().unwrap(), [0, 1, 2]);
    }
}
