//! Rows and headers for tests of the journal.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use facestream_schemas::tables::{FrameRow, Timings};
use facestream_schemas::{
    Bbox, ClosedBy, Detection, DetectorIdentity, FrameMeta, Hour, MessageKey, Micros, Offset, Reason, Rejection, ScoreKind,
    SourceId, TsOrigin, WindowRow,
};
use facestream_stages::aggregate::{Late, WindowSettings, WindowState, Windows};
use facestream_stages::annotate::HoldState;
use facestream_stages::track::TrackState;
use uuid::Uuid;

use super::header::{Header, Seq, Unsealed};
use super::memory::Memory;
use super::record::{FORMAT_VERSION, Rows};

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_348_800_000_000;

/// The row of one offset: one face on even offsets, a rejection on every seventh, an hour of event time per ten offsets.
pub(crate) fn frame(offset: i64) -> FrameRow {
    let face = Detection {
        bbox: Bbox { x: offset as f32, y: 1.0, w: 2.0, h: 3.0 },
        score: Some(0.75),
        score_kind: ScoreKind::Prob,
        landmarks: (offset % 4 == 0).then_some([0.5; 10]),
        track: None,
    };
    let outcome = match offset {
        n if n % 7 == 3 => Err(Rejection::new(Reason::DecodeError, "cut short")),
        n if n % 2 == 0 => Ok(vec![face]),
        _ => Ok(vec![]),
    };
    let capture_ts = Micros(NOON + offset * 360_000_000);
    FrameRow {
        meta: FrameMeta {
            key: MessageKey { topic: "cams".into(), partition: 0, offset: Offset(offset) },
            frame_id: format!("f{offset}"),
            source_id: SourceId::new("door"),
            frame_seq: Some(offset),
            capture_ts,
            ts_origin: TsOrigin::Header,
            record_ts: capture_ts,
            content_type: Some("image/jpeg"),
            size_bytes: 1_000,
        },
        folder: Hour::of(capture_ts),
        image: None,
        outcome,
        detector: Arc::new(DetectorIdentity {
            detector_id: "scripted".to_owned(),
            model_sha256: None,
            score_threshold: 0.5,
            nms_iou: 0.3,
        }),
        timings: Timings::default(),
        e2e_ms: 12.0,
        worker_id: Some(0),
        run_id: "run".into(),
    }
}

/// The rows of a range of offsets, with a window for the first one.
pub(crate) fn rows(offsets: Range<i64>) -> Rows {
    let window = WindowRow {
        source_id: SourceId::new("door"),
        window_start: Micros(NOON + offsets.start * 360_000_000),
        window_end: Micros(NOON + offsets.start * 360_000_000 + 60_000_000),
        topic: "cams".into(),
        partition: 0,
        revision: 0,
        frames_ok: 1,
        frames_failed: 0,
        frames_skipped: 0,
        frames_missing: None,
        frames_with_face: 1,
        faces_total: 1,
        faces_per_frame_mean: Some(1.0),
        faces_per_frame_max: Some(1),
        score_mean: Some(0.75),
        tracks_started: None,
        e2e_ms_p50: Some(12.0),
        e2e_ms_p99: Some(12.0),
        late_frames: 0,
        closed_by: ClosedBy::Watermark,
    };
    let windows = if offsets.is_empty() { vec![] } else { vec![window] };
    Rows { frames: offsets.map(frame).collect(), windows }
}

/// A header with nothing in it.
pub(crate) fn header(seq: Seq) -> Header {
    Header {
        format_version: FORMAT_VERSION,
        seq,
        nonce: Uuid::new_v4(),
        pipeline_id: "cluster/group".to_owned(),
        owner: "test".to_owned(),
        start_offset: Offset(0),
        end_offset: Offset(5),
        window_state: WindowState::default(),
        unsealed: Unsealed::starting(Seq(0), Offset(0)),
        barren_takeovers: 0,
        model_sha256: None,
        files: Vec::new(),
        created_us: Micros(NOON),
        topic_id: None,
        jump: None,
        suspect: None,
        track_state: TrackState::default(),
        hold_state: HoldState::default(),
        unknown: serde_json::Map::new(),
    }
}

/// What is remembered after these rows.
pub(crate) fn memory(rows: &Rows) -> Memory {
    let settings = WindowSettings {
        length: Duration::from_mins(1),
        max_out_of_orderness: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(30),
        late: Late::Drop,
    };
    let now = Instant::now();
    let mut windows = Windows::new("cams".into(), 0, settings, WindowState::default(), now);
    for row in &rows.frames {
        windows.add(row, now);
    }
    Memory { windows: windows.state().clone(), ..Memory::default() }
}
