//! What a lane counts and reports: its partition's metrics, its part in those of the process, and its line on the board.
//!
//! In: what the lane has just done. Out: metrics; lag and sources on the [`Board`](super::Board). Invariant: what the lane adds to a
//! sum over lanes is taken out of it when the lane ends, however it ends.

use std::time::Duration;

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{ClosedBy, Micros};
use tokio::time::Instant;

use super::board::{Lag, MOST_SOURCES, SourceSeen, Sources};
use super::collect::{Added, Closed};
use super::{Lane, Position};
use crate::clock::now;
use crate::metrics::{Activity, Late, Metrics, PartitionSeries, Queue, Share, Since, Until};

/// How often a lane looks which of its sources are silent: up to 4,096 of them.
const SOURCES_EVERY: Duration = Duration::from_secs(5);

/// A lane's part in the metrics.
pub(super) struct Report {
    series: PartitionSeries,
    /// Rows that wait for their append.
    pub(super) waiting: Share,
    active: Share,
    silent: Share,
    started: Instant,
    looked: Option<Instant>,
}

impl Report {
    pub(super) fn new(metrics: &Metrics, series: PartitionSeries, now: Instant) -> Self {
        let sources = |activity| Share::of(metrics.sources.of(activity));
        Self {
            series,
            waiting: Share::of(metrics.queue_depth.of(Queue::Append)),
            active: sources(Activity::Active),
            silent: sources(Activity::Silent),
            started: now,
            looked: None,
        }
    }
}

impl Lane {
    pub(super) fn count_late(&self, added: &Added) {
        let frames = &self.shared.metrics.late_frames;
        frames.of(Late::Dropped).inc_by(added.late);
        frames.of(Late::Revised).inc_by(added.revising);
    }

    pub(super) fn count_windows(&self, closed: Closed) {
        let metrics = &self.shared.metrics;
        metrics.windows.of(ClosedBy::Watermark).inc_by(closed.by_watermark);
        metrics.windows.of(ClosedBy::Idle).inc_by(closed.idle);
        metrics.revised_windows.inc_by(closed.revised);
    }

    pub(super) fn report_lag(&self, position: Position) {
        let (series, now) = (&self.report.series, now());
        let mut lag = Lag::default();
        if let Some(high) = position.high {
            let behind = (high.0 - self.collected.end().0).max(0);
            let age = match self.collected.newest_record() {
                _ if behind == 0 => 0.0,
                Some(newest) => (now.millis_since(newest) / 1e3).max(0.0),
                None => self.report.started.elapsed().as_secs_f64(),
            };
            series.lag_records.set(behind);
            series.lag_seconds.set(age);
            (lag.records, lag.seconds) = (Some(behind), Some(age));
        }
        if let Some(watermark) = self.collected.low_watermark() {
            let delay = now.millis_since(watermark) / 1e3;
            series.watermark_delay_seconds.set(delay);
            lag.watermark_delay_s = Some(delay);
        }
        self.shared.board.lags(self.id, &self.partition, lag);
    }

    /// Which sources there are, and which of them are silent; does nothing where that was told a moment ago.
    pub(super) fn report_sources(&mut self) {
        let now = Instant::now();
        if self.report.looked.is_some_and(|looked| now.duration_since(looked) < SOURCES_EVERY) {
            return;
        }
        self.report.looked = Some(now);
        let mut sources = Sources::default();
        for known in self.collected.sources(now.into_std()) {
            *(if known.is_active { &mut sources.active } else { &mut sources.silent }) += 1;
            if sources.list.len() < MOST_SOURCES {
                sources.list.push(SourceSeen {
                    source: known.source.clone(),
                    partition: self.partition.clone(),
                    active: known.is_active,
                    watermark: known.watermark,
                });
            }
        }
        self.report.active.set(sources.active);
        self.report.silent.set(sources.silent);
        self.shared.board.sources_seen(self.id, &self.partition, sources);
    }
}

/// The frames of an append, for their latencies.
pub(super) struct Appended {
    times: Vec<(Micros, Micros)>,
    /// They wait until they are appended, or forgotten.
    _waiting: Share,
}

impl Appended {
    pub(super) fn of(frames: &[FrameRow], report: &mut Report) -> Self {
        let times = frames.iter().map(|row| (row.meta.capture_ts, row.meta.record_ts)).collect();
        Self { times, _waiting: report.waiting.take(frames.len()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Counts them: they are appended.
    pub(super) fn count(self, metrics: &Metrics) {
        let now = now();
        let [event, record] = [Since::Event, Since::Record].map(|since| metrics.e2e_seconds.of((since, Until::Appended)));
        for (captured, recorded) in &self.times {
            event.observe((now.millis_since(*captured) / 1e3).max(0.0));
            record.observe((now.millis_since(*recorded) / 1e3).max(0.0));
        }
        if !self.is_empty() {
            metrics.last_append.set(now.0 as f64 / 1e6);
        }
    }
}
