//! Frames and settings for tests of windows and of what goes by them.

use facestream_schemas::tables::Timings;
use facestream_schemas::{
    Bbox, Detection, DetectorIdentity, FrameMeta, Hour, MessageKey, Offset, Reason, Rejection, ScoreKind, TsOrigin,
};

use super::*;

pub(crate) const SECOND: i64 = 1_000_000;

pub(crate) fn settings(late: Late) -> WindowSettings {
    WindowSettings {
        length: Duration::from_secs(10),
        max_out_of_orderness: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(30),
        late,
    }
}

/// A frame with so many faces, or one that is broken.
pub(crate) fn frame(source: &str, second: i64, faces: Option<usize>) -> FrameRow {
    let face = Detection {
        bbox: Bbox { x: 0.0, y: 0.0, w: 1.0, h: 1.0 },
        score: Some(0.5),
        score_kind: ScoreKind::Prob,
        landmarks: None,
        track: None,
    };
    FrameRow {
        meta: FrameMeta {
            key: MessageKey { topic: "t".into(), partition: 0, offset: Offset(0) },
            frame_id: String::new(),
            source_id: SourceId::new(source),
            frame_seq: None,
            capture_ts: Micros(second * SECOND),
            ts_origin: TsOrigin::Header,
            record_ts: Micros(0),
            content_type: None,
            size_bytes: 0,
        },
        folder: Hour(0),
        image: None,
        outcome: faces.map(|n| vec![face; n]).ok_or_else(|| Rejection::new(Reason::DecodeError, "")),
        detector: Arc::new(DetectorIdentity {
            detector_id: String::new(),
            model_sha256: None,
            score_threshold: 0.0,
            nms_iou: 0.0,
        }),
        timings: Timings::default(),
        e2e_ms: 100.0,
        worker_id: None,
        run_id: "".into(),
    }
}

/// A frame that a load policy has left out.
pub(crate) fn skipped(source: &str, second: i64, reason: Reason) -> FrameRow {
    FrameRow { outcome: Err(Rejection::new(reason, "")), e2e_ms: 9_000.0, ..frame(source, second, None) }
}

/// A frame without faces that has a number.
pub(crate) fn numbered(source: &str, second: i64, number: i64) -> FrameRow {
    let mut row = frame(source, second, Some(0));
    row.meta.frame_seq = Some(number);
    row
}
