//! What was seen in a picture.
//!
//! In: a detector's faces, or an event's. Out: a line of JSON, or the rows of a table. Invariant: columns and fields have the names, types
//! and units of the table `detections`; instead of a message's key they have the picture's name, `file`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use facestream_schemas::event::Face;
use facestream_schemas::tables::{FrameRow, Timings, detections_batch};
use facestream_schemas::{
    Detection, DetectorIdentity, FrameMeta, Hour, MessageKey, Micros, Offset, Rejection, Size, SourceId, TsOrigin,
};
use serde::Serialize;

/// The columns of `detections` that tell of a message.
const OF_MESSAGES: [&str; 6] = ["kafka_topic", "kafka_partition", "kafka_offset", "frame_id", "source_id", "capture_ts"];

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The picture, as it was given.
    pub(super) name: String,
    /// Its size upright, where it was decoded.
    pub(super) image: Option<Size>,
    pub(super) outcome: Result<Found, Failed>,
    /// Why there is no annotated copy, where there should be one.
    pub(super) not_copied: Option<String>,
}

/// Its faces, best first, and what found them.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) faces: Vec<Detection>,
    pub(super) detector: Arc<DetectorIdentity>,
}

/// Why it was not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// As in the table `frames`.
    pub(super) status: Cow<'static, str>,
    pub(super) error: String,
}

impl From<Rejection> for Failed {
    fn from(Rejection { reason, error }: Rejection) -> Self {
        Self { status: reason.as_str().into(), error }
    }
}

impl Seen {
    pub(super) fn failed(name: &str, why: impl Into<Failed>) -> Self {
        Self { name: name.to_owned(), image: None, outcome: Err(why.into()), not_copied: None }
    }

    /// As a JSON object on one line.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let failed = self.outcome.as_ref().err();
        let detections = self.outcome.iter().flat_map(|Found { faces, detector }| {
            let DetectorIdentity { detector_id, model_sha256, .. } = &**detector;
            faces.iter().zip(0..).map(move |(face, index)| {
                let face = Face::of(index, face, self.image);
                Row { face, detector_id, model_sha256: model_sha256.as_deref() }
            })
        });
        serde_json::to_string(&Line {
            file: &self.name,
            image_w_px: self.image.map(|image| image.w),
            image_h_px: self.image.map(|image| image.h),
            status: failed.map_or("ok", |failed| &failed.status),
            error: failed.map(|failed| failed.error.as_str()),
            detections: detections.collect(),
        })
    }
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    image_w_px: Option<u32>,
    image_h_px: Option<u32>,
    status: &'a str,
    error: Option<&'a str>,
    detections: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    face: Face,
    detector_id: &'a str,
    model_sha256: Option<&'a str>,
}

/// A row for every face of these pictures, in their order: `file`, then the columns of `detections` that do not tell of a message.
pub(super) fn batch(pictures: &[Seen]) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<_> = pictures.iter().filter_map(row).collect();
    let batch = detections_batch(&rows);
    let files = batch.column_by_name("frame_id").map(|files| (Field::new("file", files.data_type().clone(), false), files));
    let schema = batch.schema();
    let others = schema.fields().iter().map(|field| field.as_ref().clone()).zip(batch.columns());
    let others = others.filter(|(field, _)| !OF_MESSAGES.contains(&field.name().as_str()));
    let (fields, arrays): (Vec<_>, _) = files.into_iter().chain(others).map(|(field, array)| (field, Arc::clone(array))).unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// The picture as the stream's tables would have it, its name for the frame's; nothing where it was not looked at.
fn row(seen: &Seen) -> Option<FrameRow> {
    let Found { faces, detector } = seen.outcome.as_ref().ok()?;
    let meta = FrameMeta {
        key: MessageKey { topic: "".into(), partition: 0, offset: Offset(0) },
        frame_id: seen.name.clone(),
        source_id: SourceId::new(""),
        frame_seq: None,
        capture_ts: Micros(0),
        ts_origin: TsOrigin::Record,
        record_ts: Micros(0),
        content_type: None,
        size_bytes: 0,
    };
    Some(FrameRow {
        meta,
        folder: Hour(0),
        image: seen.image,
        outcome: Ok(faces.clone()),
        detector: Arc::clone(detector),
        timings: Timings::default(),
        e2e_ms: 0.0,
        worker_id: None,
        run_id: "".into(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::AsArray as _;
    use facestream_schemas::tables::Table;
    use facestream_schemas::{Bbox, Reason, ScoreKind};
    use serde_json::{Value, json};

    use super::*;

    /// A picture of 100 x 50 pixels with these boxes, each of a score of 0.9.
    pub(in super::super) fn seen(name: &str, boxes: &[[f32; 4]]) -> Seen {
        let face = |[x, y, w, h]: &[f32; 4]| Detection {
            bbox: Bbox { x: *x, y: *y, w: *w, h: *h },
            score: Some(0.9),
            score_kind: ScoreKind::Prob,
            landmarks: None,
            track: None,
        };
        let detector = DetectorIdentity { detector_id: "d".to_owned(), model_sha256: None, score_threshold: 0.5, nms_iou: 0.25 };
        let found = Found { faces: boxes.iter().map(face).collect(), detector: Arc::new(detector) };
        Seen { name: name.to_owned(), image: Some(Size { w: 100, h: 50 }), outcome: Ok(found), not_copied: None }
    }

    pub(in super::super) fn broken(name: &str) -> Seen {
        Seen::failed(name, Rejection::new(Reason::DecodeError, "cut short"))
    }

    #[test]
    fn json_has_the_names_of_the_tables_columns() {
        let line: Value = serde_json::from_str(&seen("a\n\"b\".jpg", &[[-1.0, 2.0, 10.5, 20.0]]).json().unwrap()).unwrap();
        assert_eq!((&line["file"], &line["status"], &line["error"]), (&json!("a\n\"b\".jpg"), &json!("ok"), &Value::Null));
        assert_eq!((&line["image_w_px"], &line["image_h_px"]), (&json!(100), &json!(50)));
        let expected = json!({
            "detection_idx": 0, "bbox_x_px": -1.0, "bbox_y_px": 2.0, "bbox_w_px": 10.5, "bbox_h_px": 20.0, "truncated": true,
            "score": 0.9, "score_kind": "prob", "landmarks_px": null, "track_id": null, "detector_id": "d", "model_sha256": null,
        });
        assert_eq!(line["detections"], json!([expected]));
        let schema = Table::Detections.schema();
        let names: Vec<_> = expected.as_object().unwrap().keys().collect();
        assert!(names.iter().all(|name| schema.field_with_name(name).is_ok()), "{names:?}");
        let failed: Value = serde_json::from_str(&broken("b.jpg").json().unwrap()).unwrap();
        let expected = json!({
            "file": "b.jpg", "image_w_px": null, "image_h_px": null, "status": "decode_error", "error": "cut short", "detections": [],
        });
        assert_eq!(failed, expected);
    }

    #[test]
    fn rows_are_those_of_the_table_with_the_file_for_the_message() {
        let pictures = [seen("a", &[[0.0; 4], [1.0; 4]]), broken("b"), seen("c", &[]), seen("d", &[[2.0; 4]])];
        let batch = batch(&pictures).unwrap();
        assert_eq!(batch["file"].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "a", "d"]);
        let schema = batch.schema();
        let names: Vec<_> = schema.fields().iter().skip(1).map(|field| field.name().as_str()).collect();
        let table = Table::Detections.schema();
        let expected = table.fields().iter().map(|field| field.name().as_str());
        assert_eq!(names, expected.filter(|name| !OF_MESSAGES.contains(name)).collect::<Vec<_>>());
    }
}
