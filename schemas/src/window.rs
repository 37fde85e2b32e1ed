//! A closed window: what one source did in one stretch of event time, as far as one partition saw it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::frame::SourceId;
use crate::time::Micros;

/// What closed a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClosedBy {
    /// The source's watermark passed the window's end.
    Watermark,
    /// The source fell silent (or the run ended, or its partition had too many windows) with the window open.
    Idle,
}

impl ClosedBy {
    /// The name in the `closed_by` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watermark => "watermark",
            Self::Idle => "idle",
        }
    }
}

/// One row of the `windows` table. Where a source's frames spread over partitions each has its own row: sum counts,
/// never average means.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    /// The camera.
    pub source_id: SourceId,
    /// Start of the window, inclusive.
    pub window_start: Micros,
    /// End of the window, exclusive.
    pub window_end: Micros,
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Kafka partition.
    pub partition: i32,
    /// 0 for the first emission, one more for each that late frames led to; readers take the highest.
    pub revision: i32,
    /// Frames that were looked at.
    pub frames_ok: i64,
    /// Frames that were rejected.
    pub frames_failed: i64,
    /// Frames that a load policy left out (`sampled_out`, `stale`).
    pub frames_skipped: i64,
    /// Frames that never came, by gaps in `frame_seq`: the numbers not seen between `before` and the window's highest, where `before`
    /// is the highest of the source's nearest earlier window that has numbers (by event time, within the partition), else the
    /// window's own lowest. So a gap across windows counts once, where it ends, and a number that came too late for its window
    /// counts as missing. Numbers up to 1,000 below `before` are stragglers and count for nothing; those further below are a
    /// numbering that began anew, whose gaps count by themselves. A step of more than 100,000 is a numbering that jumped, no gap.
    /// `None` where no frame has a number, or their numbers were, at any time, in more than 256 pieces.
    pub frames_missing: Option<i64>,
    /// Frames with at least one face.
    pub frames_with_face: i64,
    /// Faces, summed over frames.
    pub faces_total: i64,
    /// Faces per ok frame; `None` without one.
    pub faces_per_frame_mean: Option<f64>,
    /// The most faces in one frame; `None` without an ok frame.
    pub faces_per_frame_max: Option<i64>,
    /// Mean score of the faces; `None` without a scored face.
    pub score_mean: Option<f64>,
    /// Tracks that began with a face in one of its frames; `None` where faces are not tracked.
    pub tracks_started: Option<i64>,
    /// Median of capture-to-detected (or rejected) of ok and failed frames, in ms (relative error at most 2.5 %).
    pub e2e_ms_p50: Option<f64>,
    /// 99th percentile of the same, in ms (relative error at most 2.5 %).
    pub e2e_ms_p99: Option<f64>,
    /// Frames of this source that came too late for their window, whichever that was, and so are in none, since the source's row
    /// before; a revision adds to the number of the one before, so that the highest revisions sum up to all. Frames that led to a
    /// revision are in their window, and not in here.
    pub late_frames: i64,
    /// What closed the window first; a revision repeats it.
    pub closed_by: ClosedBy,
}
