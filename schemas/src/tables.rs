//! The three tables: row types, their Arrow schemas, and rows → [`RecordBatch`].
//!
//! Each table's columns are listed once, in the function that fills them; its schema is that of an empty batch.
//! Columns are only ever added. Units stand in the names; times are `timestamp[us, UTC]`.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListBuilder, PrimitiveBuilder, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Float32Type, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::detection::{Detection, DetectorIdentity};
use crate::frame::{FrameMeta, Rejection, Size};
use crate::time::{Hour, Micros};
use crate::window::WindowRow;

/// Version of the table schemas, in the Parquet key-value metadata as `schema_version`.
pub const SCHEMA_VERSION: &str = "1";

/// A table, in the order in which its files appear: a `frames` row is the sign that the rest is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// One row per face.
    Detections,
    /// One row per source, window, partition and revision.
    Windows,
    /// One row per consumed message.
    Frames,
}

impl Table {
    /// Every table, in publish order.
    pub const ALL: [Self; 3] = [Self::Detections, Self::Windows, Self::Frames];

    /// The name of the table's folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Detections => "detections",
            Self::Windows => "windows",
            Self::Frames => "frames",
        }
    }

    /// The table's Arrow schema.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 3]> =
            LazyLock::new(|| [detections_batch(&[]).schema(), windows_batch(&[]).schema(), frames_batch(&[]).schema()]);
        Arc::clone(&SCHEMAS[self as usize])
    }
}

/// How long a frame spent where, in milliseconds; `None` where it never got there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// From being consumed to being taken up by a worker.
    pub queue_ms: Option<f32>,
    /// Fetching the picture from its URI, all attempts.
    pub fetch_ms: Option<f32>,
    /// Decoding.
    pub decode_ms: Option<f32>,
    /// Pre-processing, inference and post-processing.
    pub detect_ms: Option<f32>,
}

/// One row of `frames` together with its rows of `detections`: all or none, by construction.
#[derive(Clone, Debug)]
pub struct FrameRow {
    /// What the envelope said.
    pub meta: FrameMeta,
    /// The hour folder of this row and of its detections.
    pub folder: Hour,
    /// Size of the upright original image, where it was decoded.
    pub image: Option<Size>,
    /// The faces, or why the frame was not looked at.
    pub outcome: Result<Vec<Detection>, Rejection>,
    /// Which detector was in use.
    pub detector: Arc<DetectorIdentity>,
    /// Durations inside the process.
    pub timings: Timings,
    /// From event time to detected (or rejected), in ms; negative where the clocks disagree.
    pub e2e_ms: f64,
    /// The worker thread; `None` for a message that never reached one.
    pub worker_id: Option<i32>,
    /// The run of the process that wrote the row.
    pub run_id: Arc<str>,
}

impl FrameRow {
    /// Roughly how much memory the row holds, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let variable = match &self.outcome {
            Ok(detections) => detections.iter().map(Detection::memory).sum(),
            Err(rejection) => rejection.error.len(),
        };
        size_of::<Self>() + self.meta.frame_id.len() + variable
    }

    fn detections(&self) -> &[Detection] {
        self.outcome.as_deref().unwrap_or_default()
    }
}

/// The folder of a frame's rows: event time, but at most `max_skew` from the record's time (a wild clock makes no folders).
#[must_use]
pub fn folder(meta: &FrameMeta, max_skew: std::time::Duration) -> Hour {
    Hour::of(meta.capture_ts.clamp(meta.record_ts - max_skew, meta.record_ts + max_skew))
}

/// A detection with the frame that it belongs to.
#[derive(Clone, Copy)]
struct Face<'a> {
    frame: &'a FrameRow,
    index: usize,
    detection: &'a Detection,
}

/// `frames` rows as a batch.
#[must_use]
pub fn frames_batch(rows: &[FrameRow]) -> RecordBatch {
    Columns::of(rows)
        .text("frame_id", |r| &r.meta.frame_id)
        .text("source_id", |r| r.meta.source_id.as_str())
        .opt_i64("frame_seq", |r| r.meta.frame_seq)
        .time("capture_ts", |r| r.meta.capture_ts)
        .text("ts_origin", |r| r.meta.ts_origin.as_str())
        .text("kafka_topic", |r| &r.meta.key.topic)
        .i32("kafka_partition", |r| r.meta.key.partition)
        .i64("kafka_offset", |r| r.meta.key.offset.0)
        .time("record_ts", |r| r.meta.record_ts)
        .opt_text("content_type", |r| r.meta.content_type)
        .i64("size_bytes", |r| r.meta.size_bytes as i64)
        .opt_i32("image_w_px", |r| r.image.map(|image| image.w as i32))
        .opt_i32("image_h_px", |r| r.image.map(|image| image.h as i32))
        .text("status", |r| r.outcome.as_ref().err().map_or("ok", |rejection| rejection.reason.as_str()))
        .opt_text("error", |r| r.outcome.as_ref().err().map(|rejection| rejection.error.as_str()))
        .opt_i32("face_count", |r| r.outcome.as_ref().ok().map(|faces| faces.len() as i32))
        .text("detector_id", |r| &r.detector.detector_id)
        .opt_text("model_sha256", |r| r.detector.model_sha256.as_deref())
        .f32("score_threshold", |r| r.detector.score_threshold)
        .f32("nms_iou", |r| r.detector.nms_iou)
        .opt_f32("queue_ms", |r| r.timings.queue_ms)
        .opt_f32("fetch_ms", |r| r.timings.fetch_ms)
        .opt_f32("decode_ms", |r| r.timings.decode_ms)
        .opt_f32("detect_ms", |r| r.timings.detect_ms)
        .f64("e2e_ms", |r| r.e2e_ms)
        .opt_i32("worker_id", |r| r.worker_id)
        .text("run_id", |r| &r.run_id)
        .batch()
}

/// The `detections` rows of frames as a batch, in the frames' order.
#[must_use]
pub fn detections_batch(frames: &[FrameRow]) -> RecordBatch {
    let faces: Vec<_> = frames
        .iter()
        .flat_map(|frame| frame.detections().iter().enumerate().map(move |(index, detection)| Face { frame, index, detection }))
        .collect();
    Columns::of(&faces)
        .text("kafka_topic", |r| &r.frame.meta.key.topic)
        .i32("kafka_partition", |r| r.frame.meta.key.partition)
        .i64("kafka_offset", |r| r.frame.meta.key.offset.0)
        .i32("detection_idx", |r| r.index as i32)
        .text("frame_id", |r| &r.frame.meta.frame_id)
        .text("source_id", |r| r.frame.meta.source_id.as_str())
        .time("capture_ts", |r| r.frame.meta.capture_ts)
        .f32("bbox_x_px", |r| r.detection.bbox.x)
        .f32("bbox_y_px", |r| r.detection.bbox.y)
        .f32("bbox_w_px", |r| r.detection.bbox.w)
        .f32("bbox_h_px", |r| r.detection.bbox.h)
        .bool("truncated", |r| r.frame.image.is_some_and(|image| reaches_over(r.detection, image)))
        .opt_f32("score", |r| r.detection.score)
        .text("score_kind", |r| r.detection.score_kind.as_str())
        .points("landmarks_px", |r| r.detection.landmarks.as_ref().map(<[f32; 10]>::as_slice))
        .opt_text("track_id", |r| r.detection.track.as_ref().map(|track| &*track.id))
        .text("detector_id", |r| &r.frame.detector.detector_id)
        .opt_text("model_sha256", |r| r.frame.detector.model_sha256.as_deref())
        .opt_i32("image_w_px", |r| r.frame.image.map(|image| image.w as i32))
        .opt_i32("image_h_px", |r| r.frame.image.map(|image| image.h as i32))
        .batch()
}

/// Whether the face's box reaches over the border of the image.
pub(crate) fn reaches_over(face: &Detection, image: Size) -> bool {
    let bbox = face.bbox;
    bbox.x < 0.0 || bbox.y < 0.0 || bbox.x + bbox.w > image.w as f32 || bbox.y + bbox.h > image.h as f32
}

/// `windows` rows as a batch.
#[must_use]
pub fn windows_batch(rows: &[WindowRow]) -> RecordBatch {
    Columns::of(rows)
        .text("source_id", |r| r.source_id.as_str())
        .time("window_start", |r| r.window_start)
        .time("window_end", |r| r.window_end)
        .text("kafka_topic", |r| &r.topic)
        .i32("kafka_partition", |r| r.partition)
        .i32("revision", |r| r.revision)
        .i64("frames_ok", |r| r.frames_ok)
        .i64("frames_failed", |r| r.frames_failed)
        .i64("frames_skipped", |r| r.frames_skipped)
        .opt_i64("frames_missing", |r| r.frames_missing)
        .i64("frames_with_face", |r| r.frames_with_face)
        .i64("faces_total", |r| r.faces_total)
        .opt_f64("faces_per_frame_mean", |r| r.faces_per_frame_mean)
        .opt_i64("faces_per_frame_max", |r| r.faces_per_frame_max)
        .opt_f64("score_mean", |r| r.score_mean)
        .opt_i64("tracks_started", |r| r.tracks_started)
        .opt_f64("e2e_ms_p50", |r| r.e2e_ms_p50)
        .opt_f64("e2e_ms_p99", |r| r.e2e_ms_p99)
        .i64("late_frames", |r| r.late_frames)
        .text("closed_by", |r| r.closed_by.as_str())
        .batch()
}

/// The hour folder of each row that [`detections_batch`] makes of these frames.
#[must_use]
pub fn detection_folders(frames: &[FrameRow]) -> Vec<Hour> {
    frames.iter().flat_map(|frame| std::iter::repeat_n(frame.folder, frame.detections().len())).collect()
}

/// Columns of a batch over a slice of rows, in order.
struct Columns<'a, R> {
    rows: &'a [R],
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl<'a, R> Columns<'a, R> {
    fn of(rows: &'a [R]) -> Self {
        Self { rows, fields: Vec::new(), arrays: Vec::new() }
    }

    fn column(mut self, name: &str, nullable: bool, array: ArrayRef) -> Self {
        self.fields.push(Field::new(name, array.data_type().clone(), nullable));
        self.arrays.push(array);
        self
    }

    fn text(self, name: &str, value: impl Fn(&'a R) -> &'a str) -> Self {
        let array = StringArray::from_iter_values(self.rows.iter().map(value));
        self.column(name, false, Arc::new(array))
    }

    fn opt_text(self, name: &str, value: impl Fn(&'a R) -> Option<&'a str>) -> Self {
        let array: StringArray = self.rows.iter().map(value).collect();
        self.column(name, true, Arc::new(array))
    }

    fn time(self, name: &str, value: impl Fn(&R) -> Micros) -> Self {
        let array = TimestampMicrosecondArray::from_iter_values(self.rows.iter().map(|row| value(row).0));
        self.column(name, false, Arc::new(array.with_timezone("UTC")))
    }

    fn points(self, name: &str, value: impl Fn(&'a R) -> Option<&'a [f32]>) -> Self {
        let item = Field::new_list_field(arrow::datatypes::DataType::Float32, false);
        let mut lists = ListBuilder::new(PrimitiveBuilder::<Float32Type>::new()).with_field(item);
        for row in self.rows {
            let points = value(row);
            lists.values().append_slice(points.unwrap_or_default());
            lists.append(points.is_some());
        }
        self.column(name, true, Arc::new(lists.finish()))
    }

    fn bool(self, name: &str, value: impl Fn(&R) -> bool) -> Self {
        let array: BooleanArray = self.rows.iter().map(|row| Some(value(row))).collect();
        self.column(name, false, Arc::new(array))
    }

    /// The rows in file order.
    fn batch(self) -> RecordBatch {
        let schema = Arc::new(Schema::new(self.fields));
        RecordBatch::try_new(schema, self.arrays).expect("columns are built to the schema, all over the same rows")
    }
}

/// A required and a nullable column method for each plain number type.
macro_rules! number_columns {
    ($($required:ident, $nullable:ident: $number:ty => $array:ty;)*) => {
        impl<R> Columns<'_, R> {
            $(
                fn $required(self, name: &str, value: impl Fn(&R) -> $number) -> Self {
                    let array = <$array>::from_iter_values(self.rows.iter().map(value));
                    self.column(name, false, Arc::new(array))
                }

                fn $nullable(self, name: &str, value: impl Fn(&R) -> Option<$number>) -> Self {
                    let array: $array = self.rows.iter().map(value).collect();
                    self.column(name, true, Arc::new(array))
                }
            )*
        }
    };
}

number_columns! {
    i32, opt_i32: i32 => Int32Array;
    i64, opt_i64: i64 => Int64Array;
    f32, opt_f32: f32 => Float32Array;
    f64, opt_f64: f64 => Float64Array;
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::{Bbox, MessageKey, Offset, Reason, ScoreKind, SourceId, TsOrigin};

    fn row(offset: i64, outcome: Result<Vec<Detection>, Rejection>) -> FrameRow {
        FrameRow {
            meta: FrameMeta {
                key: MessageKey { topic: "cams".into(), partition: 2, offset: Offset(offset) },
                frame_id: "f".to_owned(),
                source_id: SourceId::new("door"),
                frame_seq: None,
                capture_ts: Micros(5),
                ts_origin: TsOrigin::Record,
                record_ts: Micros(7),
                content_type: None,
                size_bytes: 9,
            },
            folder: Hour(offset),
            image: Some(Size { w: 100, h: 50 }),
            outcome,
            detector: Arc::new(DetectorIdentity {
                detector_id: "scripted".to_owned(),
                model_sha256: None,
                score_threshold: 0.6,
                nms_iou: 0.3,
            }),
            timings: Timings::default(),
            e2e_ms: 1.0,
            worker_id: None,
            run_id: "run".into(),
        }
    }

    fn face(x: f32) -> Detection {
        let bbox = Bbox { x, y: 1.0, w: 10.0, h: 10.0 };
        Detection { bbox, score: Some(0.9), score_kind: ScoreKind::Prob, landmarks: Some([1.0; 10]), track: None }
    }

    #[test]
    fn every_face_has_a_row_and_a_folder_and_a_rejected_frame_has_none() {
        let failed = Err(Rejection::new(Reason::DecodeError, "cut"));
        let rows = [row(4, Ok(vec![face(0.0), face(95.0)])), row(5, failed), row(6, Ok(vec![face(-1.0)]))];
        let batch = detections_batch(&rows);
        assert_eq!(batch["kafka_offset"].as_primitive::<arrow::datatypes::Int64Type>().values(), &[4, 4, 6]);
        assert_eq!(batch["detection_idx"].as_primitive::<Int32Type>().values(), &[0, 1, 0]);
        assert_eq!(batch["truncated"].as_boolean(), &BooleanArray::from(vec![false, true, true]));
        assert_eq!(detection_folders(&rows), [Hour(4), Hour(4), Hour(6)]);

        let frames = frames_batch(&rows);
        assert_eq!(frames["face_count"].as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(2), None, Some(1)]);
        assert_eq!(frames["status"].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["ok", "decode_error", "ok"]);
        assert_eq!(frames["error"].null_count(), 2);
    }

    #[test]
    fn a_wild_clock_makes_no_folders() {
        let hour = std::time::Duration::from_hours(1);
        let mut meta = row(0, Ok(vec![])).meta;
        meta.record_ts = Micros(1_795_348_800_000_000);
        meta.capture_ts = Micros(0);
        assert_eq!(folder(&meta, hour).to_string(), "event_date=2026-11-22/event_hour=11");
    }
}
