//! What is counted in one window, and the row that it makes.
//!
//! In: the frames of one source in one stretch of event time, in any order. Out: a [`WindowRow`]. Invariant: what a row
//! counts depends on which frames came, not on their order (means to rounding; numbers in too many pieces aside).

use std::sync::Arc;

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{ClosedBy, Micros, SourceId, WindowRow};
use serde::{Deserialize, Serialize};

use super::numbers::Numbers;
use crate::histogram::LogHistogram;

/// Whose windows they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    pub(super) source: &'a SourceId,
    pub(super) topic: &'a Arc<str>,
    pub(super) partition: i32,
    /// Whether their faces are tracked.
    pub(super) tracks: bool,
}

/// The frames of a window, counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    /// Exclusive: the one that it was opened with.
    pub(super) end: Micros,
    ok: i64,
    failed: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    skipped: i64,
    with_face: i64,
    faces: i64,
    faces_max: i64,
    score_sum: f64,
    scored: i64,
    /// Tracks that began in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    tracks: i64,
    /// Of frames that were ok or failed.
    e2e_ms: LogHistogram,
    #[serde(default, skip_serializing_if = "Numbers::is_empty")]
    pub(super) numbers: Numbers,
}

impl Window {
    pub(super) fn until(end: Micros) -> Self {
        Self {
            end,
            ok: 0,
            failed: 0,
            skipped: 0,
            with_face: 0,
            faces: 0,
            faces_max: 0,
            score_sum: 0.0,
            scored: 0,
            tracks: 0,
            e2e_ms: LogHistogram::default(),
            numbers: Numbers::default(),
        }
    }

    pub(super) fn counts_tracks(&self) -> bool {
        self.tracks > 0
    }

    pub(super) fn add(&mut self, row: &FrameRow) {
        if let Some(number) = row.meta.frame_seq {
            self.numbers.insert(number);
        }
        let detections = match &row.outcome {
            Err(rejection) if rejection.reason.is_skip() => {
                self.skipped += 1;
                return;
            }
            Err(_) => {
                self.failed += 1;
                self.e2e_ms.record(row.e2e_ms);
                return;
            }
            Ok(detections) => detections,
        };
        let faces = detections.len() as i64;
        self.ok += 1;
        self.e2e_ms.record(row.e2e_ms);
        self.with_face += i64::from(faces > 0);
        self.faces += faces;
        self.faces_max = self.faces_max.max(faces);
        self.tracks += detections.iter().filter_map(|face| face.track.as_ref()).filter(|track| track.is_new).count() as i64;
        for score in detections.iter().filter_map(|detection| detection.score) {
            self.score_sum += f64::from(score);
            self.scored += 1;
        }
    }
}

/// A window that was closed, or that was past before its first frame came: what its next row will say.
///
/// Kept for as long as late frames may revise it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Closed {
    pub(super) window: Window,
    /// What closed it first.
    by: ClosedBy,
    /// Of the next row.
    revision: i32,
    /// `late_frames` of the rows so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    late: i64,
    /// `frames_missing` of the newest row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<i64>,
    /// Whether it has frames that no row tells of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fresh: bool,
}

impl Closed {
    pub(super) fn new(window: Window, by: ClosedBy) -> Self {
        Self { window, by, revision: 0, late: 0, missing: None, fresh: true }
    }

    pub(super) fn revise(&mut self, row: &FrameRow) {
        self.window.add(row);
        self.fresh = true;
    }

    /// Whether no row says what the next one would, if `missing` numbers never came.
    pub(super) fn is_due(&self, missing: Option<i64>) -> bool {
        self.fresh || self.missing != missing
    }

    /// Its next row; `late` is how many frames of its source have come too late for theirs since the source's last one.
    pub(super) fn emit(&mut self, owner: Owner<'_>, start: Micros, missing: Option<i64>, late: i64) -> WindowRow {
        self.late += late;
        self.missing = missing;
        self.fresh = false;
        let row = self.row(owner, start);
        self.revision = self.revision.saturating_add(1);
        row
    }

    fn row(&self, owner: Owner<'_>, start: Micros) -> WindowRow {
        let window = &self.window;
        let mean = |sum: f64, count: i64| (count > 0).then(|| sum / count as f64);
        WindowRow {
            source_id: owner.source.clone(),
            window_start: start,
            window_end: window.end,
            topic: Arc::clone(owner.topic),
            partition: owner.partition,
            revision: self.revision,
            frames_ok: window.ok,
            frames_failed: window.failed,
            frames_skipped: window.skipped,
            frames_missing: self.missing,
            frames_with_face: window.with_face,
            faces_total: window.faces,
            faces_per_frame_mean: mean(window.faces as f64, window.ok),
            faces_per_frame_max: (window.ok > 0).then_some(window.faces_max),
            score_mean: mean(window.score_sum, window.scored),
            tracks_started: owner.tracks.then_some(window.tracks),
            e2e_ms_p50: window.e2e_ms.quantile(0.50),
            e2e_ms_p99: window.e2e_ms.quantile(0.99),
            late_frames: self.late,
            closed_by: self.by,
        }
    }
}

/// Most windows have none: left out of the state, which travels in every record.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}
