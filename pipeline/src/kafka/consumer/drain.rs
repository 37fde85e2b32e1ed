//! The end of a run: what is in flight is finished, appended, sealed if asked, and committed.
//!
//! In: lanes. Out: a group that was left with nothing lost. Invariant: no message is taken any more.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::super::assignment::{Held, list};
use super::Polling;
use crate::lane::Leave;

/// At the end of the topics nobody is in a hurry, and what is not published is not done; a signal still ends the process.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

impl Polling<'_> {
    /// Ends the run: no more messages, what is in flight is finished, appended, sealed if asked, and committed.
    pub(super) fn drain(&mut self) {
        let started = Instant::now();
        let bound = self.partitions(|held| matches!(held, Held::Bound(_)));
        if let Err(error) = self.consumer.pause(&list(&bound)) {
            tracing::warn!("cannot pause for the drain: {error}");
        }
        // Most of the time goes to finishing; what is complete by then is appended in the rest.
        let at_end = self.poller.at_end.is_cancelled();
        let patience = if at_end { FOR_EVER } else { self.poller.drain_timeout.mul_f64(0.7) };
        while !self.go_alone(Duration::from_millis(20)) && started.elapsed() < patience {
            let _ = self.consumer.poll(Duration::from_millis(20));
        }
        self.leave(started + patience, |bound| Leave {
            wait_for: bound,
            seal: self.poller.seal || at_end,
            close_windows: at_end,
        });
        self.leave(started + self.poller.drain_timeout, |_| Leave::NOW);
        self.commit_rest();
        let left = self.partitions(|held| matches!(held, Held::Bound(_)));
        if !left.is_empty() {
            let names: Vec<_> = left.iter().map(ToString::to_string).collect();
            tracing::warn!(
                "run.drain_timeout is over: {} will be taken up again by the next run, nothing is lost",
                names.join(", ")
            );
        }
        self.assignment.held().clear();
    }

    /// Asks every lane to leave and goes on serving the consumer until they have, or time is up. Lanes that left are let go.
    fn leave(&self, deadline: Instant, how: impl Fn(u64) -> Leave) {
        let mut asked: Vec<_> = self
            .assignment
            .held()
            .iter()
            .filter_map(|(partition, held)| match held {
                Held::Bound(bound) => Some((partition.clone(), bound.lane.leave(how(bound.messages)))),
                _ => None,
            })
            .collect();
        while !asked.is_empty() && Instant::now() < deadline {
            // Messages that were on their way are dropped: they have no row and will be consumed again.
            let _ = self.consumer.poll(Duration::from_millis(20));
            asked.retain_mut(|(partition, end)| {
                if let Err(tokio::sync::oneshot::error::TryRecvError::Empty) = end.try_recv() {
                    true
                } else {
                    self.assignment.held().remove(partition);
                    false
                }
            });
        }
    }
}
