//! Frames that are worked on alone, because earlier owners of their partitions died without progress.
//!
//! In: frames in the order in which they were polled. Out: one of them at a time to the workers. Invariant: while it is worked on no
//! other frame of the process is, and a record of its partition's journal names it; so whoever finds a name there after a death
//! knows what the process died of.

use std::time::Duration;

use facestream_schemas::dead_letter::Original;
use facestream_schemas::{FrameMeta, Picture, Reason, Rejection};
use tokio::sync::oneshot;

use super::Polling;
use crate::lane::Ticket;
use crate::live::Turn;

/// A frame that is not with the workers yet.
pub(super) struct Unsent {
    pub(super) meta: FrameMeta,
    pub(super) picture: Result<Picture, Rejection>,
    /// What it holds, in bytes.
    pub(super) memory: usize,
    pub(super) ticket: Ticket,
    pub(super) turn: Turn,
    /// Largest decoded image in pixels.
    pub(super) max_pixels: u64,
    /// With the load policy `skip_stale`: the oldest that it may be.
    pub(super) max_age: Option<Duration>,
    /// The message as it came, where it may become a dead letter.
    pub(super) original: Option<Box<Original>>,
}

impl Unsent {
    /// The frame without its image: the process died when this was worked on.
    pub(super) fn condemned(self) -> Self {
        tracing::error!(record = %self.meta.key, "the process died working on this frame, more than once: rejected as internal_error");
        let why = "the process died working on this frame alone, more than once";
        Self { picture: Err(Rejection::new(Reason::InternalError, why)), ..self }
    }
}

/// How far a frame is that has to be worked on alone.
pub(super) enum Alone {
    /// Until nothing else is in flight.
    Waiting(Unsent),
    /// Until a record names it.
    Naming(Unsent, oneshot::Receiver<()>),
    /// Until its row is in its lane, and its annotated picture is out.
    Working,
}

/// How a frame got on.
enum Step {
    /// To its next state.
    To(Alone),
    /// It has to wait longer.
    Waits(Alone),
    /// Its row is in its lane, or that lane is gone and the frame another's.
    Done,
}

impl Polling<'_> {
    /// Brings the frames that are worked on alone as far as it goes within `longest` a step; whether none is left.
    pub(super) fn go_alone(&mut self, longest: Duration) -> bool {
        while let Some(first) = self.alone.pop_front() {
            match self.step_alone(first, longest) {
                Step::Done => {}
                Step::To(next) => self.alone.push_front(next),
                Step::Waits(same) => {
                    self.alone.push_front(same);
                    return false;
                }
            }
        }
        true
    }

    fn step_alone(&mut self, frame: Alone, longest: Duration) -> Step {
        match frame {
            Alone::Waiting(frame) if self.poller.in_flight.wait_until_empty(longest) => {
                match self.assignment.name(&frame.meta.key, &frame.ticket) {
                    Some(named) => Step::To(Alone::Naming(frame, named)),
                    None => Step::Done,
                }
            }
            Alone::Naming(frame, mut named) => {
                let wait = async { tokio::time::timeout(longest, &mut named).await };
                match self.assignment.lanes.runtime.block_on(wait) {
                    Ok(Ok(())) => {
                        self.send(frame);
                        Step::To(Alone::Working)
                    }
                    Ok(Err(_)) => Step::Done,
                    Err(_) => Step::Waits(Alone::Naming(frame, named)),
                }
            }
            Alone::Working if self.poller.in_flight.wait_until_empty(longest) => Step::Done,
            waiting => Step::Waits(waiting),
        }
    }
}
