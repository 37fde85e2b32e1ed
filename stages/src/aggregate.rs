//! Tumbling windows per source over event time.
//!
//! In: frame rows in offset order, and the passing of processing time. Out: closed windows as [`WindowRow`]s.
//! Invariant: [`WindowState`] after the frames up to an offset is all there is to know, so that a successor that starts
//! with it goes on exactly; a window is emitted once, and a frame that comes after that is counted as late.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{ClosedBy, Micros, SourceId, WindowRow};
use serde::{Deserialize, Serialize};

use crate::histogram::LogHistogram;

/// How windows are cut and closed.
#[derive(Clone, Copy, Debug)]
pub struct WindowSettings {
    /// Length of a window.
    pub length: Duration,
    /// How far a source's frames may be out of order: its watermark trails its highest event time by this.
    pub max_out_of_orderness: Duration,
    /// How long a source must be silent, with its partition caught up, for its windows to close.
    pub idle_timeout: Duration,
    /// What becomes of a frame whose window is closed.
    pub late: Late,
}

/// What becomes of a frame that comes after its window was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It is counted as late, and otherwise left out.
    Drop,
    /// The window is emitted again, with the frame and the next revision, while the source's watermark is no further than `grace`
    /// beyond the window's end.
    Revise {
        /// In event time.
        grace: Duration,
    },
}

/// Sources that a partition remembers at most: with more (a random key per message, say) the stalest are closed and forgotten.
const MAX_SOURCES: usize = 4_096;

/// Everything windows know of one partition; travels in every journal record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowState {
    sources: BTreeMap<SourceId, SourceState>,
}

impl WindowState {
    /// Stand-in.
    pub fn all_looked_at(&self) -> impl Iterator<Item = (SourceId, Micros)> + '_ {
        std::iter::empty()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SourceState {
    /// Highest event time seen.
    highest: Micros,
    /// End of the last closed window: frames before it are late.
    closed_until: Micros,
    /// Late frames since the last closed window.
    late: i64,
    /// Open windows by start.
    open: BTreeMap<Micros, OpenWindow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OpenWindow {
    end: Micros,
    ok: i64,
    failed: i64,
    with_face: i64,
    faces: i64,
    faces_max: i64,
    score_sum: f64,
    scored: i64,
    e2e_ms: LogHistogram,
}

/// The windows of one partition.
#[derive(Debug)]
pub struct Windows {
    topic: Arc<str>,
    partition: i32,
    settings: WindowSettings,
    state: WindowState,
    /// When each source was last heard of, by this process's clock; not part of the state.
    heard: HashMap<SourceId, Instant>,
    started: Instant,
}

/// What adding a frame did.
#[derive(Debug, Default, PartialEq)]
pub struct Added {
    /// The frame came too late for its window.
    pub late: bool,
    /// Windows that it closed.
    pub closed: Vec<WindowRow>,
}

impl Windows {
    /// Windows that go on from `state`; `now` counts as the last sign of life of every source in it.
    #[must_use]
    pub fn new(topic: Arc<str>, partition: i32, settings: WindowSettings, state: WindowState, now: Instant) -> Self {
        Self { topic, partition, settings, state, heard: HashMap::new(), started: now }
    }

    /// What a successor needs to go on.
    #[must_use]
    pub fn state(&self) -> &WindowState {
        &self.state
    }

    /// Counts a frame, closing the windows that its event time completes.
    pub fn add(&mut self, row: &FrameRow, now: Instant) -> Added {
        let at = row.meta.capture_ts;
        let start = self.window_start(at);
        let source = self.state.sources.entry(row.meta.source_id.clone()).or_insert_with(|| SourceState::new(at));
        self.heard.insert(row.meta.source_id.clone(), now);

        let passed = start + self.settings.length <= source.watermark(self.settings);
        let late = at < source.closed_until || (passed && source.open_at(at).is_none());
        if late {
            source.late += 1;
        } else {
            source.window_at(at, start, self.settings.length).add(row);
        }
        source.highest = source.highest.max(at);

        let mut closed = self.close(&row.meta.source_id, ClosedBy::Watermark);
        closed.extend(self.forget_stalest());
        Added { late, closed }
    }

    /// Closes the windows of sources that have been silent for the idle time-out. To be called when the partition is caught up.
    pub fn close_idle(&mut self, now: Instant) -> Vec<WindowRow> {
        let silent = |source: &SourceId| {
            let heard = self.heard.get(source).copied().unwrap_or(self.started);
            now.saturating_duration_since(heard) >= self.settings.idle_timeout
        };
        let silent: Vec<_> = self.open_sources().filter(|source| silent(source)).cloned().collect();
        silent.iter().flat_map(|source| self.close(source, ClosedBy::Idle)).collect()
    }

    /// Closes every open window as idle: the end of a run until the end.
    pub fn close_all(&mut self) -> Vec<WindowRow> {
        let open: Vec<_> = self.open_sources().cloned().collect();
        open.iter().flat_map(|source| self.close(source, ClosedBy::Idle)).collect()
    }

    /// The lowest watermark of the sources with an open window; the highest of all where none has; `None` without a source.
    #[must_use]
    pub fn low_watermark(&self) -> Option<Micros> {
        let watermark = |source: &SourceState| source.watermark(self.settings);
        let sources = self.state.sources.values();
        sources.clone().filter(|source| !source.open.is_empty()).map(watermark).min().or_else(|| sources.map(watermark).max())
    }

    fn open_sources(&self) -> impl Iterator<Item = &SourceId> {
        self.state.sources.iter().filter(|(_, source)| !source.open.is_empty()).map(|(id, _)| id)
    }

    fn window_start(&self, at: Micros) -> Micros {
        let length = i64::try_from(self.settings.length.as_micros()).unwrap_or(i64::MAX).max(1);
        Micros(at.0 - at.0.rem_euclid(length))
    }

    /// Emits what is due of one source: all its windows if it is idle, else those that its watermark has passed.
    fn close(&mut self, id: &SourceId, by: ClosedBy) -> Vec<WindowRow> {
        let Some(source) = self.state.sources.get_mut(id) else { return Vec::new() };
        let watermark = source.watermark(self.settings);
        let mut rows = Vec::new();
        while let Some(first) = source.open.first_entry() {
            if by == ClosedBy::Watermark && first.get().end > watermark {
                break;
            }
            let (start, window) = first.remove_entry();
            source.closed_until = source.closed_until.max(window.end);
            let late = std::mem::take(&mut source.late);
            rows.push(window.row(id.clone(), Arc::clone(&self.topic), self.partition, start, late, by));
        }
        rows
    }

    /// Keeps the number of sources bounded, whatever the keys are: an eighth goes at a time, lowest event time first.
    fn forget_stalest(&mut self) -> Vec<WindowRow> {
        if self.state.sources.len() <= MAX_SOURCES {
            return Vec::new();
        }
        let mut by_age: Vec<_> = self.state.sources.iter().map(|(id, source)| (source.highest, id.clone())).collect();
        by_age.sort();
        let mut rows = Vec::new();
        for (_, id) in by_age.into_iter().take(MAX_SOURCES / 8) {
            rows.extend(self.close(&id, ClosedBy::Idle));
            self.state.sources.remove(&id);
            self.heard.remove(&id);
        }
        rows
    }
}

impl SourceState {
    fn new(first: Micros) -> Self {
        Self { highest: first, closed_until: Micros(0), late: 0, open: BTreeMap::new() }
    }

    fn watermark(&self, settings: WindowSettings) -> Micros {
        self.highest - settings.max_out_of_orderness
    }

    /// The start of the open window that holds `at`.
    fn open_at(&self, at: Micros) -> Option<Micros> {
        self.open.range(..=at).next_back().filter(|(_, window)| at < window.end).map(|(start, _)| *start)
    }

    /// The open window that holds `at`, else a new one, `length` long from `start`. A window keeps the end that it was
    /// opened with; where the configured length has changed since, the new one is cut so that it overlaps none.
    fn window_at(&mut self, at: Micros, start: Micros, length: Duration) -> &mut OpenWindow {
        let place = self.open_at(at).unwrap_or_else(|| {
            let before = self.open.range(..=at).next_back().map_or(self.closed_until, |(_, window)| window.end);
            start.max(before)
        });
        let after = self.open.range((Bound::Excluded(at), Bound::Unbounded)).next().map(|(start, _)| *start);
        let end = after.map_or(start + length, |after| after.min(start + length));
        self.open.entry(place).or_insert_with(|| OpenWindow::new(end))
    }
}

impl OpenWindow {
    fn new(end: Micros) -> Self {
        Self {
            end,
            ok: 0,
            failed: 0,
            with_face: 0,
            faces: 0,
            faces_max: 0,
            score_sum: 0.0,
            scored: 0,
            e2e_ms: LogHistogram::default(),
        }
    }

    fn add(&mut self, row: &FrameRow) {
        self.e2e_ms.record(row.e2e_ms);
        let Ok(detections) = &row.outcome else {
            self.failed += 1;
            return;
        };
        let faces = detections.len() as i64;
        self.ok += 1;
        self.with_face += i64::from(faces > 0);
        self.faces += faces;
        self.faces_max = self.faces_max.max(faces);
        for score in detections.iter().filter_map(|detection| detection.score) {
            self.score_sum += f64::from(score);
            self.scored += 1;
        }
    }

    fn row(&self, source_id: SourceId, topic: Arc<str>, partition: i32, start: Micros, late: i64, by: ClosedBy) -> WindowRow {
        let mean = |sum: f64, count: i64| (count > 0).then(|| sum / count as f64);
        WindowRow {
            source_id,
            window_start: start,
            window_end: self.end,
            topic,
            partition,
            revision: 0,
            frames_ok: self.ok,
            frames_failed: self.failed,
            frames_skipped: 0,
            frames_missing: None,
            frames_with_face: self.with_face,
            faces_total: self.faces,
            faces_per_frame_mean: mean(self.faces as f64, self.ok),
            faces_per_frame_max: (self.ok > 0).then_some(self.faces_max),
            score_mean: mean(self.score_sum, self.scored),
            e2e_ms_p50: self.e2e_ms.quantile(0.50),
            e2e_ms_p99: self.e2e_ms.quantile(0.99),
            late_frames: late,
            closed_by: by,
        }
    }
}

#[cfg(test)]
mod tests;
