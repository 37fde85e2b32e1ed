//! The windows of one source: where a frame goes, and when a window closes, is revised, and is done with.
//!
//! In: frames in offset order. Out: rows. Invariant: windows neither overlap nor come again once they are done with; what is open,
//! kept or gone depends on the frames so far and the idle closings among them, on nothing else.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::ops::Bound;
use std::time::Duration;

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{ClosedBy, Micros, Reason, WindowRow};
use serde::{Deserialize, Serialize};

use super::numbers::Numbers;
use super::window::{Closed, Owner, Window};
use super::{Late, WindowSettings};

/// Windows of one source that are open or kept at most: the oldest are done with before their time.
pub(super) const MAX_WINDOWS: usize = 1_000;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is in an open window.
    Open,
    /// It is in a window that was closed, which will be emitted again (or for the first time).
    Revised,
    /// It came too late for its window.
    Late,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SourceState {
    /// Highest event time seen.
    pub(super) highest: Micros,
    /// End of the last window that is done with: frames before it are late.
    closed_until: Micros,
    /// Late frames since the last row.
    late: i64,
    /// Open windows by start.
    pub(super) open: BTreeMap<Micros, Window>,
    /// Closed windows that may still be revised, by start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kept: BTreeMap<Micros, Closed>,
    /// Highest frame number of the last window done with that had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    numbered_until: Option<i64>,
    /// Whether rows of kept windows may have become untrue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stirred: bool,
    /// Event time of the last frame that was not sampled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) looked_at: Option<Micros>,
}

impl SourceState {
    pub(super) fn new(first: Micros) -> Self {
        Self {
            highest: first,
            closed_until: Micros(0),
            late: 0,
            open: BTreeMap::new(),
            kept: BTreeMap::new(),
            numbered_until: None,
            stirred: false,
            looked_at: None,
        }
    }

    pub(super) fn watermark(&self, settings: WindowSettings) -> Micros {
        self.highest - settings.max_out_of_orderness
    }

    pub(super) fn keeps_windows(&self) -> bool {
        !self.kept.is_empty()
    }

    pub(super) fn counts_tracks(&self) -> bool {
        self.open.values().chain(self.kept.values().map(|closed| &closed.window)).any(Window::counts_tracks)
    }

    /// How many windows the source has in memory.
    #[cfg(test)]
    pub(super) fn windows(&self) -> usize {
        self.open.len() + self.kept.len()
    }

    /// Counts a frame of event time `at` where it belongs.
    pub(super) fn add(&mut self, row: &FrameRow, at: Micros, settings: WindowSettings) -> Place {
        if !row.outcome.as_ref().is_err_and(|rejection| rejection.reason == Reason::SampledOut) {
            self.looked_at = Some(row.meta.capture_ts);
        }
        let place = self.place(row, at, settings);
        self.late += i64::from(place == Place::Late);
        self.highest = self.highest.max(at);
        place
    }

    fn place(&mut self, row: &FrameRow, at: Micros, settings: WindowSettings) -> Place {
        if let Some((start, window)) = self.open.range_mut(..=at).next_back().filter(|(_, window)| at < window.end) {
            window.add(row);
            self.stirred |= self.kept.range(*start..).next().is_some();
            return Place::Open;
        }
        let watermark = self.watermark(settings);
        if let Some((_, closed)) = self.kept.range_mut(..=at).next_back().filter(|(_, closed)| at < closed.window.end) {
            if settings.is_done(closed.window.end, watermark) {
                return Place::Late;
            }
            closed.revise(row);
            self.stirred = true;
            return Place::Revised;
        }
        let (start, end) = self.free_span(at, settings);
        let passed = end <= watermark;
        if at < self.closed_until || (passed && settings.is_done(end, watermark)) {
            return Place::Late;
        }
        let mut window = Window::until(end);
        window.add(row);
        self.stirred |= passed || self.kept.range(start..).next().is_some();
        if passed {
            self.kept.insert(start, Closed::new(window, ClosedBy::Watermark));
            return Place::Revised;
        }
        self.open.insert(start, window);
        Place::Open
    }

    /// From where to where a new window for `at` reaches. Windows keep the span that they were opened with; where the configured
    /// length has changed since, the new one is cut so that it overlaps none.
    fn free_span(&self, at: Micros, settings: WindowSettings) -> (Micros, Micros) {
        let (start, end) = settings.span(at);
        let later = (Bound::Excluded(at), Bound::Unbounded);
        let before = [
            Some(self.closed_until),
            self.open.range(..=at).next_back().map(|(_, window)| window.end),
            self.kept.range(..=at).next_back().map(|(_, closed)| closed.window.end),
        ];
        let after = [self.open.range(later).next().map(|next| *next.0), self.kept.range(later).next().map(|next| *next.0)];
        let start = before.into_iter().flatten().fold(start, Micros::max);
        (start, after.into_iter().flatten().fold(end, Micros::min))
    }

    /// Rows of the windows that are due, in order: all that are open if the source is idle, else those that its watermark has
    /// passed; and what late frames have left to say of windows that are done with now.
    pub(super) fn close(&mut self, by: ClosedBy, owner: Owner<'_>, settings: WindowSettings) -> Vec<WindowRow> {
        let watermark = self.watermark(settings);
        let mut rows = Vec::new();
        while let Some(first) = self.open.first_entry()
            && (by == ClosedBy::Idle || first.get().end <= watermark)
        {
            let (start, window) = first.remove_entry();
            rows.push(self.close_one(start, window, by, owner));
        }
        while let Some((_, closed)) = self.kept.first_key_value()
            && settings.is_done(closed.window.end, watermark)
        {
            rows.extend(self.let_go(owner));
        }
        while self.open.len() + self.kept.len() > MAX_WINDOWS {
            rows.extend(self.let_go(owner));
        }
        rows
    }

    fn close_one(&mut self, start: Micros, window: Window, by: ClosedBy, owner: Owner<'_>) -> WindowRow {
        let missing = self.missing(start, &window.numbers);
        let mut closed = Closed::new(window, by);
        let row = closed.emit(owner, start, missing, std::mem::take(&mut self.late));
        self.kept.insert(start, closed);
        row
    }

    /// Is done with the oldest window. Its row, if none has told of it yet as it is.
    fn let_go(&mut self, owner: Owner<'_>) -> Option<WindowRow> {
        let first_kept = self.kept.first_key_value().map(|(start, _)| *start);
        let opened = self.open.first_entry().filter(|open| first_kept.is_none_or(|kept| *open.key() < kept));
        let row = opened.map(OccupiedEntry::remove_entry).map(|(start, open)| self.close_one(start, open, ClosedBy::Idle, owner));

        let (start, mut closed) = self.kept.pop_first()?;
        let missing = self.missing(start, &closed.window.numbers);
        let last = closed.is_due(missing).then(|| closed.emit(owner, start, missing, std::mem::take(&mut self.late)));
        self.closed_until = self.closed_until.max(closed.window.end);
        self.numbered_until = closed.window.numbers.highest().or(self.numbered_until);
        row.or(last)
    }

    /// Rows of kept windows that late frames have changed.
    pub(super) fn revise(&mut self, owner: Owner<'_>) -> Vec<WindowRow> {
        if !std::mem::take(&mut self.stirred) {
            return Vec::new();
        }
        let missing = |(start, closed): (&Micros, &Closed)| (*start, self.missing(*start, &closed.window.numbers));
        let missing: Vec<_> = self.kept.iter().map(missing).collect();
        let due = self.kept.values_mut().zip(missing).filter(|(closed, (_, missing))| closed.is_due(*missing));
        due.map(|(closed, (start, missing))| closed.emit(owner, start, missing, std::mem::take(&mut self.late))).collect()
    }

    /// How many numbers never came to the window at `start`.
    fn missing(&self, start: Micros, seen: &Numbers) -> Option<i64> {
        if seen.is_empty() { None } else { seen.missing(self.numbered_before(start)) }
    }

    /// The highest frame number of the nearest window before `start` that has any.
    fn numbered_before(&self, start: Micros) -> Option<i64> {
        let open = self.open.range(..start).rev().find_map(|(start, window)| Some((*start, window.numbers.highest()?)));
        let kept = self.kept.range(..start).rev().find_map(|(start, closed)| Some((*start, closed.window.numbers.highest()?)));
        open.max(kept).map(|(_, highest)| highest).or(self.numbered_until)
    }
}

impl WindowSettings {
    /// The whole window that `at` lies in.
    fn span(self, at: Micros) -> (Micros, Micros) {
        let length = i64::try_from(self.length.as_micros()).unwrap_or(i64::MAX).max(1);
        let start = Micros(at.0 - at.0.rem_euclid(length));
        (start, start + Duration::from_micros(length as u64))
    }

    /// Whether a closed window that ends at `end` can change no more, at this watermark.
    fn is_done(self, end: Micros, watermark: Micros) -> bool {
        match self.late {
            Late::Drop => true,
            Late::Revise { grace } => watermark > end + grace,
        }
    }
}
