//! The bodies of events: the columns of the tables, as fields of the same names in the same order.
//!
//! Invariant: one definition serves JSON and MessagePack.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SCHEMA_VERSION;
use crate::detection::{Bbox, Detection, ScoreKind, Track};
use crate::frame::Size;
use crate::message::rfc3339;
use crate::tables::{FrameRow, reaches_over};
use crate::window::WindowRow;

/// A frame with its faces.
#[derive(Serialize)]
pub(super) struct FrameEvent<'a> {
    r#type: &'static str,
    schema_version: &'static str,
    event_id: &'a str,
    #[serde(flatten)]
    frame: FrameColumns<'a>,
    detections: Vec<Face>,
}

impl<'a> FrameEvent<'a> {
    pub(super) fn new(event_id: &'a str, row: &'a FrameRow) -> Self {
        let faces = row.outcome.as_deref().unwrap_or_default();
        let detections = faces.iter().enumerate().map(|(index, face)| Face::of(index as i32, face, row.image)).collect();
        Self { r#type: "frame", schema_version: SCHEMA_VERSION, event_id, frame: FrameColumns::of(row), detections }
    }
}

/// One face, with everything that is known of its frame.
#[derive(Serialize)]
pub(super) struct FaceEvent<'a> {
    r#type: &'static str,
    schema_version: &'static str,
    event_id: &'a str,
    #[serde(flatten)]
    frame: FrameColumns<'a>,
    #[serde(flatten)]
    face: Face,
}

impl<'a> FaceEvent<'a> {
    pub(super) fn new(event_id: &'a str, row: &'a FrameRow, index: i32, face: &Detection) -> Self {
        let face = Face::of(index, face, row.image);
        Self { r#type: "face", schema_version: SCHEMA_VERSION, event_id, frame: FrameColumns::of(row), face }
    }
}

/// The columns of `frames`.
#[derive(Serialize)]
struct FrameColumns<'a> {
    frame_id: &'a str,
    source_id: &'a str,
    frame_seq: Option<i64>,
    capture_ts: String,
    ts_origin: &'static str,
    kafka_topic: &'a str,
    kafka_partition: i32,
    kafka_offset: i64,
    record_ts: String,
    content_type: Option<&'static str>,
    size_bytes: u64,
    image_w_px: Option<u32>,
    image_h_px: Option<u32>,
    status: &'static str,
    error: Option<&'a str>,
    face_count: Option<usize>,
    detector_id: &'a str,
    model_sha256: Option<&'a str>,
    score_threshold: Option<f32>,
    nms_iou: Option<f32>,
    queue_ms: Option<f32>,
    fetch_ms: Option<f32>,
    decode_ms: Option<f32>,
    detect_ms: Option<f32>,
    e2e_ms: Option<f64>,
    worker_id: Option<i32>,
    run_id: &'a str,
}

impl<'a> FrameColumns<'a> {
    fn of(row: &'a FrameRow) -> Self {
        let (meta, rejection) = (&row.meta, row.outcome.as_ref().err());
        Self {
            frame_id: &meta.frame_id,
            source_id: meta.source_id.as_str(),
            frame_seq: meta.frame_seq,
            capture_ts: rfc3339(meta.capture_ts),
            ts_origin: meta.ts_origin.as_str(),
            kafka_topic: &meta.key.topic,
            kafka_partition: meta.key.partition,
            kafka_offset: meta.key.offset.0,
            record_ts: rfc3339(meta.record_ts),
            content_type: meta.content_type,
            size_bytes: meta.size_bytes,
            image_w_px: row.image.map(|image| image.w),
            image_h_px: row.image.map(|image| image.h),
            status: rejection.map_or("ok", |rejection| rejection.reason.as_str()),
            error: rejection.map(|rejection| rejection.error.as_str()),
            face_count: row.outcome.as_ref().ok().map(Vec::len),
            detector_id: &row.detector.detector_id,
            model_sha256: row.detector.model_sha256.as_deref(),
            score_threshold: finite(row.detector.score_threshold),
            nms_iou: finite(row.detector.nms_iou),
            queue_ms: row.timings.queue_ms.and_then(finite),
            fetch_ms: row.timings.fetch_ms.and_then(finite),
            decode_ms: row.timings.decode_ms.and_then(finite),
            detect_ms: row.timings.detect_ms.and_then(finite),
            e2e_ms: finite_f64(row.e2e_ms),
            worker_id: row.worker_id,
            run_id: &row.run_id,
        }
    }
}

/// A face in an event: the columns of `detections` that are not its frame's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// Number of the face within its frame, from 0.
    pub detection_idx: i32,
    bbox_x_px: Option<f32>,
    bbox_y_px: Option<f32>,
    bbox_w_px: Option<f32>,
    bbox_h_px: Option<f32>,
    truncated: bool,
    score: Option<f32>,
    score_kind: ScoreKind,
    landmarks_px: Option<[Option<f32>; 10]>,
    track_id: Option<Arc<str>>,
}

impl Face {
    /// The face of this number in an image of that size.
    #[must_use]
    pub fn of(detection_idx: i32, face: &Detection, image: Option<Size>) -> Self {
        Self {
            detection_idx,
            bbox_x_px: finite(face.bbox.x),
            bbox_y_px: finite(face.bbox.y),
            bbox_w_px: finite(face.bbox.w),
            bbox_h_px: finite(face.bbox.h),
            truncated: image.is_some_and(|image| reaches_over(face, image)),
            score: face.score.and_then(finite),
            score_kind: face.score_kind,
            landmarks_px: face.landmarks.map(|points| points.map(finite)),
            track_id: face.track.as_ref().map(|track| Arc::clone(&track.id)),
        }
    }

    /// The detection that the event tells of. What is null in it was no number; whether a track began with it is not told.
    #[must_use]
    pub fn detection(&self) -> Detection {
        let number = |number: Option<f32>| number.unwrap_or(f32::NAN);
        Detection {
            bbox: Bbox {
                x: number(self.bbox_x_px),
                y: number(self.bbox_y_px),
                w: number(self.bbox_w_px),
                h: number(self.bbox_h_px),
            },
            score: self.score,
            score_kind: self.score_kind,
            landmarks: self.landmarks_px.map(|points| points.map(number)),
            track: self.track_id.as_ref().map(|id| Track { id: Arc::clone(id), is_new: false }),
        }
    }
}

/// The columns of `windows`.
#[derive(Serialize)]
pub(super) struct WindowEvent<'a> {
    r#type: &'static str,
    schema_version: &'static str,
    event_id: &'a str,
    source_id: &'a str,
    window_start: String,
    window_end: String,
    kafka_topic: &'a str,
    kafka_partition: i32,
    revision: i32,
    frames_ok: i64,
    frames_failed: i64,
    frames_skipped: i64,
    frames_missing: Option<i64>,
    frames_with_face: i64,
    faces_total: i64,
    faces_per_frame_mean: Option<f64>,
    faces_per_frame_max: Option<i64>,
    score_mean: Option<f64>,
    tracks_started: Option<i64>,
    e2e_ms_p50: Option<f64>,
    e2e_ms_p99: Option<f64>,
    late_frames: i64,
    closed_by: &'static str,
}

impl<'a> WindowEvent<'a> {
    pub(super) fn new(event_id: &'a str, row: &'a WindowRow) -> Self {
        Self {
            r#type: "window",
            schema_version: SCHEMA_VERSION,
            event_id,
            source_id: row.source_id.as_str(),
            window_start: rfc3339(row.window_start),
            window_end: rfc3339(row.window_end),
            kafka_topic: &row.topic,
            kafka_partition: row.partition,
            revision: row.revision,
            frames_ok: row.frames_ok,
            frames_failed: row.frames_failed,
            frames_skipped: row.frames_skipped,
            frames_missing: row.frames_missing,
            frames_with_face: row.frames_with_face,
            faces_total: row.faces_total,
            faces_per_frame_mean: row.faces_per_frame_mean.and_then(finite_f64),
            faces_per_frame_max: row.faces_per_frame_max,
            score_mean: row.score_mean.and_then(finite_f64),
            tracks_started: row.tracks_started,
            e2e_ms_p50: row.e2e_ms_p50.and_then(finite_f64),
            e2e_ms_p99: row.e2e_ms_p99.and_then(finite_f64),
            late_frames: row.late_frames,
            closed_by: row.closed_by.as_str(),
        }
    }
}

/// The number, unless it is none: null in both formats.
fn finite(number: f32) -> Option<f32> {
    Some(number).filter(|number| number.is_finite())
}

fn finite_f64(number: f64) -> Option<f64> {
    Some(number).filter(|number| number.is_finite())
}
