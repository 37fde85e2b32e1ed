//! The tracks that faces should have: the same stage, run once over the rows that are there, in order, without interruptions.
//!
//! In: the tables. Out: how many faces have another track. That the stage itself follows faces well is shown next to it; here it
//! counts that crashes, zombies and takeovers change nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use facestream_schemas::tables::{FrameRow, Timings};
use facestream_schemas::{
    Bbox, Detection, DetectorIdentity, FrameMeta, Hour, MessageKey, Micros, Offset, ScoreKind, SourceId, TsOrigin,
};
use facestream_stages::track::{TrackSettings, TrackState, Tracks};
use serde::Deserialize;

use crate::Duck;

/// Each partition has a frame of a camera every second or two.
pub(in crate::crash) const SETTINGS: TrackSettings = TrackSettings { max_gap: Duration::from_secs(5), min_iou: 0.3 };

/// A face by a frame of `frames`; without `place` the frame has none.
#[derive(Deserialize)]
struct Row {
    topic: String,
    p: i32,
    o: i64,
    source_id: String,
    at_us: i64,
    place: Option<usize>,
    bbox: Option<[f32; 4]>,
    score: Option<f32>,
    track_id: Option<String>,
}

/// Frames that are there twice count once: they are the verdict's `doubled`.
const ROWS: &str = "
SELECT DISTINCT f.kafka_topic AS topic, f.kafka_partition AS p, f.kafka_offset AS o, f.source_id,
       epoch_us(f.capture_ts) AS at_us, detection_idx AS place,
       CASE WHEN detection_idx IS NOT NULL THEN [bbox_x_px, bbox_y_px, bbox_w_px, bbox_h_px] END AS bbox, score, track_id
FROM read_parquet('frames/**/*.parquet') f LEFT JOIN read_parquet('detections/**/*.parquet') d
  ON (f.kafka_partition, f.kafka_offset) = (d.kafka_partition, d.kafka_offset)
WHERE f.status = 'ok' ORDER BY p, o, place
";

pub(super) fn wrong(folder: &Path) -> u64 {
    let rows = Duck::in_folder(folder).rows(ROWS).into_iter();
    let rows = rows.map(|row| serde_json::from_value::<Row>(row.into()).expect("a face by a frame"));
    let mut frames: BTreeMap<(i32, i64), Vec<Row>> = BTreeMap::new();
    for row in rows {
        frames.entry((row.p, row.o)).or_default().push(row);
    }
    let mut partitions: BTreeMap<i32, Tracks> = BTreeMap::new();
    let mut wrong = 0;
    for ((partition, offset), rows) in frames {
        let topic: Arc<str> = rows[0].topic.as_str().into();
        let start = || Tracks::new(Arc::clone(&topic), partition, SETTINGS, TrackState::default());
        let tracks = partitions.entry(partition).or_insert_with(start);
        let mut frame = frame(&topic, partition, Offset(offset), &rows);
        tracks.follow(&mut frame);
        let faces = frame.outcome.expect("faces");
        let expected = faces.iter().map(|face| face.track.as_ref().map(|track| &*track.id));
        let seen = rows.iter().filter(|row| row.place.is_some()).map(|row| row.track_id.as_deref());
        wrong += expected.zip(seen).filter(|(expected, seen)| expected != seen).count() as u64;
    }
    wrong
}

fn frame(topic: &Arc<str>, partition: i32, offset: Offset, rows: &[Row]) -> FrameRow {
    let face = |row: &Row| {
        let [x, y, w, h] = row.bbox?;
        let bbox = Bbox { x, y, w, h };
        Some(Detection { bbox, score: row.score, score_kind: ScoreKind::Prob, landmarks: None, track: None })
    };
    let at = Micros(rows[0].at_us);
    FrameRow {
        meta: FrameMeta {
            key: MessageKey { topic: Arc::clone(topic), partition, offset },
            frame_id: String::new(),
            source_id: SourceId::new(&rows[0].source_id),
            frame_seq: None,
            capture_ts: at,
            ts_origin: TsOrigin::Record,
            record_ts: at,
            content_type: None,
            size_bytes: 0,
        },
        folder: Hour::of(at),
        image: None,
        outcome: Ok(rows.iter().filter_map(face).collect()),
        detector: Arc::new(DetectorIdentity {
            detector_id: String::new(),
            model_sha256: None,
            score_threshold: 0.0,
            nms_iou: 0.0,
        }),
        timings: Timings::default(),
        e2e_ms: 0.0,
        worker_id: None,
        run_id: "".into(),
    }
}
