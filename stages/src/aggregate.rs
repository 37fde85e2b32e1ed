//! Tumbling windows per source over event time.
//!
//! In: frame rows in offset order, and the passing of processing time. Out: [`WindowRow`]s of windows that were closed, and of
//! closed ones that late frames have changed. Invariant: [`WindowState`] after the frames up to an offset is all there is to know, so
//! that a successor that starts with it goes on exactly; each revision of a window is emitted once, from 0 on without a gap.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{ClosedBy, Micros, SourceId, WindowRow};
use serde::{Deserialize, Serialize};

mod numbers;
mod source;
mod window;

use source::{Place, SourceState};
use window::Owner;

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
    /// beyond the window's end; after that it counts as late. A window that had no frame in time is emitted all the same.
    Revise {
        /// In event time.
        grace: Duration,
    },
}

/// Sources that a partition remembers at most: with more (a random key per message, say) the stalest are closed and forgotten.
pub(crate) const MAX_SOURCES: usize = 4_096;

/// Everything windows know of one partition; travels in every journal record.
///
/// At most 4,096 sources with at most 1,000 windows each: with more, the stalest sources and the oldest windows are closed before
/// their time. With [`Late::Revise`] a window stays in it until the source's watermark has passed the grace, so that of a source
/// that fell silent the windows of the last `grace` remain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowState {
    sources: BTreeMap<SourceId, SourceState>,
}

impl WindowState {
    /// The event time of the last frame of a source, in offset order, that was not sampled out: where the load policy `sample` goes
    /// on.
    #[must_use]
    pub fn looked_at(&self, source: &SourceId) -> Option<Micros> {
        self.sources.get(source)?.looked_at
    }

    /// Whether windows are kept for late frames, emitted already.
    #[must_use]
    pub fn keeps_windows(&self) -> bool {
        self.sources.values().any(SourceState::keeps_windows)
    }

    /// Whether windows in it have counted tracks.
    #[must_use]
    pub fn counts_tracks(&self) -> bool {
        self.sources.values().any(SourceState::counts_tracks)
    }

    /// [`looked_at`](Self::looked_at) of every source that has one.
    pub fn all_looked_at(&self) -> impl Iterator<Item = (SourceId, Micros)> + '_ {
        self.sources.iter().filter_map(|(id, source)| Some((id.clone(), source.looked_at?)))
    }
}

/// The windows of one partition.
#[derive(Debug)]
pub struct Windows {
    topic: Arc<str>,
    partition: i32,
    settings: WindowSettings,
    /// Whether faces are tracked.
    tracks: bool,
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
    /// The frame came after its window was closed, and is in it: [`Windows::revise`] will emit that.
    pub revised: bool,
    /// Rows of the windows that it closed, and of those that can change no more but had something left to say.
    pub closed: Vec<WindowRow>,
}

/// A source as its partition knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// Which one.
    pub source: &'a SourceId,
    /// How far it is in event time.
    pub watermark: Micros,
    /// Whether there was a frame of it within the idle time-out.
    pub is_active: bool,
}

impl Windows {
    /// Windows that go on from `state`; `now` counts as the last sign of life of every source in it.
    #[must_use]
    pub fn new(topic: Arc<str>, partition: i32, settings: WindowSettings, state: WindowState, now: Instant) -> Self {
        Self { topic, partition, settings, tracks: false, state, heard: HashMap::new(), started: now }
    }

    /// Whether faces are tracked, so that rows say how many tracks began in their windows. Not, unless this says so.
    #[must_use]
    pub fn counting_tracks(self, tracks: bool) -> Self {
        Self { tracks, ..self }
    }

    /// What a successor needs to go on.
    #[must_use]
    pub fn state(&self) -> &WindowState {
        &self.state
    }

    /// Counts a frame, closing the windows that its event time completes.
    pub fn add(&mut self, row: &FrameRow, now: Instant) -> Added {
        // Half-open windows have an end after each of their frames.
        let at = row.meta.capture_ts.clamp(Micros(0), Micros(Micros::MAX.0 - 1));
        let id = &row.meta.source_id;
        let source = self.state.sources.entry(id.clone()).or_insert_with(|| SourceState::new(at));
        self.heard.insert(id.clone(), now);
        let place = source.add(row, at, self.settings);
        let mut closed = self.close(id, ClosedBy::Watermark);
        closed.extend(self.forget_stalest());
        Added { late: place == Place::Late, revised: place == Place::Revised, closed }
    }

    /// Rows of closed windows that frames have come for since, each with its next revision. To be called once per append, so that
    /// these rows become durable with the frames, and however many those are they make one revision.
    pub fn revise(&mut self) -> Vec<WindowRow> {
        let Self { topic, partition, tracks, state, .. } = self;
        let (partition, tracks) = (*partition, *tracks);
        let sources = state.sources.iter_mut();
        sources.flat_map(|(source, state)| state.revise(Owner { source, topic, partition, tracks })).collect()
    }

    /// Closes the windows of sources that have been silent for the idle time-out. To be called when the partition is caught up.
    pub fn close_idle(&mut self, now: Instant) -> Vec<WindowRow> {
        let silent: Vec<_> = self.open_sources().filter(|source| self.is_silent(source, now)).cloned().collect();
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

    /// Every source that the partition knows of, in the order of their ids.
    pub fn sources(&self, now: Instant) -> impl Iterator<Item = Known<'_>> {
        self.state.sources.iter().map(move |(source, state)| {
            let (watermark, is_active) = (state.watermark(self.settings), !self.is_silent(source, now));
            Known { source, watermark, is_active }
        })
    }

    fn is_silent(&self, source: &SourceId, now: Instant) -> bool {
        let heard = self.heard.get(source).copied().unwrap_or(self.started);
        now.saturating_duration_since(heard) >= self.settings.idle_timeout
    }

    fn open_sources(&self) -> impl Iterator<Item = &SourceId> {
        self.state.sources.iter().filter(|(_, source)| !source.open.is_empty()).map(|(id, _)| id)
    }

    fn close(&mut self, source: &SourceId, by: ClosedBy) -> Vec<WindowRow> {
        let owner = Owner { source, topic: &self.topic, partition: self.partition, tracks: self.tracks };
        self.state.sources.get_mut(source).map_or_else(Vec::new, |state| state.close(by, owner, self.settings))
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
            let owner = Owner { source: &id, topic: &self.topic, partition: self.partition, tracks: self.tracks };
            rows.extend(self.state.sources.remove(&id).map_or_else(Vec::new, |mut source| source.revise(owner)));
            self.heard.remove(&id);
        }
        rows
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
