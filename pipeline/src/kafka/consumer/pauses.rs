//! Which partitions are paused, and why: for metrics and the status page.
//!
//! In: what the poll thread has paused. Out: a gauge a reason, and the board. Invariant: a partition counts for one reason.

use std::collections::BTreeSet;

use facestream_schemas::Partition;

use super::super::assignment::Held;
use super::Polling;
use crate::metrics::Pause;

impl Polling<'_> {
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
