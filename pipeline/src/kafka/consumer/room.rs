//! Back-pressure: the poll thread waits for room in the budgets, and pauses partitions where that lasts.
//!
//! In: the budgets. Out: waits of a second at most; partitions paused and resumed; what is paused and why, for metrics and the status
//! page. Invariant: a partition counts as paused for one reason.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use facestream_schemas::Partition;
use rdkafka::consumer::Consumer;

use super::super::assignment::{Held, list};
use super::{Polling, ROOM};
use crate::metrics::{Blocked, BudgetName, Pause};

/// Budgets full for this long (the store is out, say): partitions are paused, which throws the prefetch away but lets the
/// thread poll, as the group demands.
const PAUSE_AFTER: Duration = Duration::from_secs(30);

impl Polling<'_> {
    /// Waits for room for the largest message in both budgets, a second at most. Pauses when that lasts.
    pub(super) fn wait_for_room(&mut self) -> bool {
        let started = Instant::now();
        let largest = usize::try_from(self.poller.max_bytes).unwrap_or(usize::MAX);
        let longest = if self.paused { Duration::ZERO } else { ROOM };
        let pending_rows = &self.assignment.lanes.pending_rows;
        let budgets = [
            (BudgetName::InFlight, &self.poller.in_flight, largest),
            (BudgetName::PendingRows, pending_rows, pending_rows.limit() / 4),
        ];
        let mut room = self.go_alone(longest);
        for (name, budget, need) in budgets {
            let asked = Instant::now();
            let fits = budget.wait_for_room(need, longest.saturating_sub(started.elapsed()));
            self.assignment.lanes.metrics.backpressure_seconds.of(name).inc_by(asked.elapsed().as_secs_f64());
            if !fits {
                self.full = Some(name);
            }
            room &= fits;
        }
        if room {
            self.full_since = None;
            if self.paused {
                self.pause(false);
            }
        } else if self.full_since.get_or_insert(started).elapsed() >= PAUSE_AFTER && !self.paused {
            self.pause(true);
        }
        room
    }

    /// Pauses or resumes every partition that has a lane.
    pub(super) fn pause(&mut self, pause: bool) {
        let bound: Vec<_> = self.partitions(|held| matches!(held, Held::Bound(_)));
        let partitions = list(&bound);
        let done = if pause { self.consumer.pause(&partitions) } else { self.consumer.resume(&partitions) };
        match done {
            Ok(()) => {
                self.paused = pause;
                if !pause {
                    self.held_back.clear();
                }
                self.report_pauses();
                tracing::warn!(
                    partitions = bound.len(),
                    "{}",
                    if pause { "memory budgets stay full, paused" } else { "resumed" }
                );
            }
            Err(error) => tracing::warn!("cannot pause or resume, trying again: {error}"),
        }
    }

    /// While partitions are paused it is the poll that waits, for the same reason.
    pub(super) fn count_pause(&self, took: Duration) {
        let metrics = &self.assignment.lanes.metrics;
        metrics.blocked_seconds.of(Blocked::Poll).inc_by(took.as_secs_f64());
        if let Some(budget) = self.full {
            metrics.backpressure_seconds.of(budget).inc_by(took.as_secs_f64());
        }
    }

    /// Says which partitions are paused.
    pub(super) fn report_pauses(&self) {
        let (mut paused, mut waiting, mut slow) = (BTreeSet::<Partition>::new(), BTreeSet::new(), 0);
        for (partition, held) in &*self.assignment.held() {
            match held {
                Held::Bound(bound) if !bound.is_open() => drop(waiting.insert(partition.clone())),
                Held::Waiting(_) => drop(waiting.insert(partition.clone())),
                Held::Bound(_) if self.paused => drop(paused.insert(partition.clone())),
                Held::Bound(_) if self.held_back.contains(partition) => {
                    slow += 1;
                    paused.insert(partition.clone());
                }
                Held::Bound(_) | Held::Stopped => {}
            }
        }
        let gauges = &self.assignment.lanes.metrics.partitions_paused;
        gauges.of(Pause::Journal).set(waiting.len() as i64);
        gauges.of(Pause::Fetch).set(slow);
        gauges.of(Pause::Memory).set(paused.len() as i64 - slow);
        self.assignment.lanes.board.stand(paused, waiting);
    }
}
